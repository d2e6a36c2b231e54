"""What a run may find: every row of the design's table (§4), and what stands beside it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fcntl import LOCK_EX, flock
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.faults.proxy import Exchange
from tests.faults.runner import Runner
from tests.faults.shim import ALL, CHANGING
from tests.faults.world import ENV_BEFORE, NAME, Api, Expected, World, world

Prepare = Callable[[World], None]


def _first_run(world: World) -> None:
    pass


def _up_to_date(world: World) -> None:
    """As a first run leaves it: thousands of cases begin here, so that only one run for each server is made."""
    done = _FIRST_RUNS.get(world.api)
    if done:
        world.server.add_key(NAME, key_id=done.key_id)
        for file, content in done.files.items():
            path = world.volume / file
            path.write_bytes(content.replace(done.url, world.proxy.url.encode()))
            path.chmod(done.modes[file])
    else:
        first = world.run()
        assert first.code == 0, first.log
        modes = {path.name: path.stat().st_mode for path in world.volume.iterdir()}
        _FIRST_RUNS[world.api] = _FirstRun(world.ids()[0], world.proxy.url.encode(), world.files(), modes)
    world.expected = Expected(same_token=world.tokens()[0])


@dataclass(frozen=True)
class _FirstRun:
    key_id: str
    url: bytes
    files: Mapping[str, bytes]
    modes: Mapping[str, int]


_FIRST_RUNS: dict[Api, _FirstRun] = {}


def _up_to_date_without_state(world: World) -> None:
    _up_to_date(world)
    (world.volume / ".token.state").unlink()


def _an_output_lacks_the_token(world: World) -> None:
    _up_to_date(world)
    world.token_file.unlink()


def _rotation(world: World) -> None:
    _up_to_date(world)
    world.expected = Expected(is_rotation=True)
    world.arguments = ("rotate",)


def _revocation(world: World) -> None:
    _up_to_date(world)
    world.expected = Expected(keys=0)
    world.arguments = world.again = ("revoke",)


def _check(world: World) -> None:
    _up_to_date(world)
    world.arguments = ("check",)


def _check_without_state(world: World) -> None:
    _up_to_date_without_state(world)
    world.arguments = ("check",)


def _dry_rotation(world: World) -> None:
    _up_to_date(world)
    world.arguments = ("rotate", "--dry-run")


def _nothing_can_be_remembered(world: World) -> None:
    """Whoever does without a state has to say what a lost token means."""
    (world.volume / ".token.state").mkdir()
    world.variables["ON_LOST_TOKEN"] = "replace"


def _in_place(world: World) -> None:
    """A file with a second name cannot be replaced."""
    world.env_file.write_bytes(ENV_BEFORE + b"CHIRPSTACK_API_TOKEN=\n" + ENV_BEFORE)
    for path in (world.env_file, world.json_file):
        path.touch()
        path.with_name(f"second-{path.name}").hardlink_to(path)


def _in_place_and_longer(world: World) -> None:
    """There is a remainder to cut off."""
    _in_place(world)
    first = world.run()
    assert first.code == 0, first.log
    world.server.set_secret("another")
    key = json.loads(world.json_file.read_text())
    world.json_file.write_text(json.dumps(key | {"version": "1" * 500}))


def _key_deleted(world: World) -> None:
    _up_to_date(world)
    world.server.delete_key(world.keys()[0].id)
    world.expected = Expected()


def _secret_changed(world: World) -> None:
    _up_to_date(world)
    world.server.set_secret("another")
    world.expected = Expected()


def _settings_changed(world: World) -> None:
    _up_to_date(world)
    world.variables["API_KEY_NAME"] = "renamed"
    world.expected = Expected()


def _strangers_token(world: World) -> None:
    _, token = world.server.add_key("stranger")
    world.token_file.write_text(token)
    world.expected = Expected(code=5, keys=0)


def _one_key_strangers_token(world: World) -> None:
    _strangers_token(world)
    world.keep(world.server.add_key(NAME)[0])
    world.expected = Expected(code=5, keys=1)


def _lost(on_lost_token: str, expected: Expected, keys: int = 1) -> Prepare:
    def prepare(world: World) -> None:
        ids = [world.server.add_key(NAME)[0] for _ in range(keys)]
        if on_lost_token != "replace":
            world.keep(*ids)
        world.variables["ON_LOST_TOKEN"] = on_lost_token
        world.expected = expected

    return prepare


def _dead_token_of_another_key(world: World) -> None:
    old, token = world.server.add_key(NAME)
    world.server.delete_key(old)
    world.token_file.write_text(token)
    world.server.add_key(NAME)
    world.variables["ON_LOST_TOKEN"] = "replace"


def _several_and_one_works(world: World) -> None:
    ids_and_tokens = [world.server.add_key(NAME) for _ in range(3)]
    world.keep(*(one for one, _ in ids_and_tokens))
    world.token_file.write_text(ids_and_tokens[1][1])
    world.expected = Expected(keys=3, same_token=ids_and_tokens[1][1])


def _first_boot(world: World) -> None:
    world.variables |= {"CHIRPSTACK_PASSWORD": "a better one", "CHIRPSTACK_INITIAL_PASSWORD": "admin"}


def _group_scope(world: World) -> None:
    """With a key of the same name that is everybody's administrator."""
    world.server.add_key(NAME, "admin")
    kind = world.group_scope.partition(":")[0]
    world.variables["API_KEY_SCOPE"] = f"{kind}:{'ChirpStack' if world.api == 'v4' else 'chirpstack'}"
    world.scope = world.group_scope


