"""Behind a real reverse proxy, with TLS and a path prefix."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.secured.authority import Certificate
from tests.secured.conftest import Pki
from tests.secured.nginx import PREFIX, nginx
from tests.secured.server import NAME, Site, expect_first_and_second_run
from tests.simulator import Simulator
from tests.support import PASSWORD, started_job

MANY = 1500  # keys, so that their list is longer than what nginx keeps of an answer in memory


@contextmanager
def behind_nginx(folder: Path, upstream: str, pki: Pki, *, server: str = "", location: str = "") -> Iterator[Site]:
    """The site of a job that knows the proxy only; `server` and `location` are nginx's directives."""
    with nginx(folder / "nginx", upstream, pki.server, server=server, location=location) as url:
        site = folder / "site"
        site.mkdir()
        yield Site(site, url, CHIRPSTACK_CA_FILE=pki.ca.file)


@pytest.mark.parametrize(
    "location",
    [
        "proxy_buffering on;",
        "proxy_buffering off;",
        "proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection '';",
        "gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1;",
    ],
)
def test_a_keys_life_behind_nginx(chirpstack: Simulator, tmp_path: Path, pki: Pki, location: str) -> None:
    chirpstack.add_keys(MANY)
    with behind_nginx(tmp_path, chirpstack.url, pki, location=location) as site:
        expect_first_and_second_run(chirpstack, site)
        [first] = chirpstack.keys(NAME)
        for command in ("rotate", "check"):
            run = site.run(command)
            assert run.code == 0, run.err
        [second] = chirpstack.keys(NAME)
        assert second.id != first.id
        assert chirpstack.token_works(site.token)
        assert site.run("revoke").code == 0
    assert chirpstack.keys(NAME) == []
    assert not site.token_file.exists()


def test_a_prefix_may_end_in_a_slash_and_is_kept(v4: Simulator, tmp_path: Path, pki: Pki) -> None:
    with behind_nginx(tmp_path, v4.url, pki) as site:
        site.url += "/"
        assert site.run().code == 0
    assert all(request.path.startswith("/api.") for request in v4.requests)


def test_a_prefix_that_is_left_out_is_told(chirpstack: Simulator, tmp_path: Path, pki: Pki) -> None:
    with behind_nginx(tmp_path, chirpstack.url, pki) as site:
        site.url = site.url.removesuffix(PREFIX)
        run = site.try_once()
    assert run.code == 3
    assert "404 Not Found" in run.error
    assert "the address under which the web interface opens" in run.hint
    assert chirpstack.requests == []


@pytest.mark.parametrize(("api", "version"), [("v3", "3.17.9"), ("v4", "4.19.0")])
def test_while_nginx_answers_that_the_server_is_down_the_job_waits(
    tmp_path: Path, pki: Pki, api: str, version: str
) -> None:
    simulator = Simulator(api, version)  # type: ignore[arg-type]
    simulator.set_password("admin", PASSWORD)
    simulator.bind()
    with behind_nginx(tmp_path, simulator.url, pki) as site:
        with started_job(site.folder, **site.variables(WAIT_TIMEOUT="20s")) as job:
            assert job.stderr is not None
            assert any("waiting" in line and "502 Bad Gateway" in line for line in iter(job.stderr.readline, ""))
            simulator.listen()
            job.communicate(timeout=20)
        assert job.returncode == 0
        assert simulator.token_works(site.token)
    simulator.close()


def test_http_on_the_tls_port_of_nginx_is_told(chirpstack: Simulator, tmp_path: Path, pki: Pki) -> None:
    with behind_nginx(tmp_path, chirpstack.url, pki) as site:
        site.url = site.url.replace("https:", "http:")
        run = site.try_once()
    assert run.code == 3
    assert "The plain HTTP request was sent to HTTPS port" in run.error
    assert "use https:// in CHIRPSTACK_URL" in run.hint


