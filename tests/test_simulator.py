"""What the recordings do not show of the simulator: its stages, its controls, its data.

What is special to one server or to the program is beside them, in `tests/simulator`.
"""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from chirpstack_api import api

from tests.simulator import Drop, Request, Response, Simulator
from tests.simulator.client import GRPC_WEB, V3, V4, call, connects, frame, rest, signed, wait_until

# Stages of a start


@pytest.mark.parametrize(("api_name", "version"), [("v3", V3), ("v4", V4)])
def test_connections_are_refused_until_the_server_listens(api_name: Any, version: str) -> None:
    with Simulator(api_name, version, starts_after=3600) as simulator:
        assert not connects(simulator.url)
    with Simulator(api_name, version, starts_after=0.1) as simulator:
        wait_until(lambda: connects(simulator.url))
        assert requests.get(simulator.url, timeout=10).status_code == 200


def test_a_server_that_has_not_started_yet_stops_at_once() -> None:
    with Simulator("v3", V3, starts_after=3600):
        started = time.monotonic()
    assert time.monotonic() - started < 60


def test_a_v3_server_that_listens_first_answers_501_with_nothing() -> None:
    with Simulator("v3", V3, starting_for=3600) as simulator:
        response = rest(simulator, "GET", "/api/internal/settings")
        assert (response.status_code, response.content) == (501, b"")
        assert response.headers["Content-Length"] == "0"
        assert "Content-Type" not in response.headers
        assert requests.get(simulator.url, timeout=10).status_code == 501


def test_a_v3_server_is_ready_after_the_501() -> None:
    with Simulator("v3", V3, starts_after=0.05, starting_for=0.1) as simulator:
        seen: list[int] = []

        def ready() -> bool:
            if connects(simulator.url):
                seen.append(rest(simulator, "GET", "/api/internal/settings").status_code)
            return seen[-1:] == [200]

        wait_until(ready)
        assert set(seen) == {501, 200}
        assert seen == sorted(seen, reverse=True)


def test_a_v4_server_is_ready_when_it_listens() -> None:
    with Simulator("v4", V4, starting_for=3600) as simulator:
        assert call(simulator, "InternalService/Settings").code == 0


@pytest.mark.parametrize(("api_name", "version", "body"), [("v3", V3, b""), ("v4", "4.8.1", b"OK"), ("v4", V4, b"")])
def test_health_tells_whether_the_database_is_there(api_name: Any, version: str, body: bytes) -> None:
    with Simulator(api_name, version, health=True) as simulator:
        assert simulator.health_url.removesuffix("/health") != simulator.url
        response = requests.get(simulator.health_url, timeout=10)
        assert (response.status_code, response.content) == (200, body)
        simulator.database_down = True
        assert requests.get(simulator.health_url, timeout=10).status_code == 503
        assert requests.get(simulator.health_url + "y", timeout=10).status_code == 404
        assert simulator.requests == []


def test_health_comes_after_v3s_501() -> None:
    with Simulator("v3", V3, health=True, starting_for=3600) as simulator:
        assert connects(simulator.url)
        assert not connects(simulator.health_url)


def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    with Simulator("v3", V3) as simulator:
        session = requests.Session()
        session.get(simulator.url, timeout=10)
        simulator.close()  # would last as long as the connection
        assert not connects(simulator.url)


def test_a_version_of_the_other_server_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"4\.19\.0 is no version of v3"):
        Simulator("v3", V4)


# Requests and hooks


def test_requests_are_recorded() -> None:
    with Simulator("v4", V4) as simulator:
        login = api.LoginRequest(email="admin", password="admin")
        call(simulator, "InternalService/Login", login)
        (request,) = simulator.requests
        assert (request.method, request.path) == ("POST", "/api.InternalService/Login")
        assert request.headers["content-type"] == GRPC_WEB
        assert request.body == frame(login)
        simulator.clear_requests()
        assert simulator.requests == []


def test_a_connection_is_kept_alive() -> None:
    with Simulator("v3", V3) as simulator:
        address = urlsplit(simulator.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port)
        for _ in range(3):
            connection.request("GET", "/api/internal/settings")
            own = connection.sock.getsockname()
            assert connection.getresponse().read()
            assert connection.sock.getsockname() == own
        connection.close()


def test_before_answers_in_the_place_of_the_server() -> None:
    with Simulator("v3", V3) as simulator:
        simulator.before = lambda _: Response(502, [("Content-Type", "text/html")], b"<h1>Bad Gateway</h1>")
        response = create_admin_key(simulator)
        assert (response.status_code, response.text) == (502, "<h1>Bad Gateway</h1>")
        assert response.headers["Content-Type"] == "text/html"
        assert simulator.keys() == []
        assert len(simulator.requests) == 1


