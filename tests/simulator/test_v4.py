"""What the recordings do not show of v4: the versions between them, roles, details of the protocol."""

import base64
import json
from typing import Any
from urllib.parse import unquote

import pytest
import requests
from chirpstack_api import api

from tests.simulator import Simulator
from tests.simulator.client import GRPC_WEB, V4, Answer, call, claims, frame, rest, sign, signed


def test_claims_of_v4() -> None:
    with Simulator("v4", V4, secret="s", clock=lambda: 1000.9) as simulator:
        rust = '{"typ":"JWT","alg":"HS256"}'
        user_id = simulator.add_user("a@example.com", "password")
        user = f'{{"aud":"chirpstack","exp":87400,"iss":"chirpstack","sub":"{user_id}","typ":"user"}}'
        token = simulator.login_token("a@example.com")
        assert claims(token) == (rust, user)
        assert signed(token, "s")
        key_id, token = simulator.add_key("a")
        assert claims(token) == (
            rust,
            f'{{"aud":"chirpstack","iss":"chirpstack","sub":"{key_id}","typ":"key"}}',
        )


@pytest.mark.parametrize(("later", "code", "text"), [(86460.9, 0, ""), (86461.0, 16, "ExpiredSignature")])
def test_v4s_tokens_expire_a_minute_late(later: float, code: int, text: str) -> None:
    with Simulator("v4", V4, clock=lambda: 1000.0) as simulator:
        token = simulator.login_token("admin")
        simulator.clock = lambda: 1000.0 + later
        answer = call(simulator, "InternalService/Profile", None, token)
        assert (answer.code, answer.text) == (code, text)


def test_v4_tenant_admins_administer_their_own_keys_and_members_see_them() -> None:
    with Simulator("v4", V4) as simulator:
        own, other = simulator.add_tenant("own"), simulator.add_tenant("other")
        for email in ("admin@own", "member@own"):
            simulator.add_user(email, "password", admin=False)
            simulator.add_member(email, own, admin=email == "admin@own")

        def codes(email: str, tenant: str) -> tuple[int, int]:
            token = simulator.login_token(email)
            key = api.ApiKey(name="a", tenant_id=tenant, is_admin=not tenant)
            listed = api.ListApiKeysRequest(limit=9, tenant_id=tenant, is_admin=not tenant)
            return (
                call(simulator, "InternalService/ListApiKeys", listed, token).code,
                call(simulator, "InternalService/CreateApiKey", api.CreateApiKeyRequest(api_key=key), token).code,
            )

        assert codes("admin@own", own) == (0, 0)
        assert codes("member@own", own) == (0, 16)
        assert codes("admin@own", other) == (16, 16)
        assert codes("admin@own", "") == (16, 16)
        listed = call(
            simulator,
            "TenantService/List",
            api.ListTenantsRequest(limit=9),
            simulator.login_token("member@own"),
        )
        assert [t.name for t in api.ListTenantsResponse.FromString(listed.message).result] == ["own"]


@pytest.mark.parametrize(("version", "seen"), [("4.19.0", ["app"]), ("4.20.0-test.1", [])])
def test_a_tenants_member_sees_from_4_20_on_only_the_applications_that_he_was_granted(
    version: str, seen: list[str]
) -> None:
    with Simulator("v4", version) as simulator:
        tenant = simulator.groups()["ChirpStack"]
        simulator.add_application(tenant, "app")
        for email in ("admin@own", "member@own"):
            simulator.add_user(email, "password", admin=False)
            simulator.add_member(email, tenant, admin=email == "admin@own")

        def names(email: str) -> list[str]:
            request = api.ListApplicationsRequest(limit=9, tenant_id=tenant)
            answer = call(simulator, "ApplicationService/List", request, simulator.login_token(email))
            return [one.name for one in api.ListApplicationsResponse.FromString(answer.message).result]

        assert (names("admin@own"), names("member@own")) == (["app"], seen)


def test_a_read_only_admin_key_may_not_set_a_password() -> None:
    with Simulator("v4", V4) as simulator:
        user_id = simulator.add_user("user@example.com", "one-password")
        request = api.UpdateUserPasswordRequest(user_id=user_id, password="two-passwords")
        path = "UserService/UpdatePassword"
        assert call(simulator, path, request, simulator.add_key("ro", read_only=True)[1]).code == 16
        assert call(simulator, path, request, simulator.add_key("rw")[1]).code == 0
        long = api.UpdateUserPasswordRequest(user_id=user_id, password="x" * 129)
        answer = call(simulator, path, long, simulator.login_token("admin"))
        assert answer == Answer(3, "Password must not exceed 128 characters")


def test_without_its_database_v4_answers_13() -> None:
    with Simulator("v4", V4) as simulator:
        _, token = simulator.add_key("a")
        simulator.database_down = True
        assert call(simulator, "InternalService/Settings").code == 0
        login = call(simulator, "InternalService/Login", api.LoginRequest())
        assert login.code == 13
        assert login.text.startswith("Error occurred while creating a new object: ")
        assert call(simulator, "DeviceProfileService/ListAdrAlgorithms", None, token) == Answer(13)
        assert call(simulator, "DeviceProfileService/ListAdrAlgorithms", None, "x") == Answer(16, "InvalidToken")
        simulator.database_down = False
        assert call(simulator, "DeviceProfileService/ListAdrAlgorithms", None, token).code == 0


