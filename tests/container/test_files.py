"""The files that users copy are valid, complete and consistent; needs `docker compose`, but no engine."""

import os
import re
from pathlib import Path

import pytest

from init_job.settings import VARIABLES
from tests.container.harness import IMAGE, ROOT, call

EXAMPLE = ROOT / "docker-compose.example.yml"
OVERRIDES = ["chirpstack-docker-v4.yml", "chirpstack-docker-v3.yml"]
ADD_ONS = ["secrets.yml", "env-file.yml", "several-keys.yml"]
SETTINGS = {
    "POSTGRES_PASSWORD": "a",
    "CHIRPSTACK_API_SECRET": "b",
    "CHIRPSTACK_PASSWORD": "c",
    "CHIRPSTACK_HOST": "lorawan.example.com",
}


def config(*files: str, **environment: str) -> str:
    """What compose makes of the files; only the variables given are set."""
    environment |= {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    options = [part for file in files for part in ("--file", file)]
    return call("docker", "compose", *options, "config", cwd=ROOT / "examples", env=environment).stdout


def handed_on(file: Path) -> set[str]:
    """Variables that the service gets as Compose has them."""
    return set(re.findall(r"^ +- ([A-Z_]+)$", file.read_text(), re.MULTILINE))


def env_example() -> dict[str, tuple[str, str]]:
    """Each variable of .env.example with its value and the comment above it; optional ones are comments themselves."""
    found: dict[str, tuple[str, str]] = {}
    comment = ""
    for line in (ROOT / ".env.example").read_text().splitlines():
        if match := re.fullmatch(r"#?([A-Z_]+)=(.*)", line):
            found[match[1]] = (match[2], comment)
        comment = line if line.startswith("# ") else ""
    return found


@pytest.mark.parametrize(
    "files", [[str(EXAMPLE)], [str(EXAMPLE), "tls.yml"], ["ci.yml"], ["ci.yml", "ci-several-keys.yml"]], ids=" ".join
)
def test_the_compose_files_are_valid(files: list[str]) -> None:
    assert IMAGE in config(*files, INIT_JOB_IMAGE=IMAGE, **SETTINGS)


@pytest.mark.parametrize("add_ons", [[], *([one] for one in ADD_ONS), ADD_ONS[:2], ADD_ONS[::2]], ids=" ".join)
@pytest.mark.parametrize("file", OVERRIDES)
def test_an_override_is_valid_over_the_official_file_and_under_its_add_ons(
    file: str, add_ons: list[str], tmp_path: Path
) -> None:
    official = tmp_path / "docker-compose.yml"
    server = "chirpstack-application-server" if "v3" in file else "chirpstack"
    official.write_text(f"services: {{{server}: {{image: x}}}}")
    assert IMAGE in config(str(official), file, *add_ons, INIT_JOB_IMAGE=IMAGE)


@pytest.mark.parametrize("file", OVERRIDES)
def test_an_override_hands_on_what_may_be_set_without_a_file_or_another_output(file: str) -> None:
    elsewhere = {"CHIRPSTACK_URL", "CHIRPSTACK_API", "CHIRPSTACK_PASSWORD", "CHIRPSTACK_TLS_VERIFY", "HEALTH_URL",
                 "KUBERNETES_SECRET", "ENV_VAR", "ENV_SCOPE_ID_VAR"}  # fmt: skip
    names = {variable.name for variable in VARIABLES if not variable.name.endswith("_FILE")}
    assert handed_on(ROOT / "examples" / file) == names - elsewhere


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "examples").glob("*.y*ml")))
def test_the_image_of_an_example_is_the_users_choice(file: str) -> None:
    text = (ROOT / "examples" / file).read_text()
    runs_the_job = file not in ("tls.yml", *ADD_ONS)
    assert ("INIT_JOB_IMAGE" in text) is runs_the_job
    assert not re.search(r"image: chirpstack-init-job|no-new-privileges chirpstack-init-job", text)


def test_the_swarm_stack_is_valid() -> None:
    stack = "examples/swarm/stack.yml"
    assert "on-failure" in call("docker", "stack", "config", "--compose-file", stack, cwd=ROOT).stdout


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "CHIRPSTACK_API_SECRET", "CHIRPSTACK_PASSWORD"])
def test_the_example_asks_for_each_password_instead_of_inventing_one(name: str) -> None:
    settings = {**SETTINGS, name: ""}
    with pytest.raises(AssertionError, match=f"{name} is missing a value: set it in .env"):
        config(str(EXAMPLE), **settings)


def test_env_example_lists_what_the_example_reads_with_its_meaning_and_nothing_else() -> None:
    interpolated = set(re.findall(r"(?<!\$)\$\{(\w+)", EXAMPLE.read_text()))
    assert env_example().keys() == interpolated | handed_on(EXAMPLE)
    assert [name for name, (_, comment) in env_example().items() if not comment] == []


def test_env_example_tells_the_defaults_of_the_job_and_no_password() -> None:
    defaults = {variable.name: variable.default for variable in VARIABLES}
    values = {name: value for name, (value, _) in env_example().items()}
    assert {name: value for name, value in values.items() if value != defaults.get(name, "")} == {
        "CHIRPSTACK_PORT": "8080", "INIT_JOB_IMAGE": "chirpstack-init-job"
    }  # fmt: skip
    assert values["POSTGRES_PASSWORD"] == values["CHIRPSTACK_API_SECRET"] == values["CHIRPSTACK_PASSWORD"] == ""


@pytest.mark.parametrize("file", [EXAMPLE.name, *(f"examples/{name}" for name in [*OVERRIDES, "ci.yml"])])
def test_the_job_is_confined_wherever_it_is_shown(file: str) -> None:
    text = (ROOT / file).read_text()
    for line in ("read_only: true", "cap_drop: [ALL]", 'security_opt: ["no-new-privileges:true"]'):
        assert line in text


def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it() -> None:
    workflows = [*(ROOT / ".github/workflows").glob("*.yml"), ROOT / "examples/github-actions.yml"]
    uses = [line.strip() for file in workflows for line in file.read_text().splitlines() if " uses: " in line]
    assert uses
    for line in uses:
        assert re.search(r"uses: (\./\S* #.*|[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$", line), line


def test_the_build_context_holds_only_what_the_image_is_made_of() -> None:
    first, *rest = (ROOT / ".dockerignore").read_text().split()
    assert first == "*"
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    named = {path.split("/")[0] for paths in copied for path in paths.split()}
    assert {line[1:] for line in rest if line.startswith("!")} == named
