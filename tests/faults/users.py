"""The job, and its neighbours, as other users; only root becomes somebody else."""

import os
import shlex
import subprocess
import sys

import pytest

from tests.faults.world import World

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root gives files away")


def _command(uid: int) -> list[str]:
    become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    return [*become, sys.executable]


def _can_run_unprivileged() -> bool:
    command = [*_command(4567), "-c", "import requests"]
    return AS_ROOT and subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0


needs_other_user = pytest.mark.skipif(not _can_run_unprivileged(), reason="only root becomes somebody else")


def run_as(uid: int, world: World, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The job as a user who owns nothing here but what it is given."""
    (world.folder / "cwd").mkdir(mode=0o755, exist_ok=True)
    return subprocess.run(
        [*_command(uid), "-m", "init_job", *arguments],
        cwd=world.folder / "cwd",
        env={**world.variables, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


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
