"""The examples run: with the simulator in ChirpStack's place, and otherwise as they are."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from init_job.tokens import Kind, read_claims
from tests.container.harness import (
    IMAGE,
    JOB_UID,
    PYTHON_IMAGE,
    ROOT,
    SIMULATOR_IMAGE,
    Project,
    call,
    docker,
    in_volume,
    new_name,
)

HERE = ROOT / "tests/container"
PASSWORDS = {"POSTGRES_PASSWORD": "a", "CHIRPSTACK_API_SECRET": "b", "CHIRPSTACK_PASSWORD": "long-enough"}


def project_of(folder: Path, *files: str, **environment: str) -> Project:
    """The files, copied from where they lie, unless the folder has them."""
    for file in files:
        if not (folder / file).exists():
            shutil.copy(next(home / file for home in (ROOT, ROOT / "examples", HERE) if (home / file).exists()), folder)
    made = Project(folder, *files)
    made.environment |= {"INIT_JOB_IMAGE": IMAGE, **environment}
    return made


def official(folder: Path, service: str, api: str, example: str, **environment: str) -> Project:
    """An example that is put beside the official compose file, of which only the server's name matters."""
    content = {"services": {service: {"image": SIMULATOR_IMAGE, "command": ["--api", api]}}}
    (folder / "docker-compose.yml").write_text(json.dumps(content))
    shutil.copy(ROOT / "examples" / example, folder / "docker-compose.override.yml")
    made = Project(folder)
    made.environment |= {"INIT_JOB_IMAGE": IMAGE, **environment}
    return made


@pytest.fixture(scope="session")
def nginx() -> str:
    """The image that the TLS example names; where it cannot be had, a stand-in."""
    name = "nginx:1-alpine"
    if not docker("image", "inspect", name, fails=True).returncode or not docker("pull", name, fails=True).returncode:
        return name
    name = "chirpstack-nginx-standin"
    build = ("build", "--build-arg", f"PYTHON_IMAGE={PYTHON_IMAGE}", "--file", str(HERE / "nginx.Dockerfile"))
    docker(*build, "--tag", name, str(HERE))
    return name


@pytest.fixture
def certificates(tmp_path: Path) -> str:
    """The name in a certificate; it, its key and its CA are in `certs`."""
    folder = tmp_path / "certs"
    folder.mkdir()
    name = "lorawan.example.com"
    (folder / "extensions").write_text(f"subjectAltName=DNS:{name}\nauthorityKeyIdentifier=keyid\n")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    for command in (
        f"req -x509 {key} -days 2 -subj /CN=ca -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem",
        f"req {key} -subj /CN={name} -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem",
    ):
        call("openssl", *command.split(), cwd=folder)
    (folder / "ca.pem").chmod(0o644)
    return name


def test_the_example_ends_with_the_consumer_using_the_token(tmp_path: Path) -> None:
    with project_of(tmp_path, "docker-compose.example.yml", "simulated.yml", **PASSWORDS) as project:
        project.up("consumer")
        assert project.end("consumer") == 0
        assert "the token works" in project.log("consumer")
        assert "set CHIRPSTACK_PASSWORD as the password of admin" in project.log("chirpstack-init")
        project.up("--force-recreate", "--no-deps", "chirpstack-init")
        assert project.end("chirpstack-init") == 0
        assert "up to date" in project.log("chirpstack-init")


def test_the_consumer_of_the_example_fails_with_a_token_that_does_not_work(tmp_path: Path) -> None:
    with project_of(tmp_path, "docker-compose.example.yml", "simulated.yml", **PASSWORDS) as project:
        project.up("chirpstack-init")
        project.end("chirpstack-init")
        project.start_server()  # a new one knows no keys
        project.up("--no-deps", "consumer")
        assert project.end("consumer") == 1
        assert "refused the token" in project.log("consumer")


@pytest.mark.parametrize(
    ("service", "api", "example"),
    [
        ("chirpstack", "v4", "chirpstack-docker-v4.yml"),
        ("chirpstack-application-server", "v3", "chirpstack-docker-v3.yml"),
        ("chirpstack", "v4", "secrets.yml"),
    ],
)
def test_the_drop_in_services_work_beside_the_official_file(
    tmp_path: Path, service: str, api: str, example: str
) -> None:
    (tmp_path / "secrets").mkdir(mode=0o700)
    (tmp_path / "secrets/chirpstack_password").write_text("admin")
    (tmp_path / "secrets/chirpstack_password").chmod(0o644)
    with official(tmp_path, service, api, example) as project:
        project.up()
        assert project.end("chirpstack-init") == 0
        assert read_claims(project.read("api-token").strip()).kind is Kind.API_KEY


def test_the_password_of_the_secrets_example_is_not_in_the_environment(tmp_path: Path) -> None:
    with official(tmp_path, "chirpstack", "v4", "secrets.yml") as project:
        services = json.loads(project.compose("config", "--format", "json").stdout)["services"]
        assert "CHIRPSTACK_PASSWORD" not in services["chirpstack-init"]["environment"]


