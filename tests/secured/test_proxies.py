"""HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, and `.netrc`."""

import base64
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.secured.conftest import Pki
from tests.secured.forward_proxy import ForwardProxy
from tests.secured.server import Site, TlsSimulator, expect_first_and_second_run
from tests.simulator import Simulator
from tests.support import expect_no_secrets

ELSEWHERE = "chirpstack.invalid"  # RFC 6761: no name server knows it
DEAD = "http://127.0.0.1:1"


def port(url: str) -> int:
    return urlsplit(url).port or 0


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_asked_for_a_server_whose_name_only_the_proxy_knows(
    chirpstack: Simulator, tmp_path: Path, variable: str
) -> None:
    site = Site(tmp_path, f"http://{ELSEWHERE}:8080")
    with ForwardProxy(port(chirpstack.url)) as proxy:
        expect_first_and_second_run(chirpstack, site, **{variable: proxy.url})
    assert proxy.forwarded
    assert all(url.startswith(f"{site.url}/api") for url in proxy.forwarded)


def test_tls_goes_through_a_tunnel_and_a_run_needs_one(secured: TlsSimulator, pki: Pki, tmp_path: Path) -> None:
    url = f"https://localhost:{port(secured.url)}/"
    with ForwardProxy(port(url)) as proxy:
        run = Site(tmp_path, url).run(HTTPS_PROXY=proxy.address, CHIRPSTACK_CA_FILE=pki.ca.file)
    assert run.code == 0, run.err
    assert proxy.tunnels == [f"localhost:{port(url)}"]
    assert proxy.forwarded == []


def test_the_certificate_is_checked_behind_the_proxy(secured: TlsSimulator, pki: Pki, tmp_path: Path) -> None:
    with ForwardProxy(port(secured.url)) as proxy:
        for url, ca, told in (
            (f"https://{ELSEWHERE}", pki.ca, "not valid for"),
            (secured.url, pki.stranger, "not trusted"),
        ):
            run = Site(tmp_path, url).try_once(HTTPS_PROXY=proxy.url, CHIRPSTACK_CA_FILE=ca.file)
            assert run.code == 3
            assert told in run.error
    assert secured.requests == []


def test_a_proxys_login_is_given_to_the_proxy_only(
    secured: TlsSimulator, v4: Simulator, pki: Pki, tmp_path: Path
) -> None:
    for server, variable in ((secured, "HTTPS_PROXY"), (v4, "HTTP_PROXY")):
        folder = tmp_path / variable
        folder.mkdir()
        with ForwardProxy(port(server.url)) as proxy:
            login: dict[str, str | Path] = {variable: f"http://anna:proxy-password@{proxy.address}"}
            run = Site(folder, server.url).run(CHIRPSTACK_CA_FILE=pki.ca.file, **login)
        assert run.code == 0, run.err
        expect_no_secrets(run, "proxy-password")
        assert proxy.logins == {"Basic YW5uYTpwcm94eS1wYXNzd29yZA=="}
        assert all("Proxy-Authorization" not in request.headers for request in server.requests)


@pytest.mark.parametrize(
    ("password", "sent"),
    [
        ("p\xe4ssword-99", "p\xe4ssword-99".encode()),
        ("\u043f\u0430\u0440\u043e\u043b\u044c-99", "\u043f\u0430\u0440\u043e\u043b\u044c-99".encode()),
        ("%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C-99", "\u043f\u0430\u0440\u043e\u043b\u044c-99".encode()),
        ("password%E2%82%AC", "password\u20ac".encode()),
        ("password%ff", b"password\xff"),
        ("pass@word%40%3a%2f", b"pass@word@:/"),
    ],
)
def test_a_proxys_password_is_sent_in_utf_8_or_in_the_octets_that_are_given(
    secured: TlsSimulator, v4: Simulator, pki: Pki, tmp_path: Path, password: str, sent: bytes
) -> None:
    for server, variable in ((secured, "HTTPS_PROXY"), (v4, "HTTP_PROXY")):
        with ForwardProxy(port(server.url)) as proxy:
            login: dict[str, str | Path] = {variable: f"http://anna:{password}@{proxy.address}"}
            run = Site(tmp_path, server.url).run("--dry-run", CHIRPSTACK_CA_FILE=pki.ca.file, **login)
        assert run.code == 0, run.err
        header = base64.b64encode(b"anna:" + sent).decode()
        assert proxy.logins == {f"Basic {header}"}
        expect_no_secrets(run, password, sent.decode("utf-8", "replace"), header)


def test_a_login_that_the_proxy_says_back_is_masked(v4: Simulator, tmp_path: Path) -> None:
    for password in ("p\xe4ssword-99", "password-%ff"):
        with ForwardProxy(port(v4.url), refusal=502, says_back=True) as proxy:
            run = Site(tmp_path, v4.url).try_once(HTTP_PROXY=f"http://anna:{password}@{proxy.address}")
        assert "Squid says no to ***" in run.error
        (login,) = proxy.logins
        expect_no_secrets(run, str(login).removeprefix("Basic "))


