"""`python -m init_job`."""

import os
import signal
import sys

# For PID 1 of a container a signal without a handler is lost, and the imports below take a while.
for _signum in (signal.SIGTERM, signal.SIGINT):
    signal.signal(_signum, lambda signum, frame: os._exit(128 + signum))

from init_job.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
