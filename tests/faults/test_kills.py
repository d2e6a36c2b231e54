"""The job is killed, or told to end, at every point that matters, and the next run gets there."""

import time
from collections.abc import Callable, Iterator
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import pytest

from tests.faults.conftest import Surveys, Worlds
from tests.faults.ledger import record, require
from tests.faults.proxy import Exchange
from tests.faults.runner import Result
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.sweep import SHARE, each, judge, some_of
from tests.faults.world import APIS, Api, Handle, World, key_id, pick

MOMENTS = ("before the request is forwarded", "after the server acted", "after the answer")
EXIT = {SIGKILL: 137, SIGTERM: 143, SIGINT: 130}


ENDS = {"SIGKILL": (SIGKILL,), "SIGTERM or SIGINT": (SIGTERM, SIGINT)}
"""The two of the second kind have one handler: a case has one of them."""


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("api", APIS)
def test_a_job_that_is_ended_around_a_request_costs_at_most_one_more_run(
    api: Api, end: str, moment: str, worlds: Worlds, surveys: Surveys
) -> None:
    def cases() -> Iterator[tuple[Scenario, int]]:
        for scenario in SCENARIOS:
            for number in range(1, surveys(api, scenario).requests + 1):
                yield scenario, number

    def check(case: tuple[Scenario, int]) -> None:
        scenario, number = case
        signum = pick(ENDS[end], api, moment, scenario.name, number)
        handle = Handle()
        hurt = ending(handle, signum, moment)
        with worlds(api) as world:
            scenario.set_up(world)
            before = set(world.ids())
            world.proxy.plan(lambda exchange: hurt if exchange.number == number else None)
            handle.set(world.start())
            result = handle.get().wait()
            world.proxy.wait_until_idle()
            # After its last request a run may have ended before the signal comes.
            codes = {EXIT[signum], world.expected.code}
            if signum != SIGKILL:
                expect_no_token_lost(world, before, result)
            outcome = "ended by it" if result.code == EXIT[signum] else f"exit {result.code}"
            judge("around a request", f"{signum.name} {moment}", world, result, codes, outcome)

    each(cases(), check, one_of=SHARE)


def ending(handle: Handle, signum: Signals, moment: str) -> Callable[[Exchange], None]:
    """What ends the run at this moment of a request."""

    def hurt(exchange: Exchange) -> None:
        answer = None if moment == MOMENTS[0] else exchange.forward()
        if answer and moment == MOMENTS[2]:
            exchange.send(answer.whole)
        handle.get().signal(signum)
        if signum == SIGKILL:
            handle.get().wait()
            exchange.hang_up()
        elif not answer:
            exchange.pass_on()
        elif moment == MOMENTS[1]:
            exchange.send(answer.whole)

    return hurt


def expect_no_token_lost(world: World, before: set[str], result: Result) -> None:
    """Termination waits from a create until the token is on disk, in the first output at least."""
    for made in set(world.ids()) - before:
        require(made in {key_id(token) for token in world.tokens() if token}, "a key without its token", result.log)


