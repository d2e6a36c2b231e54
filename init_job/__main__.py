"""`python -m init_job`."""

import gc
import os
import signal
import sys

# For PID 1 of a container a signal without a handler is lost, and the imports below take a while.
for _signum in (signal.SIGTERM, signal.SIGINT):
    signal.signal(_signum, lambda signum, frame: os._exit(128 + signum))

# The modules stay until the end: looking for garbage among them, while they are imported and once more at exit, would
# be a sixth of a run with nothing to do (docs/performance.md).
gc.disable()

from init_job.cli import main  # noqa: E402

gc.freeze()
gc.enable()

if __name__ == "__main__":
    sys.exit(main())