def test_a_redirect_to_https_names_its_target(chirpstack: Simulator, tmp_path: Path, pki: Pki) -> None:
    redirect = "error_page 497 =301 https://$host:$server_port$request_uri;"
    with behind_nginx(tmp_path, chirpstack.url, pki, server=redirect) as site:
        https, site.url = site.url, site.url.replace("https:", "http:")
        run = site.try_once()
    assert run.code == 3
    assert f"a redirect to {https}/api" in run.error
    assert "CHIRPSTACK_URL" in run.hint
    assert chirpstack.requests == []


def test_a_redirect_to_the_servers_other_name_is_no_gate(chirpstack: Simulator, tmp_path: Path, pki: Pki) -> None:
    redirect = "return 301 https://www.example.com$request_uri;"
    with behind_nginx(tmp_path, chirpstack.url, pki, location=redirect) as site:
        run = site.try_once()
    assert run.code == 3
    assert "a redirect to https://www.example.com/" in run.error
    assert run.hint == "redirects are not followed: set CHIRPSTACK_URL to the address behind them"


@pytest.mark.parametrize("status", [429, 503])
def test_a_limit_to_the_rate_makes_runs_slow_only(chirpstack: Simulator, tmp_path: Path, pki: Pki, status: int) -> None:
    limit = f"limit_req zone=few; limit_req_status {status};"
    log = ""
    with behind_nginx(tmp_path, chirpstack.url, pki, location=limit) as site:
        for what in ("created", "up to date"):
            run = site.run()
            assert run.code == 0, run.err
            assert what in run.messages[-1]
            log += run.err
    assert f": {status}, " in log
    assert len(chirpstack.keys(NAME)) == 1
    assert chirpstack.token_works(site.token)


@pytest.fixture(scope="session")
def clients(pki: Pki) -> dict[str, Certificate]:
    return {
        "right": pki.ca.issue("nginx-client", client=True),
        "stranger's": pki.stranger.issue("strange-nginx-client", client=True),
    }


@pytest.mark.parametrize("given", ["right", "stranger's", "none"])
def test_nginx_may_ask_for_a_client_certificate(
    chirpstack: Simulator, tmp_path: Path, pki: Pki, clients: dict[str, Certificate], given: str
) -> None:
    certificate: dict[str, str | Path] = {}
    if given in clients:
        certificate = {
            "CHIRPSTACK_CLIENT_CERT_FILE": clients[given].file,
            "CHIRPSTACK_CLIENT_KEY_FILE": clients[given].key_file,
        }
    asking = f"ssl_client_certificate {pki.ca.file}; ssl_verify_client on;"
    with behind_nginx(tmp_path, chirpstack.url, pki, server=asking) as site:
        run = site.try_once(**certificate)
    if given == "right":
        assert run.code == 0, run.err
    else:
        assert run.code == 3
        assert "SSL certificate" in run.error
        assert "CHIRPSTACK_CLIENT_CERT_FILE" in run.hint
        assert chirpstack.requests == []


def test_a_login_that_nginx_asks_for_is_told_from_the_servers(chirpstack: Simulator, tmp_path: Path, pki: Pki) -> None:
    asking = "auth_basic 'Members only'; auth_basic_user_file /dev/null;"
    with behind_nginx(tmp_path, chirpstack.url, pki, location=asking) as site:
        run = site.try_once()
    assert run.code == 3
    assert "answered 401" in run.error
    assert "a proxy in front of the server asks for a login of its own" in run.hint
    assert chirpstack.requests == []


@pytest.mark.parametrize(
    ("api", "value"),
    [
        ("v4", "Basic YTpi"),
        ("auto", "Basic YTpi"),
        ("v4", "Bearer of.another.service"),
        ("auto", "Bearer of.another.service"),
    ],
)
def test_an_authorization_header_that_nginx_adds_is_told(
    v4: Simulator, tmp_path: Path, pki: Pki, api: str, value: str
) -> None:
    with behind_nginx(tmp_path, v4.url, pki, location=f"proxy_set_header Authorization '{value}';") as site:
        run = site.try_once(CHIRPSTACK_API=api)
    assert run.code == 3
    assert "a proxy on the way adds an Authorization header of its own" in run.hint
