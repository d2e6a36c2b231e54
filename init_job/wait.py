"""When to try again: one deadline for the whole run, shared by everything that may be tried again."""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from init_job import log, signals
from init_job.errors import NotReady, NotThere, Unavailable

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

_REPORT_EVERY = 10.0  # seconds
_LONGEST = 2.0  # seconds between two tries
_LASTING = 15.0  # seconds of nothing but the same trouble that does not pass


class Patience:
    """Tries a call again while it raises Unavailable, until `timeout` seconds after the first one.

    Measured on the monotonic clock: a machine that sets its clock during boot waits no longer and no shorter.
    """

    def __init__(self, timeout: float) -> None:
        self._start = time.monotonic()
        self._timeout = timeout
        self._tries = 0
        self._troubles = 0
        """In a row."""
        self._lasting_since = float("inf")
        self._reasons: set[str] = set()
        self._told = ""
        """The last of them that was told."""
        self._reported = self._start

    @property
    def left(self) -> float:
        """Seconds until the deadline; negative behind it."""
        return self._start + self._timeout - time.monotonic()

    def call(self, function: Callable[[], T]) -> T:
        """The function's result. Raises NotReady with the last reason when the deadline has passed; Terminated."""
        import tenacity  # a run with nothing to do asks once, and does not pay for the import

        before = self._tries
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            stop=lambda attempt: self.left <= 0 or time.monotonic() > self._lasting_since + _LASTING,
            wait=self._pause,
            sleep=lambda seconds: signals.sleep(seconds, for_trouble=True),
            before_sleep=self._report,
            after=self._count,
            reraise=True,
        )
        try:
            result = retrying(function)
        except Unavailable as error:
            tries = "1 try" if self._tries == 1 else f"{self._tries} tries"
            waited = self._timeout if self.left <= 0 else round(time.monotonic() - self._start)
            raise NotReady(
                f"the server was not ready within {waited:g} s ({tries}): {error}",
                error.hint or "look at the server's own log, and raise WAIT_TIMEOUT if it only needs more time",
            ) from error
        # A call within another one says nothing of that one's trouble when it has had none.
        if self._tries > before:
            self._troubles, self._lasting_since = 0, float("inf")
        log.in_place("waiting", "")  # what comes next may be a token on standard output
        return result

    def _count(self, attempt: "tenacity.RetryCallState") -> None:
        error = _reason(attempt)
        self._tries += 1
        self._troubles = 0 if isinstance(error, NotThere) else self._troubles + 1
        self._lasting_since = min(self._lasting_since, time.monotonic()) if error.lasting else float("inf")

    def _pause(self, attempt: "tenacity.RetryCallState") -> float:
        seconds = pause(_reason(attempt), time.monotonic() - self._start, self._troubles)
        return max(0.0, min(seconds, self.left))

    def _report(self, attempt: "tenacity.RetryCallState") -> None:
        """Each new reason once, and a sign of life: every ten seconds, or on a terminal one line that counts down."""
        error = _reason(attempt)
        reason = str(error)
        now = time.monotonic()
        passed, left = now - self._start, max(0.0, self.left)
        if reason in self._reasons:
            again = "" if reason == self._told else f": {reason}"
            if log.in_place("waiting", f"waiting: {left:.0f} s left{again}") or now - self._reported < _REPORT_EVERY:
                return
        hint = f"; {error.hint}" if error.hint and reason not in self._reasons else ""
        self._reasons.add(reason)
        self._told, self._reported = reason, now
        log.info("waiting", f"waiting: {reason} ({passed:.0f} s passed, {left:.0f} s left){hint}", reason=reason)


class Once(Patience):
    """No patience: Unavailable is the caller's to deal with."""

    def __init__(self) -> None:
        super().__init__(0)

    def call(self, function: Callable[[], T]) -> T:
        return function()


def pause(error: Unavailable, waited: float, troubles: int) -> float:
    """Seconds until the next try, after `waited` seconds and so many `troubles` in a row.

    A server that is not there yet is asked every 100 ms or so, so that the token is there a moment after it; when it
    stays away for over a minute, more and more slowly. One that answers with trouble is given time from the first on.
    With jitter, so that a group of machines does not ask in step, neither by itself nor when it is told how long to
    wait.
    """
    if isinstance(error, NotThere):
        step = min(max(0.1, (waited - 60) / 60), _LONGEST)
    else:
        step = min(0.125 * 2 ** min(troubles, 9), _LONGEST)
    by = random.random()  # noqa: S311 - nothing secret
    return max(step * (0.5 + by), error.retry_after * (1 + by / 5))


def _reason(attempt: "tenacity.RetryCallState") -> Unavailable:
    error = attempt.outcome.exception() if attempt.outcome else None
    return error if isinstance(error, Unavailable) else Unavailable(str(error))  # nothing else is tried again
