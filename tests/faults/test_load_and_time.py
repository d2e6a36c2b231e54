"""Many keys, clocks that jump, and names that are hard to write."""

import itertools
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.faults.conftest import Worlds
from tests.faults.ledger import record
from tests.faults.runner import Run
from tests.faults.sweep import each
from tests.faults.world import APIS, Api, World, key_id
from tests.simulator import Request, Response

KEYS = 10_000


def peak_memory(world: World) -> int:
    """In KiB, of a job in an interpreter of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "init_job"],
        cwd=Path(__file__).parent.parent.parent,
        env=world.variables,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    log = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, log
    return usage.ru_maxrss


@pytest.mark.parametrize("api", APIS)
def test_ten_thousand_keys_take_no_more_memory_than_ten_and_few_requests(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        few = peak_memory(world)
        requests = len(world.server.requests)
    with worlds(api) as world:
        world.server.add_keys(KEYS)
        world.settle()
        many = peak_memory(world)
        # Each of the few lists comes in pages.
        assert len(world.server.requests) <= requests + 3 * (KEYS // 5000)
        assert many - few < 16 * 1024, (few, many)  # one page of five thousand, as text and as messages
        world.expect_healed()
    record("load and time", f"{KEYS:,} keys", "memory flat, exit 0")


def test_a_list_that_promises_more_than_there_is_ends_with_3_and_not_never(worlds: Worlds) -> None:
    with worlds("v3") as world:
        world.settle()

        def after(request: Request, response: Response) -> Response | None:
            if request.method != "GET" or request.route != "/api/internal/api-keys":
                return None
            answer = json.loads(response.body) | {"totalCount": "1000000000"}
            answer["result"] = answer["result"] or [{"id": "x", "name": "y"}]
            return Response(200, [("Content-Type", "application/json")], json.dumps(answer).encode())

        world.server.after = after
        result = world.run(WAIT_TIMEOUT="0")
        assert result.code == 3, result.log
        assert len(world.server.requests) < 10
        world.server.after = None
        world.expect_healed(result.log)
        record("load and time", "a list without an end", "exit 3")


@pytest.mark.parametrize("api", APIS)
def test_a_clock_that_jumps_a_day_back_and_forth_changes_nothing(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        world.server.restart(starts_after=0.7, starting_for=0.3)
        run: Run = world.start(world.hurt(clock_jumps=True))
        result = run.wait()
        assert result.code == 0, result.log
        assert 0.7 <= result.seconds < 20
        days = {line[:10] for line in result.err.splitlines() if line[:2] == "20"}
        assert len(days) > 1, "the clock did not jump"
        world.expect_promise_kept(result)
        record("load and time", "the job's clock jumps a day back and forth", "exit 0")


@pytest.mark.parametrize("api", APIS)
def test_a_clock_that_jumps_lengthens_no_wait(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        world.server.close()
        started = time.monotonic()
        result = world.run(world.hurt(clock_jumps=True), WAIT_TIMEOUT="1s")
        assert result.code == 3, result.log
        assert 0.9 < time.monotonic() - started < 20
        record("load and time", "no server, and the clock jumps", "exit 3 in time")


def shifted(offset: float) -> float:
    return time.time() + offset


def test_a_servers_clock_that_is_a_day_off_changes_nothing(worlds: Worlds) -> None:
    for api, offset in itertools.product(APIS, (-86400, 86400)):
        with worlds(api) as world:
            world.settle()
            world.server.clock = partial(shifted, offset)
            result = world.run()
            assert result.code == 0, result.log
            world.expect_healed(result.log)
        record("load and time", "the server's clock is a day off", "exit 0")


# As they are; what settings take off a value, or take for one that nothing has expanded, has tests beside them.
ODD_NAMES = [
    "100%", "a_b", "%", "_", "it's", 'say "hi"', "a `id`", "$(id", "a $HOME", "#", "a # b", "a=b", "a\\b", "a/b", "a,b",
    "<b>&amp;", "?x=1&y", "ключ", "🔑", "مفتاح \u202b", "é", "e\u0301", "x" * 100, "a  b", "-",
    "..", "null", "0", "İ", "ß", "{ a }", "'; DROP TABLE api_key; --",
]  # fmt: skip


@pytest.mark.parametrize("api", APIS)
def test_a_key_may_have_any_name(api: Api, worlds: Worlds) -> None:
    def check(name: str) -> None:
        with worlds(api) as world:
            nearly = {name.upper(), name.lower(), name + "x", "x" + name, name.replace("_", "a"), name.replace("%", "")}
            for near in nearly - {name, ""}:
                world.server.add_key(near)
            world.variables["API_KEY_NAME"] = name
            world.settle()
            result = world.run()
            if not name.isprintable():
                assert result.code == 2, result.log
                record("names", "a key's name that cannot be printed", "exit 2")
                return
            assert result.code == 0, result.log
            world.expect_promise_kept(result)
            assert json.loads(world.json_file.read_text())["name"] == name
            (world.volume / ".token.state").unlink()
            world.expect_healed(result.log)
            record("names", "an odd name of a key", "exit 0")

    each(ODD_NAMES, check, one_of=2)


@pytest.mark.parametrize("api", APIS)
def test_a_tenant_or_organization_may_have_any_name(api: Api, worlds: Worlds) -> None:
    def check(name: str) -> None:
        with worlds(api) as world:
            add = world.server.add_tenant if api == "v4" else world.server.add_organization
            kind = "tenant" if api == "v4" else "organization"
            for near in {name.upper(), name + "x", name.replace("_", "a")} - {name}:
                add(near)
            world.scope = f"{kind}:{add(name)}"
            world.variables["API_KEY_SCOPE"] = f"{kind}:{name}"
            world.settle()
            result = world.run()
            assert result.code == 0, result.log
            assert key_id(world.tokens()[0]) in [key.id for key in world.server.keys(scope=world.scope)]
            (world.volume / ".token.state").unlink()
            world.expect_healed(result.log)
            record("names", "an odd name of a tenant or organization", "exit 0")

    each(ODD_NAMES, check, one_of=2)