def test_the_env_file_example_gives_the_token_to_the_next_up(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTHER=1\n")
    user = {"JOB_UID": str(os.getuid()), "JOB_GID": str(os.getgid())}
    with official(tmp_path, "chirpstack", "v4", "env-file.yml", **user) as project:
        project.up("consumer")
        assert project.end("consumer") == 0
        assert "no token yet" in project.log("consumer")
        project.compose("run", "--rm", "chirpstack-init")
        assert (tmp_path / ".env").read_text().startswith("OTHER=1\nCHIRPSTACK_API_TOKEN=ey")
        project.up("consumer")
        assert project.end("consumer") == 0
        assert "there is a token" in project.log("consumer")


def test_the_env_file_example_makes_no_folder_where_the_file_is_missing(tmp_path: Path) -> None:
    with official(tmp_path, "chirpstack", "v4", "env-file.yml") as project:
        assert project.up("chirpstack-init", fails=True).returncode != 0
        assert not (tmp_path / ".env").exists()


def test_the_ci_example_prints_the_token_and_nothing_else(tmp_path: Path) -> None:
    with project_of(tmp_path, "ci.yml", "simulated.yml") as project:
        for _ in range(2):
            done = project.compose("run", "--rm", "--no-TTY", "chirpstack-init")
            (token,) = done.stdout.splitlines()
            assert read_claims(token).kind is Kind.API_KEY
        assert project.key_names() == ["init-job"]


def test_the_example_with_several_keys_writes_each_where_its_service_reads_it(tmp_path: Path) -> None:
    with official(tmp_path, "chirpstack", "v4", "several-keys.yml") as project:
        project.start_server()
        for word in ("created key", "up to date"):
            project.up("--force-recreate", "--no-deps", "chirpstack-init")
            assert project.end("chirpstack-init") == 0
            log = project.log("chirpstack-init")
            assert "exit 0: ready: 'dashboard', 'bridge', 'provisioning'" in log
            assert log.count(word) == 3
        variables = dict(line.split("=", 1) for line in project.read("api-tokens", "bridge.env").splitlines())
        provisioning = json.loads(project.read("api-tokens", "provisioning.json"))
        tokens = [
            project.read("api-tokens", "dashboard").strip(),
            variables["CHIRPSTACK_API_TOKEN"],
            provisioning["token"],
        ]
        assert len({read_claims(token).key_id for token in tokens}) == 3
        assert variables["CHIRPSTACK_TENANT_ID"]


def test_the_ci_example_with_several_keys_prints_all_tokens_as_one_json(tmp_path: Path) -> None:
    with project_of(tmp_path, "ci.yml", "ci-several-keys.yml", "simulated.yml") as project:
        for _ in range(2):
            keys = json.loads(project.compose("run", "--rm", "--no-TTY", "tokens").stdout)
            assert {name: key["read_only"] for name, key in keys.items()} == {
                "admin": False, "bridge": False, "dashboard": True
            }  # fmt: skip
            assert {read_claims(key["token"]).kind for key in keys.values()} == {Kind.API_KEY}


def test_the_tls_example_goes_through_the_proxy_and_trusts_its_ca(
    tmp_path: Path, certificates: str, nginx: str
) -> None:
    (tmp_path / "simulated-proxy.json").write_text(json.dumps({"services": {"proxy": {"image": nginx}}}))
    settings = {"CHIRPSTACK_HOST": certificates, "CHIRPSTACK_TLS_PORT": "0", **PASSWORDS}
    files = ("docker-compose.example.yml", "tls.yml", "simulated.yml", "simulated-proxy.json")
    with project_of(tmp_path, *files, **settings) as project:
        project.up("consumer")
        assert project.end("consumer") == 0
        assert f"ChirpStack v4 at https://{certificates} is ready" in project.log("chirpstack-init")


def test_the_cloud_init_example_starts_the_job_with_the_command_of_its_unit(server: Project, tmp_path: Path) -> None:
    text = (ROOT / "examples/cloud-init.yaml").read_text()
    (tmp_path / "env").write_text("CHIRPSTACK_URL=http://chirpstack:8080\nCHIRPSTACK_PASSWORD=admin\n")
    folder = tmp_path / "token"
    folder.mkdir()
    assert f"install -d -o {JOB_UID} -g {JOB_UID}" in text
    in_volume(str(folder), "chown", f"{JOB_UID}:{JOB_UID}", "/shared")
    command = re.search(r"ExecStart=/usr/bin/(docker run .*)", text)
    assert command
    replaced = command[1].replace("/etc/chirpstack-init.env", str(tmp_path / "env")).replace("%H", "machine-1")
    replaced = replaced.replace("/var/lib/chirpstack-token", str(folder)).replace("chirpstack-init-job", IMAGE)
    replaced = replaced.replace("--name chirpstack-init ", f"--name {new_name()} --network {server.network} ")
    call(*shlex.split(replaced))
    assert server.key_names() == ["init-machine-1"]
    assert read_claims((folder / "chirpstack_api_token").read_text().strip()).kind is Kind.API_KEY
