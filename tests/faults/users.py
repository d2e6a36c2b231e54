"""The job, and its neighbours, as other users; only root becomes somebody else."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

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


def run_onto(
    stream: int, world: World, prelude: str = ":", redirection: str = "", **outputs: str
) -> subprocess.CompletedProcess[str]:
    """The job with this standard output and these outputs alone, after that command; it has less patience with whoever
    reads."""
    program = "import sys; from init_job import cli; from init_job.outputs import place; place.PATIENCE = 0.2; "
    job = f"{shlex.quote(sys.executable)} -c {shlex.quote(program + 'sys.exit(cli.main())')}"
    return subprocess.run(
        ["bash", "-c", f"{prelude}; exec {job} {redirection}"],
        cwd=Path(__file__).parent.parent.parent,
        env={**world.variables, **dict.fromkeys(("TOKEN_FILE", "ENV_FILE", "JSON_FILE"), ""), **outputs},
        stdout=stream, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip
