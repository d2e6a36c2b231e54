"""What may interrupt the program: termination, put off while a key is in flight, and time limits.

Both are exceptions raised by a signal handler in the main thread, because nothing else ends a `connect`, a `recv`
or a `flock` that hangs. They derive from BaseException, so that no library takes them for an error of its own.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from init_job import log
from init_job.errors import Unavailable


class Terminated(BaseException):
    """SIGTERM or SIGINT; the exit code is 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class Overdue(BaseException):
    """The time limit has passed."""


_pending: int | None = None
"""The signal that ends the run."""
_shielded = False
_deadline: float | None = None
"""Of the time limit, on the monotonic clock."""


def install() -> None:
    """From now on SIGTERM and SIGINT raise Terminated. A container's PID 1 gets no default handlers."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _terminate)
    signal.signal(signal.SIGALRM, _alarm)


def ignore() -> None:
    """The end is decided."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(signum, signal.SIG_IGN)


def _terminate(signum: int, frame: FrameType | None) -> None:
    global _pending
    _pending = signum
    _alarm(signum, frame)


def _alarm(signum: int, frame: FrameType | None) -> None:
    """Raise what is due, and once more after a while: inside a destructor Python prints an exception and drops it."""
    due: BaseException
    if _pending is not None and not _shielded:
        due = Terminated(_pending)
    elif _deadline is not None and time.monotonic() >= _deadline:
        due = Overdue()
    else:
        return
    if _is_holding_a_lock(frame):
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        return
    signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
    raise due


def _is_holding_a_lock(frame: FrameType | None) -> bool:
    """Whether an exception might leave the connection pool's queue locked: whoever used it next would wait for ever."""
    while frame is not None:
        if frame.f_globals.get("__name__") in ("queue", "weakref"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def shield() -> Iterator[None]:
    """Put termination off until the block has ended. An error from the block goes before the termination, but for
    Unavailable: it would be tried again, perhaps for minutes, and the next run mends what it left."""
    global _shielded
    if _pending is not None:
        raise Terminated(_pending)
    _shielded = True
    try:
        yield
    except Unavailable:
        if _pending is None:
            raise
    finally:
        _shielded = False
    if _pending is not None:
        log.info("terminating", f"{signal.Signals(_pending).name} was put off while a key was made")
        raise Terminated(_pending)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Overdue in the block when it takes longer; limits do not nest."""
    global _deadline
    signal.signal(signal.SIGALRM, _alarm)
    _deadline = time.monotonic() + seconds
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 0.1)
    try:
        yield
    finally:
        _deadline = None
        if _pending is None:
            signal.setitimer(signal.ITIMER_REAL, 0)
