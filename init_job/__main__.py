"""`python -m init_job`."""

import sys

from init_job.cli import main

if __name__ == "__main__":
    sys.exit(main())
