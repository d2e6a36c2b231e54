"""The runner is to be believed: what it starts behaves as a new interpreter does."""

import re
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from tests.faults.conftest import Worlds
from tests.faults.proxy import Exchange
from tests.faults.world import APIS, Api, Handle


@pytest.mark.parametrize("api", APIS)
def test_a_run_and_a_new_interpreter_do_and_say_the_same(api: Api, worlds: Worlds) -> None:
    root = Path(__file__).parent.parent.parent
    outcomes: list[list[object]] = [[], []]
    for forked, told in zip((True, False), outcomes, strict=True):
        with worlds(api) as world:
            world.settle()
            for arguments in ([], [], ["check"], ["rotate", "--dry-run"], ["rotate"], ["revoke"], ["--help"], ["no"]):
                if forked:
                    result = world.run(None, tuple(arguments))
                    code, out, log = result.code, result.out, result.err
                else:
                    command = [sys.executable, "-m", "init_job", *arguments]
                    process = subprocess.run(
                        command, cwd=root, env=world.variables, capture_output=True, text=True, check=False
                    )
                    code, out, log = process.returncode, process.stdout, process.stderr
                # What is said, but for the times, and what differs from server to server.
                said = re.sub(r"(?m)^\S+Z |\bin \d+ ms|[0-9a-f-]{36}|:\d{4,5}\b|\S*/world-\d\S*", "", log)
                sent = [request.path for request in world.server.requests]
                told.append((code, out, said, len(sent), sorted(world.files()), len(world.keys())))
    assert outcomes[0] == outcomes[1]


def test_a_run_is_a_process_that_signals_end(worlds: Worlds) -> None:
    for signum, code in ((SIGTERM, 143), (SIGKILL, 137)):
        with worlds("v4") as world:
            handle = Handle()

            def end(exchange: Exchange, handle: Handle = handle, signum: SIGTERM = signum) -> None:  # type: ignore[valid-type]
                handle.get().signal(signum)
                assert exchange.wait_for_hang_up(5)

            world.proxy.plan(lambda exchange, end=end: end)  # type: ignore[misc]
            handle.set(world.start())
            assert handle.get().wait().code == code


def test_a_run_has_an_environment_a_folder_and_arguments_of_its_own(worlds: Worlds) -> None:
    with worlds("v4") as world:
        assert world.run(None, ("--version",)).out.startswith("chirpstack-init-job ")
        (world.folder / ".env").write_text("API_KEY_NAME=from-the-file\n")
        assert world.run().code == 0
        assert [key.name for key in world.server.keys("from-the-file")] == ["from-the-file"]


def test_the_shim_fails_the_call_that_it_is_told_to(worlds: Worlds) -> None:
    with worlds("v4") as world:
        result = world.run(world.hurt(at=0, error="ENOSPC"))
        assert "No space left on device" in result.err
        assert world.trace()[0] == "open: .token.state"
