"""The examples run: with the simulator in ChirpStack's place, and otherwise as they are."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from init_job.errors import AccountError, ConfigurationError, OutputError, ServerRefusal, TokenError
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
EXAMPLE = "docker-compose.example.yml"
SERVERS = {"v3": "chirpstack-application-server", "v4": "chirpstack"}
PASSWORDS = {"POSTGRES_PASSWORD": "a", "CHIRPSTACK_API_SECRET": "b", "CHIRPSTACK_PASSWORD": "long-enough"}


def project_of(folder: Path, *files: str, **environment: str) -> Project:
    """The files, copied from where they lie, unless the folder has them."""
    for file in files:
        if not (folder / file).exists():
            shutil.copy(next(home / file for home in (ROOT, ROOT / "examples", HERE) if (home / file).exists()), folder)
    made = Project(folder, *files)
    made.environment |= {"INIT_JOB_IMAGE": IMAGE, **environment}
    return made


def example(folder: Path, *more: str, **environment: str) -> Project:
    """The example with the simulator as ChirpStack, and therefore without what only ChirpStack needs."""
    consumer = {"healthcheck": {"interval": "1s"}}  # so that the tests need not wait for its ten
    services = {name: {"profiles": ["real"]} for name in ("postgres", "redis", "mosquitto")} | {"consumer": consumer}
    (folder / "alone.json").write_text(json.dumps({"services": services}))
    return project_of(folder, EXAMPLE, *more, "simulated.yml", "alone.json", **PASSWORDS, **environment)


def official(folder: Path, api: str, *add_ons: str, **environment: str) -> Project:
    """The example that is put beside the official compose file, of which only the server's name matters, and what is
    put over it: with the line in `.env` that says so."""
    server = {"image": SIMULATOR_IMAGE, "command": ["--api", api], "ports": ["127.0.0.1::8080"]}
    (folder / "docker-compose.yml").write_text(json.dumps({"services": {SERVERS[api]: server}}))
    shutil.copy(ROOT / f"examples/chirpstack-docker-{api}.yml", folder / "docker-compose.override.yml")
    for add_on in add_ons:
        shutil.copy(ROOT / "examples" / add_on, folder)
    files = ":".join(("docker-compose.yml", "docker-compose.override.yml", *add_ons))
    (folder / ".env").write_text(f"COMPOSE_FILE={files}\n")
    made = Project(folder)
    made.environment |= {"INIT_JOB_IMAGE": IMAGE, **environment}
    return made


def secret(folder: Path) -> None:
    """The password as `secrets.yml` says to keep it."""
    (folder / "secrets").mkdir(mode=0o700)
    (folder / "secrets/chirpstack_password").write_text("admin")
    (folder / "secrets/chirpstack_password").chmod(0o644)


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


def test_the_example_waits_for_its_consumer_the_first_time_and_the_second(tmp_path: Path) -> None:
    with example(tmp_path) as project:
        project.up("--wait")
        assert project.container("consumer")["State"]["Health"]["Status"] == "healthy"
        assert "set CHIRPSTACK_PASSWORD as the password of admin" in project.log("chirpstack-init")
        project.up("--wait")
        assert project.container("consumer")["State"]["Health"]["Status"] == "healthy"
        assert "up to date" in project.log("chirpstack-init")


def test_the_consumer_of_the_example_is_unhealthy_with_a_token_that_does_not_work(tmp_path: Path) -> None:
    with example(tmp_path) as project:
        project.up("chirpstack-init")
        project.end("chirpstack-init")
        project.start_server()  # a new one knows no keys
        assert project.up("--wait", "--no-deps", "consumer", fails=True).returncode == 1
        assert project.container("consumer")["State"]["Health"]["Status"] == "unhealthy"


def test_the_example_tells_that_the_password_is_wrong(tmp_path: Path) -> None:
    with example(tmp_path) as project:
        project.up("--wait")
        project.compose("rm", "--stop", "--force", "consumer", "chirpstack-init")
        docker("volume", "rm", f"{project.name}_api-token")
        project.environment["CHIRPSTACK_PASSWORD"] = "another-one"
        assert project.up("--wait", fails=True).returncode == 1
        assert project.end("chirpstack-init") == 4
        assert project.container("consumer")["State"]["Status"] == "created"


def test_the_service_in_the_readme_shows_what_the_readme_says(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (tmp_path / "compose.yml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    server = {"image": SIMULATOR_IMAGE, "command": ["--api", "v4", "--starts-after", "4s"]}
    consumer = {"image": IMAGE, "init": True, "entrypoint": ["sleep", "infinity"]}
    services = {"chirpstack": server, "consumer": consumer}
    (tmp_path / "compose.override.yml").write_text(json.dumps({"services": services}))

    def without_times_and_ids(log: str) -> list[str]:
        lines = re.findall(r"\S+Z ((?:INFO|WARNING|ERROR) .*)", log)
        return [re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\(.* s left\)", "", line) for line in lines]

    with Project(tmp_path) as project:
        project.environment |= {"INIT_JOB_IMAGE": IMAGE, "CHIRPSTACK_PASSWORD": "long-enough"}
        project.up("--wait")
        shown = re.findall(r"^ {4}\S+Z .*$", text, re.MULTILINE)
        assert without_times_and_ids(project.log("chirpstack-init")) == without_times_and_ids("\n".join(shown))
        project.up("--wait")
        assert project.log("chirpstack-init").strip().endswith("is up to date")
        (line,) = re.findall(r"^ {4}(token=.*)$", text, re.MULTILINE)
        environment = {**os.environ, **project.environment, "COMPOSE_PROJECT_NAME": project.name}
        token = call("sh", "-c", f'{line}; printf %s "$token"', cwd=tmp_path, env=environment).stdout
        assert read_claims(token).kind is Kind.API_KEY


def what_to_call() -> list[str]:
    """The commands in README's table."""
    table = (ROOT / "README.md").read_text().partition("\n## What to call when\n")[2].partition("\n## ")[0]
    return re.findall(r"^\|[^|]+\| `([^`]+)` \|$", table, re.MULTILINE)


