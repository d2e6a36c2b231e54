"""What a run with a Secret may find."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from signal import SIGKILL

from init_job.outputs.annotation import NAME as ANNOTATION
from tests.faults.proxy import Exchange
from tests.faults.world import NAME, Api, Expected, Handle
from tests.kubernetes.world import VARIABLE, SecretWorld


@dataclass(frozen=True)
class Scenario:
    name: str
    prepare: Callable[[SecretWorld], None] = field(repr=False)

    def __str__(self) -> str:
        return self.name

    def set_up(self, world: SecretWorld) -> None:
        self.prepare(world)
        world.proxy.plan(None)
        world.settle()


def up_to_date(world: SecretWorld) -> None:
    first = world.run()
    assert first.code == 0, first.log
    world.expected = Expected(same_token=world.token())


def _first_run(world: SecretWorld) -> None:
    pass


def _group_scope(world: SecretWorld) -> None:
    world.scope = world.variables["API_KEY_SCOPE"] = world.group_scope
    world.variables["ENV_SCOPE_ID_VAR"] = "SCOPE_ID"


def _no_record(world: SecretWorld) -> None:
    up_to_date(world)
    world.patch({"metadata": {"annotations": {ANNOTATION: None}}})


def _no_token(world: SecretWorld) -> None:
    """Whoever removes it has to say what a lost token means."""
    up_to_date(world)
    world.patch({"data": {VARIABLE: None}})
    world.variables["ON_LOST_TOKEN"] = "replace"
    world.expected = Expected()


def _applied_again(world: SecretWorld) -> None:
    up_to_date(world)
    world.apply()
    world.variables["ON_LOST_TOKEN"] = "replace"
    world.expected = Expected()


def _key_deleted(world: SecretWorld) -> None:
    up_to_date(world)
    world.server.delete_key(world.keys()[0].id)
    world.expected = Expected()


def _secret_changed(world: SecretWorld) -> None:
    up_to_date(world)
    world.server.set_secret("another")
    world.expected = Expected()


def _renamed(world: SecretWorld) -> None:
    up_to_date(world)
    world.variables["API_KEY_NAME"] = "renamed"
    world.expected = Expected()


def _lost(world: SecretWorld) -> None:
    world.keep(world.server.add_key(NAME)[0])
    world.expected = Expected(code=5)


def _rotation(world: SecretWorld) -> None:
    up_to_date(world)
    world.expected = Expected(is_rotation=True)
    world.arguments = ("rotate",)


def _revocation(world: SecretWorld) -> None:
    up_to_date(world)
    world.expected = Expected(keys=0)
    world.arguments = world.again = ("revoke",)


def _check(world: SecretWorld) -> None:
    up_to_date(world)
    world.arguments = ("check",)


def _dry_rotation(world: SecretWorld) -> None:
    up_to_date(world)
    world.arguments = ("rotate", "--dry-run")


def killed_after_the_create(world: SecretWorld) -> None:
    """Between the create and the patch that would have brought the token."""
    handle = Handle()

    def kill(exchange: Exchange) -> None:
        exchange.forward()
        handle.get().signal(SIGKILL)
        handle.get().wait()
        exchange.hang_up()

    world.proxy.plan(lambda exchange: kill if exchange.is_create else None)
    handle.set(world.start())
    assert handle.get().wait().code == 137
    world.proxy.wait_until_idle()
    world.proxy.plan(None)
    assert len(world.keys()) == 1
    assert "run" in world.records()[VARIABLE]


SCENARIOS = [
    Scenario("first run", _first_run),
    Scenario("a tenant's or organization's key", _group_scope),
    Scenario("up to date", up_to_date),
    Scenario("up to date, annotation gone", _no_record),
    Scenario("token removed: replace", _no_token),
    Scenario("Secret applied anew: replace", _applied_again),
    Scenario("key deleted on the server", _key_deleted),
    Scenario("one key, its token dead", _secret_changed),
    Scenario("settings changed", _renamed),
    Scenario("one key, lost: fail", _lost),
    Scenario("rotation", _rotation),
    Scenario("revocation", _revocation),
    Scenario("check", _check),
    Scenario("dry run of a rotation", _dry_rotation),
    Scenario("killed after the create", killed_after_the_create),
]


@dataclass(frozen=True)
class Survey:
    """Requests that a run sends when nothing is in its way."""

    to_the_cluster: int
    to_the_server: int


_SURVEYS: dict[str, Survey] = {}


def survey(scenario: Scenario, worlds: Callable[[Api], AbstractContextManager[SecretWorld]]) -> Survey:
    """Made once for a worker. The generations of ChirpStack differ in nothing that the cluster sees."""
    if scenario.name not in _SURVEYS:
        _SURVEYS[scenario.name] = _surveyed(scenario, worlds)
    return _SURVEYS[scenario.name]


def _surveyed(scenario: Scenario, worlds: Callable[[Api], AbstractContextManager[SecretWorld]]) -> Survey:
    with worlds("v4") as one:
        scenario.set_up(one)
        result = one.run()
        assert result.code == one.expected.code, result.log
        return Survey(one.gate.count, one.proxy.count)
