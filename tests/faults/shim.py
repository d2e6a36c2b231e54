"""Hurts the calls that the program makes to the operating system for its files: at the Kth one something happens.

Installed in the process of one run, in the place of the functions of `os` and `fcntl`. Only calls about files under
one folder count, so that neither logs nor sockets are in the count.
"""

import errno
import fcntl
import itertools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Self

CHANGING = ("open", "pwrite", "write", "rename", "replace", "unlink", "link", "mkdir", "fsync", "ftruncate", "fchmod",
            "fchown", "chmod", "chown", "posix_fallocate", "setxattr", "removexattr")  # fmt: skip
"""What can change a file, or brings a change to the disk."""
ALL = (*CHANGING, "open to read", "close", "lstat", "stat", "fstat", "pread", "flock", "readlink", "listdir",
       "listxattr", "getxattr")  # fmt: skip


@dataclass(frozen=True)
class Hurt:
    folder: str
    trace: str
    """A file for the names of the calls, one a line, in their order."""
    at: int = -1
    """The call to hurt, counted from 0; -1: none."""
    signal_before: int = 0
    signal_after: int = 0
    error: str = ""
    """The name of an errno."""
    calls: tuple[str, ...] = CHANGING
    short: bool = False
    """Every write takes half of what it is given."""
    refused: tuple[str, ...] = ()
    """Calls that are always refused, as on a file system that does not have what they change."""
    refused_with: str = "EPERM"
    clock_jumps: bool = False
    """The clock of the day is now a day ahead and now a day behind; the monotonic one is not touched."""


def install(hurt: Hurt) -> None:
    _Shim(hurt)
    if hurt.clock_jumps:
        _make_the_clock_jump()


def _make_the_clock_jump() -> None:
    """Whichever call asks for the time: `logging` changed from one to the other with Python 3.13."""
    days, real = itertools.cycle((86400, -86400)), time.time

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time.time(), tz)

    time.time = lambda: real() + next(days)
    time.time_ns = lambda: int(time.time() * 1_000_000_000)
    for name, module in sys.modules.items():
        if name.startswith("init_job.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Jumping  # type: ignore[attr-defined]


class _Shim:
    def __init__(self, hurt: Hurt) -> None:
        self._hurt = hurt
        self._count = 0
        self._folder = os.path.realpath(hurt.folder) + "/"
        self._fds: dict[int, str] = {}
        self._write, self._pwrite, self._close = os.write, os.pwrite, os.close
        self._trace = os.open(hurt.trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        for name in (name for name in ALL if name != "open to read"):
            module = fcntl if name == "flock" else os
            setattr(module, name, self._wrapped(name, getattr(module, name)))

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            whole = self._whole(args[0], kwargs.get("dir_fd", kwargs.get("src_dir_fd")))
            path = whole if (whole + "/").startswith(self._folder) else ""  # of our files only
            kind = "open to read" if name == "open" and not args[1] & os.O_CREAT else name
            counts = path and kind in self._hurt.calls
            number = self._count
            if counts:
                self._count += 1
                self._write(self._trace, f"{kind}: {os.path.basename(path)}\n".encode())
            if path and name in self._hurt.refused:
                number = getattr(errno, self._hurt.refused_with)
                raise OSError(number, os.strerror(number))
            hit = counts and number == self._hurt.at
            if hit and self._hurt.signal_before:
                os.kill(os.getpid(), self._hurt.signal_before)
            if hit and self._hurt.error:
                if name == "close":
                    function(*args, **kwargs)
                if name == "pwrite":
                    function(args[0], args[1][: len(args[1]) // 2], *args[2:])  # an error after half of it
                number = getattr(errno, self._hurt.error)
                raise OSError(number, os.strerror(number))
            if path and self._hurt.short and name in ("pwrite", "write"):
                args = (args[0], args[1][: max(1, len(args[1]) // 2)], *args[2:])
            try:
                result = function(*args, **kwargs)
            finally:
                if hit and self._hurt.signal_after:
                    os.kill(os.getpid(), self._hurt.signal_after)
            if name == "open":
                self._fds[result] = whole
            elif name == "close":
                self._fds.pop(args[0], None)
            return result

        return call

    def _whole(self, where: Any, folder: int | None) -> str:
        """The path of the call's file; nothing when it is not known."""
        if isinstance(where, int):
            return self._fds.get(where, "")
        return os.path.abspath(
            os.path.join(self._fds.get(folder, "") if folder is not None else "", os.fsdecode(where))
        )
