"""What the recordings do not show of v3: the versions between them, roles, details of the protocol."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.simulator import Simulator
from tests.simulator.client import V3, claims, rest, sign, signed
from tests.simulator.go_json import GoJSONError, loads


def test_claims_of_v3() -> None:
    with Simulator("v3", V3, secret="s", clock=lambda: 1000.9) as simulator:
        go = '{"alg":"HS256","typ":"JWT"}'
        user = '{"aud":"as","exp":87400,"id":1,"iss":"as","nbf":1000,"sub":"user","username":"admin"}'
        token = simulator.login_token("admin")
        assert claims(token) == (go, user)
        assert signed(token, "s")
        key_id, token = simulator.add_key("a")
        key = f'{{"api_key_id":"{key_id}","aud":"as","iss":"as","nbf":1000,"sub":"api_key"}}'
        assert claims(token) == (go, key)
        assert signed(token, "s")


@pytest.mark.parametrize(
    ("later", "text"),
    [
        (86400.9, None),
        (86401.0, "token is expired by 1s"),
        (86460.0, "token is expired by 1m0s"),
        (90125.0, "token is expired by 1h2m5s"),
        (-0.1, "token is not valid yet"),
    ],
)
def test_v3s_tokens_expire_to_the_second(later: float, text: str | None) -> None:
    with Simulator("v3", V3, clock=lambda: 1000.0) as simulator:
        token = simulator.login_token("admin")
        simulator.clock = lambda: 1000.0 + later
        response = rest(simulator, "GET", "/api/internal/profile", token)
        message = f"authentication failed: jwt parse error: {text}" if text else None
        assert response.json().get("error") == message


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (sign('{"alg":"HS512","typ":"JWT"}', "{}", "verysecret"), "invalid algorithm"),
        (sign('{"alg":"none","typ":"JWT"}', "{}", "verysecret"), "invalid algorithm"),
        (sign('{"alg":"XX","typ":"JWT"}', "{}", "verysecret"), "signing method (alg) is unavailable."),
        (sign('{"typ":"JWT"}', "{}", "verysecret"), "signing method (alg) is unspecified."),
        (
            sign("{}", "{bad", "verysecret"),
            "invalid character 'b' looking for beginning of object key string",
        ),
        ("a.b", "token contains an invalid number of segments"),
        ("ab!d.b.c", "illegal base64 data at input byte 2"),
        ("abcde.b.c", "illegal base64 data at input byte 5"),
    ],
)
def test_tokens_that_v3_refuses(token: str, text: str) -> None:
    with Simulator("v3", V3) as simulator:
        response = rest(simulator, "GET", "/api/internal/profile", token)
        assert response.json()["error"] == f"authentication failed: jwt parse error: {text}"


def test_v3_organization_admins_administer_their_own_keys_only() -> None:
    with Simulator("v3", V3) as simulator:
        own, other = simulator.add_organization("own"), simulator.add_organization("other")
        application = simulator.add_application(own, "app")
        for email in ("admin@own", "member@own", "inactive@own"):
            simulator.add_user(email, "password", admin=False, active=not email.startswith("inactive"))
            simulator.add_member(email, own, admin=not email.startswith("member"))

        def statuses(email: str, path: str, key: dict[str, Any]) -> tuple[int, int]:
            token = simulator.login_token(email)
            body = {"apiKey": {"name": "a", **key}}
            return (
                rest(simulator, "GET", f"/api/internal/api-keys?limit=9&{path}", token).status_code,
                rest(simulator, "POST", "/api/internal/api-keys", token, body).status_code,
            )

        mine = f"organizationID={own}", {"organizationID": own}
        assert statuses("admin@own", *mine) == (200, 200)
        assert statuses("member@own", *mine) == (401, 401)
        assert statuses("inactive@own", *mine) == (401, 401)
        assert statuses("admin@own", f"applicationID={application}", {"applicationID": application}) == (
            200,
            200,
        )
        assert statuses("admin@own", f"organizationID={other}", {"organizationID": other}) == (401, 401)
        assert statuses("admin@own", "isAdmin=true", {"isAdmin": True}) == (401, 401)
        both = {"organizationID": own, "applicationID": application}
        assert statuses("admin@own", f"organizationID={own}&applicationID={application}", both) == (401, 401)
        assert statuses("admin", f"organizationID={own}&applicationID={application}", both) == (200, 200)

        (key,) = simulator.keys(scope=f"organization:{own}")
        path = f"/api/internal/api-keys/{key.id}"
        assert rest(simulator, "DELETE", path, simulator.login_token("member@own")).status_code == 401
        assert rest(simulator, "DELETE", path, simulator.login_token("admin@own")).status_code == 200
        assert rest(simulator, "DELETE", path, simulator.login_token("admin@own")).status_code == 401


def test_without_its_database_v3_answers_401_and_500() -> None:
    with Simulator("v3", V3) as simulator:
        _, token = simulator.add_key("a")
        simulator.database_down = True
        assert rest(simulator, "GET", "/api/internal/settings").status_code == 200
        login = rest(simulator, "POST", "/api/internal/login", body={})
        assert (login.status_code, login.json()["code"]) == (500, 2)
        verify = rest(simulator, "GET", "/api/gateway-profiles?limit=0", token)
        assert verify.status_code == 401
        assert verify.json()["error"].startswith("authentication failed: validator func error: select error: dial")
        assert "jwt parse error" in rest(simulator, "GET", "/api/gateway-profiles", "x").json()["error"]
        simulator.database_down = False
        assert rest(simulator, "GET", "/api/gateway-profiles?limit=0", token).status_code == 200


def test_v3s_gateway_takes_no_page_over_4_mib() -> None:
    with Simulator("v3", V3) as simulator:
        simulator.add_keys(100_000)
        token = simulator.login_token("admin")
        page = rest(simulator, "GET", "/api/internal/api-keys?isAdmin=true&limit=1000&offset=500", token).json()
        assert page["totalCount"] == "100000"
        assert [key["name"] for key in page["result"]] == [f"key-{n:06}" for n in range(500, 1500)]
        response = rest(simulator, "GET", "/api/internal/api-keys?isAdmin=true&limit=100000", token)
        # One entry is 2 + 38 + 12 + 2 bytes; the count is 4.
        assert response.status_code == 429
        assert response.json()["error"] == "grpc: received message larger than max (5400004 vs. 4194304)"


def works(simulator: Simulator, path: str, scope: str) -> bool:
    return rest(simulator, "GET", path, simulator.add_key("a", scope)[1]).status_code == 200


@pytest.mark.parametrize(
    ("version", "profiles", "organizations"),
    [
        ("3.11.1", False, True),
        ("3.12.0", True, True),
        ("3.13.1", True, True),
        ("3.13.2", True, False),
        ("3.14.0", True, False),
    ],
)
def test_what_v3s_organization_keys_may_read(version: str, profiles: bool, organizations: bool) -> None:
    with Simulator("v3", version) as simulator:
        assert works(simulator, "/api/gateway-profiles?limit=0", "organization:1") is profiles
        assert works(simulator, "/api/organizations?limit=0", "organization:1") is organizations


@pytest.mark.parametrize(("version", "audience"), [("3.12.2", False), ("3.13.0", True)])
def test_v3_looks_at_the_audience_from_3_13_on(version: str, audience: bool) -> None:
    with Simulator("v3", version) as simulator:
        issuer = json.loads(claims(simulator.login_token("admin"))[1])["iss"]
        assert issuer == ("as" if audience else "chirpstack-application-server")
        with Simulator("v3", "3.12.0") as older:
            assert simulator.token_works(older.login_token("admin")) is not audience


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/", 200, None),
        ("GET", "/api", 200, None),
        ("GET", "/api/", 404, "Not Found\n"),
        ("POST", "/api", 404, "Not Found\n"),
        ("PUT", "/api/internal/api-keys", 405, "Method Not Allowed\n"),
        ("DELETE", "/api/internal/api-keys", 405, "Method Not Allowed\n"),
        ("OPTIONS", "/api/internal/login", 405, "Method Not Allowed\n"),
        ("GET", "/health", 404, "404 page not found\n"),
    ],
)
def test_v3s_paths(method: str, path: str, status: int, text: str | None) -> None:
    with Simulator("v3", V3) as simulator:
        response = rest(simulator, method, path)
        assert response.status_code == status
        if text is None:
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            assert "ChirpStack" in response.text
        else:
            assert response.text == text


def test_v3_cleans_a_path_by_redirecting() -> None:
    with Simulator("v3", V3) as simulator:
        address = urlsplit(simulator.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port)
        connection.request("GET", "//api//internal/settings?a=1")
        response = connection.getresponse()
        assert (response.status, response.read()) == (301, b"")
        assert response.headers["Location"] == "/api/internal/settings?a=1"
        connection.close()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/api/internal/api-keys?isAdmin=yes", 'strconv.ParseBool: parsing "yes": invalid syntax'),
        ("/api/internal/api-keys?limit=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        (
            "/api/organizations/abc",
            'type mismatch, parameter: id, error: strconv.ParseInt: parsing "abc": invalid syntax',
        ),
    ],
)
def test_what_v3s_gateway_cannot_parse_never_reaches_the_service(path: str, error: str) -> None:
    with Simulator("v3", V3) as simulator:
        response = rest(simulator, "GET", path)
        assert response.json() == {"error": error, "code": 3, "message": error, "details": []}
        assert "Grpc-Metadata-Content-Type" not in response.headers


def test_v3_reads_both_spellings_and_no_other() -> None:
    with Simulator("v3", V3) as simulator:
        token = simulator.login_token("admin")
        simulator.add_key("a", "organization:1")
        for name, total in (("organizationID", "0"), ("organization_id", "0"), ("organizationId", "1")):
            path = f"/api/internal/api-keys?limit=0x0a&{name}=2"
            assert rest(simulator, "GET", path, token).json()["totalCount"] == total
        for value in ("1", 1):
            body = {"api_key": {"name": "b", "organization_id": value}, "unknown": 1}
            assert rest(simulator, "POST", "/api/internal/api-keys", token, body).status_code == 200


def test_v3_serves_a_form_with_the_handler_of_a_get() -> None:
    with Simulator("v3", V3) as simulator:
        simulator.add_key("a")
        response = requests.post(
            simulator.url + "/api/gateway-profiles",
            data={"limit": "0"},
            headers={"Authorization": simulator.login_token("admin")},
            timeout=10,
        )
        assert response.json() == {"totalCount": "0", "result": []}


def test_v3_takes_either_authorization_header_at_random() -> None:
    with Simulator("v3", V3) as simulator:
        token = simulator.login_token("admin")
        headers = {"Authorization": "Basic YTpi", "Grpc-Metadata-Authorization": f"Bearer {token}"}
        url = simulator.url + "/api/internal/profile"
        with requests.Session() as session:
            seen = {session.get(url, headers=headers, timeout=10).status_code for _ in range(64)}
        assert seen == {200, 401}


def test_v3_searches_display_names_with_wildcards() -> None:
    with Simulator("v3", V3) as simulator:
        simulator.add_organization("one", "First Org")
        simulator.add_organization("two", "Second Org")
        token = simulator.login_token("admin")

        def found(search: str) -> list[str]:
            path = f"/api/organizations?limit=10&search={search}"
            return [row["name"] for row in rest(simulator, "GET", path, token).json()["result"]]

        assert found("") == ["chirpstack", "one", "two"]
        assert found("org") == ["one", "two"]
        assert found("f%25t") == ["one"]
        assert found("two") == []
        with pytest.raises(ValueError, match="unique"):
            simulator.add_organization("one")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b"', "invalid character '\"' after object key:value pair"),
        ('{"a":[1 2', "invalid character '2' after array element"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("email=admin", "invalid character 'e' looking for beginning of value"),
        ('{"a":"\n"}', r"invalid character '\n' in string literal"),
        ('{"a":"\\x"}', "invalid character 'x' in string escape code"),
        ('{"a"', "unexpected EOF"),
        ('{"a":"b', "unexpected EOF"),
        ("{", "unexpected EOF"),
    ],
)
def test_json_errors_are_gos(text: str, error: str) -> None:
    with pytest.raises(GoJSONError) as raised:
        loads(text.encode())
    assert str(raised.value) == error


def test_what_follows_a_json_value_is_not_read() -> None:
    assert loads(b' {"a": 1} rest') == {"a": 1}
