"""TLS as the settings ask for it, and a hint for each way in which it fails."""

import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from init_job.errors import Unavailable
from init_job.servers.http import Http
from tests.secured.authority import Authority, Certificate, tls
from tests.secured.conftest import Pki
from tests.secured.server import NAME, Site, TlsSimulator, expect_first_and_second_run
from tests.simulator import Drop, Request, Response, Simulator
from tests.support import environment, settings_for, started_job

# Whom the job trusts


def test_a_server_of_the_given_authority_is_trusted(secured: TlsSimulator, site: Site, pki: Pki) -> None:
    expect_first_and_second_run(secured, site, CHIRPSTACK_CA_FILE=pki.ca.file)


def test_without_an_authority_the_systems_are_trusted(secured: TlsSimulator, site: Site, pki: Pki) -> None:
    assert site.run(SSL_CERT_FILE=pki.ca.file).code == 0


def test_the_given_authority_is_trusted_instead_of_the_systems(secured: TlsSimulator, site: Site, pki: Pki) -> None:
    run = site.try_once(SSL_CERT_FILE=pki.ca.file, CHIRPSTACK_CA_FILE=pki.stranger.file)
    expect_distrust(run.code, run.error, secured)
    assert "CHIRPSTACK_CA_FILE" in run.hint


def expect_distrust(code: int, error: str, server: Simulator) -> None:
    assert code == 3
    assert "the server's certificate is not trusted" in error
    assert server.requests == []


def test_variables_of_other_programs_name_no_authorities(secured: TlsSimulator, site: Site, pki: Pki) -> None:
    run = site.try_once(REQUESTS_CA_BUNDLE=pki.ca.file, CURL_CA_BUNDLE=pki.ca.file)
    expect_distrust(run.code, run.error, secured)


def test_the_certifi_package_names_no_authorities(secured: TlsSimulator, site: Site, pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "certifi.py").write_text(f"def where():\n    return {str(pki.ca.file)!r}\n")
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    get = [sys.executable, "-c", f"import requests; requests.get({secured.url!r}, timeout=10)"]
    subprocess.run(get, env=environment(PYTHONPATH=path), check=True)  # so certifi would do
    secured.clear_requests()
    run = site.try_once(PYTHONPATH=path, CHIRPSTACK_CA_FILE=pki.stranger.file)
    expect_distrust(run.code, run.error, secured)
    run = site.try_once(PYTHONPATH=path)
    expect_distrust(run.code, run.error, secured)


@pytest.mark.parametrize(
    ("certificate", "told", "hint"),
    [
        ("other-host", "hostname mismatch", "set CHIRPSTACK_URL to a host name"),
        ("expired", "certificate has expired", "renew"),
    ],
)
def test_a_certificate_that_is_not_the_servers_is_told(
    tmp_path: Path, pki: Pki, certificate: str, told: str, hint: str
) -> None:
    issued = {
        "other-host": pki.ca.issue("other-host", hosts=("chirpstack.example",)),
        "expired": pki.ca.issue("expired", days=-1),
    }[certificate]
    with TlsSimulator("v4", tls(issued)) as simulator:
        run = Site(tmp_path, simulator.url).try_once(CHIRPSTACK_CA_FILE=pki.ca.file)
    expect_distrust(run.code, run.error, simulator)
    assert told in run.error
    assert hint in run.hint


@pytest.mark.parametrize("kind", ["without-key-usage", "below-another", "only-the-lower-one-is-given"])
def test_home_made_authorities_are_accepted(tmp_path: Path, pki: Pki, kind: str) -> None:
    if kind == "without-key-usage":
        given = Authority(pki.folder, kind, usual=False)
        certificate = given.issue(f"server-{kind}")
    else:
        lower = Authority(pki.folder, kind, above=pki.ca)
        given = pki.ca if kind == "below-another" else lower
        certificate = lower.issue(f"server-{kind}")
    with TlsSimulator("v4", tls(certificate)) as simulator:
        run = Site(tmp_path, simulator.url).run(CHIRPSTACK_CA_FILE=given.file)
    assert run.code == 0, run.err


