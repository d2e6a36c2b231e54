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
from init_job.errors import NotReady, Unavailable


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
_TICK = 0.3  # seconds
is_over = False
"""The end is decided: nothing is raised any more. To be set, not called for: Python looks for signals when it calls a
function, and an assignment at the beginning of an `except` leaves no moment for a second exception."""


def install() -> None:
    """From now on SIGTERM and SIGINT raise Terminated. A container's PID 1 gets no default handlers."""
    global is_over
    is_over = False
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _terminate)
    signal.signal(signal.SIGALRM, _alarm)


def is_pending() -> bool:
    """Whether the run has been told to end, and only a shield keeps it."""
    return _pending is not None


def _terminate(signum: int, frame: FrameType | None) -> None:
    global _pending
    _pending = signum
    _alarm(signum, frame)


def _alarm(signum: int, frame: FrameType | None) -> None:
    """Raise what is due, and once more after a while: inside a destructor Python prints an exception and drops it."""
    due: BaseException
    if is_over:
        return
    if _pending is not None and not _shielded:
        due = Terminated(_pending)
    elif _deadline is not None and time.monotonic() >= _deadline:
        due = Overdue()
    else:
        if _deadline is not None:
            _ring_within(_deadline - time.monotonic())
        return
    if _is_holding_a_lock(frame):
        _ring_within(0.01)
        return
    _ring_within(_TICK)
    raise due


def _ring_within(seconds: float) -> None:
    """And go on ringing: a signal that comes just before a call that waits does not end it, and no handler would run
    until it ends by itself. The next ring ends it."""
    signal.setitimer(signal.ITIMER_REAL, max(0.001, min(seconds, _TICK)), _TICK)


def sleep(seconds: float) -> None:
    """In slices, for the same reason; a pending termination ends it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and _pending is None:
        time.sleep(min(left, _TICK))


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
    Unavailable and NotReady: the server is gone, perhaps for minutes, and the next run mends what this one left."""
    global _shielded
    if _pending is not None:
        raise Terminated(_pending)
    _shielded = True
    try:
        yield
    except (Unavailable, NotReady):
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
    _ring_within(seconds)
    try:
        yield
    finally:
        _deadline = None
        if _pending is None:
            signal.setitimer(signal.ITIMER_REAL, 0)
