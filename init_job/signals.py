"""Termination, and the one place where the program waits: for an answer, for time to pass, for a lock.

The handlers do nothing. Python itself writes the number of each signal into a pipe (`signal.set_wakeup_fd`), and the
main thread reads it in `_wait`, the only call in which it blocks. There, and at the moments that call `check`, a run
is ended; nowhere else. What a library might block in runs in a thread of its own (`call`), which writes a zero into
the same pipe when it has ended.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from init_job import log

T = TypeVar("T")

_LONGEST_WAIT = 86400.0  # seconds; `select` takes not much more than what 64 bits hold of nanoseconds


class Terminated(Exception):
    """SIGTERM or SIGINT; the exit code is 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class Overdue(Exception):
    """A call has taken longer than it may."""


_read_end, _write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
_pending = 0
"""The first signal that told the run to end; 0: none."""
_shielded = False


def install() -> None:
    """From now on SIGTERM and SIGINT are taken note of. A container's PID 1 gets no default handlers."""
    global _read_end, _write_end, _pending
    # The old pipe stays open: a thread that was given up may still write to it.
    _read_end, _write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    _pending = 0
    signal.set_wakeup_fd(_write_end, warn_on_full_buffer=False)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda signum, frame: None)


def check() -> None:
    """Raises Terminated when the run has been told to end, unless a key is in flight."""
    _wait(0)
    if _pending and not _shielded:
        raise Terminated(_pending)


def sleep(seconds: float, for_trouble: bool = False) -> None:
    """Raises Terminated, when it waits `for_trouble` to pass even while a key is in flight: the server may be gone for
    minutes, and the next run mends what this one left."""
    end = time.monotonic() + seconds
    while True:
        check()
        if _pending and for_trouble:
            raise Terminated(_pending)
        if (left := end - time.monotonic()) <= 0:
            return
        _wait(left)


def call(function: Callable[[], T], seconds: float = float("inf")) -> T:
    """What the function returns or raises. Raises Overdue or Terminated, and then leaves the function alone: it goes
    on in its thread, and nobody listens to it any more."""
    check()
    outcome: list[tuple[T, None] | tuple[None, BaseException]] = []
    write_end = _write_end

    def work() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:
            outcome.append((None, error))
        with suppress(BlockingIOError):  # full of signals: then it wakes whoever waits already
            os.write(write_end, b"\0")

    try:
        threading.Thread(target=work, daemon=True).start()
    except RuntimeError:  # no more of them (ulimit, --pids-limit): then here, with the function's own limits in time
        work()
    end = time.monotonic() + seconds
    while not outcome:
        if (left := end - time.monotonic()) <= 0:
            raise Overdue
        _wait(left)
        if not outcome:
            check()
    result, error = outcome[0]
    if error:
        raise error
    return result  # type: ignore[return-value]


@contextmanager
def shield() -> Iterator[None]:
    """Put termination off until the block has ended. What the block raises goes before it."""
    global _shielded
    check()
    _shielded = True
    try:
        yield
    finally:
        _shielded = False
    _wait(0)
    if _pending:
        log.info("terminating", f"{signal.Signals(_pending).name} was put off while a key was made")
    check()


def _wait(seconds: float) -> None:
    """Until a signal or an answer comes, `seconds` at most, or a day: who waits for more waits again."""
    global _pending
    select.select([_read_end], [], [], min(seconds, _LONGEST_WAIT))
    with suppress(BlockingIOError):
        for signum in os.read(_read_end, 4096):
            _pending = _pending or signum