@pytest.mark.parametrize("api", ["v3", "v4"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_without_verification_any_certificate_will_do_and_every_run_warns(
    tmp_path: Path, pki: Pki, api: str, host: str
) -> None:
    issued = pki.stranger.issue(f"wrong-{api}-{host}", hosts=("chirpstack.example",), days=-1)
    with TlsSimulator(api, tls(issued)) as simulator:
        site = Site(tmp_path, simulator.url.replace("localhost", host))
        for run in expect_first_and_second_run(simulator, site, CHIRPSTACK_TLS_VERIFY="false"):
            assert [line for line in run.messages if "CHIRPSTACK_TLS_VERIFY" in line] == [
                "CHIRPSTACK_TLS_VERIFY=false: whoever is on the way can read the password and the token"
            ]
            # Nothing that is not a line of the log: no warning of a library.
            assert all(re.match(r"\d{4}-\d\d-\d\dT\S+Z [A-Z]+ ", line) for line in run.err.splitlines()), run.err


# Who the job is


@pytest.fixture(scope="session")
def client(pki: Pki) -> Certificate:
    return pki.ca.issue("client", client=True)


def tls_with_clients(pki: Pki, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = tls(pki.server, clients_of=pki.ca)
    context.minimum_version = context.maximum_version = version
    return context


# A missing certificate ends the handshake of TLS 1.2; with TLS 1.3 the client has sent its request by then.
both_versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@both_versions
@pytest.mark.parametrize("api", ["v3", "v4"])
def test_a_client_certificate_lets_the_job_in(
    tmp_path: Path, pki: Pki, client: Certificate, version: ssl.TLSVersion, api: str
) -> None:
    with TlsSimulator(api, tls_with_clients(pki, version)) as simulator:
        expect_first_and_second_run(
            simulator, Site(tmp_path, simulator.url), CHIRPSTACK_CA_FILE=pki.ca.file,
            CHIRPSTACK_CLIENT_CERT_FILE=client.file, CHIRPSTACK_CLIENT_KEY_FILE=client.key_file,
        )  # fmt: skip


@both_versions
@pytest.mark.parametrize("given", ["none", "a stranger's"])
def test_without_the_right_client_certificate_there_is_a_hint(
    tmp_path: Path, pki: Pki, version: ssl.TLSVersion, given: str
) -> None:
    certificate: dict[str, str | Path] = {}
    if given != "none":
        issued = pki.stranger.issue("strange-client", client=True)
        certificate = {
            "CHIRPSTACK_CLIENT_CERT_FILE": issued.file,
            "CHIRPSTACK_CLIENT_KEY_FILE": issued.key_file,
        }
    with TlsSimulator("v4", tls_with_clients(pki, version)) as simulator:
        run = Site(tmp_path, simulator.url).try_once(CHIRPSTACK_CA_FILE=pki.ca.file, **certificate)
    assert run.code == 3
    assert re.search("no TLS connection|the connection broke off", run.error)
    assert "CHIRPSTACK_CLIENT_CERT_FILE" in run.hint
    assert simulator.requests == []


def test_certificate_and_key_may_be_in_one_file(tmp_path: Path, pki: Pki, client: Certificate) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(client.key_file.read_bytes() + client.file.read_bytes())
    with TlsSimulator("v4", tls(pki.server, clients_of=pki.ca)) as simulator:
        run = Site(tmp_path, simulator.url).run(CHIRPSTACK_CA_FILE=pki.ca.file, CHIRPSTACK_CLIENT_CERT_FILE=both)
    assert run.code == 0, run.err


# Files that will not do


@pytest.mark.parametrize("content", ["no certificate\n", "a key"])
def test_a_ca_file_without_a_certificate_is_told_before_any_request(
    secured: TlsSimulator, site: Site, pki: Pki, content: str
) -> None:
    file = site.folder / "ca.pem"
    file.write_text(pki.server.key_file.read_text() if content == "a key" else content)
    run = site.run(CHIRPSTACK_CA_FILE=file)
    assert run.code == 2
    assert f"CHIRPSTACK_CA_FILE: {file} holds no certificates" in run.error
    assert "PEM" in run.hint
    assert secured.requests == []


@pytest.mark.parametrize("key", ["with a passphrase", "of another certificate", "none", "no key"])
def test_a_key_that_does_not_open_the_certificate_is_told_before_any_request(
    secured: TlsSimulator, site: Site, pki: Pki, key: str
) -> None:
    locked = pki.ca.issue("locked", passphrase="a passphrase", client=True)
    files: dict[str, str | Path] = {
        "with a passphrase": locked.key_file,
        "of another certificate": pki.server.key_file,
        "none": "",
        "no key": pki.ca.file,
    }
    run = site.run(CHIRPSTACK_CLIENT_CERT_FILE=locked.file, CHIRPSTACK_CLIENT_KEY_FILE=files[key])
    assert run.code == 2
    assert f"CHIRPSTACK_CLIENT_CERT_FILE: {locked.file} cannot be used" in run.error
    assert "without a passphrase" in run.hint
    assert "ssl.c" not in run.error
    assert secured.requests == []


@pytest.mark.parametrize("variable", ["CHIRPSTACK_CA_FILE", "CHIRPSTACK_CLIENT_CERT_FILE"])
def test_a_file_that_is_not_there_is_told_before_any_request(secured: TlsSimulator, site: Site, variable: str) -> None:
    run = site.run(**{variable: site.folder / "missing.pem"})
    assert run.code == 2
    assert f"{variable}: cannot read" in run.error
    assert secured.requests == []


# TLS where there is none, and the reverse


def test_https_on_a_plain_port_is_told(chirpstack: Simulator, tmp_path: Path) -> None:
    run = Site(tmp_path, chirpstack.url.replace("http:", "https:")).try_once()
    assert run.code == 3
    assert "no TLS connection" in run.error
    assert "use http:// in CHIRPSTACK_URL" in run.hint
    assert chirpstack.requests == []


def test_http_on_a_tls_port_is_told(secured: TlsSimulator, site: Site) -> None:
    site.url = site.url.replace("https:", "http:")
    run = site.try_once()
    assert run.code == 3
    assert "https:// in CHIRPSTACK_URL" in run.hint
    assert secured.requests == []


@pytest.mark.parametrize(
    ("server", "page"),
    [
        ("Go", b"Client sent an HTTP request to an HTTPS server.\n"),
        ("Apache", b"<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />\n"),
    ],
)
def test_http_on_a_tls_port_that_answers_so_is_told(v4: Simulator, tmp_path: Path, server: str, page: bytes) -> None:
    v4.before = lambda request: Response(400, [("Content-Type", "text/plain")], page)
    run = Site(tmp_path, v4.url).try_once()
    assert run.code == 3
    assert "answered 400" in run.error
    assert "use https:// in CHIRPSTACK_URL" in run.hint


def test_a_port_that_never_shakes_hands_takes_no_longer_than_the_request_timeout(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        run = Site(tmp_path, f"https://localhost:{server.getsockname()[1]}").try_once(REQUEST_TIMEOUT="200ms")
    assert run.code == 3
    assert "did not answer" in run.error  # in the words of whichever limit comes first: for a connection, or for all


# HEALTH_URL


def test_health_url_has_the_same_tls_as_the_server(secured: TlsSimulator, site: Site, pki: Pki) -> None:
    secured.database_down = True
    given = site.variables(
        HEALTH_URL=secured.health_url, CHIRPSTACK_CA_FILE=pki.ca.file, WAIT_TIMEOUT="20s"
    )  # fmt: skip
    with started_job(site.folder, **given) as job:
        assert job.stderr is not None
        assert any("HEALTH_URL" in line and "503" in line for line in iter(job.stderr.readline, ""))
        assert secured.requests == []
        secured.database_down = False
        job.communicate(timeout=20)
        assert job.returncode == 0
    assert secured.token_works(site.token)


def test_health_url_may_be_the_only_one_with_tls(
    secured: TlsSimulator, chirpstack: Simulator, tmp_path: Path, pki: Pki
) -> None:
    site = Site(tmp_path, chirpstack.url)
    run = site.try_once(HEALTH_URL=secured.health_url)
    assert run.code == 3
    assert f"{secured.health_url}: the server's certificate is not trusted" in run.error
    assert chirpstack.requests == []
    run = site.run(HEALTH_URL=secured.health_url, CHIRPSTACK_CA_FILE=pki.ca.file)
    assert run.code == 0, run.err


# Trouble in the middle


@pytest.mark.parametrize("reset", [False, True])
def test_a_create_whose_answer_is_lost_with_the_connection_leaves_one_key(
    secured: TlsSimulator, site: Site, pki: Pki, reset: bool
) -> None:
    lost: list[str] = []

    def lose(request: Request, response: Response) -> Response | None:
        if not lost and secured.keys(NAME):
            lost.extend(key.id for key in secured.keys(NAME))
            raise Drop(reset=reset)
        return None

    secured.after = lose
    run = site.run(CHIRPSTACK_CA_FILE=pki.ca.file)
    assert run.code == 0, run.err
    [key] = secured.keys(NAME)
    assert [key.id] != lost
    assert secured.token_works(site.token)


def test_a_wait_for_a_trusted_certificate_succeeds_when_it_is_renewed(tmp_path: Path, pki: Pki) -> None:
    context = tls(pki.ca.issue("outdated", days=-1))
    with TlsSimulator("v4", context) as simulator:
        site = Site(tmp_path, simulator.url)
        with started_job(
            tmp_path, **site.variables(CHIRPSTACK_CA_FILE=pki.ca.file, WAIT_TIMEOUT="20s")
        ) as job:  # fmt: skip
            assert job.stderr is not None
            assert any("waiting" in line and "expired" in line for line in iter(job.stderr.readline, ""))
            context.load_cert_chain(pki.server.file, pki.server.key_file)
            job.communicate(timeout=20)
            assert job.returncode == 0
        assert simulator.token_works(site.token)


def test_termination_ends_a_handshake(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        site = Site(tmp_path, f"https://localhost:{server.getsockname()[1]}")
        with started_job(tmp_path, **site.variables(REQUEST_TIMEOUT="60s")) as job:
            connection, _ = server.accept()
            assert connection.recv(1) == b"\x16"  # the handshake has begun
            job.send_signal(signal.SIGTERM)
            job.communicate(timeout=30)
            connection.close()
    assert job.returncode == 143


# What may have been carried out


@pytest.mark.parametrize(
    ("given", "version"),
    [
        ("a stranger's authority", ssl.TLSVersion.TLSv1_2),
        ("a stranger's authority", ssl.TLSVersion.TLSv1_3),
        # In TLS 1.3 the request has left by the time that the server looks at the client's certificate.
        ("a stranger's certificate", ssl.TLSVersion.TLSv1_2),
        ("no certificate", ssl.TLSVersion.TLSv1_2),
    ],
)
def test_what_tls_refused_was_not_carried_out(pki: Pki, given: str, version: ssl.TLSVersion) -> None:
    variables = {"CHIRPSTACK_CA_FILE": str(pki.ca.file)}
    if given == "a stranger's certificate":
        strange = pki.stranger.issue(f"stranger-{version.name}", client=True)
        variables["CHIRPSTACK_CLIENT_CERT_FILE"] = str(strange.file)
        variables["CHIRPSTACK_CLIENT_KEY_FILE"] = str(strange.key_file)
    elif given == "a stranger's authority":
        variables["CHIRPSTACK_CA_FILE"] = str(pki.stranger.file)
    with TlsSimulator("v4", tls_with_clients(pki, version)) as simulator:
        with pytest.raises(Unavailable) as caught:
            Http(settings_for(simulator.url, **variables)).send("POST", "/", content=b"make a key")
        assert simulator.requests == []
    assert not caught.value.in_doubt, str(caught.value)
