"""Several jobs, one Secret."""

import time
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest

from tests.faults.ledger import record, require
from tests.faults.proxy import Exchange
from tests.faults.runner import Run
from tests.faults.world import FULL, Handle
from tests.kubernetes.conftest import SecretWorlds
from tests.kubernetes.world import STALE, VARIABLE

ROUNDS = range(20 if FULL else 3)


BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("number", ROUNDS)
@pytest.mark.parametrize("arguments", [(), ("rotate",)], ids=["ensure", "rotate"])
@pytest.mark.parametrize("api", ["v3", "v4"])
def test_eight_jobs_at_once_on_one_secret_make_one_key(
    api: str, arguments: tuple[str, ...], number: int, worlds: SecretWorlds
) -> None:
    with worlds(api) as world:  # type: ignore[arg-type]
        world.constants["init_job.outputs.secret.STALE"] = 30.0
        world.settle()
        runs = [world.start(None, arguments, WAIT_TIMEOUT="100s") for _ in range(8)]
        results = [run.wait() for run in runs]
        log = "\n".join(result.log for result in results)
        require({result.code for result in results} == {0}, "lost", log)
        require(len(world.keys()) == 1, "two keys", log)
        world.expect_promise_kept(results[0])
        creates = sum("made key" in result.err for result in results)
        assert creates == 1 or arguments, log
        record("kubernetes: together", f"eight jobs, {' '.join(arguments) or 'ensure'}", "one key, eight times exit 0")


@pytest.mark.parametrize("number", ROUNDS)
def test_jobs_with_a_variable_each_share_one_secret(number: int, worlds: SecretWorlds) -> None:
    with worlds("v4") as world:
        names = [f"KEY_{index}" for index in range(4)]
        runs = [world.start(None, (), ENV_VAR=name, API_KEY_NAME=name, WAIT_TIMEOUT="100s") for name in names]
        results = [run.wait() for run in runs]
        assert {result.code for result in results} == {0}, "\n".join(result.log for result in results)
        tokens = [world.token(name) for name in names]
        assert len(set(tokens)) == 4
        assert all(world.server.token_works(token) for token in tokens)
        assert set(world.records()) == set(names)
        assert not any("overtaken" in result.err for result in results)
        assert world.run(None, ("revoke",), ENV_VAR="KEY_0", API_KEY_NAME="KEY_0").code == 0
        assert set(world.records()) == set(names[1:])
        record("kubernetes: together", "four jobs, a variable each", "four keys")


@pytest.mark.parametrize(
    "when",
    [
        "create",
        "patch",
        "patch before an API server in trouble",
        "the list after a lost create",
        "the list after a lost create with its clock",
        "the list after a killed run",
    ],
)
def test_a_run_that_slept_while_another_took_over_gives_way(when: str, worlds: SecretWorlds) -> None:
    """As on a machine that was suspended: it wakes behind the other one's patch, with a token that nobody has, or with
    the other one's key in a list of what seems to be left over."""
    with worlds("v4") as world:
        if "killed" in when:
            world.proxy.plan(lambda exchange: killed if exchange.is_create else None)
            killed_one = Handle()

            def killed(exchange: Exchange) -> None:
                exchange.forward()
                killed_one.get().signal(SIGKILL)

            killed_one.set(world.start())
            assert killed_one.get().wait().code == 128 + SIGKILL
        world.settle()
        handle = Handle()
        known: list[str] = []
        gets: list[bytes] = []
        lost: list[int] = []

        def stop(exchange: Exchange) -> None:
            answer = exchange.forward() if when == "create" else None
            handle.get().signal(SIGSTOP)
            world.constants["init_job.outputs.secret.STALE"] = STALE
            other = world.run()
            assert other.code == 0, other.log
            assert "has not been heard of" in other.err
            known.append(world.token())
            handle.get().signal(SIGCONT)
            if answer:
                exchange.send(answer.whole)
            else:
                exchange.pass_on()

        def is_it(exchange: Exchange) -> bool:
            if "patch" in when:
                return (
                    VARIABLE.encode() in exchange.request.partition(b'"data"')[2] and b"dryRun" not in exchange.request
                )
            if when == "create":
                return exchange.is_create
            return b"ListApiKeys" in exchange.request and ("killed" in when or bool(lost))

        stopped: list[int] = []

        def once(exchange: Exchange) -> object:
            if "lost" in when and exchange.is_create and not lost:
                lost.append(exchange.number)
                return lambda exchange: exchange.hang_up()
            if stopped and "trouble" in when and exchange.request.startswith(b"GET "):
                gets.append(exchange.request)
                # The one after that which is answered with the other one's record.
                return lambda exchange: exchange.send(BUSY) if len(gets) == 2 else exchange.pass_on()
            if stopped or not is_it(exchange):
                return None
            stopped.append(exchange.number)
            return stop

        (world.gate if "patch" in when else world.proxy).plan(once)  # type: ignore[arg-type]
        if "clock" in when:
            # To this one it seems that no time has passed.
            world.constants["init_job.outputs.secret.STALE"] = 3600.0
        handle.set(world.start(None, (), REQUEST_TIMEOUT="60s"))
        result = handle.get().wait()
        assert stopped
        assert result.code == 0, result.log
        assert "beginning anew" in result.err
        assert "None" not in result.err
        require(known == [world.token()], "a working token replaced", result.log)
        require(len(world.keys()) == 1, "two keys", result.log)
        world.expect_promise_kept(result)
        world.expect_healed(result.log)
        record("kubernetes: together", f"stopped at the {when.removeprefix('the ')}, and another took over", "gave way")


def test_a_run_at_work_is_waited_for(worlds: SecretWorlds) -> None:
    with worlds("v4") as world:
        world.settle()
        others: list[Run] = []

        def meet(exchange: Exchange) -> None:
            other = world.start()
            other.wait_for("is at work on")
            others.append(other)
            exchange.pass_on()

        met: list[int] = []

        def once(exchange: Exchange) -> object:
            if not exchange.is_create or met:
                return None
            met.append(exchange.number)
            return meet

        world.constants["init_job.outputs.secret.STALE"] = 30.0
        world.proxy.plan(once)  # type: ignore[arg-type]
        result = world.run()
        assert result.code == 0, result.log
        (other,) = others
        after = other.wait()
        assert after.code == 0, after.log
        assert "up to date" in after.err
        assert "made key" not in after.err
        assert len(world.keys()) == 1


def test_a_run_that_is_long_at_work_is_not_taken_for_a_killed_one(worlds: SecretWorlds) -> None:
    """Its create has no answer again and again; each time it says that it is still there."""
    with worlds("v4") as world:
        world.settle()
        world.constants |= {"init_job.outputs.secret.STALE": 6.0, "init_job.servers.http._PACES": (0.1, 0.2)}
        others: list[Run] = []
        until = [0.0]

        def lose(exchange: Exchange) -> None:
            if not others:
                others.append(world.start(None, (), WAIT_TIMEOUT="60s"))
                others[0].wait_for("is at work on")
                until[0] = time.monotonic() + 10
            exchange.hang_up()

        def plan(exchange: Exchange) -> object:
            return lose if exchange.is_create and (not others or time.monotonic() < until[0]) else None

        world.proxy.plan(plan)  # type: ignore[arg-type]
        result = world.run(None, (), WAIT_TIMEOUT="60s")
        assert result.code == 0, result.log
        other = others[0].wait()
        assert other.code == 0, other.log
        assert "has not been heard of" not in other.err
        assert len(world.keys()) == 1