def _killed_after_the_create(world: World) -> None:
    """A key that an interrupted run made, and whose token nobody has."""
    world.proxy.plan(lambda exchange: _answer_is_lost if exchange.is_create else None)
    assert world.run(WAIT_TIMEOUT="0").code == 3
    assert len(world.keys()) == 1


def _answer_is_lost(exchange: Exchange) -> None:
    exchange.forward()
    exchange.hang_up()


@dataclass(frozen=True)
class Scenario:
    name: str
    prepare: Callable[[Any], None] = field(repr=False)
    has_state: bool = True

    def __str__(self) -> str:
        return self.name

    def set_up(self, world: World) -> None:
        self.prepare(world)
        world.proxy.plan(None)
        world.settle()

    @contextmanager
    def world(self, api: Api, folder: Path, runner: Runner) -> Iterator[World]:
        """One in the folder, as the run finds it."""
        with TemporaryDirectory(dir=folder) as own, world(api, Path(own, "world"), runner, World) as one:
            self.set_up(one)
            yield one


SCENARIOS = [
    Scenario("first run", _first_run),
    Scenario("first boot sets the password", _first_boot),
    Scenario("a tenant's or organization's key", _group_scope),
    Scenario("up to date", _up_to_date),
    Scenario("up to date, state file gone", _up_to_date_without_state),
    Scenario("up to date, an output lacks the token", _an_output_lacks_the_token),
    Scenario("rotation", _rotation),
    Scenario("revocation", _revocation),
    Scenario("check", _check),
    Scenario("check, state file gone", _check_without_state),
    Scenario("dry run of a rotation", _dry_rotation),
    Scenario("first run without a state file, lost: replace", _nothing_can_be_remembered, has_state=False),
    Scenario("first run, files rewritten in place", _in_place),
    Scenario("token dead, files rewritten in place", _in_place_and_longer),
    Scenario("no key, token dead", _key_deleted),
    Scenario("no key, token of a key that works", _strangers_token),
    Scenario("no key, settings changed", _settings_changed),
    Scenario("one key, its token dead", _secret_changed),
    Scenario("one key, token of another key that works", _one_key_strangers_token),
    Scenario("one key, lost: fail", _lost("fail", Expected(code=5))),
    Scenario("one key, lost: replace", _lost("replace", Expected())),
    Scenario("one key, lost: add", _lost("add", Expected(keys=2))),
    Scenario("one key, dead token of another: replace", _dead_token_of_another_key),
    Scenario("several keys, the token is of one", _several_and_one_works),
    Scenario("several keys, lost: replace", _lost("replace", Expected(), keys=3)),
    Scenario("several keys, lost: add", _lost("add", Expected(keys=4), keys=3)),
    Scenario("killed after the create", _killed_after_the_create),
]


@dataclass(frozen=True)
class Survey:
    """What a run sends and does when nothing is in its way."""

    requests: int
    first_change: int
    """The number of the first request that changes something on the server; one more than there are if none does."""
    calls: tuple[str, ...]
    """To the operating system, for files."""

    @property
    def changes(self) -> int:
        """Calls that can change a file."""
        return sum(call in CHANGING for call in self.calls)


def survey(runner: Runner, folder: Path, api: Api, scenario: Scenario) -> Survey:
    """Made once for all workers, who share the folder."""
    name = re.sub(r"\W+", "-", f"{api} {type(scenario).__name__} {scenario}")
    with (folder / f"survey-{name}").open("a+") as file:
        flock(file, LOCK_EX)
        file.seek(0)
        if not (text := file.read()):
            text = json.dumps(asdict(_surveyed(api, scenario, runner)))
            file.write(text)
        requests, first_change, calls = json.loads(text).values()
        return Survey(requests, first_change, tuple(calls))


def _surveyed(api: Api, scenario: Scenario, runner: Runner) -> Survey:
    with TemporaryDirectory() as folder, scenario.world(api, Path(folder), runner) as one:
        changes: list[int] = []
        one.proxy.plan(lambda exchange: changes.append(exchange.number) if exchange.is_change else None)
        result = one.run(one.hurt(calls=ALL))
        assert result.code == one.expected.code, result.log
        count = one.proxy.count
        return Survey(count, min(changes, default=count + 1), tuple(line.partition(":")[0] for line in one.trace()))
