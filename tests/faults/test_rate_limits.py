"""Something on the way lets only so many requests through."""

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest

from tests.faults.conftest import Worlds
from tests.faults.ledger import record
from tests.faults.proxy import Exchange, Fault, Raw
from tests.faults.runner import Result
from tests.faults.sweep import each
from tests.faults.world import APIS, FULL, Api, World

_PAGE = b"<html><head><title>Too Many Requests</title></head></html>"
_GRPC = "application/grpc-web+proto"
_BODIES = {_GRPC: b"", "text/html": _PAGE, "application/json": b'{"message":"API rate limit exceeded"}', "": b""}


CLOSED = "a closed connection"
ONE_IN = 1.0 if FULL else 0.4  # seconds


@dataclass
class Limiter:
    """One request every so many seconds, without a burst. What it refuses does not reach the server."""

    every: float
    status: str
    retry_after: str
    per_connection: bool
    content_type: str
    header: str = ""
    counts_refused: bool = False
    refused: int = 0
    too_early: list[float] = field(default_factory=list)
    """Seconds by which a request came before the time that it had been told."""
    _last: dict[object, float] = field(default_factory=dict)
    _told: float = 0.0

    def plan(self, exchange: Exchange) -> Fault | None:
        now = time.monotonic()
        whose = exchange.client if self.per_connection else None
        if now < self._told:
            self.too_early.append(self._told - now)
        left = self._last.get(whose, -math.inf) + self.every - now
        if left <= 0:
            self._last[whose] = now
            return None
        self.refused += 1
        if self.counts_refused:
            self._last[whose] = now
        headers = [self.header] if self.header else []
        if self.retry_after == "seconds":
            headers += [f"Retry-After: {math.ceil(left)}"]
            self._told = now + math.ceil(left)
        elif self.retry_after == "date":
            clock = time.time() + 86400  # the server's own
            headers += [
                f"Date: {formatdate(clock, usegmt=True)}",
                f"Retry-After: {formatdate(math.floor(clock) + math.ceil(left), usegmt=True)}",
            ]
            self._told = now + math.ceil(left)
        if self.status == CLOSED:
            return lambda exchange: exchange.hang_up()
        answer = Raw.of(self.status, _BODIES[self.content_type], self.content_type, *headers)
        return lambda exchange: exchange.send(answer.whole)


Case = tuple[float, str, str, bool, str]


CASES: list[Case] = list(
    itertools.product(
        (1 / 3, 2 * ONE_IN),
        ("429 Too Many Requests", "503 Service Unavailable"),
        ("", "seconds", "date"),
        (False, True),
        ("text/html", "application/json", ""),
    )
)


@contextmanager
def first_run(api: Api, limiter: Limiter, status: str, worlds: Worlds) -> Iterator[tuple[World, Result]]:
    """It gets there, is refused on the way, and never comes before it has been told to."""
    with worlds(api) as world:
        world.settle()
        world.proxy.plan(limiter.plan)
        result = world.run(WAIT_TIMEOUT="55s")
        world.expect_promise_kept(result)
        assert result.code == 0, result.log
        assert limiter.refused
        assert limiter.too_early == []
        yield world, result
        world.expect_healed(result.log)
    told = f", Retry-After: {limiter.retry_after}" if limiter.retry_after else ""
    record("rate limits", f"one request in {limiter.every:.1f} s, {status}{told}", "exit 0")


@pytest.mark.parametrize("api", APIS)
def test_a_rate_limit_makes_a_first_run_slow_and_wastes_nothing(api: Api, worlds: Worlds) -> None:
    def check(case: Case) -> None:
        limiter = Limiter(*case)
        with first_run(api, limiter, limiter.status[:3], worlds) as (world, result):
            # No answer of the server's was thrown away. After a 503 the job looks whether it made a key.
            asked = [f"{one.method} {one.path.partition('?')[0]}" for one in world.server.requests]
            assert len(asked) == 7 or (limiter.status.startswith("503") and len(asked) < 14), result.log
            once = ("POST /api/internal/api-keys", "POST /api.InternalService/CreateApiKey")
            assert sum(one in once for one in asked) == 1
            assert sum(b"admin" in one.body for one in world.server.requests if "ogin" in one.path) == 1

    each(CASES, check, one_of=18)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("arguments", [("rotate",), ("revoke",), ("check",)])
def test_a_rate_limit_makes_every_command_slow_only(api: Api, arguments: tuple[str, ...], worlds: Worlds) -> None:
    with worlds(api) as world:
        first = world.run()
        assert first.code == 0, first.log
        world.settle()
        limiter = Limiter(1 / 3, "429 Too Many Requests", "", False, "text/html")
        world.proxy.plan(limiter.plan)
        result = world.run(None, arguments, WAIT_TIMEOUT="55s")
        assert result.code == 0, result.log
        record("rate limits", f"{arguments[0]}: one request in 0.3 s, 429", "exit 0")


# nginx answers with whatever status it is told to, or (444) not at all. A 403 is then no gate: others were let through.
OTHERWISE: list[Case] = [
    (every, status, "", per_connection, "text/html")
    for every, status, per_connection in itertools.product(
        (1 / 3, ONE_IN), ("403 Forbidden", "420 Enhance Your Calm", "502 Bad Gateway", CLOSED), (False, True)
    )
] + [(1.0, status, "seconds", False, "text/html") for status in ("403 Forbidden", "420 Enhance Your Calm")]


@pytest.mark.parametrize("api", APIS)
def test_a_rate_limit_is_known_by_what_it_does_whatever_its_status(api: Api, worlds: Worlds) -> None:
    def check(case: Case) -> None:
        limiter = Limiter(*case)
        with first_run(api, limiter, CLOSED if limiter.status == CLOSED else limiter.status[:3], worlds):
            pass

    each(OTHERWISE, check, one_of=18)


@pytest.mark.parametrize("status", [8, 14])
def test_a_rate_limit_that_is_told_as_a_status_of_grpc_makes_a_first_run_slow_only(status: int, worlds: Worlds) -> None:
    limiter = Limiter(ONE_IN, "200 OK", "", False, _GRPC, f"grpc-status: {status}")
    with first_run("v4", limiter, f"gRPC status {status}", worlds):
        pass


@pytest.mark.parametrize("api", APIS)
def test_a_rate_limit_that_counts_what_it_refuses_makes_a_first_run_slow_only(api: Api, worlds: Worlds) -> None:
    limiter = Limiter(0.5, "429 Too Many Requests", "", False, "text/html", counts_refused=True)
    with first_run(api, limiter, "429, refused requests count", worlds):
        pass
