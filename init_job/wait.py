"""When to try again: one deadline for the whole run, shared by everything that may be tried again."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from init_job import log, signals
from init_job.errors import NotReady, Unavailable

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

_REPORT_EVERY = 10.0  # seconds


class Patience:
    """Tries a call again while it raises Unavailable, until `timeout` seconds after the first one.

    At once, then after 100 ms, growing to 2 s, with jitter so that a group of machines does not ask in step.
    Measured on the monotonic clock: a machine that sets its clock during boot waits no longer and no shorter.
    """

    def __init__(self, timeout: float) -> None:
        self._start = time.monotonic()
        self._timeout = timeout
        self._tries = 0
        self._reasons: set[str] = set()
        self._reported = self._start

    @property
    def left(self) -> float:
        """Seconds until the deadline; negative behind it."""
        return self._start + self._timeout - time.monotonic()

    def call(self, function: Callable[[], T]) -> T:
        """The function's result. Raises NotReady with the last reason when the deadline has passed."""
        import tenacity  # a run with nothing to do asks once, and does not pay for the import

        backoff = tenacity.wait_exponential(multiplier=0.1, max=1.8) + tenacity.wait_random(0, 0.2)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            stop=lambda attempt: self.left <= 0 or signals.is_pending(),
            wait=lambda attempt: max(0.0, min(backoff(attempt), self.left)),
            sleep=signals.sleep,
            before_sleep=self._report,
            after=self._count,
            reraise=True,
        )
        try:
            return retrying(function)
        except Unavailable as error:
            tries = "1 try" if self._tries == 1 else f"{self._tries} tries"
            raise NotReady(
                f"the server was not ready within {self._timeout:g} s ({tries}): {error}",
                error.hint or "look at the server's own log, and raise WAIT_TIMEOUT if it only needs more time",
            ) from error

    def _count(self, attempt: "tenacity.RetryCallState") -> None:
        self._tries += 1

    def _report(self, attempt: "tenacity.RetryCallState") -> None:
        """Each new reason once, and a sign of life every ten seconds."""
        error = attempt.outcome.exception() if attempt.outcome else None
        reason = str(error)
        now = time.monotonic()
        if reason in self._reasons and now - self._reported < _REPORT_EVERY:
            return
        hint = (
            f"; {error.hint}" if isinstance(error, Unavailable) and error.hint and reason not in self._reasons else ""
        )
        self._reasons.add(reason)
        self._reported = now
        passed, left = now - self._start, max(0.0, self.left)
        log.info("waiting", f"waiting: {reason} ({passed:.0f} s passed, {left:.0f} s left){hint}", reason=reason)