def create_admin_key(simulator: Simulator) -> requests.Response:
    token = simulator.login_token("admin")
    body = {"apiKey": {"name": "a", "isAdmin": True}}
    return rest(simulator, "POST", "/api/internal/api-keys", token, body)


def drop(request: Request) -> Response:
    raise Drop


def reset(request: Request) -> Response:
    raise Drop(reset=True)


@pytest.mark.parametrize(("hook", "error"), [(drop, "RemoteDisconnected"), (reset, "ConnectionResetError")])
def test_before_drops_the_connection_and_nothing_happens(hook: Any, error: str) -> None:
    with Simulator("v3", V3) as simulator:
        simulator.before = hook
        with pytest.raises(requests.ConnectionError, match=error):
            create_admin_key(simulator)
        assert simulator.keys() == []
        simulator.before = None
        assert create_admin_key(simulator).status_code == 200


@pytest.mark.parametrize(("hook", "error"), [(drop, "RemoteDisconnected"), (reset, "ConnectionResetError")])
def test_after_loses_the_answer_of_what_has_happened(hook: Any, error: str) -> None:
    with Simulator("v3", V3) as simulator:
        simulator.after = lambda request, _: hook(request)
        with pytest.raises(requests.ConnectionError, match=error):
            create_admin_key(simulator)
        assert [key.name for key in simulator.keys(scope="admin")] == ["a"]


def test_after_sees_the_answer_and_may_replace_it() -> None:
    seen: list[tuple[str, int]] = []

    def hook(request: Request, response: Response) -> Response | None:
        seen.append((request.route, response.status))
        return Response(500) if request.query == "x=1" else None

    with Simulator("v3", V3) as simulator:
        simulator.after = hook
        assert rest(simulator, "GET", "/api/internal/settings").status_code == 200
        assert rest(simulator, "GET", "/api/internal/settings?x=1").status_code == 500
        assert seen == [("/api/internal/settings", 200)] * 2


def test_a_mistake_in_a_hook_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    def hook(request: Request) -> Response:
        raise ZeroDivisionError

    with Simulator("v3", V3) as simulator:
        simulator.before = hook
        with pytest.raises(requests.ConnectionError):
            rest(simulator, "GET", "/api/internal/settings")
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_latency_delays_every_answer() -> None:
    with Simulator("v3", V3, latency=0.05) as simulator:
        started = time.monotonic()
        assert rest(simulator, "GET", "/api/internal/settings").status_code == 200
        assert time.monotonic() - started >= 0.05


def test_a_chunked_request_is_read() -> None:
    with Simulator("v3", V3) as simulator:
        parts: Iterator[bytes] = iter([b'{"email":"admin",', b'"password":"admin"}'])
        response = requests.post(simulator.url + "/api/internal/login", data=parts, timeout=10)
        assert response.status_code == 200


def test_keys_made_at_the_same_time_are_all_there() -> None:
    with Simulator("v4", V4) as simulator:
        token = simulator.login_token("admin")

        def create(number: int) -> None:
            for index in range(10):
                key = api.ApiKey(name=f"{index}-{number}", is_admin=True)
                request = api.CreateApiKeyRequest(api_key=key)
                assert call(simulator, "InternalService/CreateApiKey", request, token).code == 0

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        keys = simulator.keys()
        assert len({key.id for key in keys}) == 80
        assert [key.name for key in keys] == sorted(f"{index}-{number}" for index in range(10) for number in range(8))


# Data


def test_the_first_boot_of_v3() -> None:
    with Simulator("v3", V3) as simulator:
        profile = rest(simulator, "GET", "/api/internal/profile", simulator.login_token("admin")).json()
        assert profile["user"]["id"] == "1"
        assert [(o["organizationID"], o["isAdmin"]) for o in profile["organizations"]] == [("1", True)]
        assert simulator.groups() == {"chirpstack": "1"}


@pytest.mark.parametrize(
    ("version", "database", "fixed"),
    [
        ("4.0.5", None, True),
        (V4, None, True),
        (V4, "sqlite", True),
        ("4.11.1", "postgres", True),
        ("4.12.0", "postgres", False),
    ],
)
def test_the_first_boot_of_v4(version: str, database: Any, fixed: bool) -> None:
    with Simulator("v4", version, database=database) as simulator:
        assert list(simulator.groups()) == ["ChirpStack"]
        assert (simulator.groups()["ChirpStack"] == "52f14cd4-c6f1-4fbd-8f87-4025e1d49242") is fixed


