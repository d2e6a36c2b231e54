"""A file of three keys, one of them not to be made: every request, every file call and every moment of such a run is
hurt, and one more run gets there, with each key once and each key of others untouched."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from tempfile import TemporaryDirectory

import pytest

from tests.faults.conftest import Surveys
from tests.faults.ledger import record, require
from tests.faults.proxy import Exchange, Proxy
from tests.faults.runner import Result, Run, Runner
from tests.faults.scenarios import Scenario
from tests.faults.shim import ALL, CHANGING
from tests.faults.sweep import SHARE, each, judge, some_of
from tests.faults.test_kills import EXIT, MOMENTS, ending, expect_no_token_lost
from tests.faults.test_os_faults import CALLS
from tests.faults.wire_faults import OF_HTTP, SLOW, faults
from tests.faults.world import APIS, FULL, Api, Expected, Handle, World, pick, world
from tests.simulator import ApiKey, Simulator

NAMES = ("alpha", "beta", "gamma")
FEW = 8 * SHARE
"""Of so many cases `make test` tries one: what one key shows need not be shown again."""


class Several(World):
    """`alpha` has a token file, `beta` and `gamma` are of a tenant or an organization, with a variable each in the
    user's `.env`, and `gamma` has a JSON file besides."""

    def __init__(self, api: Api, folder: Path, runner: Runner, server: Simulator, proxy: Proxy) -> None:
        super().__init__(api, folder, runner, server, proxy)
        for output in ("TOKEN_FILE", "ENV_FILE", "JSON_FILE"):
            del self.variables[output]
        self.scopes = {"alpha": "admin", "beta": self.group_scope, "gamma": self.group_scope}
        self.hopeless: set[str] = set()
        """Those that cannot be made, whatever is tried."""
        self.variables["KEYS_FILE"] = self.keys_file(NAMES)

    def keys_file(self, names: tuple[str, ...], **scopes: str) -> str:
        """The path of one with these keys in this order."""
        outputs: dict[str, dict[str, object]] = {
            "alpha": {"token_file": self.token_file},
            "beta": {"env_file": self.env_file, "env_var": "BETA"},
            "gamma": {"env_file": self.env_file, "env_var": "GAMMA", "json_file": self.json_file},
        }
        tables = [{"name": name, "scope": scopes.get(name, self.scopes[name]), **outputs[name]} for name in names]
        path = self.folder / f"{'-'.join(names)}{len(scopes)}.toml"
        lines = [["[[key]]", *(f"{name} = {json.dumps(str(value))}" for name, value in one.items())] for one in tables]
        path.write_text("\n".join(line for table in lines for line in table) + "\n")
        return str(path)

    def keys(self, *names: str) -> list[ApiKey]:
        return [key for name in names or NAMES for key in self.server.keys(name, self.scopes[name])]

    def tokens(self, *names: str) -> list[str]:
        values = {name: re.findall(rf"(?m)^{name.upper()}=(.*)$", self.env_file.read_text()) for name in NAMES}
        found = {name: [*values[name][-1:], ""][:1] for name in NAMES}
        found["alpha"] = [self.token_file.read_text().strip() if self.token_file.exists() else ""]
        text = self.json_file.read_text() if self.json_file.exists() else ""
        found["gamma"].append(json.loads(text)["token"] if text else "")
        return [token for name in names or NAMES for token in found[name]]

    def is_ready(self, name: str) -> bool:
        return self.are_one(self.tokens(name), self.keys(name))

    def expect_promise_kept(self, result: Result) -> None:
        """Also when the run failed: which keys are ready is what its last lines say."""
        self.expect_nothing_of_others_touched(result.log)
        if result.code == 0 and not self.expected.keys:
            gone = not self.keys() and not any(self.tokens())
            require(gone, "exit 0 of revoke and not all is gone", result.log)
            return
        told = re.findall(r"(?<!not )ready: ((?:'\w+'(?:, )?)+)", result.err)
        names = re.findall(r"'(\w+)'", told[-1]) if told else []
        assert result.code or names == list(NAMES), result.log
        for name in names:
            require(self.is_ready(name), "exit 0 without a working token", f"{name} {result.log}")

    def expect_healed(self, before: str = "") -> None:
        self.proxy.plan(None)
        result = self.run(None, self.again)
        log = f"{before}\n--- one more run: {result.log}"
        self.expect_promise_kept(result)
        require(result.code == self.expected.code, "lost", log)
        for name in set(NAMES) - self.hopeless:
            count = len(self.keys(name))
            require(count >= self.expected.keys, "lost", log)
            require(count == self.expected.keys, "two keys", log)
            require(not self.expected.keys or self.is_ready(name), "lost", log)
        require(not any(name.endswith(".tmp") for name in self.files()), "a temporary file left", log)


