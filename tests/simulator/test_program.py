"""`python -m tests.simulator`, and what importing the simulator brings along."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from chirpstack_api import api

from tests.simulator import Simulator
from tests.simulator.client import GRPC_WEB, V3, connects, frame, signed, wait_until

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "tests.simulator", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_program_prints_its_url_and_ends_with_0(ending: signal.Signals) -> None:
    with program("--api", "v3", "--starts-after", "200ms") as (process, url):
        assert not connects(url)
        wait_until(lambda: connects(url))
        process.send_signal(ending)
        assert process.wait(timeout=10) == 0
        assert process.stdout
        assert process.stdout.read() == ""


def test_the_program_makes_what_it_is_told_to() -> None:
    with program(
        *("--api", "v4", "--version", "4.17.0", "--keys", "100000", "--secret", "s", "--verbose", "--no-ui"),
        *("--tenant", "T", "--application", "T/A", "--application", "ChirpStack/B"),
        *("--user", "me@example.com:pass:word", "--user", "admin:changed", "--latency", "1ms"),
    ) as (process, url):
        assert requests.get(url, timeout=10).status_code == 404
        headers = {"Content-Type": GRPC_WEB}
        for email, password in (("me@example.com", "pass:word"), ("admin", "changed")):
            login = api.LoginRequest(email=email, password=password)
            response = requests.post(url + "/api.InternalService/Login", data=frame(login), headers=headers, timeout=10)
            token = api.LoginResponse.FromString(response.content[5:-20]).jwt
            assert signed(token, "s")
        headers["Authorization"] = f"Bearer {token}"
        request = frame(api.ListApiKeysRequest(limit=2, offset=99_998, is_admin=True))
        response = requests.post(url + "/api.InternalService/ListApiKeys", data=request, headers=headers, timeout=10)
        answer = api.ListApiKeysResponse.FromString(response.content[5:-20])
        assert [key.name for key in answer.result] == ["key-099998", "key-099999"]
        process.terminate()
        assert process.wait(timeout=10) == 0
        assert process.stderr
        assert "POST /api.InternalService/ListApiKeys: 200 (" in process.stderr.read()


def test_the_program_makes_organizations_and_applications() -> None:
    with program("--api", "v3", "--organization", "o", "--application", "o/a") as (_, url):
        login = requests.post(url + "/api/internal/login", json={"email": "admin", "password": "admin"}, timeout=10)
        headers = {"Authorization": f"Bearer {login.json()['jwt']}"}
        answer = requests.get(url + "/api/applications?limit=9", headers=headers, timeout=10).json()
        assert [(row["name"], row["organizationID"]) for row in answer["result"]] == [("a", "2")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--api", "v5"], "invalid choice"),
        (["--api", "v3", "--version", "4.19.0"], "4.19.0 is no version of v3"),
        (["--api", "v3", "--tenant", "t"], "v3 has organizations"),
        (["--api", "v3", "--application", "o/a"], "there is no organization or tenant o"),
        (["--api", "v3", "--starts-after", "soon"], "is no duration"),
        (["--api", "v3", "--user", "me"], "has no ':'"),
    ],
)
def test_the_program_refuses_nonsense(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "tests.simulator", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_the_program_says_when_its_port_is_taken() -> None:
    with Simulator("v3", V3) as simulator:
        port = simulator.url.rpartition(":")[2]
        command = [sys.executable, "-m", "tests.simulator", "--api", "v3", "--port", port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert "in use" in done.stderr


def test_the_messages_do_not_need_grpc() -> None:
    code = (
        "import sys; from tests.simulator import Simulator; assert 'chirpstack_api' not in sys.modules;"
        "Simulator('v3', '3.17.9'); assert 'chirpstack_api' not in sys.modules;"
        "Simulator('v4', '4.19.0'); assert 'grpc' not in sys.modules;"
        "from chirpstack_api import api; api.InternalServiceStub, api.LoginRequest"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
