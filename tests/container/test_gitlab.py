"""The GitLab component, its job run as GitLab's Docker executor runs it: the checkout is writable for everybody, and
the script goes to a shell in the image, under the image's user."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from init_job.settings import VARIABLES
from init_job.tokens import Kind, read_claims
from tests.container.harness import IMAGE, ROOT, Done, Project, call

HEADER, JOBS = yaml.safe_load_all((ROOT / "templates/init-job.yml").read_text())
INPUTS: dict[str, dict[str, Any]] = HEADER["spec"]["inputs"]


def job(inputs: dict[str, str]) -> dict[str, Any]:
    """The one of the component."""
    chosen = {name: declared.get("default") for name, declared in INPUTS.items()} | inputs
    assert chosen.keys() == INPUTS.keys()

    def value(found: re.Match[str]) -> str:
        given = chosen[found[1]]
        assert given is not None, f"{found[1]} must be given"
        text = str(given).lower() if isinstance(given, bool) else given
        return json.dumps(text)[1:-1]  # GitLab puts it into a string, not into the text of the file

    text = re.sub(r"\$\[\[ inputs\.(\S+) \]\]", value, json.dumps(JOBS))
    made: dict[str, Any] = json.loads(text)["chirpstack-init"]
    return made


def run(server: Project, folder: Path, fails: bool = False, **inputs: str) -> Done:
    """`folder` is the checkout, made here."""
    made = job({"image": IMAGE, "url": "http://chirpstack:8080", **inputs})
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    # The password is a variable of the project.
    variables = {**made["variables"], "CHIRPSTACK_PASSWORD": "admin"}
    options = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
    (entrypoint,) = made["image"]["entrypoint"]
    options += ["--network", server.network, "--entrypoint", entrypoint, "--volume", f"{folder}:/builds"]
    script = "\n".join(["set -e", *made["script"]])
    command = ("docker", "run", "--rm", "--interactive", "--workdir", "/builds", *options, made["image"]["name"], "sh")
    return call(*command, input=script, fails=fails)


def test_the_token_is_in_the_artifact_and_not_in_the_log(server: Project, tmp_path: Path) -> None:
    folder = tmp_path / "builds"
    done = run(server, folder, name="ci", scope="tenant:ChirpStack")
    (artifact,) = job({"image": "", "url": ""})["artifacts"]["paths"]
    token = (folder / artifact).read_text().strip()
    assert read_claims(token).kind is Kind.API_KEY
    assert token not in done.stdout + done.stderr
    assert "created key 'ci'" in done.stderr


def test_a_later_pipeline_needs_to_be_told_what_becomes_of_the_key(server: Project, tmp_path: Path) -> None:
    codes = []
    for pipeline, lost in enumerate(("fail", "fail", "replace")):
        done = run(server, tmp_path / str(pipeline), fails=True, **{"on-lost-token": lost})
        codes.append(done.returncode)
    assert codes == [0, 5, 0]


def test_nobody_can_download_the_token() -> None:
    artifacts = job({"image": "", "url": ""})["artifacts"]
    assert artifacts.keys() == {"paths", "access", "expire_in"}
    assert artifacts["access"] == "none"


def test_the_script_is_what_the_image_starts_by_itself() -> None:
    found = re.search(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    assert JOBS["chirpstack-init"]["script"] == [" ".join([*json.loads(found[1]), "--env-file", "/dev/null"])]


def test_the_header_has_inputs_and_nothing_else() -> None:
    """GitLab refuses other keys: lib/gitlab/ci/config/header/spec.rb, ALLOWED_KEYS."""
    assert HEADER.keys() == {"spec"}
    assert HEADER["spec"].keys() == {"inputs"}


def test_the_env_file_of_the_checkout_is_the_projects_own(server: Project, tmp_path: Path) -> None:
    folder = tmp_path / "builds"
    folder.mkdir()
    (folder / ".env").write_text("API_KEY_NAME=another\nKEYS_FILE=keys.toml\nno binding\n")
    assert "created key 'init-job'" in run(server, folder).stderr


@pytest.mark.parametrize(
    "name", ["API_KEY_NAME", "API_KEY_SCOPE", "API_KEY_READ_ONLY", "ON_LOST_TOKEN", "WAIT_TIMEOUT"]
)
def test_the_defaults_are_the_programs(name: str) -> None:
    defaults = {variable.name: variable.default for variable in VARIABLES}
    assert job({"image": "", "url": ""})["variables"][name] == defaults[name]