def test_a_hundred_thousand_keys_come_in_pages() -> None:
    with Simulator("v4", V4) as simulator:
        simulator.add_keys(100_000)
        token = simulator.login_token("admin")
        names: list[str] = []
        for offset in range(0, 100_000, 20_000):
            request = api.ListApiKeysRequest(limit=20_000, offset=offset, is_admin=True)
            answer = call(simulator, "InternalService/ListApiKeys", request, token)
            page = api.ListApiKeysResponse.FromString(answer.message)
            assert page.total_count == 100_000
            names += [key.name for key in page.result]
        assert names == sorted(names)
        assert len(set(names)) == 100_000


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("4.2.0", {"templates"}),
        ("4.3.0", {"templates", "algorithms"}),
        ("4.7.0", {"templates", "algorithms"}),
        ("4.8.0", {"templates", "algorithms", "version"}),
        ("4.15.0", {"templates", "algorithms", "version"}),
        ("4.16.0", {"algorithms", "version", "vendors"}),
        ("4.20.0-test.1", {"algorithms", "version", "vendors"}),
    ],
)
def test_which_calls_a_v4_version_answers(version: str, known: set[str]) -> None:
    with Simulator("v4", version) as simulator:
        _, key = simulator.add_key("a")
        user = simulator.login_token("admin")
        calls = {
            "templates": ("DeviceProfileTemplateService/List", key),
            "algorithms": ("DeviceProfileService/ListAdrAlgorithms", key),
            "vendors": ("DeviceProfileService/ListVendors", key),
            "version": ("InternalService/GetVersion", user),
        }
        answers = {name: call(simulator, path, None, token) for name, (path, token) in calls.items()}
        assert {name for name, answer in answers.items() if answer.code == 0} == known
        if "version" in known:
            answer = api.GetVersionResponse.FromString(answers["version"].message)
            assert answer.version == version


def tampered(token: str, **changes: str) -> str:
    """The token with other claims, signed with the default secret."""
    header, payload = claims(token)
    payload = json.dumps({**json.loads(payload), **changes}, separators=(",", ":"))
    return sign(header, payload, "verysecret")


@pytest.mark.parametrize(("version", "code"), [("4.6.0", 0), ("4.7.0", 16)])
def test_v4_looks_at_the_audience_from_4_7_on(version: str, code: int) -> None:
    with Simulator("v4", version) as simulator:
        token = tampered(simulator.login_token("admin"), aud="as")
        assert call(simulator, "InternalService/Profile", None, token).code == code


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"typ": "device"}, "invalid token typ: device"),
        ({"sub": "abc"}, "invalid length: found 3"),
        ({"sub": "11111111-1111-4111-8111-111111111111"}, ""),
    ],
)
def test_signed_tokens_that_v4_refuses(changes: dict[str, str], text: str) -> None:
    with Simulator("v4", V4) as simulator:
        token = tampered(simulator.login_token("admin"), **changes)
        answer = call(simulator, "InternalService/Profile", None, token)
        assert (answer.code, answer.text) == (16, text)


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (sign('{"typ":"JWT","alg":"HS512"}', "{}", "verysecret"), "InvalidAlgorithm"),
        ("a.b", "InvalidToken"),
        ("!.b.c", "Base64 error: Invalid symbol 33, offset 0."),
    ],
)
def test_tokens_that_v4_refuses(token: str, text: str) -> None:
    with Simulator("v4", V4) as simulator:
        assert call(simulator, "InternalService/Profile", None, token) == Answer(16, text)


@pytest.mark.parametrize(("version", "code"), [("4.15.0", 16), ("4.16.0", 12)])
def test_a_service_that_is_gone_does_not_look_at_tokens(version: str, code: int) -> None:
    with Simulator("v4", version) as simulator:
        assert call(simulator, "DeviceProfileTemplateService/List", None, "x").code == code


@pytest.mark.parametrize(("version", "kept"), [("4.16.2", False), ("4.17.0", True)])
def test_read_only_is_dropped_before_4_17(version: str, kept: bool) -> None:
    with Simulator("v4", version) as simulator:
        key = api.ApiKey(name="a", is_admin=True, is_read_only=True)
        request = api.CreateApiKeyRequest(api_key=key)
        call(simulator, "InternalService/CreateApiKey", request, simulator.login_token("admin"))
        assert [key.is_read_only for key in simulator.keys(scope="admin")] == [kept]


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("4.0.5", "authorization metadata must in format 'Bearer <TOKEN>"),
        ("4.7.0", "authorization metadata must in format 'Bearer <TOKEN>"),
        ("4.8.0", "authorization metadata must be in format 'Bearer <TOKEN>"),
    ],
)
def test_a_bare_token_is_refused_by_v4(version: str, text: str) -> None:
    with Simulator("v4", version) as simulator:
        headers = {"Content-Type": GRPC_WEB, "Authorization": "bearer x"}
        url = simulator.url + "/api.InternalService/Settings"
        response = requests.post(url, data=frame(None), headers=headers, timeout=10)
        assert unquote(response.headers["grpc-message"]) == text


