"""What may interrupt the program: termination, put off while a key is in flight, and time limits.

Both are exceptions raised by a signal handler in the main thread, because nothing else ends a `connect`, a `recv`
or a `flock` that hangs. They derive from BaseException, so that no library takes them for an error of its own.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from init_job import log


class Terminated(BaseException):
    """SIGTERM or SIGINT; the exit code is 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class Overdue(BaseException):
    """The time limit has passed."""


_shielded = False
_put_off: int | None = None


def install() -> None:
    """From now on SIGTERM and SIGINT raise Terminated. A container's PID 1 gets no default handlers."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _terminate)


def ignore() -> None:
    """The end is decided."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)


def _terminate(signum: int, frame: FrameType | None) -> None:
    global _put_off
    if not _shielded:
        raise Terminated(signum)
    _put_off = signum


@contextmanager
def shield() -> Iterator[None]:
    """Put termination off until the block has ended. An error from the block goes before the termination."""
    global _shielded
    _shielded = True
    try:
        yield
    finally:
        _shielded = False
    if _put_off is not None:
        log.info("terminating", f"{signal.Signals(_put_off).name} was put off until the token was on disk")
        raise Terminated(_put_off)


def _overdue(signum: int, frame: FrameType | None) -> None:
    raise Overdue


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Overdue in the block when it takes longer; limits do not nest."""
    before = signal.signal(signal.SIGALRM, _overdue)
    # The alarm repeats: an exception that is raised inside a destructor is printed and dropped by Python.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