FOR_LATER = {"docker compose run --rm chirpstack-init check": 5, "docker compose logs chirpstack-init": 0}
"""What is for after the first start, and what comes of it before."""


@pytest.mark.parametrize("command", what_to_call())
def test_what_to_call_when_works_the_first_time_and_the_second(tmp_path: Path, command: str) -> None:
    with example(tmp_path) as project:
        environment = {**os.environ, **project.environment, "COMPOSE_PROJECT_NAME": project.name}
        environment["COMPOSE_FILE"] = ":".join(project.files)

        def run() -> int:
            return call("sh", "-c", command, fails=True, cwd=tmp_path, env=environment).returncode

        assert run() == FOR_LATER.get(command, 0)
        if command in FOR_LATER:
            project.up("--wait")
        assert run() == 0
        assert project.key_names("long-enough") == ["init-job"]


def test_a_server_on_the_host_has_a_name_in_the_container(tmp_path: Path) -> None:
    gateway = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").stdout.strip()
    server = {"image": SIMULATOR_IMAGE, "command": ["--api", "v4"], "ports": [f"{gateway}::8080"]}
    (tmp_path / "compose.yml").write_text(json.dumps({"services": {"chirpstack": server}}))
    with Project(tmp_path) as project:
        project.start_server()
        url = f"http://host.docker.internal:{project.url.rpartition(':')[2]}"
        settings = ("--env", f"CHIRPSTACK_URL={url}", "--env", "CHIRPSTACK_PASSWORD=admin", "--env", "TOKEN_FILE=-")
        host = ("--add-host", "host.docker.internal:host-gateway")
        done = docker("run", "--rm", *host, *settings, IMAGE)
        assert read_claims(done.stdout.strip()).kind is Kind.API_KEY


@pytest.mark.parametrize("add_ons", [(), ("secrets.yml",), ("env-file.yml",), ("secrets.yml", "env-file.yml")], ids=str)
@pytest.mark.parametrize("api", SERVERS)
def test_the_examples_work_over_the_official_file_and_over_each_other(
    tmp_path: Path, api: str, add_ons: tuple[str, ...]
) -> None:
    secret(tmp_path)
    user = {"JOB_UID": str(os.getuid()), "JOB_GID": str(os.getgid())} if "env-file.yml" in add_ons else {}
    with official(tmp_path, api, *add_ons, **user) as project:
        for word in ("created key", "up to date"):
            assert word in project.compose("run", "--rm", "chirpstack-init").stderr
        service = json.loads(project.compose("config", "--format", "json").stdout)["services"]["chirpstack-init"]
        assert service["environment"]["CHIRPSTACK_PASSWORD"] == ("" if "secrets.yml" in add_ons else "admin")
        if "env-file.yml" in add_ons:
            token = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())[
                "CHIRPSTACK_API_TOKEN"
            ]
        else:
            token = project.read("api-token").strip()
        assert read_claims(token).kind is Kind.API_KEY


def test_what_dot_env_says_of_the_key_reaches_the_job(tmp_path: Path) -> None:
    with official(tmp_path, "v4", CHIRPSTACK_PASSWORD="long-enough") as project:
        with (tmp_path / ".env").open("a") as file:
            file.write("CHIRPSTACK_INITIAL_PASSWORD=admin\nAPI_KEY_READ_ONLY=true\n")
        log = project.compose("run", "--rm", "chirpstack-init").stderr
        assert "set CHIRPSTACK_PASSWORD as the password of admin" in log
        project.environment["API_KEY_READ_ONLY"] = "false"
        log = project.compose("run", "--rm", "chirpstack-init", "--dry-run", fails=True).stderr
        assert "it is read-only" in log


