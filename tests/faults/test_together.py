"""Several jobs at once: on one volume, on many, and beside one that is killed."""

from signal import SIGKILL

import pytest

from tests.faults.conftest import Worlds
from tests.faults.ledger import record, require
from tests.faults.proxy import Exchange
from tests.faults.runner import Result, Run
from tests.faults.world import APIS, FULL, Api, Handle, World, key_id

JOBS = 8
ROUNDS = 20 if FULL else 3


def start_over(world: World) -> None:
    for path in world.volume.iterdir():
        path.unlink()
    world.env_file.write_bytes(b"# mine\nOTHER='a # b'\n")
    for key in list(world.keys()):
        world.server.delete_key(key.id)


@pytest.mark.parametrize("api", APIS)
def test_jobs_that_share_a_volume_make_one_key_and_all_say_0(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        for _ in range(ROUNDS):
            start_over(world)
            results = [run.wait() for run in [world.start() for _ in range(JOBS)]]
            logs = "\n".join(result.log for result in results)
            require([result.code for result in results] == [0] * JOBS, "lost", logs)
            require(len(world.keys()) == 1, "two keys", logs)
            for result in results:
                world.expect_promise_kept(result)
            record("together", "8 jobs on one volume", "all exit 0, one key")


@pytest.mark.parametrize("api", APIS)
def test_of_jobs_on_volumes_of_their_own_one_says_0_and_the_others_5(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        for number in range(ROUNDS):
            start_over(world)
            runs = []
            for job in range(JOBS):
                folder = world.folder / f"volume-{number}-{job}"
                folder.mkdir()
                runs.append((folder, world.start(TOKEN_FILE=str(folder / "token"), ENV_FILE="", JSON_FILE="")))
            results: list[tuple[Result, bool]] = [(run.wait(), (folder / "token").exists()) for folder, run in runs]
            logs = "\n".join(result.log for result, _ in results)
            codes = sorted(result.code for result, _ in results)
            require(codes == [0] + [5] * (JOBS - 1), "wrong exit code", f"{codes} {logs}")
            require(len(world.keys()) == 1, "two keys", logs)
            winner = next(folder for folder, run in runs if run.wait().code == 0)
            token = (winner / "token").read_text().strip()
            require(key_id(token) == world.keys()[0].id, "exit 0 without a working token", logs)
            require([there for _, there in results].count(True) == 1, "a token of a deleted key left on disk", logs)
            record("together", "8 jobs on 8 volumes", "one exits 0, the others 5, one key")


@pytest.mark.parametrize("api", APIS)
def test_a_job_that_waits_for_a_killed_ones_lock_goes_on_where_that_one_was(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        first = Handle()
        second: list[Run] = []

        def kill_when_the_other_waits(exchange: Exchange) -> None:
            exchange.forward()
            run = world.start()
            second.append(run)
            run.wait_for("another job holds")
            first.get().signal(SIGKILL)
            first.get().wait()
            exchange.hang_up()

        world.proxy.plan(lambda exchange: kill_when_the_other_waits if exchange.is_create and not second else None)
        first.set(world.start())
        assert first.get().wait().code == 137
        result = second[0].wait()
        assert result.code == 0, result.log
        assert "an interrupted run made it" in result.err
        world.expect_promise_kept(result)
        require(len(world.keys()) == 1, "two keys", result.log)
        record("together", "a job waits while the one with the lock is killed", "exit 0, one key")


def test_a_job_that_waits_too_long_for_the_lock_says_3_and_who_has_it(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        results: list[Result] = []

        def let_the_other_wait(exchange: Exchange) -> None:
            results.append(world.run(WAIT_TIMEOUT="200ms"))
            exchange.pass_on()

        world.proxy.plan(lambda exchange: let_the_other_wait if exchange.is_create else None)
        assert world.run().code == 0
        assert results[0].code == 3
        assert "another job has held" in results[0].err