def _nothing(world: Several) -> None:
    pass


def _made(world: Several) -> None:
    first = world.run()
    assert first.code == 0, first.log


def _rotation(world: Several) -> None:
    _made(world)
    world.arguments = ("rotate",)


def _revocation(world: Several) -> None:
    _made(world)
    world.expected = Expected(keys=0)
    world.arguments = world.again = ("revoke",)


def _all_dead(world: Several) -> None:
    _made(world)
    world.server.set_secret("another")


def _one_deleted(world: Several) -> None:
    _made(world)
    world.server.delete_key(world.keys("beta")[0].id)


def _one_cannot_be_made(world: Several) -> None:
    kind = world.group_scope.partition(":")[0]
    world.variables["KEYS_FILE"] = world.keys_file(NAMES, beta=f"{kind}:nobody")
    world.hopeless = {"beta"}
    world.expected = Expected(code=7)


def _one_is_lost(world: Several) -> None:
    world.keep(world.server.add_key("alpha")[0])
    world.hopeless = {"alpha"}
    world.expected = Expected(code=5)


class OfSeveral(Scenario):
    @contextmanager
    def world(self, api: Api, folder: Path, runner: Runner) -> Iterator[Several]:
        with TemporaryDirectory(dir=folder) as own, world(api, Path(own, "world"), runner, Several) as one:
            self.set_up(one)
            yield one


SCENARIOS = (
    OfSeveral("first run", _nothing),
    OfSeveral("up to date", _made),
    OfSeveral("rotation", _rotation),
    OfSeveral("revocation", _revocation),
    OfSeveral("all tokens dead", _all_dead),
    OfSeveral("one key deleted", _one_deleted),
    OfSeveral("one key cannot be made", _one_cannot_be_made),
    OfSeveral("one key's token is lost", _one_is_lost),
)


def requests(surveys: Surveys, *case: object) -> Iterator[tuple[Api, OfSeveral, int]]:
    """Each request of some scenario, another one for each case."""
    for api in APIS:
        scenario = pick(SCENARIOS, api, *case)
        for number in range(1, surveys(api, scenario).requests + 1):
            yield api, scenario, number


@pytest.mark.parametrize("signum", [SIGKILL, SIGTERM, SIGINT], ids=lambda signum: signum.name)
def test_a_run_that_is_ended_around_a_request_costs_at_most_one_more(
    signum: Signals, surveys: Surveys, runner: Runner, tmp_path: Path
) -> None:
    def cases() -> Iterator[tuple[Api, OfSeveral, int, str]]:
        for moment in MOMENTS:
            for case in requests(surveys, signum, moment):
                yield *case, moment

    def check(case: tuple[Api, OfSeveral, int, str]) -> None:
        api, scenario, number, moment = case
        handle = Handle()
        hurt = ending(handle, signum, moment)
        with scenario.world(api, tmp_path, runner) as world:
            before = set(world.ids())
            world.proxy.plan(lambda exchange: hurt if exchange.number == number else None)
            handle.set(world.start())
            result = handle.get().wait()
            world.proxy.wait_until_idle()
            if signum != SIGKILL:
                expect_no_token_lost(world, before, result)
            codes = {EXIT[signum], world.expected.code}
            judge("several keys", f"{signum.name} {moment}", world, result, codes, f"exit {result.code}")

    each(cases(), check, one_of=FEW)


