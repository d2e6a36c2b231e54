"""The image with `docker run`: where it may write, as whom, and how it ends."""

import json
import os
import time
from pathlib import Path

import pytest

from init_job.tokens import Kind, read_claims
from tests.container.harness import HARDENED, IMAGE, JOB_UID, Project, docker, in_volume, new_name

NO_SERVER = tuple(
    part
    for setting in ("CHIRPSTACK_URL=http://127.0.0.1:9", "CHIRPSTACK_PASSWORD=x", "TOKEN_FILE=-")
    for part in ("--env", setting)
)


def test_with_the_token_on_standard_output_nothing_else_is_there(server: Project) -> None:
    done = server.run_job(*HARDENED, "--env", "TOKEN_FILE=-")
    (token,) = done.stdout.splitlines()
    assert read_claims(token).kind is Kind.API_KEY
    assert "exit 0" in done.stderr


def test_check_is_a_command_of_the_image(server: Project, volume: str) -> None:
    mount = ("--volume", f"{volume}:/shared")
    assert server.run_job(*mount, command=("check",), fails=True).returncode == 5
    server.run_job(*mount)
    assert "works" in server.run_job(*mount, command=("check",)).stderr


@pytest.mark.parametrize("user", ["65532:65532", "1000:1000", "12345", "0:0"])
def test_any_user_may_write_to_a_fresh_volume(server: Project, volume: str, user: str) -> None:
    mount = (*HARDENED, "--volume", f"{volume}:/shared", "--user", user)
    server.run_job(*mount)
    assert "up to date" in server.run_job(*mount).stderr
    files = in_volume(volume, "stat", "-c", "%n %a %u", "/shared/chirpstack_api_token")
    assert files.split()[1:] == ["644", user.partition(":")[0]]


def test_a_bind_mounted_folder_of_root_gets_a_hint_that_mends_it(server: Project, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    mount = ("--volume", f"{folder}:/shared")
    in_volume(str(folder), "chown", "0:0", "/shared")
    done = server.run_job(*mount, fails=True)
    assert done.returncode == 6
    assert f"chown {JOB_UID}:{JOB_UID}" in done.stderr
    assert server.key_names() == []
    in_volume(str(folder), "chown", f"{JOB_UID}:{JOB_UID}", "/shared")
    server.run_job(*mount)
    assert server.key_names() == ["init-job"]


def test_a_bind_mounted_folder_of_the_chosen_user_is_written_to(server: Project, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o700)
    in_volume(str(folder), "chown", "1000:1000", "/shared")
    server.run_job(*HARDENED, "--volume", f"{folder}:/shared", "--user", "1000:1000")
    token = in_volume(str(folder), "cat", "/shared/chirpstack_api_token")
    assert read_claims(token.strip()).kind is Kind.API_KEY


def test_a_bind_mounted_env_file_gets_the_variable_and_keeps_the_rest(server: Project, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nA=1 # one\nCHIRPSTACK_API_TOKEN=\nB='2'\n")
    file.chmod(0o600)
    user = f"{os.getuid()}:{os.getgid()}"
    options = ("--volume", f"{file}:/env/.env", "--env", "ENV_FILE=/env/.env", "--user", user)
    server.run_job(*HARDENED, *options)
    lines = file.read_text().splitlines()
    assert [lines[0], lines[1], lines[3]] == ["# mine", "A=1 # one", "B='2'"]
    assert read_claims(lines[2].removeprefix("CHIRPSTACK_API_TOKEN=")).kind is Kind.API_KEY
    assert file.stat().st_mode & 0o777 == 0o600
    assert "up to date" in server.run_job(*HARDENED, *options).stderr


def test_the_folder_that_docker_makes_of_a_missing_file_is_recognised(server: Project, tmp_path: Path) -> None:
    options = ("--volume", f"{tmp_path / '.env'}:/env/.env", "--env", "ENV_FILE=/env/.env")
    done = server.run_job(*options, fails=True)
    assert done.returncode == 6
    assert "/env/.env is a folder" in done.stderr
    assert "Docker makes one where a bind-mounted file is missing" in done.stderr
    assert server.key_names() == []


def test_without_a_volume_the_read_only_root_is_named(server: Project) -> None:
    done = server.run_job(*HARDENED, fails=True)
    assert done.returncode == 6
    assert "mount a volume" in done.stderr
    assert server.key_names() == []


def test_a_token_that_ends_with_the_container_is_told_before_its_key_is_made(server: Project, volume: str) -> None:
    for options, home in (((), "the container's own layer"), (("--tmpfs", "/shared:mode=1777"), "in memory")):
        done = server.run_job(*options, "--env", f"API_KEY_NAME=key in {home}")
        warning, made = (done.stderr.index(text) for text in (home, "made key"))
        assert warning < made
    with_volume = server.run_job("--volume", f"{volume}:/shared", "--env", "API_KEY_NAME=kept")
    assert "ends with the container" not in with_volume.stderr


@pytest.mark.parametrize("user", [f"{JOB_UID}:{JOB_UID}", "0:0"])
def test_a_file_of_another_containers_user_gets_no_token(server: Project, volume: str, user: str) -> None:
    mount = ("--volume", f"{volume}:/shared")
    plant = "touch /shared/chirpstack_api_token; chmod 666 /shared/chirpstack_api_token"
    docker("run", "--rm", "--user", "1000:1000", *mount, "--entrypoint", "sh", IMAGE, "-c", plant)
    done = server.run_job(*HARDENED, *mount, "--user", user, fails=True)
    assert done.returncode == 6
    assert "belongs to uid 1000" in done.stderr
    assert in_volume(volume, "cat", "/shared/chirpstack_api_token") == ""
    assert server.key_names() == []


def test_secrets_may_be_mounted_as_files(server: Project, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("admin\n")
    password.chmod(0o644)
    done = docker(
        *("run", "--rm", "--network", server.network, *HARDENED, "--volume", f"{password}:/run/secrets/password:ro"),
        *("--env", "CHIRPSTACK_PASSWORD_FILE=/run/secrets/password", "--env", "TOKEN_FILE=-", IMAGE),
    )
    assert read_claims(done.stdout.strip()).kind is Kind.API_KEY


@pytest.mark.parametrize(("signal", "code"), [("TERM", 143), ("INT", 130)])
def test_docker_stop_during_the_wait_ends_within_a_second(signal: str, code: int) -> None:
    name = new_name()
    docker("run", "--detach", "--name", name, "--stop-signal", f"SIG{signal}", *HARDENED, *NO_SERVER, IMAGE)
    try:
        deadline = time.monotonic() + 30
        while "refused" not in docker("logs", name).stderr:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        begin = int(time.time())
        docker("stop", name)
        assert int(docker("wait", name).stdout) == code
        # By the engine's clock: on a busy machine the command itself takes long.
        window = ("--since", str(begin), "--until", str(int(time.time()) + 1))
        shown = docker("events", *window, "--filter", f"container={name}", "--format", "{{json .}}").stdout
        at = {event["Action"]: event["timeNano"] for event in map(json.loads, shown.splitlines())}
        assert at["die"] - at["kill"] < 1e9
    finally:
        docker("rm", "--force", name)
