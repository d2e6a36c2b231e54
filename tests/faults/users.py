"""The job, and its neighbours, as other users; only root becomes somebody else."""

import os
import shlex
import subprocess
import sys

import pytest

from tests.faults.runner import Result
from tests.faults.world import World

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root gives files away and becomes somebody else")


def run_as(uid: int, world: World, *arguments: str, **variables: str) -> Result:
    """The job as a user who owns nothing here but what it is given."""
    world.uid = uid
    return world.run(None, arguments, **variables)


def run_mounted(world: World, mounts: str, change_root: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """The job in a mount namespace of its own, after these commands."""
    return subprocess.run(
        ["unshare", "-m", "sh", "-ec", f"{mounts}\nexec {change_root} {shlex.quote(sys.executable)} -m init_job"],
        cwd=world.folder,
        env={**world.variables, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
