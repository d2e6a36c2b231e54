"""`check` and `--dry-run` change nothing, whatever they find: on the server, on disk, in the account."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Worlds
from tests.faults.ledger import record, require
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.sweep import some_of
from tests.faults.world import APIS, Api, World

COMMANDS = [
    ("check",),
    ("ensure", "--dry-run"),
    ("rotate", "--dry-run"),
    ("revoke", "--dry-run"),
    ("revoke", "--all", "--dry-run"),
]


def everything(world: World) -> Any:
    def look(path: Path) -> Any:
        info = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        return path.name, content, info.st_mode, info.st_ino, info.st_mtime_ns, info.st_nlink

    passwords = [world.server.password_of("admin")]
    return sorted(world.server.keys(), key=str), passwords, sorted(look(path) for path in world.volume.iterdir())


@pytest.mark.parametrize(("scenario", "api"), some_of(SCENARIOS, APIS), ids=str)
def test_a_command_that_changes_nothing_changes_nothing(scenario: Scenario, api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        scenario.set_up(world)
        before = everything(world)
        for command in COMMANDS:
            result = world.run(None, command)
            require(everything(world) == before, "the old content damaged", f"{command}: {result.log}")
            require(result.code in (0, 5), "wrong exit code", f"{command}: {result.log}")
            record("changes nothing", " ".join(command), f"exit {result.code}")


@pytest.mark.parametrize("api", APIS)
def test_what_would_be_done_on_a_first_boot_is_told(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        result = world.run(
            None, ("--dry-run",), CHIRPSTACK_PASSWORD="a better one", CHIRPSTACK_INITIAL_PASSWORD="admin"
        )
        assert result.code == 0, result.log
        assert "would set CHIRPSTACK_PASSWORD as the password of admin" in result.err
        assert "would create key 'init-job'" in result.err
