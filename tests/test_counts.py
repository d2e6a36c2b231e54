"""What a run costs, in numbers that do not depend on the machine: requests, connections, files, modules.

The job runs in a process of its own in which Python reports what it does (audit events).
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from init_job.servers.generation import PAGE
from tests.simulator import Simulator
from tests.support import PASSWORD, environment

_COUNTED = """
import json, os, runpy, ssl, sys, sysconfig
report = sys.argv.pop(1)
connections, written, contexts = 0, [], 0
libraries = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})

def audit(event, arguments):
    global connections
    if event == "socket.connect":
        connections += 1
    elif event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        if not arguments[0].startswith(libraries):
            written.append(os.path.basename(arguments[0]))

new = ssl.SSLContext.__new__

def counted(cls, *arguments, **options):
    global contexts
    contexts += 1
    return new(cls, *arguments, **options)

ssl.SSLContext.__new__ = counted
sys.addaudithook(audit)
sys.dont_write_bytecode = True
try:
    runpy.run_module("init_job", run_name="__main__", alter_sys=True)
finally:
    found = {"modules": sorted(sys.modules), "connections": connections, "written": written[:], "contexts": contexts}
    with open(report, "w") as file:
        json.dump(found, file)
"""


@dataclass(frozen=True)
class Counts:
    modules: frozenset[str]
    connections: int
    written: list[str]
    """Names of the files that were opened for writing, each time."""
    contexts: int
    """TLS contexts made: each would load certificates."""


class Site:
    """A user's folder; every run of the job in it is counted."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder = folder
        self.simulator = simulator

    def run(self, code: int = 0, **variables: str) -> Counts:
        given = {
            "CHIRPSTACK_URL": self.simulator.url,
            "CHIRPSTACK_PASSWORD": PASSWORD,
            "TOKEN_FILE": "token",
            "LOG_LEVEL": "info",
            **variables,
        }
        self.simulator.clear_requests()
        process = subprocess.run(
            [sys.executable, "-c", _COUNTED, "counts.json"],
            cwd=self.folder,
            env=environment(**given),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert process.returncode == code, process.stderr
        found = json.loads((self.folder / "counts.json").read_text())
        return Counts(frozenset(found["modules"]), found["connections"], found["written"], found["contexts"])

    def asked(self) -> list[str]:
        """What the server was asked, without the path that all of it has in common."""
        return [request.route.removeprefix("/api").lstrip("./") for request in self.simulator.requests]


@pytest.fixture
def site(tmp_path: Path, chirpstack: Simulator) -> Site:
    return Site(tmp_path, chirpstack)


@pytest.fixture
def v3_site(tmp_path: Path, v3: Simulator) -> Site:
    return Site(tmp_path, v3)


@pytest.fixture
def v4_site(tmp_path: Path, v4: Simulator) -> Site:
    return Site(tmp_path, v4)


# Requests


def test_a_first_run_on_v4_asks_seven_times(v4_site: Site) -> None:
    v4_site.run()
    assert v4_site.asked() == [
        "InternalService/Login",  # the probe
        "InternalService/Login",
        "InternalService/GetVersion",
        "InternalService/ListApiKeys",
        "InternalService/CreateApiKey",
        "InternalService/ListApiKeys",
        "DeviceProfileService/ListAdrAlgorithms",  # does the token work?
    ]


def test_a_first_run_on_v3_asks_seven_times(v3_site: Site) -> None:
    v3_site.run()
    assert v3_site.asked() == [
        "InternalService/Login",  # is it a v4?
        "internal/login",  # the probe
        "internal/login",
        "internal/api-keys",
        "internal/api-keys",  # the create
        "internal/api-keys",
        "gateway-profiles",  # does the token work?
    ]


def test_a_run_with_nothing_to_do_asks_once(site: Site) -> None:
    site.run()
    site.run()
    assert len(site.simulator.requests) == 1


def test_a_list_of_many_keys_is_read_in_few_pages(site: Site) -> None:
    site.run()
    few = len(site.simulator.requests)
    site.simulator.add_keys(2 * PAGE)
    site.run(API_KEY_NAME="another", TOKEN_FILE="another")
    # Two lists, each of three pages instead of one.
    assert len(site.simulator.requests) == few + 2 * 2


def test_a_run_has_one_connection(site: Site) -> None:
    assert [site.run().connections, site.run().connections] == [1, 1]


# Several keys


def of_five_keys(site: Site) -> dict[str, str]:
    """The variables of a run with five keys."""
    (site.folder / "keys.toml").write_text(
        "".join(f'[[key]]\nname = "key-{number}"\ntoken_file = "token-{number}"\n' for number in range(5))
    )
    return {"TOKEN_FILE": "", "KEYS_FILE": "keys.toml"}


def test_a_first_run_with_five_keys_logs_in_once_and_asks_four_times_for_each(site: Site) -> None:
    variables = of_five_keys(site)
    site.run()
    login = [*site.asked()[:3]]
    counts = site.run(0, **variables)
    assert counts.connections == 1
    assert site.asked()[:3] == login
    assert len(site.asked()) == 3 + 5 * 4
    assert not set(login[:2]) & set(site.asked()[3:])


def test_a_run_with_nothing_to_do_for_five_keys_asks_five_times_and_does_not_log_in(site: Site) -> None:
    variables = of_five_keys(site)
    site.run(0, **variables)
    counts = site.run(0, **variables, CHIRPSTACK_PASSWORD="")
    assert len(site.asked()) == 5
    assert len(set(site.asked())) == 1
    assert counts.connections == 1
    assert "tenacity" not in counts.modules


def test_toml_comes_with_a_file_of_keys(site: Site) -> None:
    assert "tomllib" not in site.run().modules
    assert "tomllib" in site.run(0, **of_five_keys(site)).modules


# Files


def test_a_first_run_writes_the_token_the_state_and_nothing_else(site: Site) -> None:
    counts = site.run()
    # The state is made, and opened to be locked. The token is proven writable before the wait and before the create.
    names = [re.sub("[0-9a-f]{8}", "…", name) for name in counts.written]
    assert sorted(names) == [*2 * [".token.state"], *3 * [".token.….tmp"]]
    assert {path.name for path in site.folder.iterdir()} == {"token", ".token.state", "counts.json"}


def test_a_run_with_nothing_to_do_writes_nothing(site: Site) -> None:
    site.run()
    before = {path.name: path.stat().st_mtime_ns for path in site.folder.glob("*token*")}
    # Opened for its lock, and for a look at what might have to be changed.
    assert site.run().written == [".token.state", "token"]
    assert {path.name: path.stat().st_mtime_ns for path in site.folder.glob("*token*")} == before


# Modules


def test_a_run_with_nothing_to_do_imports_what_it_needs(site: Site) -> None:
    site.run()
    modules = site.run().modules
    assert "requests" in modules
    unneeded = {"dotenv", "google.protobuf", "init_job.servers.chirpstack_pb2", "tenacity", "asyncio"}
    unneeded.add("init_job.terminal")  # there is none
    assert not unneeded & modules


def test_v3_needs_no_protobuf(v3_site: Site) -> None:
    assert "google.protobuf" not in v3_site.run().modules


def test_protobuf_comes_with_the_login_to_v4(v4_site: Site) -> None:
    assert "google.protobuf" in v4_site.run().modules


def test_dotenv_comes_with_an_env_file(site: Site) -> None:
    assert "dotenv" not in site.run().modules
    assert "dotenv" in site.run(ENV_FILE="app.env").modules


def test_http_needs_no_certificates(site: Site) -> None:
    assert site.run().contexts == 0


def test_what_counts_the_tls_contexts_sees_one(site: Site) -> None:
    # Nobody listens there.
    assert site.run(code=3, HEALTH_URL="https://127.0.0.1:1/health", WAIT_TIMEOUT="0").contexts == 1