@pytest.mark.parametrize(("scenario", "what"), some_of(SCENARIOS, ("before", "error")), ids=str)
def test_a_run_that_is_hurt_at_a_file_call_costs_at_most_one_more(
    scenario: OfSeveral, what: str, surveys: Surveys, runner: Runner, tmp_path: Path
) -> None:
    def cases() -> Iterator[tuple[Api, str, int, str]]:
        for number, call in enumerate(surveys("v4", scenario).calls):
            if what == "error" or call in CHANGING:
                yield pick(APIS, scenario.name, number, what), scenario.name, number, call

    def check(case: tuple[Api, str, int, str]) -> None:
        api, _, number, call = case
        signum = pick((SIGKILL, SIGTERM, SIGINT), case)
        error = pick([error for error, calls in CALLS.items() if call in calls], case)
        with scenario.world(api, tmp_path, runner) as world:
            before = set(world.ids())
            how = {"error": error} if what == "error" else {"signal_before": signum}
            result = world.run(world.hurt(at=number, calls=ALL, **how))
            if what == "error":
                # A key whose memory or output cannot be read is a stranger's, or lost.
                codes, row = {0, 5, 6, world.expected.code}, "a file call fails"
            else:
                codes, row = {EXIT[signum]}, f"{signum.name} {what} a file call"
            if signum != SIGKILL or what == "error":
                expect_no_token_lost(world, before, result)
            judge("several keys", row, world, result, codes, f"exit {result.code}")

    each(cases(), check, one_of=FEW)


@pytest.mark.parametrize("api", APIS)
def test_a_request_that_is_hurt_costs_at_most_one_more_run(
    api: Api, surveys: Surveys, runner: Runner, tmp_path: Path
) -> None:
    def cases() -> Iterator[tuple[str, OfSeveral, int]]:
        for name in faults(api):
            if name in OF_HTTP and pick(APIS, name) != api:
                continue
            scenario = pick(SCENARIOS, api, name)
            for number in range(1, surveys(api, scenario).requests + 1):
                yield name, scenario, number

    def check(case: tuple[str, OfSeveral, int]) -> None:
        name, scenario, number = case
        patience = pick(("30s", "0"), case)
        with scenario.world(api, tmp_path, runner) as world:
            fault = faults(api)[name]
            world.proxy.plan(lambda exchange: fault if exchange.number == number else None)
            limit = {"REQUEST_TIMEOUT": "1s"} if name in SLOW else {}
            result = world.run(None, (), WAIT_TIMEOUT=patience, **limit)
            world.proxy.wait_until_idle()
            codes = {world.expected.code, *([3] if patience == "0" else [])}
            judge(
                "several keys",
                f"wire, {'no patience' if patience == '0' else 'waits'}",
                world,
                result,
                codes,
                f"exit {result.code}",
            )

    each(cases(), check, one_of=FEW // 2)


ORDERS = (NAMES, NAMES[::-1], ("beta", "gamma", "alpha"), ("gamma", "alpha", "beta"))


@pytest.mark.parametrize("api", APIS)
def test_jobs_with_the_same_keys_in_another_order_make_each_once_and_all_say_0(
    api: Api, runner: Runner, tmp_path: Path
) -> None:
    for _ in range(20 if FULL else 2):
        with SCENARIOS[0].world(api, tmp_path, runner) as world:
            runs = [world.start(None, (), KEYS_FILE=world.keys_file(order)) for order in ORDERS]
            results = [run.wait() for run in runs]
            logs = "\n".join(result.log for result in results)
            require([result.code for result in results] == [0] * len(ORDERS), "lost", logs)
            require(len(world.keys()) == len(NAMES), "two keys", logs)
            require(all(map(world.is_ready, NAMES)), "exit 0 without a working token", logs)
            record("several keys", "4 jobs, each with the keys in another order", "all exit 0, each key once")


def test_two_jobs_that_want_each_others_keys_do_not_wait_in_a_circle(runner: Runner, tmp_path: Path) -> None:
    """Each has the lock of the key that the other one wants next."""
    with SCENARIOS[0].world("v4", tmp_path, runner) as world:
        second: list[Run] = []

        def let_the_other_run_into_it(exchange: Exchange) -> None:
            run = world.start(None, (), KEYS_FILE=world.keys_file(NAMES[::-1]))
            second.append(run)
            run.wait_for("another job holds")
            exchange.pass_on()

        world.proxy.plan(lambda exchange: let_the_other_run_into_it if exchange.is_create and not second else None)
        first = world.run()
        assert (first.code, second[0].wait().code) == (0, 0), f"{first.log}{second[0].wait().log}"
        assert len(world.keys()) == len(NAMES)
        assert all(map(world.is_ready, NAMES))
