"""What stands between the job and the server: gates, proxies that take something away, proxies that repeat."""

import re
from collections.abc import Callable

import pytest

from tests.faults.conftest import Worlds
from tests.faults.ledger import record
from tests.faults.proxy import Exchange, Fault, Raw
from tests.faults.sweep import each
from tests.faults.world import APIS, Api

_SIGN_IN = b"<!doctype html><html><head><title>Sign in to Example</title></head></html>"
_FORM = b"<html><body><form><input name=p type='password'></form></body></html>"
_TEMPLATE = b"<html><head><title>Forbidden</title></head></html>"


def answering(answer: Raw) -> Callable[[Exchange], Fault]:
    return lambda exchange: lambda exchange: exchange.send(answer.whole)


def redirect(location: str) -> Raw:
    return Raw.of("302 Found", b"", "text/html", f"Location: {location}")


GATES = {
    "a redirect to a sign-in at another host": redirect("https://sso.example.com/start?rd=http%3A%2F%2Fchirpstack"),
    "a redirect to a sign-in at the same host": redirect("/oauth2/sign_in?rd=%2F"),
    "401 and a page": Raw.of("401 Unauthorized", _TEMPLATE, "text/html"),
    "403 and a page": Raw.of("403 Forbidden", _TEMPLATE, "text/html"),
    "403 and JSON": Raw.of("403 Forbidden", b'{"message":"Forbidden"}', "application/json"),
    "401 of a bearer gate": Raw.of("401 Unauthorized", b"", "text/plain", "WWW-Authenticate: Bearer realm=x"),
    "200 and a sign-in page": Raw.of("200 OK", _SIGN_IN, "text/html"),
    "200 and a form with a password": Raw.of("200 OK", _FORM, "text/html"),
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("name", GATES)
def test_a_sign_on_gate_is_told_and_how_to_pass_it(name: str, api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        world.proxy.plan(answering(GATES[name]))
        for generation in ("auto", api):
            result = world.run(WAIT_TIMEOUT="0", CHIRPSTACK_API=generation)
            assert result.code == 3, result.log
            assert "CHIRPSTACK_HEADERS_FILE" in result.err.splitlines()[-1], result.log
            assert "rd=" not in result.err
        assert world.server.requests == []
        world.expect_healed(result.log)
        record("in between", f"a gate: {name}", "exit 3, told")


@pytest.mark.parametrize("api", APIS)
def test_a_gate_is_passed_with_the_headers_that_it_wants(api: Api, worlds: Worlds) -> None:
    gate = redirect("https://sso.example.com/start")
    with worlds(api) as world:
        file = world.folder / "headers"
        file.write_text("X-Gate-Id: me\nX-Gate-Secret: let me through\n")
        world.variables["CHIRPSTACK_HEADERS_FILE"] = str(file)
        world.settle()

        def check_header(exchange: Exchange) -> Fault | None:
            is_let_through = b"\r\nX-Gate-Secret: let me through\r\n" in exchange.request
            return None if is_let_through else lambda exchange: exchange.send(gate.whole)

        for arguments in ((), ("check",), ("rotate",), ("revoke",)):
            world.proxy.plan(check_header)
            result = world.run(None, arguments)
            assert result.code == 0, result.log
            assert "let me through" not in result.err
        world.again = ("ensure",)
        world.expect_healed(result.log)
        record("in between", "a gate that wants headers", "exit 0")


def to_https(exchange: Exchange) -> None:
    path = exchange.request.split()[1].decode()
    exchange.send(redirect(f"https://127.0.0.1{path}").whole)


def test_an_ordinary_redirect_is_no_gate(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        world.proxy.plan(lambda exchange: to_https)
        result = world.run(WAIT_TIMEOUT="0")
        assert result.code == 3
        assert "redirects are not followed: set CHIRPSTACK_URL" in result.err.splitlines()[-1]


def test_a_gate_that_knows_v3s_paths_only_is_passed(worlds: Worlds) -> None:
    """What refuses v4's calls says nothing about v3's."""
    forbidden = Raw.of("403 Forbidden", _TEMPLATE, "text/html")
    for answer in (forbidden, redirect("/ui/"), redirect("https://example.com/")):
        with worlds("v3") as world:
            world.settle()
            world.proxy.plan(
                lambda exchange, answer=answer: (  # type: ignore[misc]
                    (lambda exchange: exchange.send(answer.whole)) if b" /api." in exchange.request else None
                )
            )
            result = world.run()
            assert result.code == 0, result.log
            world.expect_promise_kept(result)
        record("in between", "a gate that lets v3's paths through only", "exit 0")


def without_token(exchange: Exchange) -> None:
    exchange.request = re.sub(rb"(?im)^(grpc-metadata-)?authorization:.*\r\n", b"", exchange.request)
    exchange.pass_on()


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("arguments", [(), ("rotate",), ("check",)])
def test_a_proxy_that_removes_the_token_is_told(api: Api, arguments: tuple[str, ...], worlds: Worlds) -> None:
    header = {"v3": "Grpc-Metadata-Authorization", "v4": "Authorization"}[api]
    with worlds(api) as world:
        first = world.run()
        assert first.code == 0, first.log
        world.settle()
        before = world.tokens(), world.server.keys()
        world.proxy.plan(lambda exchange: without_token)
        result = world.run(None, arguments, WAIT_TIMEOUT="0")
        assert result.code == 3, result.log
        assert f"removes the header {header}" in result.err
        assert (world.tokens(), world.server.keys()) == before
        world.expect_healed(result.log)
    with worlds(api) as world:
        world.settle()
        world.proxy.plan(lambda exchange: without_token)
        result = world.run(WAIT_TIMEOUT="0")
        assert result.code == 3, result.log
        assert f"removes the header {header}" in result.err.splitlines()[-1]
        world.expect_healed(result.log)
    record("in between", "a proxy that removes the token", "exit 3, told, nothing changed")


SECRET = 'Qz7!wörd "x\\'
STATUSES = ("200 OK", "400 Bad Request", "401 Unauthorized", "404 Not Found", "413 Too Large", "422 X", "500 Error",
            "502 Bad Gateway", "302 Found", "407 Proxy Authentication Required", "429 Too Many Requests")  # fmt: skip
TYPES = ("text/plain", "text/html", "application/json", "application/grpc-web+proto")
ECHOES: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda body: body,
    "in a title": lambda body: b"<title>cannot handle " + body + b"</title>",
    "beyond what is quoted": lambda body: b"x" * (80 - body.find(b"Qz7!") - 6) + body,
    "as an error of v3": lambda body: b'{"error":"invalid: Qz7!w","code":3}',
}


def echo(status: str, content_type: str, how: str) -> Fault:
    def fault(exchange: Exchange) -> None:
        body = exchange.request.partition(b"\r\n\r\n")[2]
        if b"Qz7!" not in body:
            exchange.pass_on()
            return
        headers = ["Location: /x?Qz7!w"] if status.startswith("302") else []
        if "grpc" in content_type:
            headers += ["grpc-status: 3", "grpc-message: bad Qz7!w"]
        exchange.send(Raw.of(status, ECHOES[how](body), content_type, *headers).whole)

    return fault


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("when", ["the login", "the change of the password"])
def test_nothing_of_a_password_that_is_repeated_is_logged(api: Api, when: str, worlds: Worlds) -> None:
    def check(case: tuple[str, str, str]) -> None:
        with worlds(api) as world:
            world.variables["CHIRPSTACK_PASSWORD"] = SECRET
            world.settle()
            if when == "the login":
                world.proxy.plan(lambda exchange: echo(*case))
            else:
                world.variables["CHIRPSTACK_INITIAL_PASSWORD"] = "admin"
                change = (b"/password ", b"UpdatePassword ")
                world.proxy.plan(
                    lambda exchange: echo(*case) if any(one in exchange.request for one in change) else None
                )
            result = world.run(WAIT_TIMEOUT="0", REQUEST_TIMEOUT="5s")
            assert result.code in (3, 4, 7), result.log
            for line in result.err.splitlines():
                assert "Qz7" not in line, line
        record("in between", f"a proxy that repeats {when}", "nothing of the password in the log")

    each([(status, kind, how) for status in STATUSES for kind in TYPES for how in ECHOES], check, one_of=16)
