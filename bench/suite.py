"""How long `make test` takes."""

import subprocess
import time
from pathlib import Path

from bench.measure import Failed
from bench.report import Section

_MINUTES = 3
_ROOT = Path(__file__).parent.parent


def tests() -> Section:
    section = Section("The tests")
    begun = time.monotonic()
    done = subprocess.run(["make", "test"], cwd=_ROOT, capture_output=True, text=True, check=False)
    minutes = (time.monotonic() - begun) / 60
    if done.returncode:
        raise Failed(done.stdout)
    section.parts.append(f"All that need no Docker, with a sample of the fault sweeps: {minutes:.1f} minutes.")
    section.limit("`make test`", _MINUTES, minutes, " min")
    return section
