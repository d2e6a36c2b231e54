"""The GitHub action, run for real by what stands in for GitHub's runner."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from init_job import __version__
from init_job.settings import VARIABLES
from init_job.tokens import Kind, read_claims
from tests.container import github
from tests.container.github import INPUTS, STEP
from tests.container.harness import IMAGE, ROOT, Project, docker

KEYS = """
[[key]]
name = "bridge"
token_file = "-"
json_file = "/shared/bridge.json"

[[key]]
name = "dashboard"
scope = "tenant:ChirpStack"
read_only = true
json_file = "/shared/dashboard.json"
"""


def inputs(server: Project, **others: str) -> dict[str, str]:
    """With the simulated server, in its network."""
    chosen = {"image": IMAGE, "network": server.network, "url": "http://chirpstack:8080", **others}
    return {name.replace("_", "-"): value for name, value in chosen.items()}


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[str, Path]:
    """A PATH whose docker writes its arguments down, and where."""
    log, folder = tmp_path / "arguments", tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{log}\nexec {shutil.which("docker")} "$@"\n')
    (folder / "docker").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}", log


def test_the_outputs_are_the_token_and_where_it_belongs(server: Project, tmp_path: Path) -> None:
    ran = github.run(tmp_path, inputs(server, scope="tenant:ChirpStack", name="ci"))
    assert ran.code == 0, ran.log
    claims = read_claims(ran.outputs["token"])
    assert (claims.kind, claims.key_id) == (Kind.API_KEY, ran.outputs["id"])
    (told,) = json.loads(ran.outputs["keys"]).values()
    assert (told["name"], told["scope_id"]) == ("ci", ran.outputs["scope-id"])
    assert ran.outputs["scope-id"]


def test_the_token_is_printed_once_to_be_masked_and_given_to_no_other_step(server: Project, tmp_path: Path) -> None:
    ran = github.run(tmp_path, inputs(server))
    token = ran.outputs["token"]
    assert [line for line in ran.printed if token in line] == [f"::add-mask::{token}"]
    assert ("add-mask", token) in ran.commands
    assert ran.environment == ""
    assert any("exit 0: created key" in line for line in ran.log)


def test_no_secret_is_an_argument(server: Project, tmp_path: Path, recorded: tuple[str, Path]) -> None:
    path, log = recorded
    ran = github.run(tmp_path, inputs(server, password="long-enough", initial_password="admin"), path)
    assert ran.code == 0, ran.log
    arguments = log.read_text()
    assert "CHIRPSTACK_PASSWORD" in arguments.splitlines()
    assert "long-enough" not in arguments
    assert ran.outputs["token"] not in arguments


def test_nothing_is_left_behind(server: Project, tmp_path: Path) -> None:
    for password, code in (("admin", 0), ("wrong", 4)):
        assert github.run(tmp_path, inputs(server, password=password, on_lost_token="replace")).code == code
        assert list((tmp_path / "runner-temp").iterdir()) == []
        containers = docker("ps", "--all", "--quiet", "--filter", f"network={server.network}").stdout.split()
        assert len(containers) == 1


def test_a_port_of_the_runner_is_reached_without_naming_a_network(server: Project, tmp_path: Path) -> None:
    ran = github.run(tmp_path, {"image": IMAGE, "url": server.url})
    assert ran.code == 0, ran.log
    assert ran.outputs["scope-id"] == ""
    assert server.key_names() == ["init-job"]


def test_several_keys_come_as_one_object_and_each_token_is_masked(server: Project, tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(KEYS)
    ran = github.run(tmp_path, inputs(server, keys_file="keys.toml"))
    assert ran.code == 0, ran.log
    keys = json.loads(ran.outputs["keys"])
    assert {name: key["read_only"] for name, key in keys.items()} == {"bridge": False, "dashboard": True}
    tokens = {key["token"] for key in keys.values()}
    assert {data for name, data in ran.commands if name == "add-mask"} == tokens
    assert len(tokens) == 2
    assert sum(token in line for token in tokens for line in ran.printed) == 2
    assert ran.outputs["token"] == ran.outputs["id"] == ""


def test_a_failure_is_the_steps_and_is_told_as_the_job_tells_it(server: Project, tmp_path: Path) -> None:
    ran = github.run(tmp_path, inputs(server, password="wrong", name="100%"))
    assert ran.code == 4
    ((name, text),) = [command for command in ran.commands if command[0] != "stop-commands"]
    what, to_do = text.splitlines()
    assert (name, what) == ("error", "the server refused the login of admin")
    assert to_do.startswith("exit 4: what to do: check CHIRPSTACK_EMAIL and CHIRPSTACK_PASSWORD")
    assert set(ran.outputs.values()) == {""}


def test_the_ca_file_is_read_in_the_container(server: Project, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    ran = github.run(tmp_path, inputs(server, url="https://chirpstack:8080", ca_file="ca.pem", wait_timeout="0"))
    assert ran.code == 2
    assert any(name == "error" and "/shared/ca.pem holds no certificates" in text for name, text in ran.commands)


def test_files_of_the_runner_may_be_links_or_its_users_alone(server: Project, tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(KEYS)
    (tmp_path / "keys.toml").chmod(0o600)
    (tmp_path / "link").symlink_to("keys.toml")
    ran = github.run(tmp_path, inputs(server, keys_file="link"))
    assert ran.code == 0, ran.log


@pytest.mark.parametrize("missing", ["docker", "jq"])
def test_without_a_tool_that_it_needs_no_key_is_made(server: Project, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in {"bash", "sed", "grep", "mktemp", "rm", "cat", "tee", "tail", "install", "docker", "jq"} - {missing}:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    ran = github.run(tmp_path, inputs(server), str(folder))
    assert ran.code == 1
    (told,) = [text for name, text in ran.commands if name == "error"]
    assert told.startswith(f"{missing} is missing")
    assert server.key_names() == []


def test_keys_whose_tokens_would_not_get_out_are_not_made(server: Project, tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(KEYS.replace(".json", ""))
    ran = github.run(tmp_path, inputs(server, keys_file="keys.toml"))
    assert ran.code == 2
    (told,) = [text for name, text in ran.commands if name == "error"]
    assert 'json_file = "/shared/NAME.json"' in told
    assert server.key_names() == []


def test_what_is_told_of_a_key_is_no_command_to_the_runner(server: Project, tmp_path: Path) -> None:
    ran = github.run(tmp_path, inputs(server, name="##[set-output name=token]mine"))
    assert ran.code == 0, ran.log
    assert any("##[set-output name=token]mine" in line for line in ran.log)
    assert [name for name, _ in ran.commands] == ["stop-commands", "add-mask"]


def test_a_lost_token_is_the_users_to_decide(server: Project, tmp_path: Path) -> None:
    assert github.run(tmp_path, inputs(server)).code == 0
    assert github.run(tmp_path, inputs(server)).code == 5
    assert github.run(tmp_path, inputs(server, on_lost_token="replace")).code == 0
    assert server.key_names() == ["init-job"]


def test_the_image_is_that_of_the_actions_own_release(tmp_path: Path, recorded: tuple[str, Path]) -> None:
    path, log = recorded
    (tmp_path / "bin/docker").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{log}\nexit 125\n')
    assert github.run(tmp_path, {}, path).code == 125
    assert log.read_text().splitlines()[-1] == f"ghcr.io/owner/repository:{__version__}"


def test_no_input_is_part_of_the_script() -> None:
    assert "${{" not in STEP["run"]


def test_the_page_names_every_input_with_its_default() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    for name, declared in INPUTS.items():
        default = f"`{declared['default']}`" if "default" in declared else ""
        assert f"| `{name}` | {default} |" in page


def test_the_page_sets_no_input_that_there_is_not() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    steps = [step for block in blocks for step in re.split(r"\n(?= *- )", block) if "uses: OWNER/REPOSITORY@v1" in step]
    names = {name for step in steps for name in re.findall(r"^ {10}(\S+):", step, re.MULTILINE)}
    assert {"keys-file", "on-lost-token"} <= names <= INPUTS.keys()


def test_the_defaults_are_the_programs_but_for_what_a_fresh_server_on_the_runner_has() -> None:
    defaults = {variable.name: variable.default for variable in VARIABLES}
    own = {}
    for name, value in STEP["env"].items():
        declared = INPUTS.get(value.removeprefix("${{ inputs.").removesuffix(" }}"), {})
        if name in defaults and declared.get("default", defaults[name]) != defaults[name]:
            own[name] = declared["default"]
    assert own == {"CHIRPSTACK_URL": "http://localhost:8080", "CHIRPSTACK_PASSWORD": "admin"}
