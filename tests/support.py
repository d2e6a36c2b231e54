"""What several test modules need: the job as a process of its own, and settings without one."""

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from init_job import load
from init_job.settings import Settings
from tests.faults.runner import Runner

_CAN_MOUNT = (
    os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
)
needs_mounts = pytest.mark.skipif(
    not _CAN_MOUNT, reason="only root makes a mount namespace, and not in every container"
)
PASSWORD = "correct horse battery"  # of the simulated admin; long enough to be masked and to be searched for
_JWT = re.compile(r"eyJ[\w-]{10,}")
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        """The log lines at info and above, without time and level; where the tests themselves run in a container, also
        without the warning that a token there ends with it."""
        told = [line[33:] for line in self.err.splitlines() if line[25:29] in ("INFO", "WARN", "ERRO")]
        return [line for line in told if "the token ends with the container" not in line]

    @property
    def error(self) -> str:
        """The line that says what happened; the one after it, the last of all, says what to do."""
        what, todo = self.messages[-2:]
        assert todo.startswith(f"exit {self.code}: what to do: "), self.err
        return what

    @property
    def hint(self) -> str:
        assert self.error
        return self.messages[-1].partition("what to do: ")[2]


def environment(**variables: str | Path) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "COVERAGE_PROCESS_START")}
    defaults = {"LOG_LEVEL": "debug", "WAIT_TIMEOUT": "30s", "PYTHONPATH": str(_ROOT)}
    return {**keep, **defaults, **{name: str(value) for name, value in variables.items()}}


@cache
def runner() -> Runner:
    """One process that starts the jobs, for all tests of a worker; it ends with the worker."""
    return Runner()


def run_job(cwd: Path, *arguments: str, variables: Mapping[str, str | Path] | None = None) -> Run:
    """Run the job to its end. Whatever it prints is searched for passwords and tokens."""
    variables = variables or {}
    env = environment(**variables)
    if any(name.startswith("PYTHON") for name in variables):
        # They are for an interpreter that starts.
        command = [sys.executable, "-m", "init_job", *arguments]
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
        run = Run(done.returncode, done.stdout, done.stderr)
    else:
        with TemporaryDirectory() as streams:
            result = runner().start(cwd, env, Path(streams), arguments=arguments).wait()
        run = Run(result.code, result.out, result.err)
    expect_no_secrets(run, str(variables.get("CHIRPSTACK_PASSWORD", "")))
    if not any(variables.get(name) == "-" for name in ("TOKEN_FILE", "JSON_FILE")):
        assert not _JWT.search(run.out)
    return run


def expect_no_secrets(run: Run, *secrets: str) -> None:
    assert not _JWT.search(run.err), "a token in the log"
    for secret in (PASSWORD, *secrets):
        # `admin` is the default account's name as well as its password.
        assert len(secret) < 6 or secret not in run.err, "a password in the log"


@contextmanager
def started_job(cwd: Path, *arguments: str, **variables: str | Path) -> Iterator[subprocess.Popen[str]]:
    """The job as a running process; standard error is a pipe to read its lines from."""
    process = subprocess.Popen(
        [sys.executable, "-m", "init_job", *arguments],
        cwd=cwd,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def settings_for(url: str, **variables: str) -> Settings:
    given = {"CHIRPSTACK_URL": url, "CHIRPSTACK_PASSWORD": "admin", "TOKEN_FILE": "/nowhere/token", **variables}
    return load.settings(given, env_file="/dev/null")


def jwt(claims: dict[str, object], secret: str = "not the server's") -> str:
    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    header = {"alg": "HS256", "typ": "JWT"}
    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"
