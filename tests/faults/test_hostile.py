"""A server, a volume and an environment that mean harm."""

import contextlib
import json
import os
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from chirpstack_api import api as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from init_job import load, log, state, tokens
from init_job.errors import ConfigurationError, InitJobError, ServerRefusal, Unavailable
from init_job.outputs.env_file import EnvFile
from init_job.outputs.interface import IssuedKey, Output
from init_job.servers import grpc_web
from init_job.servers.answer import Answer
from init_job.servers.http import Http
from init_job.servers.interface import ResolvedScope
from init_job.servers.v3 import V3
from init_job.servers.v4 import V4
from init_job.settings import VARIABLES
from init_job.values import Scope
from init_job.wait import Once
from tests.faults.conftest import Worlds
from tests.faults.ledger import record, require
from tests.faults.world import APIS, FULL, NAME, Api, World
from tests.simulator import Request, Response, Simulator
from tests.support import jwt, settings_for

_ID = "6ad5b0ef-3b3d-4a0a-b8a4-2d0d6b8bb9b2"
TOKENS = {
    "a newline in it": jwt({"typ": "key", "sub": _ID}) + "\nOTHER=stolen",
    "a newline at the end": jwt({"typ": "key", "sub": _ID}) + "\n",
    "quotes": "'\"a.b.c\"'",
    "a shell's command": "$(touch /tmp/stolen).`id`.${HOME}",
    "NUL": "a\0.b.c",
    "a megabyte": "a" * 500_000 + "." + "b" * 500_000 + ".c",
    "no JWT": "verysecret",
    "empty": "",
    "a login token": jwt({"typ": "user", "sub": _ID}),
    "somebody's JWT": jwt({"iss": "https://login.example.com", "sub": "me"}),
    "a key of another id": jwt({"typ": "key", "sub": _ID, "api_key_id": _ID}),
    "claims that are no JSON": "e30.e3t7.e30",
    "claims that are deep": "e30." + "W1tb" * 2000 + ".e30",
}


