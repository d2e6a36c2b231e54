"""The job as a process of its own, in 30 ms of processor time instead of 300: thousands of runs are needed.

A process that has imported the program forks one child for each run. The child has an environment, a working
directory and standard streams of its own, and calls what `python -m init_job` calls; signals and SIGKILL meet a real
process. `test_runner` shows that it behaves as a new interpreter does.
"""

import contextlib
import faulthandler
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn, cast

from tests.faults import shim
from tests.faults.shim import Hurt

_ROOT = Path(__file__).parent.parent.parent
_LIMIT = 120.0  # seconds that no run may need


@dataclass(frozen=True)
class Result:
    code: int
    """As a shell sees it: 137 for a process that SIGKILL has ended."""
    out: str
    err: str
    seconds: float

    @property
    def log(self) -> str:
        """For a failed assertion."""
        return f"exit {self.code} after {self.seconds:.2f} s\n{self.err}"


class Run:
    """One run of the job, while it lasts and after it."""

    def __init__(self, connection: socket.socket, streams: Path) -> None:
        self._connection = connection
        self._streams = streams
        self._started = time.monotonic()
        self._lock = Lock()
        self._result: Result | None = None
        connection.settimeout(_LIMIT)

    def signal(self, signum: signal.Signals) -> None:
        """Sent by the process's parent, so that it can never meet another one of the same number."""
        self._connection.send(bytes([signum]))

    def wait(self) -> Result:
        with self._lock:
            if self._result is None:
                code = int.from_bytes(self._connection.recv(4), "big", signed=True)
                self._connection.close()
                seconds = time.monotonic() - self._started
                out, err = (
                    (self._streams / name).read_bytes().decode("utf-8", "replace") for name in ("stdout", "stderr")
                )
                self._result = Result(code, out, err, seconds)
            return self._result

    def wait_for(self, message: str) -> None:
        """Until it stands in the log."""
        deadline = time.monotonic() + _LIMIT
        while message.encode() not in (self._streams / "stderr").read_bytes():
            assert time.monotonic() < deadline, message
            time.sleep(0.005)

    def kill(self) -> Result:
        self.signal(signal.SIGKILL)
        return self.wait()


class Runner:
    """Starts runs. Ends with the process that has made it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.runner", str(theirs.fileno())],
                cwd=_ROOT, pass_fds=[theirs.fileno()], env={"PATH": os.environ["PATH"]},
            )  # fmt: skip

    def start(
        self,
        folder: Path,
        environment: Mapping[str, str],
        streams: Path,
        *,
        arguments: tuple[str, ...] = (),
        hurt: Hurt | None = None,
        constants: Mapping[str, object] | None = None,
        uid: int = 0,
    ) -> Run:
        """`streams` is a folder for standard output and error; `constants` are what the run has for some of the
        program's own, by module and name; `uid`, also its group, is who it runs as, 0 for whoever runs the tests."""
        streams.mkdir(exist_ok=True)
        (streams / "stdout").touch()
        (streams / "stderr").touch()
        order = {
            "folder": str(folder),
            "environment": dict(environment),
            "streams": [str(streams / "stdout"), str(streams / "stderr")],
            "arguments": arguments,
            "hurt": asdict(hurt) if hurt else None,
            "constants": dict(constants or {}),
            "uid": uid,
        }
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._control, [json.dumps(order).encode()], [theirs.fileno()])
        return Run(ours, streams)


def _serve(control: socket.socket) -> NoReturn:
    """Fork a child for every order, pass signals on, and report how each child has ended."""
    # Whatever the program imports during a run is there already: another user may not be let in where it lies.
    import difflib  # noqa: F401
    import encodings.ascii
    import encodings.utf_8_sig
    import encodings.utf_16_be  # noqa: F401
    import gc

    import dotenv  # noqa: F401

    from init_job import settings_file  # noqa: F401
    from init_job.servers import chirpstack_pb2  # noqa: F401

    _warm_up()
    gc.freeze()  # a collection in a child would copy every page
    read_end, write_end = socket.socketpair()
    write_end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    signal.set_wakeup_fd(write_end.fileno(), warn_on_full_buffer=False)
    runs: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(read_end, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    message, fds, _, _ = socket.recv_fds(control, 1 << 20, 1)
                    if not message:
                        for pid in runs:
                            os.kill(pid, signal.SIGKILL)
                        sys.exit()
                    connection = socket.socket(fileno=fds[0])
                    pid = os.fork()
                    if pid == 0:
                        _run(json.loads(message))
                    runs[pid] = connection
                    selector.register(connection, selectors.EVENT_READ, pid)
                elif key.fileobj is read_end:
                    read_end.recv(4096)
                else:
                    connection = cast(socket.socket, key.fileobj)
                    signum = connection.recv(1)
                    if runs.get(key.data) is connection:  # otherwise the run has ended
                        os.kill(key.data, signum[0] if signum else signal.SIGKILL)
                    if not signum:  # nobody waits for it any more
                        selector.unregister(connection)
                        connection.close()
            _reap(runs)


def _warm_up() -> None:
    """One run that finds no server: it fills the caches of the standard library, which every child would fill anew."""
    from init_job import cli

    os.environ |= {
        "CHIRPSTACK_URL": "http://127.0.0.1:1",
        "WAIT_TIMEOUT": "0",
        "CHIRPSTACK_PASSWORD": "admin",
        "TOKEN_FILE": "-",
    }
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        cli.main(["--dry-run"])


def _reap(runs: dict[int, socket.socket]) -> None:
    while runs:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        code = os.waitstatus_to_exitcode(status)
        # Not closed here: with a signal in it that came too late, the answer would be lost.
        connection = runs.pop(pid)
        with contextlib.suppress(OSError):  # nobody waits for it any more
            connection.send((code if code >= 0 else 128 - code).to_bytes(4, "big", signed=True))


def _run(order: dict[str, Any]) -> NoReturn:
    """The child: what an interpreter does around `init_job.__main__`."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, path in enumerate(order["streams"], 1):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(fd, number)
        os.closerange(3, 256)
        faulthandler.dump_traceback_later(_LIMIT - 10, exit=True)  # a run that hangs says where
        os.environ.clear()
        os.environ.update(order["environment"])
        if uid := order["uid"]:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        os.chdir(order["folder"])
        from init_job import cli

        for name, value in order["constants"].items():
            module, _, constant = name.rpartition(".")
            setattr(importlib.import_module(module), constant, value)
        if order["hurt"]:
            shim.install(Hurt(**order["hurt"]))
        code = cli.main(list(order["arguments"]))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 99
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = 120
    os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