@pytest.mark.parametrize(("scenario", "end"), some_of(SCENARIOS, list(ENDS)), ids=str)
def test_a_job_that_is_ended_around_a_change_of_a_file_costs_at_most_one_more_run(
    scenario: Scenario, end: str, worlds: Worlds, surveys: Surveys
) -> None:
    def cases() -> Iterator[tuple[Api, int, str]]:
        # Files know nothing of the servers: a call is tried with one of them. After a call is before the next one.
        count = surveys("v4", scenario).changes
        for number in range(count):
            yield pick(APIS, scenario.name, end, number), number, "before"
        if count:
            yield pick(APIS, scenario.name, end), count - 1, "after"

    def check(case: tuple[Api, int, str]) -> None:
        api, number, when = case
        signum = pick(ENDS[end], scenario.name, number)
        with worlds(api) as world:
            scenario.set_up(world)
            before = set(world.ids())
            at = {"signal_before": signum} if when == "before" else {"signal_after": signum}
            result = world.run(world.hurt(at=number, **at))
            call = world.trace()[number].partition(":")[0]
            if signum != SIGKILL:
                expect_no_token_lost(world, before, result)
            judge("around a file call", call, world, result, {EXIT[signum]}, f"{signum.name} {when}")

    each(cases(), check, one_of=SHARE)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_job_that_waits_for_an_answer_ends_within_a_second_or_with_the_token_on_disk(
    scenario: Scenario, worlds: Worlds, surveys: Surveys
) -> None:
    def cases() -> Iterator[tuple[Api, int]]:
        for api in APIS:
            for number in range(1, surveys(api, scenario).requests + 1):
                yield api, number

    def check(case: tuple[Api, int]) -> None:
        api, number = case
        signum = pick((SIGTERM, SIGINT), scenario.name, case)
        handle = Handle()
        ended_after: list[float] = []
        created: list[int] = []

        def hurt(exchange: Exchange) -> None:
            handle.get().signal(signum)
            started = time.monotonic()
            # After a create it is to go on: that it does is seen soon.
            if exchange.wait_for_hang_up(0.3 if created else 10.0):
                ended_after.append(time.monotonic() - started)
                exchange.hang_up()
            exchange.pass_on()

        def plan(exchange: Exchange) -> object:
            if exchange.is_create:
                created.append(exchange.number)
            return hurt if exchange.number == number else None

        with worlds(api) as world:
            scenario.set_up(world)
            before = set(world.ids())
            world.proxy.plan(plan)  # type: ignore[arg-type]
            handle.set(world.start())
            result = handle.get().wait()
            world.proxy.wait_until_idle()
            shielded = bool(created) and not ended_after
            if not shielded:
                require(bool(ended_after) and ended_after[0] < 1, "not within a second", f"{ended_after} {result.log}")
            elif not world.expected.code:
                tokens = [token for token in world.tokens() if token]
                require(any(key_id(token) not in before for token in tokens), "no token on disk", result.log)
            expect_no_token_lost(world, before, result)
            row = "ended when the token was on disk" if shielded else "ended within a second"
            judge("during a wait", row, world, result, {EXIT[signum]}, signum.name)

    each(cases(), check, one_of=SHARE)


@pytest.mark.parametrize("unfinished", ["the old key is not deleted", "a create had no answer"])
@pytest.mark.parametrize("api", APIS)
def test_a_young_key_stays_whatever_a_run_has_left_to_do(api: Api, unfinished: str, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        lost: list[int] = []

        def lose_one(exchange: Exchange) -> Callable[[Exchange], None] | None:
            if lost or not exchange.is_create:
                return None
            lost.append(exchange.number)
            return lambda exchange: exchange.hang_up()

        if "create" in unfinished:
            world.proxy.plan(lose_one)
            assert world.run().code == 0
            assert lost
        else:
            assert world.run().code == 0
            world.proxy.plan(lambda exchange: Exchange.hang_up if exchange.is_delete else None)
            assert world.run(None, ("rotate",), WAIT_TIMEOUT="0").code == 3
            assert len(world.keys()) == 2
        world.proxy.plan(None)
        tokens = world.tokens()
        again = world.run(None, ("rotate", "--if-older-than", "30d"))
        assert again.code == 0, again.log
        require(world.tokens() == tokens, "a working token replaced", again.log)
        require(len(world.keys()) == 1, "two keys", again.log)
        world.expect_promise_kept(again)
        record("keys of others", f"rotate --if-older-than when {unfinished}", "exit 0, the young key stays")


@pytest.mark.parametrize("signum", [SIGTERM, SIGINT], ids=lambda signum: signum.name)
@pytest.mark.parametrize("what", ["waiting: ", "another job holds"])
def test_a_job_that_waits_for_a_server_or_a_lock_ends_within_a_second(
    what: str, signum: Signals, worlds: Worlds
) -> None:
    with worlds("v4") as world:
        world.settle()
        results: list[Result] = []

        def end_another(exchange: Exchange) -> None:
            run = world.start()
            run.wait_for(what)
            run.signal(signum)
            signalled = time.monotonic()
            results.append(run.wait())
            assert time.monotonic() - signalled < 1
            exchange.pass_on()

        if what == "waiting: ":
            world.server.close()
            run = world.start()
            run.wait_for(what)
            run.signal(signum)
            signalled = time.monotonic()
            results.append(run.wait())
            require(time.monotonic() - signalled < 1, "not within a second", results[0].log)
        else:
            world.proxy.plan(lambda exchange: end_another if exchange.is_create else None)
            assert world.run().code == 0
        assert results[0].code == EXIT[signum], results[0].log
        row = "waiting for a server" if what == "waiting: " else "waiting for another job"
        record("during a wait", f"ended within a second, {row}", signum.name)
