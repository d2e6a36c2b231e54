"""What is in the image, and what is not."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.container.harness import IMAGE, PYTHON_IMAGE, ROOT, Project, docker, new_name

File = tuple[bytes, int, int, int, str]
"""Kind, mode, uid, gid, and the hash of the content or the target of the link."""


def inspect(image: str) -> dict[str, Any]:
    inspected: dict[str, Any] = json.loads(docker("image", "inspect", image).stdout)[0]
    return inspected


@cache
def files(image: str) -> dict[str, File]:
    """Each path in the image; the times are left out."""
    container = docker("create", image, "-").stdout.strip()
    try:
        exported = subprocess.run(("docker", "export", container), capture_output=True, check=True, timeout=300).stdout
    finally:
        docker("rm", container)
    found: dict[str, File] = {}
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.isreg() else None
            content = hashlib.sha256(file.read()).hexdigest() if file else entry.linkname
            found[entry.name] = (entry.type, entry.mode, entry.uid, entry.gid, content)
    return found


def ours() -> list[str]:
    """What our layers add to the base or change in it."""
    base = files(PYTHON_IMAGE)
    return [path for path, entry in files(IMAGE).items() if base.get(path) != entry]


@pytest.fixture
def two_builds() -> Iterator[list[str]]:
    names = [new_name(), new_name()]
    build = ["build", "--no-cache", "--build-arg", f"PYTHON_IMAGE={PYTHON_IMAGE}", "--build-arg", "PIP_INDEX_URL"]
    for name in names:
        docker(*build, "--tag", name, str(ROOT))
    yield names
    docker("image", "rm", *names)


def test_our_layers_add_at_most_8_mb_to_the_base() -> None:
    layers, base = inspect(IMAGE)["RootFS"]["Layers"], inspect(PYTHON_IMAGE)["RootFS"]["Layers"]
    assert layers[: len(base)] == base
    added = inspect(IMAGE)["Size"] - inspect(PYTHON_IMAGE)["Size"]
    assert 0 < added <= 8_000_000


def test_our_layers_only_add_the_program_and_the_shared_folder() -> None:
    assert {path.split("/")[0] for path in ours()} == {"app", "shared"}
    assert files(PYTHON_IMAGE).keys() <= files(IMAGE).keys()


def test_there_is_no_pip_no_test_no_cache_and_no_machine_code_in_our_layers() -> None:
    for path in ours():
        parts = path.split("/")
        assert not {"pip", "tests", "testdata", "__pycache__", ".cache", "bin", "grpc"} & set(parts), path
        assert not path.endswith((".so", ".whl", ".exe")), path


def test_nobody_but_root_may_change_the_program() -> None:
    for path in ours():
        _, mode, uid, gid, _ = files(IMAGE)[path]
        if path.rstrip("/") != "shared":
            assert (uid, gid) == (0, 0), path
            assert mode & 0o022 == 0, path


def test_it_runs_as_a_user_with_a_number_and_is_labelled() -> None:
    config = inspect(IMAGE)["Config"]
    user, group = config["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert config["Labels"]["org.opencontainers.image.licenses"] == "MIT"
    assert {"title", "description"} <= {label.rpartition(".")[2] for label in config["Labels"]}
    assert "DEFAULT_TOKEN_FILE=/shared/chirpstack_api_token" in config["Env"]


def test_two_builds_without_cache_hold_the_same_files_with_the_same_bytes(two_builds: list[str]) -> None:
    first, second = (files(name) for name in two_builds)
    assert first == second


def test_nothing_is_compiled_when_the_job_starts(server: Project) -> None:
    """An interpreter that tells what it loads (-vv), started as the image starts its own, on the longest way."""
    python, *arguments = inspect(IMAGE)["Config"]["Entrypoint"]
    told = docker(
        *("run", "--rm", "--network", server.network, "--volume", "/env", "--user", "0:0", "--entrypoint", python),
        *("--env", "CHIRPSTACK_URL=http://chirpstack:8080", "--env", "CHIRPSTACK_PASSWORD=admin"),
        *("--env", "CHIRPSTACK_PASWORD=typo", "--env", "ENV_FILE=/env/.env", "--env", "JSON_FILE=/env/key.json"),
        *("--env", "LOG_FORMAT=json", IMAGE, "-vv", *arguments),
    ).stderr
    loaded = compiled_before(told)
    assert any("init_job/cli" in line for line in loaded)
    assert any("chirpstack_pb2" in line for line in loaded)


def test_nothing_is_compiled_for_a_health_check() -> None:
    """As docs/docker.md has it, which asks without the entry point's options."""
    check = ("run", "--rm", "--network", "none", "--entrypoint", "python", IMAGE, "-vv", "/app", "check")
    assert any("init_job/check" in line for line in compiled_before(docker(*check, fails=True).stderr))


def compiled_before(told: str) -> list[str]:
    """What an interpreter with -vv has loaded: all of it was bytecode."""
    loaded = [line for line in told.splitlines() if line.startswith("# code object from ")]
    assert [line for line in loaded if not line.rstrip("'").endswith(".pyc")] == []
    return loaded


def test_the_interpreter_takes_no_orders_from_the_environment() -> None:
    options = ("run", "--rm", "--env", "PYTHONPATH=/nowhere", "--env", "PYTHONSTARTUP=/x", "--env", "PYTHONHOME=/x")
    assert docker(*options, IMAGE, "--version").stdout.startswith("chirpstack-init-job ")


def test_help_lists_the_commands() -> None:
    text = docker("run", "--rm", IMAGE, "--help").stdout
    assert "ensure" in text
    assert "check" in text