def test_keys_are_added_found_and_deleted() -> None:
    with Simulator("v4", V4) as simulator:
        tenant = simulator.add_tenant("t")
        key_id, token = simulator.add_key("a", f"tenant:{tenant}", read_only=True)
        simulator.add_key("a")
        simulator.add_key("b")
        (key,) = simulator.keys("a", f"tenant:{tenant}")
        assert (key.id, key.name, key.scope, key.is_read_only) == (key_id, "a", f"tenant:{tenant}", True)
        assert [key.name for key in simulator.keys(scope="admin")] == ["a", "b"]
        assert len(simulator.keys("a")) == 2
        assert simulator.key_token(key_id) == token
        assert simulator.token_works(token)
        simulator.delete_key(key_id)
        assert not simulator.token_works(token)
        assert [key.scope for key in simulator.keys("a")] == ["admin"]
        with pytest.raises(KeyError):
            simulator.delete_key(key_id)


def test_of_keys_with_one_name_the_right_one_is_deleted() -> None:
    with Simulator("v4", V4) as simulator:
        ids = [simulator.add_key("a")[0] for _ in range(3)]
        simulator.delete_key(ids[1])
        assert [key.id for key in simulator.keys("a")] == [ids[0], ids[2]]


def test_a_scope_of_no_kind_is_a_mistake() -> None:
    with Simulator("v4", V4) as simulator:
        for scope in ("", "tenant", "tenant:", "device:1", "admin:1"):
            with pytest.raises(ValueError, match="no scope"):
                simulator.add_key("a", scope)


@pytest.mark.parametrize(("api_name", "version"), [("v3", V3), ("v4", V4)])
def test_with_another_secret_every_token_is_dead(api_name: Any, version: str) -> None:
    with Simulator(api_name, version) as simulator:
        tokens = [simulator.add_key("a")[1], simulator.login_token("admin")]
        assert all(simulator.token_works(token) for token in tokens)
        simulator.set_secret("another")
        assert not any(simulator.token_works(token) for token in tokens)
        assert signed(simulator.login_token("admin"), "another")


@pytest.mark.parametrize(("api_name", "version"), [("v3", V3), ("v4", V4)])
def test_a_restart_keeps_the_port_and_the_data(api_name: Any, version: str) -> None:
    with Simulator(api_name, version) as simulator, requests.Session() as session:
        url = simulator.url
        _, token = simulator.add_key("a")
        assert session.get(url, timeout=10).status_code == 200
        simulator.restart()
        assert simulator.url == url
        assert simulator.token_works(token)
        assert requests.get(url, timeout=10).status_code == 200
        simulator.restart(secret="another")
        assert not simulator.token_works(token)
        assert [key.name for key in simulator.keys(scope="admin")] == ["a"]


def test_a_restart_closes_connections_and_can_take_its_time() -> None:
    with Simulator("v3", V3) as simulator:
        address = urlsplit(simulator.url)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            simulator.restart(starts_after=3600)
            assert connection.recv(1) == b""
        assert not connects(simulator.url)


@pytest.mark.parametrize(("api_name", "version"), [("v3", "3.10.0"), ("v3", V3), ("v4", "4.16.2"), ("v4", V4)])
def test_passwords(api_name: Any, version: str) -> None:
    with Simulator(api_name, version) as simulator:
        simulator.add_user("user@example.com", "one-password", admin=False)
        simulator.set_password("user@example.com", "two-passwords")
        assert not logs_in(simulator, "user@example.com", "one-password")
        assert logs_in(simulator, "user@example.com", "two-passwords")
        with pytest.raises(ValueError, match="there is a user"):
            simulator.add_user("user@example.com", "x")
        with pytest.raises(KeyError):
            simulator.set_password("nobody@example.com", "x")


def logs_in(simulator: Simulator, email: str, password: str) -> bool:
    body = {"email": email, "username": email, "password": password}
    response = rest(simulator, "POST", "/api/internal/login", body=body)
    if response.headers.get("Content-Type") == "application/json":
        return response.status_code == 200
    return call(simulator, "InternalService/Login", api.LoginRequest(email=email, password=password)).code == 0


@pytest.mark.parametrize(("api_name", "version"), [("v3", V3), ("v4", V4)])
def test_without_a_ui_there_is_no_page(api_name: Any, version: str) -> None:
    with Simulator(api_name, version, ui=False) as simulator:
        assert requests.get(simulator.url, timeout=10).status_code == 404
    with Simulator(api_name, version) as simulator:
        length = len(requests.get(simulator.url, timeout=10).content)
        address = urlsplit(simulator.url)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
            connection.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            head = b"".join(iter(lambda: connection.recv(65536), b"")).lower()
        assert f"\r\ncontent-length: {length}\r\n".encode() in head
        assert head.endswith(b"\r\n\r\n")