def test_the_next_up_hands_the_token_of_the_env_file_example_on(tmp_path: Path) -> None:
    user = {"JOB_UID": str(os.getuid()), "JOB_GID": str(os.getgid())}
    consumer = {
        "image": IMAGE,
        "entrypoint": ["python", "-c", "import os; print(len(os.environ['TOKEN']))"],
        "environment": {"TOKEN": "${CHIRPSTACK_API_TOKEN:-}"},
    }
    with official(tmp_path, "v4", "env-file.yml", **user) as project:
        stack = json.loads((tmp_path / "docker-compose.yml").read_text())
        (tmp_path / "docker-compose.yml").write_text(
            json.dumps({"services": stack["services"] | {"consumer": consumer}})
        )

        def length() -> int:
            """Of the token that the consumer has, when it is started now."""
            project.up("consumer")
            assert project.end("consumer") == 0
            (found,) = re.findall(r"(\d+)$", project.log("consumer").strip())
            return int(found)

        assert length() == 0
        project.compose("run", "--rm", "chirpstack-init")
        assert length() > 100


def test_the_env_file_example_makes_no_folder_where_the_file_is_missing(tmp_path: Path) -> None:
    with official(tmp_path, "v4", "env-file.yml") as project:
        project.environment["COMPOSE_FILE"] = (tmp_path / ".env").read_text().strip().partition("=")[2]
        (tmp_path / ".env").unlink()
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
    secret(tmp_path)
    with official(tmp_path, "v4", "secrets.yml", "several-keys.yml") as project:
        project.start_server()
        for word in ("created key", "up to date"):
            project.up("--force-recreate", "--no-deps", "chirpstack-init")
            assert project.end("chirpstack-init") == 0
            log = project.log("chirpstack-init")
            assert "exit 0: ready: 'dashboard', 'bridge', 'provisioning'" in log
            assert log.count(word) == 3
        variables = dict(line.split("=", 1) for line in project.read("api-token", "bridge.env").splitlines())
        provisioning = json.loads(project.read("api-token", "provisioning.json"))
        tokens = [
            project.read("api-token", "dashboard").strip(),
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
    settings = {"CHIRPSTACK_HOST": certificates, "CHIRPSTACK_TLS_PORT": "0"}
    with example(tmp_path, "tls.yml", "simulated-proxy.json", **settings) as project:
        project.up("--wait")
        assert f"ChirpStack v4 at https://{certificates} is ready" in project.log("chirpstack-init")


def unit(name: str) -> str:
    """The value of a line in the unit of the cloud-init example."""
    text = (ROOT / "examples/cloud-init.yaml").read_text()
    (value,) = re.findall(rf"^ +{name}=(.*)$", text, re.MULTILINE)
    return str(value)


def test_the_cloud_init_example_is_not_started_again_for_what_a_person_has_to_mend() -> None:
    assert unit("Restart") == "on-failure"
    kinds = (ConfigurationError, AccountError, TokenError, OutputError, ServerRefusal)
    assert unit("RestartPreventExitStatus") == " ".join(str(kind.exit_code) for kind in kinds)


def test_the_cloud_init_example_starts_the_job_with_the_command_of_its_unit(server: Project, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("CHIRPSTACK_URL=http://chirpstack:8080\nCHIRPSTACK_PASSWORD=admin\n")
    folder = tmp_path / "token"
    folder.mkdir()
    assert f"install -d -o {JOB_UID} -g {JOB_UID}" in (ROOT / "examples/cloud-init.yaml").read_text()
    in_volume(str(folder), "chown", f"{JOB_UID}:{JOB_UID}", "/shared")
    assert unit("Environment").startswith("INIT_JOB_IMAGE=")
    replaced = unit("ExecStart").replace("/etc/chirpstack-init.env", str(tmp_path / "env")).replace("%H", "machine-1")
    replaced = replaced.replace("/var/lib/chirpstack-token", str(folder)).replace("${INIT_JOB_IMAGE}", IMAGE)
    replaced = replaced.replace("--name chirpstack-init ", f"--name {new_name()} --network {server.network} ")
    call(*shlex.split(replaced))
    assert server.key_names() == ["init-machine-1"]
    assert read_claims((folder / "chirpstack_api_token").read_text().strip()).kind is Kind.API_KEY

    # The machine is made anew, under its old name.
    in_volume(str(folder), "sh", "-c", "rm /shared/* /shared/.chirpstack*")
    assert call(*shlex.split(replaced), fails=True).returncode == TokenError.exit_code
    with (tmp_path / "env").open("a") as file:
        file.write("ON_LOST_TOKEN=replace\n")
    call(*shlex.split(replaced))
    assert server.key_names() == ["init-machine-1"]
    call(*shlex.split(replaced), "revoke")
    assert server.key_names() == []


def test_docker_takes_quotes_in_an_env_file_for_a_part_of_the_value(server: Project, tmp_path: Path) -> None:
    (tmp_path / "env").write_text('CHIRPSTACK_URL=http://chirpstack:8080\nCHIRPSTACK_PASSWORD="admin"\nTOKEN_FILE=-\n')
    command = ("run", "--rm", "--network", server.network, "--env-file", str(tmp_path / "env"), IMAGE)
    assert docker(*command, fails=True).returncode == AccountError.exit_code