@pytest.mark.parametrize("no_proxy", ["localhost", "example.com, localhost", "*"])
def test_no_proxy_goes_round_the_proxy(secured: TlsSimulator, pki: Pki, site: Site, no_proxy: str) -> None:
    given: dict[str, str | Path] = {"HTTPS_PROXY": DEAD, "CHIRPSTACK_CA_FILE": pki.ca.file}
    run = site.try_once(**given)
    assert run.code == 3
    assert "the proxy cannot be used" in run.error
    assert "NO_PROXY" in run.hint
    run = site.try_once(**given, NO_PROXY=no_proxy)
    assert run.code == 0, run.err


def test_each_address_has_its_own_proxy_or_none(secured: TlsSimulator, v4: Simulator, pki: Pki, tmp_path: Path) -> None:
    run = Site(tmp_path, v4.url).run(
        HEALTH_URL=secured.health_url, NO_PROXY="127.0.0.1", HTTP_PROXY=DEAD, CHIRPSTACK_CA_FILE=pki.ca.file
    )
    assert run.code == 0, run.err


@pytest.mark.parametrize("status", [200, 403, 404, 407, 429, 500, 502, 503])
def test_a_proxy_that_refuses_is_told_from_the_server(chirpstack: Simulator, tmp_path: Path, status: int) -> None:
    with ForwardProxy(port(chirpstack.url), refusal=status) as proxy:
        given: dict[str, str | Path] = {"HTTP_PROXY": f"http://anna:proxy-password@{proxy.address}"}
        run = Site(tmp_path, chirpstack.url).try_once(**given)
    assert run.code == 3
    assert f"answered {status} (text/html: Squid says no)" in run.error
    assert "HTTP_PROXY" in run.hint
    assert "NO_PROXY" in run.hint
    assert ("USER:PASSWORD@HOST:PORT" if status == 407 else f"the proxy {proxy.address} ") in run.hint
    expect_no_secrets(run, "proxy-password")
    assert "anna" not in run.err


@pytest.mark.parametrize("status", [403, 404, 407, 502])
def test_a_proxy_that_refuses_the_tunnel_is_told(secured: TlsSimulator, pki: Pki, site: Site, status: int) -> None:
    with ForwardProxy(port(secured.url), refusal=status) as proxy:
        run = site.try_once(HTTPS_PROXY=proxy.url, CHIRPSTACK_CA_FILE=pki.ca.file)
    assert run.code == 3
    assert "the proxy cannot be used" in run.error
    assert f"(Tunnel connection failed: {status}" in run.error
    assert "HTTPS_PROXY" in run.hint
    assert ("USER:PASSWORD@HOST:PORT" if status == 407 else proxy.address) in run.hint


@pytest.mark.parametrize(
    ("tunnel", "told", "else_"),
    [("closed", "the connection broke off", "CHIRPSTACK_CLIENT_CERT_FILE"), ("deaf", "did not answer", "server's log")],
)
def test_a_proxy_that_breaks_or_swallows_the_tunnel_is_named(
    secured: TlsSimulator, pki: Pki, site: Site, tunnel: str, told: str, else_: str
) -> None:
    with ForwardProxy(port(secured.url), tunnel=tunnel) as proxy:
        given: dict[str, str | Path] = {"HTTPS_PROXY": proxy.url, "CHIRPSTACK_CA_FILE": pki.ca.file}
        run = site.try_once(**given, REQUEST_TIMEOUT="1s")
    assert run.code == 3
    assert told in run.error
    assert f"the proxy {proxy.address} of HTTPS_PROXY" in run.hint
    assert "NO_PROXY" in run.hint
    assert else_ in run.hint


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        ("http://proxy.invalid:3128", "the proxy cannot be used"),
        ("http://anna:proxy-password@127.0.0.1:port", "the proxy"),
        ("http://anna:proxy-password@127.0.0.1:99999", "the proxy"),
        ("http://anna:proxy-password@[proxy", "the proxy"),
        ("http://anna:proxy-password%40127.0.0.1:3128", "the proxy"),
        ("anna:proxy-password%40127.0.0.1:3128", "the proxy"),
        ("http://anna:\u20ac-proxy-password@[proxy", "the proxy"),
        ("http://", "the proxy"),
        ("socks5://127.0.0.1:1080", "the proxy"),
    ],
)
def test_a_wrong_proxy_address_is_told_without_its_password(
    v4: Simulator, tmp_path: Path, proxy: str, told: str
) -> None:
    run = Site(tmp_path, v4.url).try_once(HTTP_PROXY=proxy)
    assert run.code == 3
    assert told in run.error
    assert "HTTP_PROXY" in run.hint
    expect_no_secrets(run, "proxy-password")
    assert "anna" not in run.err


@pytest.mark.parametrize("variable", ["HOME", "NETRC"])
def test_netrc_is_never_used(chirpstack: Simulator, tmp_path: Path, variable: str) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login netrc-user password netrc-password\n")
    netrc.chmod(0o600)
    site = Site(tmp_path, chirpstack.url)
    place = {variable: tmp_path if variable == "HOME" else netrc}
    for arguments in ([], [], ["rotate"], ["revoke"]):
        run = site.run(*arguments, **place)
        assert run.code == 0, run.err
    sent = [value for request in chirpstack.requests for value in request.headers.get_all("Authorization", [])]
    assert all(value.startswith("Bearer ") for value in sent)