def with_token(api: Api, token: str) -> Any:
    """A hook that puts it into the answer to a create."""

    def after(request: Request, response: Response) -> Response | None:
        if api == "v3" and request.method == "POST" and request.route == "/api/internal/api-keys":
            answer = json.loads(response.body) | {"jwtToken": token}
            return Response(200, [("Content-Type", "application/json")], json.dumps(answer).encode())
        if request.route == "/api.InternalService/CreateApiKey":
            length = struct.unpack(">I", response.body[1:5])[0]
            made = pb.CreateApiKeyResponse.FromString(response.body[5 : 5 + length])
            message = pb.CreateApiKeyResponse(id=made.id, token=token).SerializeToString()
            return Response(200, [("Content-Type", "application/grpc-web+proto")], unary(message))
        return None

    return after


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("token", TOKENS)
def test_a_token_that_is_none_is_refused_and_nothing_is_written(api: Api, token: str, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        before = world.files()
        world.server.after = with_token(api, TOKENS[token])
        result = world.run()
        assert result.code == 7, result.log
        files = {name: content for name, content in world.files().items() if name != ".token.state"}
        require(files == before, "a hostile token written", result.log)
        require(world.keys() == [], "a key without its token", result.log)
        assert "stolen" not in result.err
        world.server.after = None
        world.expect_healed(result.log)
        record("hostile", f"token: {token}", "exit 7, nothing written")


GATE_SECRET = "a-gates-secret-as-long-as-an-id-is-1"
UUIDS = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def with_secrets_for_ids(request: Request, response: Response) -> Response:
    """A hook: of the same length, so that the messages of v4 stay whole."""
    body = re.sub(rb'(?<=id":")1(?=")', GATE_SECRET.encode(), response.body, flags=re.IGNORECASE)
    body = UUIDS.sub(GATE_SECRET.encode(), body)
    return Response(response.status, [one for one in response.headers if one[0] != "Content-Length"], body)


@pytest.mark.parametrize("api", APIS)
def test_an_id_that_is_none_is_not_told_and_no_key_is_left_behind(api: Api, worlds: Worlds) -> None:
    creates = []

    def after(request: Request, response: Response) -> Response | None:
        if "CreateApiKey" in request.route or (request.method, request.route) == ("POST", "/api/internal/api-keys"):
            creates.append(request)
            return with_secrets_for_ids(request, response) if len(creates) == 1 else None
        return None

    with worlds(api) as world:
        world.settle()
        headers = world.folder / "headers"
        headers.write_text(f"X-Gate: Bearer {GATE_SECRET}\n")
        world.variables["CHIRPSTACK_HEADERS_FILE"] = str(headers)
        world.server.after = after
        result = world.run()
        assert result.code == 0, result.log
        assert len(creates) == 2
        assert GATE_SECRET not in result.err
        world.expect_promise_kept(result)
        world.expect_nothing_of_others_touched(result.log)


@pytest.mark.parametrize("api", APIS)
def test_no_list_or_profile_has_anything_but_ids_in_their_place(api: Api) -> None:
    version, kind, group = {"v3": ("3.17.9", "organization", "chirpstack"), "v4": ("4.19.0", "tenant", "ChirpStack")}[
        api
    ]
    with Simulator(api, version) as simulator:
        simulator.add_key(NAME)
        simulator.add_key("of a group", f"{kind}:{simulator.groups()[group]}")
        server = {"v3": V3, "v4": V4}[api](Http(settings_for(simulator.url)), Once())
        assert server.log_in("admin", "admin")
        simulator.after = with_secrets_for_ids
        calls: list[Callable[[], object]] = [
            lambda: server.list_keys(ResolvedScope("admin"), NAME),
            lambda: server.find_key(_ID),
            lambda: server.resolve(Scope(kind, group)),
            lambda: server.create_key(ResolvedScope("admin"), "another", False),
        ]
        if api == "v3":
            calls.append(lambda: server.set_password("another one"))
        for call in calls:
            with pytest.raises(Unavailable) as caught:
                call()
            assert GATE_SECRET not in str(caught.value)


def test_a_version_that_is_told_is_masked() -> None:
    log.hide(GATE_SECRET)
    with Simulator("v4", "4.16.0") as simulator:
        server = V4(Http(settings_for(simulator.url)), Once())
        server.version = f"4.16.{GATE_SECRET}"
        with pytest.raises(ServerRefusal, match=r"^ChirpStack 4\.16\.\*\*\* has no read-only keys"):
            server.create_key(ResolvedScope("admin"), NAME, read_only=True)


PLANTED = (".token.0123abcd.tmp", ".app.env.0123abcd.tmp", ".key.json.0123abcd.tmp", ".token.state")


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("target", ["a file", "nowhere"])
def test_a_planted_link_is_not_followed(name: str, target: str, worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        victim = world.folder / "victim"
        if target == "a file":
            victim.write_text("precious")
        (world.volume / name).symlink_to(victim)
        result = world.run()
        world.expect_promise_kept(result)
        assert result.code == 0, result.log
        assert victim.exists() == (target == "a file")
        assert not victim.exists() or victim.read_text() == "precious"
        world.expect_healed(result.log)
        record("hostile", f"a link planted at {name}", "not followed, exit 0")


def made(world: World, **changed: object) -> dict[str, Any]:
    key = {"id": _ID, "name": NAME, "scope": "admin", "read_only": False, "server": world.proxy.url, "api": world.api,
           "version": "", "created": ""}  # fmt: skip
    return key | changed


def intent(world: World, **changed: object) -> dict[str, Any]:
    return {"name": NAME, "scope": "admin", "server": world.proxy.url, "known": [], "doomed": []} | changed


STATES: dict[str, Callable[[World], str]] = {
    "rubbish": lambda world: "\0\xff{[",
    "half a state": lambda world: json.dumps({"format": 1, "key": made(world), "intent": intent(world)})[:100],
    "an empty object": lambda world: "{}",
    "a list": lambda world: "[1]",
    "deep": lambda world: "[" * 100_000,
    "a future version": lambda world: json.dumps({"format": 2, "key": None, "intent": intent(world)}),
    "wrong types": lambda world: json.dumps({"format": 1, "key": made(world), "intent": intent(world, known=[1])}),
    "another name": lambda world: json.dumps({"format": 1, "key": None, "intent": intent(world, name="other")}),
    "another scope": lambda world: json.dumps({"format": 1, "key": None, "intent": intent(world, scope="tenant:x")}),
    "another server": lambda world: json.dumps({"format": 1, "key": None, "intent": intent(world, server="http://x")}),
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("content", STATES)
def test_a_state_file_that_is_not_ours_is_ignored_and_leads_to_no_deletion(
    content: str, api: Api, worlds: Worlds
) -> None:
    with worlds(api) as world:
        ids = [world.server.add_key(NAME)[0] for _ in range(2)]
        world.keep(*ids)
        world.settle()
        (world.volume / ".token.state").write_text(STATES[content](world))
        result = world.run()
        assert result.code == 5, result.log  # their token is lost
        assert "WARNING" in result.err
        world.expect_nothing_of_others_touched(result.log)
        require(world.ids() == ids, "another key deleted", result.log)
        record("hostile", f"a state file: {content}", "ignored, nothing deleted")


def test_a_state_file_of_another_user_is_ignored(worlds: Worlds) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    with worlds("v4") as world:
        world.keep(world.server.add_key(NAME)[0])
        world.settle()
        path = world.volume / ".token.state"
        path.write_text(json.dumps({"format": 1, "key": None, "intent": intent(world)}))
        os.chown(path, 1234, 1234)
        # Root may be the owner of any file: the job has to be somebody else, or the state's owner a stranger.
        result = world.run()
        assert result.code == 5, result.log
        world.expect_nothing_of_others_touched(result.log)


# Fuzz: whatever comes in, nothing but the domain's own errors goes out.

FUZZ = settings(max_examples=2000 if FULL else 200, deadline=None, derandomize=True)
GRPC = "application/grpc-web+proto"
ANSWERS = (InitJobError, Unavailable)
FRAMES = st.lists(
    st.tuples(st.sampled_from([0, 0x80, 1, 0x81, 255]), st.binary(max_size=30), st.integers(-3, 3)), max_size=4
).map(
    lambda frames: b"".join(
        bytes([kind]) + max(0, len(body) + off).to_bytes(4, "big") + body for kind, body, off in frames
    )
)
TRAILERS = st.sampled_from(
    [b"grpc-status:0\r\n"] * 6 + [b"grpc-status: 16\r\ngrpc-message:a%zz%\r\n", b"grpc-status:x", b":"]
)


def unary(message: bytes, trailer: bytes = b"grpc-status:0\r\n") -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message + b"\x80" + len(trailer).to_bytes(4, "big") + trailer


def damaged(body: bytes, at: int, byte: int, cut: bool) -> bytes:
    at %= len(body)
    return body[:at] if cut else body[:at] + bytes([byte]) + body[at + 1 :]


UNARY = st.builds(unary, st.binary(max_size=30), TRAILERS)


@given(
    st.one_of(
        UNARY, UNARY, UNARY, st.builds(damaged, UNARY, st.integers(0, 99), st.integers(0, 255), st.booleans()),
        st.builds(bytes.__add__, FRAMES, UNARY), FRAMES, st.binary(max_size=100),
    ),
    st.sampled_from([GRPC] * 20 + ["application/grpc-web", "text/html", ""]),
    st.sampled_from([200] * 20 + [204, 301, 404, 500]),
    st.one_of(
        st.just({}), st.dictionaries(st.sampled_from(["grpc-status", "grpc-message"]), st.text(max_size=5), max_size=1)
    ),
)  # fmt: skip
@FUZZ
def test_any_grpc_web_answer_is_a_reply_or_an_error_of_the_domain(
    body: bytes, content_type: str, status: int, headers: Mapping[str, str]
) -> None:
    try:
        grpc_web.read(Answer("http://s", status, {"content-type": content_type, **headers}, body))
    except ANSWERS:
        record("fuzz", "gRPC-Web decoder", "an error of the domain")
    else:
        record("fuzz", "gRPC-Web decoder", "taken")


class Fake(Http):
    """Answers everything with the same."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.timeout = 1.0

    def send(
        self, method: str, path: str, headers: Any = None, body: bytes | None = None, confidential: bool = False
    ) -> Answer:
        return self._answer


def call_everything(server: V3 | V4, scopes: list[Scope]) -> None:
    token = jwt({"typ": "key", "sub": _ID})
    calls: list[Callable[[], object]] = [
        server.probe,
        lambda: server.log_in("admin", "admin"),
        lambda: server.set_password("better"),
        lambda: server.list_keys(ResolvedScope("admin"), NAME),
        lambda: server.create_key(ResolvedScope("admin"), NAME, False),
        lambda: server.delete_key(_ID),
        lambda: server.check_token(token, _ID),
        *(lambda scope=scope: server.resolve(scope) for scope in scopes),
    ]
    for call in calls:
        try:
            call()
        except ANSWERS:
            record("fuzz", f"{server.api} reader", "an error of the domain")
        else:
            record("fuzz", f"{server.api} reader", "taken")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["1", "-1"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["jwt", "id", "name", "result", "totalCount", "user", "error", "code", "jwtToken", "x"]),
            inner, max_size=5,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    st.one_of(JSON.map(lambda content: json.dumps(content).encode()), st.binary(max_size=50)),
    st.sampled_from([200, 400, 401, 404, 500, 501]),
    st.sampled_from(["application/json", "text/plain"]),
)
@FUZZ
def test_any_json_answer_is_read_or_an_error_of_the_domain(body: bytes, status: int, content_type: str) -> None:
    answer = Answer("http://s", status, {"content-type": content_type}, body)
    call_everything(V3(Fake(answer), Once()), [Scope("admin"), Scope("organization", "1"), Scope("organization", "x")])


PAGES = st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=3).map(
    lambda keys: pb.ListApiKeysResponse(
        total_count=len(keys), result=[pb.ApiKey(id=one, name=name) for one, name in keys]
    ).SerializeToString()
)


@given(st.one_of(st.binary(max_size=60), PAGES))
@FUZZ
def test_any_message_is_read_or_an_error_of_the_domain(message: bytes) -> None:
    answer = Answer("http://s", 200, {"content-type": GRPC}, unary(message))
    call_everything(V4(Fake(answer), Once()), [Scope("admin"), Scope("tenant", _ID), Scope("tenant", "x")])


def _signed(claims: Any) -> str:
    return jwt(claims)


@given(st.one_of(st.text(), JSON.map(_signed)))
@FUZZ
def test_any_claims_are_read(token: str) -> None:
    tokens.read_claims(token)
    record("fuzz", "claims reader", "taken")


@given(st.one_of(st.binary(max_size=200), JSON.map(lambda content: json.dumps(content).encode())))
@FUZZ
def test_any_state_file_is_read_or_ignored(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, ".token.state")
        path.write_bytes(content)
        state.peek(str(path))
    record("fuzz", "state file", "taken")


KEY = IssuedKey(jwt({"typ": "key", "sub": _ID}), _ID, NAME, "admin", False, "http://s", "v4", "")


@given(
    st.one_of(
        st.binary(max_size=200), st.text(alphabet="CHIRP_=\n\r'\"\\ #$export\x00\x0b\u2028\ufeff").map(str.encode)
    )
)
@FUZZ
def test_any_env_file_is_edited_or_an_error_of_the_domain(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "app.env")
        path.write_bytes(content)
        output = Output(EnvFile("CHIRP"), str(path))
        try:
            output.read()
            output.prove_writable(KEY)
            output.write(KEY)
            assert output.read() == KEY.token
            output.remove()
            assert output.read() == ""
        except InitJobError:
            record("fuzz", ".env editor", "an error of the domain")
        else:
            record("fuzz", ".env editor", "taken")


NAMES = [name for variable in VARIABLES for name in (variable.name, variable.from_file) if name]
VALUES = st.one_of(
    st.text(st.characters(exclude_characters="\0"), max_size=20),
    st.sampled_from(["http://[", "http://a:99999999", "http://a@b", "-1s", "1e999", "0", "٣", "tenant:", "0o", "-",
                     "http://ab/api", "https://ü/", "9" * 400 + "s", "99999h"]),
)  # fmt: skip


RIGHT = {"CHIRPSTACK_URL": "http://s", "CHIRPSTACK_PASSWORD": "admin", "TOKEN_FILE": "/shared/token"}


PLAIN = [variable.name for variable in VARIABLES]
SENSIBLE = st.sampled_from(["", "30s", "5", "true", "admin", "json", "debug", "add", "0600", "https://s/b", "/a", "v4",
                            "a b", "tenant:x"])  # fmt: skip
ENVIRONMENTS = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8),
    st.builds(
        lambda more: RIGHT | more, st.dictionaries(st.sampled_from(PLAIN), st.one_of(VALUES, SENSIBLE), max_size=2)
    ),
)


@given(ENVIRONMENTS)
@FUZZ
def test_any_environment_is_parsed_or_a_configuration_error(environ: dict[str, str]) -> None:
    try:
        load.settings(environ, os.devnull)
    except ConfigurationError:
        record("fuzz", "settings", "an error of the domain")
    else:
        record("fuzz", "settings", "taken")


@given(st.binary(max_size=200))
@FUZZ
def test_any_settings_file_is_parsed_or_a_configuration_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, ".env")
        path.write_bytes(content)
        with contextlib.suppress(ConfigurationError):
            load.settings({"TOKEN_FILE": "/t", "CHIRPSTACK_PASSWORD": "admin"}, str(path))
