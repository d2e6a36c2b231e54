"""Clocks that are wrong, and what else a server may say of a token that is no proof that it is dead."""

import time
from functools import partial

import pytest

from init_job.errors import Unavailable
from init_job.servers.http import Http
from init_job.servers.interface import KEY_DELETED, SIGNED_OTHERWISE, ResolvedScope, TokenStatus
from init_job.servers.v3 import V3
from init_job.servers.v4 import V4
from init_job.wait import Once
from tests.faults.conftest import Worlds
from tests.faults.ledger import record
from tests.faults.world import APIS, ENV_BEFORE, Api, Expected, World
from tests.simulator import Request, Response, Simulator
from tests.support import jwt, settings_for

BEHIND = -600.0


def shifted(offset: float) -> float:
    return time.time() + offset


def make_first_key(world: World) -> str:
    first = world.run()
    assert first.code == 0, first.log
    world.settle()
    return world.tokens()[0]


def outputs(world: World) -> dict[str, bytes]:
    return {name: content for name, content in world.files().items() if not name.endswith(".state")}


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("arguments", [(), ("rotate",), ("check",), ("--dry-run",)])
def test_a_servers_clock_that_is_behind_costs_no_key(
    arguments: tuple[str, ...], remembers: bool, worlds: Worlds
) -> None:
    with worlds("v3") as world:
        token = make_first_key(world)
        if not remembers:
            (world.volume / ".token.state").unlink()
        files, keys = outputs(world), world.server.keys()
        world.server.clock = partial(shifted, BEHIND)
        result = world.run(None, arguments, WAIT_TIMEOUT="300ms")
        assert result.code == 3, result.log
        assert "token is not valid yet" in result.err
        assert "set the clocks" in result.err
        assert "ON_LOST_TOKEN=replace" in result.err
        assert (outputs(world), world.server.keys()) == (files, keys), result.log
        world.server.clock = time.time
        world.expected = Expected(same_token=token)
        world.expect_healed(result.log)
        record("clocks", f"the server's clock is behind: {' '.join(arguments) or 'ensure'}", "exit 3, nothing changed")


def test_a_token_of_a_clock_that_was_years_ahead_is_replaced_as_the_hint_says(worlds: Worlds) -> None:
    with worlds("v3") as world:
        world.server.clock = partial(shifted, 5 * 365 * 86400.0)
        make_first_key(world)
        world.server.clock = time.time
        result = world.run(WAIT_TIMEOUT="300ms")
        assert result.code == 3, result.log
        assert "if they are right now, remove the token and set ON_LOST_TOKEN=replace" in result.err
        world.token_file.unlink()
        world.json_file.unlink()
        world.env_file.write_bytes(ENV_BEFORE)
        result = world.run(ON_LOST_TOKEN="replace")
        assert result.code == 0, result.log
        assert len(world.keys()) == 1
        world.expect_promise_kept(result)
        record("clocks", "the server's clock was years ahead when it made the token", "exit 3, nothing changed")


def test_a_clock_that_comes_right_while_the_job_waits_is_waited_for(worlds: Worlds) -> None:
    with worlds("v3") as world:
        token = make_first_key(world)
        world.server.clock = partial(shifted, BEHIND)
        run = world.start()
        run.wait_for("token is not valid yet")
        world.server.clock = time.time
        result = run.wait()
        assert result.code == 0, result.log
        assert set(world.tokens()) == {token}
        record("clocks", "the server's clock comes right while the job waits", "exit 0, nothing changed")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("jump", [BEHIND, 2 * 86400.0])
def test_a_clock_that_is_set_after_the_login_costs_another_login(api: Api, jump: float, worlds: Worlds) -> None:
    """As on a board without a battery, when the time server answers."""
    with worlds(api) as world:
        world.settle()

        def set_clock(request: Request) -> None:
            if "api-keys" in request.path or "ApiKey" in request.path:
                world.server.clock = partial(shifted, jump)

        world.server.before = set_clock
        result = world.run()
        assert result.code == 0, result.log
        world.expect_promise_kept(result)
        record("clocks", "the server's clock is set between the login and the next request", "exit 0")


DEAD = {
    "v3": {
        "authentication failed: jwt parse error: signature is invalid": SIGNED_OTHERWISE,
        "authentication failed: not authorized": KEY_DELETED,
    },
    "v4": {"InvalidSignature": SIGNED_OTHERWISE, "": KEY_DELETED},
}
DOUBTS = {
    "v3": [
        "authentication failed: get token from context error: no authorization-data in metadata",
        "authentication failed: jwt parse error: token contains an invalid number of segments",
        "authentication failed: jwt parse error: illegal base64 data at input byte 4",
        "authentication failed: jwt parse error: invalid algorithm",
        "authentication failed: jwt parse error: token is expired by 1h2m5s",
        "authentication failed: jwt parse error: token is not valid yet",
        "authentication failed: validator func error: select error: driver: bad connection",
        "invalid username or password",
        "something that no version says",
    ],
    "v4": [
        "no authorization provided",
        "authorization metadata must be in format 'Bearer <TOKEN>`",
        "InvalidToken",
        "Base64 error: Invalid input length: 5",
        "JSON error: missing field `typ` at line 1 column 86",
        "InvalidAlgorithm",
        "ExpiredSignature",
        "ImmatureSignature",
        "InvalidAudience",
        "invalid token typ: X",
        "something that no version says",
    ],
}
ALL_WORDS = [(api, said, reason) for api in APIS for said, reason in DEAD[api].items()] + [
    (api, said, "") for api in APIS for said in DOUBTS[api]
]


@pytest.mark.parametrize(("api", "said", "reason"), ALL_WORDS)
def test_a_token_is_dead_only_by_the_words_that_prove_it(api: Api, said: str, reason: str) -> None:
    def say(request: Request) -> Response:
        if api == "v3":
            return Response(401, [("Content-Type", "application/json")], f'{{"error":"{said}","code":16}}'.encode())
        return Response(
            200,
            [("Content-Type", "application/grpc-web+proto"), ("grpc-status", "16"), ("grpc-message", said)],
        )

    with Simulator(api, "3.17.9" if api == "v3" else "4.19.0") as simulator:
        simulator.before = say
        server = {"v3": V3, "v4": V4}[api](Http(settings_for(simulator.url)), Once())
        token = jwt({"sub": "api_key"})
        if reason:
            assert server.check_token(token, "an id") == TokenStatus(False, reason)
            return
        with pytest.raises(Unavailable) as caught:
            server.check_token(token, "an id", ResolvedScope("admin"))
        assert caught.value.hint
        record("clocks", "what else is said of a token", "waited for")