@pytest.mark.parametrize(
    ("version", "status", "grpc_status"),
    [("4.1.3", 200, "12"), ("4.2.0", 400, None), ("4.8.1", 400, None), ("4.9.0", 404, None)],
)
def test_a_v3_client_at_a_v4_server(version: str, status: int, grpc_status: str | None) -> None:
    with Simulator("v4", version) as simulator:
        response = rest(simulator, "POST", "/api/internal/login", body={})
        assert (response.status_code, response.headers.get("grpc-status")) == (status, grpc_status)
        assert response.content == b""


@pytest.mark.parametrize(("version", "status"), [("4.8.1", 404), ("4.9.0", 405)])
def test_a_get_of_grpc_web_type(version: str, status: int) -> None:
    with Simulator("v4", version) as simulator:
        url = simulator.url + "/api.InternalService/Settings"
        assert requests.get(url, headers={"Content-Type": GRPC_WEB}, timeout=10).status_code == status


@pytest.mark.parametrize(("database", "code"), [("sqlite", 0), ("postgres", 13)])
def test_only_postgresql_limits_the_length_of_a_name(database: Any, code: int) -> None:
    with Simulator("v4", V4, database=database) as simulator:
        request = api.CreateApiKeyRequest(api_key=api.ApiKey(name="ä" * 101, is_admin=True))
        token = simulator.login_token("admin")
        assert call(simulator, "InternalService/CreateApiKey", request, token).code == code


@pytest.mark.parametrize(
    ("version", "text", "error"),
    [
        (V4, "abc", "invalid length: found 3"),
        ("4.18.0", "abc", "invalid length: expected length 32 for simple format, found 3"),
        (V4, "hello", "invalid character: found `h` at 1"),
        (
            "4.17.0",
            "abz",
            "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `z` at 3",
        ),
        (V4, "a-b", "invalid group count: expected 5, found 2"),
        (V4, "a-b-c-d-e", "invalid group length in group 0: expected 8, found 1"),
    ],
)
def test_uuid_errors_are_the_crates(version: str, text: str, error: str) -> None:
    with Simulator("v4", version) as simulator:
        answer = call(simulator, "InternalService/DeleteApiKey", api.DeleteApiKeyRequest(id=text))
        assert answer == Answer(3, error)


def test_v4_reads_arguments_before_it_asks_who_is_calling() -> None:
    with Simulator("v4", V4) as simulator:
        answer = call(simulator, "InternalService/ListApiKeys", api.ListApiKeysRequest())
        assert answer == Answer(3, "either is_admin or tenant_id must be set")
        assert call(simulator, "InternalService/CreateApiKey") == Answer(3, "api_key is missing")


def post(simulator: Simulator, body: bytes, **headers: str) -> requests.Response:
    url = simulator.url + "/api.InternalService/Login"
    return requests.post(url, data=body, headers={"Content-Type": GRPC_WEB, **headers}, timeout=10)


def test_v4_answers_in_the_form_of_accept() -> None:
    with Simulator("v4", V4) as simulator:
        login = frame(api.LoginRequest(email="admin", password="admin"))
        text = "application/grpc-web-text"
        response = post(simulator, login, Accept=text)
        assert response.headers["content-type"] == "application/grpc-web-text+proto"
        message, trailer = base64.b64decode(response.text[:-28]), base64.b64decode(response.text[-28:])
        assert message.startswith(b"\0\0\0\0")
        assert trailer == b"\x80\0\0\0\x0fgrpc-status:0\r\n"
        response = post(simulator, base64.b64encode(login), **{"Content-Type": text})
        assert response.headers["content-type"] == GRPC_WEB
        assert response.content.endswith(b"grpc-status:0\r\n")


@pytest.mark.parametrize(
    ("version", "body", "status", "message"),
    [
        (
            V4,
            b"\x01\0\0\0\0",
            "13",
            "protocol error: received message with compressed-flag but no grpc-encoding was specified",
        ),
        (V4, b"\0\0", "13", "Unexpected EOF decoding stream."),
        (V4, b"\0\0\0\0\x01\0", "13", "failed to decode Protobuf message: invalid tag value: 0"),
        (
            V4,
            b"\0\0\x40\0\x01",
            "11",
            "Error, decoded message length too large: found 4194305 bytes, the limit is: 4194304 bytes",
        ),
        ("4.3.0", b"\0\0\x40\0\x01", "13", "Unexpected EOF decoding stream."),
    ],
)
def test_frames_that_v4_refuses(version: str, body: bytes, status: str, message: str) -> None:
    with Simulator("v4", version) as simulator:
        response = post(simulator, body)
        assert response.status_code == 200
        assert response.headers["grpc-status"] == status
        assert unquote(response.headers["grpc-message"]) == message
