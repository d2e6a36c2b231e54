"""End to end against an official image of ChirpStack: CHIRPSTACK_VERSION is its tag, such as 3.17, 4.12, or 4."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from init_job.tokens import Kind, read_claims
from tests.container.harness import IMAGE, ROOT, Project

VERSION = os.environ["CHIRPSTACK_VERSION"]
IS_V3 = VERSION.startswith("3")
# The newest runs the example as it is; of older ones not all know its region and broker settings.
IS_NEWEST = VERSION == "4"

PLAIN_V4 = """
[postgresql]
dsn="postgres://chirpstack:database@postgres/chirpstack?sslmode=disable"
[redis]
servers=["redis://redis/"]
[network]
net_id="000000"
enabled_regions=[]
[api]
bind="0.0.0.0:8080"
secret="verysecret"
[integration]
enabled=[]
"""


@pytest.fixture
def official(tmp_path: Path) -> Iterator[Project]:
    """The example for v4, a server with the drop-in service for v3; both with a consumer of ours."""
    service = "chirpstack-application-server" if IS_V3 else "chirpstack"
    consumer = {
        "image": IMAGE,
        "command": ["check"],
        "environment": {"CHIRPSTACK_URL": f"http://{service}:8080"},
        "volumes": ["api-token:/shared:ro"],
        "depends_on": {"chirpstack-init": {"condition": "service_completed_successfully"}},
    }
    over: dict[str, object] = {"services": {"checker": consumer}}
    if IS_V3:
        files = ["tests/container/official-v3.yml", "examples/chirpstack-docker-v3.yml"]
    else:
        files = ["docker-compose.example.yml"]
        over["services"] = {"checker": consumer, service: {"image": f"chirpstack/{service}:{VERSION}"}}
        if not IS_NEWEST:
            over["configs"] = {"chirpstack": {"content": PLAIN_V4}, "region": {"content": "# none"}}
    for file in files:
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "over.json").write_text(json.dumps(over))
    with Project(tmp_path, *(Path(file).name for file in files), "over.json") as made:
        made.environment |= {
            "INIT_JOB_IMAGE": IMAGE,
            "CHIRPSTACK_IMAGE": f"chirpstack/{service}:{VERSION}",
            "CHIRPSTACK_PORT": "0",
            "POSTGRES_PASSWORD": "database",
            "CHIRPSTACK_API_SECRET": "verysecret",
            "CHIRPSTACK_PASSWORD": "admin" if IS_V3 else "a-long-password",
        }
        yield made


def test_the_job_keeps_its_promise_with_this_version(official: Project, tmp_path: Path) -> None:
    official.up("checker")
    assert official.end("checker") == 0
    if not IS_V3:
        official.up("--wait", "consumer")
    token = official.read("api-token").strip()
    assert read_claims(token).kind is Kind.API_KEY

    def again(*environment: str, command: tuple[str, ...] = ()) -> tuple[int, str]:
        options = [part for setting in environment for part in ("--env", setting)]
        done = official.compose("run", "--rm", "--no-deps", *options, "chirpstack-init", *command, fails=True)
        return done.returncode, done.stderr

    assert again()[0] == 0
    assert again("CHIRPSTACK_PASSWORD=")[0] == 0, "with a saved token no login is needed"
    assert again(command=("check",))[0] == 0
    assert official.read("api-token").strip() == token

    assert again("TOKEN_FILE=/shared/other")[0] == 5, "the key is there, and its token is elsewhere"
    assert again("TOKEN_FILE=/shared/other", "CHIRPSTACK_PASSWORD=wrong-password")[0] == 4
    assert again("TOKEN_FILE=/shared/other", "ON_LOST_TOKEN=replace")[0] == 0
    assert again(command=("check",))[0] == 5, "the first token's key was replaced"

    scope = "organization:chirpstack" if IS_V3 else "tenant:ChirpStack"
    assert again("TOKEN_FILE=/shared/scoped", f"API_KEY_SCOPE={scope}")[0] == 0
    code, text = again("TOKEN_FILE=/shared/scoped", "API_KEY_SCOPE=" + scope.partition(":")[0] + ":nobody")
    assert (code, "nobody" in text) == (7, True)

    keys = tmp_path / "keys.toml"
    keys.write_text(
        '[[key]]\nname = "one"\ntoken_file = "/shared/one"\n'
        f'[[key]]\nname = "two"\nscope = "{scope}"\njson_file = "/shared/two"\n'
        f'[[key]]\nname = "three"\nscope = "{scope}"\nenv_file = "/shared/env"\nenv_scope_id_var = "ID"\n'
    )
    several = ("--volume", f"{keys}:/keys.toml:ro", "--env", "KEYS_FILE=/keys.toml")
    for command in ("ensure", "ensure", "check", "rotate", "revoke"):
        done = official.compose("run", "--rm", "--no-deps", *several, "chirpstack-init", command)
        assert "'one', 'two', 'three'" in done.stderr
