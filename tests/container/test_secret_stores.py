"""The script that keeps a token in a secret store, with the stores' own commands: AWS's against moto's server, and a
real OpenBao. `make test-container` brings what stores.lock names."""

import json
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from init_job.tokens import read_claims
from tests.container.harness import IMAGE, ROOT, Done, Project, call, docker

TOOLS = ROOT / ".venv/stores/bin"
AWS = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass
class Store:
    """An entry of a store, which holds `none` at first."""

    name: str
    entry: str
    read: str
    owner: dict[str, str]
    """The environment of whoever may do everything there."""
    script: dict[str, str]
    """The script's."""

    def call(self, command: str, given: str = "") -> str:
        return call(*shlex.split(command), env=self.owner, input=given).stdout.strip()

    def token(self) -> str:
        token: str = json.loads(self.call(self.read))
        return token

    def run(self, *arguments: str, fails: bool = False) -> Done:
        script = str(ROOT / "examples/secret-stores/token-to-store.sh")
        return call("sh", script, self.name, self.entry, *arguments, fails=fails, env=self.script)


@contextmanager
def serving(command: str) -> Iterator[str]:
    """A store's server, whose address takes the place of {}; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    started = [part.format(port) for part in shlex.split(command)]
    with subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while True:
                try:
                    requests.get(f"{url}/v1/sys/health", timeout=10)
                    break
                except requests.ConnectionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()


@pytest.fixture
def environment(server: Project) -> dict[str, str]:
    """Of the script, but for the store; the server is on the network that `docker run` takes, too."""
    container = server.container("chirpstack")["Id"]
    docker("network", "connect", "bridge", container)
    address = server.container("chirpstack")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    settings = {"CHIRPSTACK_URL": f"http://{address}:8080", "CHIRPSTACK_PASSWORD": "admin", "INIT_JOB_IMAGE": IMAGE}
    return {**os.environ, **settings, "PATH": f"{TOOLS}:{os.environ['PATH']}"}


@pytest.fixture
def openbao(environment: dict[str, str]) -> Iterator[Store]:
    command = f"{TOOLS}/bao server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address=127.0.0.1:{{}}"
    with serving(command) as url:
        owner = environment | {"BAO_ADDR": url, "BAO_TOKEN": "root"}
        store = Store(
            "openbao", "secret/chirpstack", "bao kv get -format=json -field=token secret/chirpstack", owner, owner
        )
        store.call("bao kv put secret/chirpstack token=none")
        allow(store, "read", "update")
        yield store


def allow(store: Store, *capabilities: str) -> None:
    """What the script may do with the entry of OpenBao; with all else it may do nothing."""
    allowed = ", ".join(f'"{one}"' for one in capabilities)
    policy = f'path "secret/data/chirpstack" {{ capabilities = [{allowed}] }}'
    store.call("bao policy write script -", policy)
    store.script = store.owner | {"BAO_TOKEN": store.call("bao token create -policy=script -field=token")}


@pytest.fixture
def aws(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    with serving(f"{TOOLS}/moto_server --host 127.0.0.1 --port {{}}") as url:
        yield environment | AWS | {"AWS_ENDPOINT_URL": url}


@pytest.fixture
def secrets_manager(aws: dict[str, str]) -> Store:
    entry = "chirpstack/api-token"
    read = f"aws secretsmanager get-secret-value --secret-id {entry} --query SecretString --output json"
    store = Store("aws-secrets-manager", entry, read, aws, aws)
    store.call(f"aws secretsmanager create-secret --name {entry} --secret-string none")
    return store


@pytest.fixture
def parameter_store(aws: dict[str, str]) -> Store:
    entry = "/chirpstack/api-token"
    read = f"aws ssm get-parameter --name {entry} --with-decryption --query Parameter.Value --output json"
    store = Store("aws-parameter-store", entry, read, aws, aws)
    store.call(f"aws ssm put-parameter --name {entry} --type SecureString --value none")
    return store


@pytest.mark.parametrize("kind", ["secrets_manager", "parameter_store", "openbao"])
def test_the_store_alone_remembers_the_token_and_a_rotation_leaves_one_key(
    kind: str, server: Project, request: pytest.FixtureRequest
) -> None:
    store: Store = request.getfixturevalue(kind)
    store.run()
    first = store.token()
    assert first == first.strip()
    assert f"key {store.entry!r} (id {key_id(first)}) is up to date" in store.run("rotate").stderr
    assert key_id(store.token()) not in {"", key_id(first)}
    assert server.key_names() == [store.entry]


def test_a_store_that_cannot_be_written_leaves_the_server_as_it_was(openbao: Store, server: Project) -> None:
    allow(openbao, "read")
    assert openbao.run(fails=True).returncode == 1
    assert server.key_names() == []
    allow(openbao, "read", "update")
    openbao.run()
    token = openbao.token()
    allow(openbao, "read")
    rotation = openbao.run("rotate", fails=True)
    assert rotation.returncode == 1
    assert f"deleted key {key_id(token)}" not in rotation.stderr
    assert openbao.token() == token
    assert server.key_names() == [openbao.entry]


def test_a_store_that_cannot_be_read_costs_no_key(openbao: Store, server: Project) -> None:
    allow(openbao, "update")
    assert openbao.run(fails=True).returncode == 2
    assert server.key_names() == []


def test_a_key_stays_when_its_token_came_into_the_store_and_the_answer_was_lost(
    openbao: Store, server: Project, tmp_path: Path
) -> None:
    lossy = tmp_path / "bao"
    lossy.write_text(f'#!/bin/sh\n"{TOOLS}/bao" "$@" || exit\n[ "$2" != put ]\n')
    lossy.chmod(0o755)
    openbao.script["PATH"] = f"{tmp_path}:{openbao.script['PATH']}"
    assert openbao.run(fails=True).returncode == 1
    assert "is up to date" in openbao.run().stderr
    assert server.key_names() == [openbao.entry]


def test_a_key_whose_token_never_came_into_the_store_is_replaced(openbao: Store, server: Project) -> None:
    openbao.run()
    lost = openbao.token()
    openbao.call("bao kv put secret/chirpstack token=none")  # as if the run had been killed before it wrote
    openbao.run()
    assert key_id(openbao.token()) not in {"", key_id(lost)}
    assert server.key_names() == [openbao.entry]


def test_what_is_no_token_is_not_overwritten(openbao: Store, server: Project) -> None:
    openbao.call("bao kv put secret/chirpstack token=another-programs-password")
    assert openbao.run(fails=True).returncode == 6
    assert openbao.token() == "another-programs-password"
    assert server.key_names() == []


def key_id(token: str) -> str:
    return read_claims(token).key_id
