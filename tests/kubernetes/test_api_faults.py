"""Every request to the API server is hurt in every way, a run is killed around each, and the next run gets there."""

from collections.abc import Iterator
from signal import SIGKILL, SIGTERM, Signals

import pytest

from tests.faults.proxy import Exchange, Fault, Proxy, Raw
from tests.faults.sweep import each, judge
from tests.faults.test_kills import EXIT, MOMENTS, ending
from tests.faults.wire_faults import BOTH, SLOW, hurt_at
from tests.faults.world import APIS, Handle, pick
from tests.kubernetes.conftest import SecretWorlds
from tests.kubernetes.scenarios import SCENARIOS, Scenario, survey
from tests.kubernetes.world import SecretWorld

SHARE = 40
"""One of so many cases is tried, in a full sweep more."""
REFUSED = "refused"
PATIENCE = {"once": "30s", "once, without patience": "0", "from then on": "0"}
"""WAIT_TIMEOUT in each mode."""


def _status(code: int, reason: str, message: str, act: bool = False, *more: str) -> Fault:
    """As the API server says it."""

    def fault(exchange: Exchange) -> None:
        if act:
            exchange.forward()
        body = f'{{"kind":"Status","status":"Failure","message":"{message}","reason":"{reason}","code":{code}}}'
        exchange.send(Raw.of(f"{code} {reason}", body.encode(), "application/json", *more).whole)

    return fault


FAULTS: dict[str, Fault] = {
    **BOTH,
    "409 of another writer": _status(409, "Conflict", "the object has been modified"),
    "409 and the server acted": _status(409, "Conflict", "the object has been modified", act=True),
    "429 with Retry-After": _status(429, "TooManyRequests", "too many requests", False, "Retry-After: 1"),
    "500 of the API server": _status(500, "InternalError", "etcdserver: leader changed"),
    "500 of the API server that acted": _status(500, "InternalError", "etcdserver: request timed out", act=True),
    "503 while it starts": _status(503, "ServiceUnavailable", "apiserver not ready"),
    "504 and the server acted": _status(504, "Timeout", "request did not complete", act=True),
}


@pytest.mark.parametrize("name", [REFUSED, *FAULTS])
def test_a_request_to_the_api_server_that_is_hurt_costs_at_most_one_more_run(name: str, worlds: SecretWorlds) -> None:
    def cases() -> Iterator[tuple[Scenario, int, str]]:
        modes = [mode for mode in PATIENCE if name != REFUSED or mode != "from then on"]
        for scenario in SCENARIOS:
            for number in range(1, survey(scenario, worlds).to_the_cluster + 1):
                for mode in modes if scenario.name == "first run" else [pick(modes, scenario.name, name, number)]:
                    yield scenario, number, mode

    def check(case: tuple[Scenario, int, str]) -> None:
        scenario, number, mode = case
        with worlds(pick(APIS, name, *map(str, case))) as one:
            scenario.set_up(one)
            hurt_at(one.gate, number, None if name == REFUSED else FAULTS[name], mode)
            limit = {"REQUEST_TIMEOUT": "1s"} if name in SLOW else {}
            result = one.run(WAIT_TIMEOUT=PATIENCE[mode], **limit)
            one.gate.wait_until_idle()
            codes = {one.expected.code} if mode == "once" else {one.expected.code, 6}
            how = "no patience" if PATIENCE[mode] == "0" else "waits"
            judge("kubernetes: wire", name, one, result, codes, f"{how}: exit {result.code}")

    each(cases(), check, one_of=SHARE)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("signum", [SIGKILL, SIGTERM], ids=lambda signum: signum.name)
@pytest.mark.parametrize("whom", ["the API server", "ChirpStack"])
def test_a_run_that_is_ended_around_a_request_costs_at_most_one_more_run(
    whom: str, signum: Signals, moment: str, worlds: SecretWorlds
) -> None:
    def cases() -> Iterator[tuple[Scenario, int]]:
        for scenario in SCENARIOS:
            found = survey(scenario, worlds)
            count = found.to_the_cluster if whom == "the API server" else found.to_the_server
            for number in range(1, count + 1):
                yield scenario, number

    def check(case: tuple[Scenario, int]) -> None:
        scenario, number = case
        handle = Handle()
        hurt = ending(handle, signum, moment)
        with worlds(pick(APIS, whom, signum, moment, *map(str, case))) as world:
            scenario.set_up(world)
            proxy = _proxy(world, whom)
            proxy.plan(lambda exchange: hurt if exchange.number == number else None)
            handle.set(world.start())
            result = handle.get().wait()
            proxy.wait_until_idle()
            # After its last request a run may have ended before the signal comes.
            codes = {EXIT[signum], world.expected.code}
            outcome = "ended by it" if result.code == EXIT[signum] else f"exit {result.code}"
            judge("kubernetes: signals", f"{whom}, {signum.name} {moment}", world, result, codes, outcome)

    each(cases(), check, one_of=SHARE)


def _proxy(world: SecretWorld, whom: str) -> Proxy:
    return world.gate if whom == "the API server" else world.proxy
