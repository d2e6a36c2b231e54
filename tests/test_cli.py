"""The real command line against the simulator: what users see, and every exit code."""

import base64
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from init_job import __version__
from init_job.errors import EXIT_CODES
from init_job.settings import VARIABLES
from tests.simulator import Drop, Request, Response, Simulator
from tests.support import PASSWORD, Run, environment, jwt, needs_mounts, run_job, started_job

NAME = "init-job"


class Site:
    """A user's folder, and the job with it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.token_file = folder / "token"

    def run(self, *arguments: str, **variables: str | Path) -> Run:
        given: dict[str, str | Path] = {
            "CHIRPSTACK_URL": self.url,
            "CHIRPSTACK_PASSWORD": PASSWORD,
            "TOKEN_FILE": self.token_file,
        }
        return run_job(self.folder, *arguments, variables={**given, **variables})

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}


@pytest.fixture
def site(tmp_path: Path, chirpstack: Simulator) -> Site:
    return Site(tmp_path, chirpstack.url)


# The main work


def test_the_first_run_creates_the_key_and_the_second_has_nothing_to_do(chirpstack: Simulator, site: Site) -> None:
    first = site.run()
    assert first.code == 0, first.err
    [key] = chirpstack.keys(NAME, "admin")
    assert chirpstack.token_works(site.token)
    assert site.token_file.read_text() == f"{site.token}\n"
    assert stat.S_IMODE(site.token_file.stat().st_mode) == 0o644
    assert f"created key '{NAME}' (id {key.id})" in first.messages[-1]

    before, times = site.files(), site.token_file.stat().st_mtime_ns
    chirpstack.clear_requests()
    second = site.run()
    assert second.code == 0, second.err
    assert "up to date" in second.messages[-1]
    assert len(chirpstack.requests) == 1
    assert (site.files(), site.token_file.stat().st_mtime_ns) == (before, times)
    assert chirpstack.keys(NAME) == [key]


def test_every_output_gets_the_token(chirpstack: Simulator, site: Site) -> None:
    env, report = site.folder / "consumer.env", site.folder / "key.json"
    env.write_text("A=1\n# a comment\nCHIRPSTACK_API_TOKEN=\nB=2\n")
    run = site.run(ENV_FILE=env, JSON_FILE=report)
    assert run.code == 0, run.err
    [key] = chirpstack.keys(NAME)
    assert env.read_text() == f"A=1\n# a comment\nCHIRPSTACK_API_TOKEN={site.token}\nB=2\n"
    content = json.loads(report.read_text())
    assert content == {
        "token": site.token,
        "id": key.id,
        "name": NAME,
        "scope": "admin",
        "read_only": False,
        "server": chirpstack.url,
        "api": "v4" if "4.19.0" in report.read_text() else "v3",
        "version": content["version"],
        "scope_id": None,
    }


def test_the_id_of_the_keys_group_is_beside_the_token(chirpstack: Simulator, site: Site) -> None:
    """Later calls need it, and none tells a key its own tenant or organization (contract §3.8)."""
    [(name, group_id)] = chirpstack.groups().items()
    kind = "tenant" if name == "ChirpStack" else "organization"
    env, report = site.folder / "consumer.env", site.folder / "key.json"
    scope = f"{kind}:{name}"
    for _ in range(2):
        run = site.run(API_KEY_SCOPE=scope, ENV_FILE=env, ENV_SCOPE_ID_VAR="GROUP_ID", JSON_FILE=report)
        assert run.code == 0, run.err
        assert env.read_text() == f"CHIRPSTACK_API_TOKEN={site.token}\nGROUP_ID={group_id}\n"
        assert json.loads(report.read_text())["scope_id"] == group_id
        env.unlink()  # and once more without a login


def test_an_output_that_is_added_later_gets_the_token_without_a_login(chirpstack: Simulator, site: Site) -> None:
    site.run()
    env = site.folder / "consumer.env"
    chirpstack.clear_requests()
    run = site.run(ENV_FILE=env, CHIRPSTACK_PASSWORD="")
    assert run.code == 0, run.err
    assert env.read_text() == f"CHIRPSTACK_API_TOKEN={site.token}\n"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert len(chirpstack.requests) == 1


def test_standard_output_gets_the_token_and_nothing_else(chirpstack: Simulator, site: Site) -> None:
    run = site.run(TOKEN_FILE="-")
    assert run.code == 0, run.err
    assert chirpstack.token_works(run.out.removesuffix("\n"))
    assert run.out.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_standard_output_is_utf_8_whatever_the_locale(encoding: str, site: Site) -> None:
    run = site.run(TOKEN_FILE="", JSON_FILE="-", API_KEY_NAME="ключ", PYTHONIOENCODING=encoding)
    assert run.code == 0, run.err
    assert json.loads(run.out)["name"] == "ключ"


def test_the_job_waits_for_a_server_that_comes_late(tmp_path: Path) -> None:
    simulator = Simulator("v3", "3.17.9", starting_for=1.0)
    simulator.bind()
    with started_job(
        tmp_path, CHIRPSTACK_URL=simulator.url, CHIRPSTACK_PASSWORD="admin", TOKEN_FILE="token", WAIT_TIMEOUT="20s"
    ) as job:  # fmt: skip
        assert job.stderr is not None
        assert any("connection refused" in line for line in iter(job.stderr.readline, ""))
        simulator.listen()
        assert any("ChirpStack v3 is starting" in line for line in iter(job.stderr.readline, ""))
        job.communicate(timeout=20)
    assert job.returncode == 0
    assert simulator.token_works((tmp_path / "token").read_text().strip())
    simulator.close()


def test_health_url_is_waited_for_as_well(tmp_path: Path) -> None:
    with Simulator("v4", "4.19.0", health=True) as simulator:
        simulator.database_down = True
        site = Site(tmp_path, simulator.url)
        with started_job(
            tmp_path, CHIRPSTACK_URL=simulator.url, CHIRPSTACK_PASSWORD="admin", HEALTH_URL=simulator.health_url,
            TOKEN_FILE=site.token_file, WAIT_TIMEOUT="20s",
        ) as job:  # fmt: skip
            assert job.stderr is not None
            assert any("HEALTH_URL" in line and "503" in line for line in iter(job.stderr.readline, ""))
            assert simulator.requests == []
            simulator.database_down = False
            job.communicate(timeout=20)
            assert job.returncode == 0


@pytest.mark.parametrize(
    ("api", "version", "scope"),
    [
        ("v4", "4.19.0", "tenant:ChirpStack"),
        ("v3", "3.17.9", "organization:chirpstack"),
        ("v3", "3.17.9", "organization:1"),
        ("v3", "3.17.9", "application:app1"),
        ("v3", "3.11.0", "application:app1"),
        ("v3", "3.10.0", "admin"),
        ("v4", "4.0.5", "tenant:ChirpStack"),
    ],
)
def test_a_key_of_every_scope_is_made_once(tmp_path: Path, api: str, version: str, scope: str) -> None:
    with Simulator(api, version) as simulator:  # type: ignore[arg-type]
        if api == "v3":
            simulator.add_application("1", "app1")
        site = Site(tmp_path, simulator.url)
        for _ in range(2):
            run = site.run(CHIRPSTACK_PASSWORD="admin", API_KEY_SCOPE=scope)
            assert run.code == 0, run.err
        [key] = simulator.keys(NAME)
        assert key.scope.partition(":")[0] == scope.partition(":")[0]
        assert simulator.token_works(site.token)


def test_a_read_only_key_is_made_where_the_server_has_them(v4: Simulator, tmp_path: Path) -> None:
    site = Site(tmp_path, v4.url)
    assert site.run(API_KEY_READ_ONLY="true").code == 0
    assert [key.is_read_only for key in v4.keys(NAME)] == [True]
    assert "up to date" in site.run(API_KEY_READ_ONLY="true").messages[-1]


def test_a_key_that_may_write_is_not_taken_for_the_read_only_one_that_is_asked_for(
    v4: Simulator, tmp_path: Path
) -> None:
    site = Site(tmp_path, v4.url)
    assert site.run().code == 0
    run = site.run(API_KEY_READ_ONLY="true")
    assert run.code == 5
    assert "read-only" in run.error
    assert site.run(API_KEY_READ_ONLY="true", ON_LOST_TOKEN="replace").code == 0
    assert [key.is_read_only for key in v4.keys(NAME)] == [True]


def test_a_key_that_was_deleted_is_made_again(chirpstack: Simulator, site: Site) -> None:
    site.run()
    [old] = chirpstack.keys(NAME)
    chirpstack.delete_key(old.id)
    run = site.run()
    assert run.code == 0, run.err
    [new] = chirpstack.keys(NAME)
    assert new.id != old.id
    assert chirpstack.token_works(site.token)


def test_after_a_change_of_the_servers_secret_there_is_a_new_key_and_the_dead_one_is_gone(
    chirpstack: Simulator, site: Site
) -> None:
    site.run()
    [old] = chirpstack.keys(NAME)
    chirpstack.set_secret("another secret")
    run = site.run()
    assert run.code == 0, run.err
    assert "the server's secret was changed" in run.err
    [new] = chirpstack.keys(NAME)
    assert new.id != old.id
    assert chirpstack.token_works(site.token)


def test_a_lost_token_is_an_error_until_it_is_said_what_to_do(chirpstack: Simulator, site: Site) -> None:
    site.run()
    [old] = chirpstack.keys(NAME)
    site.token_file.unlink()
    run = site.run()
    assert run.code == 5
    assert old.id in run.error
    assert "ON_LOST_TOKEN=replace" in run.hint
    assert chirpstack.keys(NAME) == [old]
    assert not site.token_file.exists()

    run = site.run(ON_LOST_TOKEN="replace")
    assert run.code == 0, run.err
    [new] = chirpstack.keys(NAME)
    assert new.id != old.id
    assert chirpstack.token_works(site.token)


def test_add_makes_a_key_beside_the_lost_one(chirpstack: Simulator, site: Site) -> None:
    chirpstack.add_key(NAME)
    assert site.run(ON_LOST_TOKEN="add").code == 0
    assert len(chirpstack.keys(NAME)) == 2
    run = site.run()
    assert "up to date" in run.messages[-1]
    assert len(chirpstack.keys(NAME)) == 2


def test_the_job_goes_on_working_after_the_password_was_changed(chirpstack: Simulator, site: Site) -> None:
    site.run()
    chirpstack.set_password("admin", "something else")
    assert site.run().code == 0


def test_changed_settings_make_a_new_key_and_say_that_the_old_one_is_left(chirpstack: Simulator, site: Site) -> None:
    site.run()
    [old] = chirpstack.keys(NAME)
    run = site.run(API_KEY_NAME="grafana")
    assert run.code == 0, run.err
    assert any(old.id in line and "still exists" in line for line in run.messages)
    assert len(chirpstack.keys("grafana")) == 1
    assert chirpstack.keys(NAME) == [old]


def test_a_login_token_in_an_output_is_replaced_and_named(chirpstack: Simulator, site: Site) -> None:
    site.token_file.write_text(chirpstack.login_token("admin"))
    run = site.run()
    assert run.code == 0, run.err
    assert any("login token" in line for line in run.messages)
    assert chirpstack.keys(NAME)


def test_different_tokens_in_the_outputs_are_made_one(chirpstack: Simulator, site: Site) -> None:
    site.run()
    env = site.folder / "consumer.env"
    env.write_text(f"CHIRPSTACK_API_TOKEN={jwt({'typ': 'key', 'sub': '11111111-1111-4111-8111-111111111111'})}\n")
    assert site.run(ENV_FILE=env).code == 0
    assert env.read_text() == f"CHIRPSTACK_API_TOKEN={site.token}\n"
    assert len(chirpstack.keys(NAME)) == 1


# check and dry runs


def test_check_says_whether_the_saved_token_works(chirpstack: Simulator, site: Site) -> None:
    assert site.run("check").code == 5
    site.run()
    before = site.files()
    assert site.run("check", CHIRPSTACK_PASSWORD="").code == 0
    chirpstack.set_secret("another secret")
    run = site.run("check")
    assert run.code == 5
    assert "another secret" in run.error
    assert site.files() == before


def test_check_tells_another_keys_token_when_it_may_log_in(chirpstack: Simulator, site: Site) -> None:
    other, token = chirpstack.add_key("grafana")
    site.token_file.write_text(token)
    run = site.run("check")
    assert run.code == 5
    assert f"it is key 'grafana' in scope admin (id {other}), not '{NAME}'" in run.error
    assert site.run("check", API_KEY_NAME="grafana").code == 0
    assert site.run("check", CHIRPSTACK_PASSWORD="").code == 0


def test_check_waits_no_longer_than_it_is_told(site: Site, chirpstack: Simulator) -> None:
    site.run()
    chirpstack.close()
    assert site.run("check", WAIT_TIMEOUT="0").code == 3


@pytest.mark.parametrize("state", ["no key", "up to date", "lost", "dead"])
def test_a_dry_run_changes_nothing(chirpstack: Simulator, site: Site, state: str) -> None:
    if state != "no key":
        site.run()
    if state == "lost":
        site.token_file.unlink()
    if state == "dead":
        chirpstack.set_secret("another secret")
    keys, files = chirpstack.keys(), site.files()
    run = site.run("--dry-run", ON_LOST_TOKEN="replace")
    assert run.code == 0, run.err
    assert ("up to date" if state == "up to date" else "would create") in run.messages[-1]
    assert (chirpstack.keys(), site.files()) == (keys, files)


def test_help_lists_every_variable_and_exit_code(tmp_path: Path) -> None:
    run = run_job(tmp_path, "--help")
    assert run.code == 0
    for variable in VARIABLES:
        assert re.search(rf"^  {variable.name}\b", run.out, re.MULTILINE)
        assert variable.meaning in run.out
    for code, meaning in EXIT_CODES:
        assert re.search(rf"^  {code} +{re.escape(meaning)}$", run.out, re.MULTILINE)


def test_version_is_printed(tmp_path: Path) -> None:
    assert run_job(tmp_path, "--version").out == f"chirpstack-init-job {__version__}\n"


# Standard streams that cannot be written


@pytest.mark.parametrize("readers", ["a full disk", "nobody"])
@pytest.mark.parametrize(
    ("arguments", "variables", "code"),
    [
        ((), {}, 0),
        ((), {"LOG_FORMAT": "json", "LOG_LEVEL": "debug"}, 0),
        ((), {"CHIRPSTACK_URL": "http://127.0.0.1:1", "WAIT_TIMEOUT": "0"}, 3),
        (("--nonsense",), {}, 2),
    ],
)
def test_a_log_that_cannot_be_written_changes_no_exit_code(
    v4: Simulator, tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], code: int, readers: str
) -> None:
    given = {"CHIRPSTACK_URL": v4.url, "CHIRPSTACK_PASSWORD": PASSWORD, "TOKEN_FILE": "token", **variables}
    with unwritable(readers) as stream:
        done = subprocess.run(
            [sys.executable, "-m", "init_job", *arguments], cwd=tmp_path, env=environment(**given), stderr=stream,
            check=False,
        )  # fmt: skip
    assert done.returncode == code
    assert bool(v4.keys(NAME)) == (tmp_path / "token").exists() == (code == 0)


@pytest.mark.parametrize("readers", ["a full disk", "nobody"])
@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_that_cannot_be_written_is_an_error_of_two_lines(tmp_path: Path, argument: str, readers: str) -> None:
    with unwritable(readers) as stream:
        done = subprocess.run(
            [sys.executable, "-m", "init_job", argument], cwd=tmp_path, env=environment(), stdout=stream,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    run = Run(done.returncode, "", done.stderr)
    assert run.code == 6
    assert "standard output cannot be written" in run.error
    assert len(run.messages) == 2


@contextmanager
def unwritable(readers: str) -> Iterator[int]:
    if readers == "nobody":
        read, stream = os.pipe()
        os.close(read)
    else:
        stream = os.open("/dev/full", os.O_WRONLY)
    yield stream
    os.close(stream)


# Exit 2: the configuration


def test_all_problems_of_the_settings_are_told_at_once(site: Site, chirpstack: Simulator) -> None:
    run = site.run(
        CHIRPSTACK_URL="ftp://x", API_KEY_NAME=" ", WAIT_TIMEOUT="soon", ON_LOST_TOKEN="maybe",
        CHIRPSTACK_PASSWORD_FILE="/no/such/file",
    )  # fmt: skip
    assert run.code == 2
    assert "5 problems" in run.error
    for name in ("CHIRPSTACK_URL", "API_KEY_NAME", "WAIT_TIMEOUT", "ON_LOST_TOKEN", "CHIRPSTACK_PASSWORD"):
        assert name in run.error
    assert chirpstack.requests == []


def test_no_password_and_no_token_is_an_error_before_any_request(site: Site, chirpstack: Simulator) -> None:
    run = site.run(CHIRPSTACK_PASSWORD="")
    assert run.code == 2
    assert "CHIRPSTACK_PASSWORD" in run.error
    assert chirpstack.requests == []


def test_settings_come_from_a_dotenv_file_and_secrets_from_files(chirpstack: Simulator, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    (tmp_path / ".env").write_text(
        f"CHIRPSTACK_URL={chirpstack.url}\nCHIRPSTACK_PASSWORD_FILE=secret\nTOKEN_FILE=token\nAPI_KEY_NAM=x\n"
    )
    run = run_job(tmp_path)
    assert run.code == 0, run.err
    assert chirpstack.token_works((tmp_path / "token").read_text().strip())
    assert "was API_KEY_NAME meant?" in run.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["destroy"], "a command: ensure, check, rotate, revoke"),
        (["rotate", "revoke"], "there can be one word"),
        (["--nonsense"], "--nonsense"),
        (["--all"], "--all belongs to revoke"),
        (["rotate", "--if-older-than", "3"], "has no unit: is it 3d"),
        (["rotate", "--if-older-than", "soon"], "'soon' is not a duration such as 30d, 12h or 90m"),
        (["check", "--token-file", ""], "it is empty"),
        (["check", "--env-file-value", "PATH"], "PATH:VAR"),
        (["--env-file", ""], "it is empty"),
        (["--env-file", "/no/such/file"], "/no/such/file"),
        (["--env-file", "\udce4"], "is not UTF-8"),
        (["check", "--token-file", "\udce4"], "is not UTF-8"),
    ],
)
@pytest.mark.parametrize("log_format", ["text", "JSON"])
def test_a_usage_error_is_told_as_every_other_error(
    tmp_path: Path, arguments: list[str], told: str, log_format: str
) -> None:
    run = run_job(tmp_path, *arguments, variables={"LOG_FORMAT": log_format, "LOG_LEVEL": "info", "TOKEN_FILE": "t"})
    assert run.code == 2
    assert run.out == ""
    what, todo = run.err.splitlines()
    assert told in what
    if log_format == "JSON":
        assert json.loads(what)["event"] == "error"
        assert (json.loads(todo)["event"], json.loads(todo)["exit_code"]) == ("result", 2)
    else:
        assert "exit 2: what to do: " in todo


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-e", "CHIRPSTACK_PASSWORD=s3cret"], "-e is unknown; an option of docker run, such as -e, stands before"),
        (["-eCHIRPSTACK_PASSWORD=s3cret"], "-e is unknown"),
        (["--env", "CHIRPSTACK_PASSWORD=s3cret"], "--env is unknown"),
        (["--env=CHIRPSTACK_PASSWORD=s3cret", "rotate"], "--env is unknown"),
        (["--password", "s3cret"], "--password is unknown"),
        (["--password=s3cret"], "--password is unknown"),
        (["-p", "s3cret", "rotate"], "-p is unknown"),
        (["-ps3cret"], "-p is unknown"),
        (["-p s3cret"], "-p is unknown"),
        (["rotate", "s3cret"], "there can be one word"),
        (["s3cret"], "there can be one word"),
        (["--", "s3cret"], "there can be one word"),
        (["revoke", "--all=s3\ncret"], "--all: it takes no value"),
        (["--password", "s3cret\udce4"], "argument 2 is not UTF-8"),
        (["--env-file", "CHIRPSTACK_PASSWORD=s3cret"], "cannot read the file (what is named may be a value"),
    ],
)
def test_no_word_of_the_command_line_that_may_be_a_secret_is_quoted(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    run = run_job(tmp_path, *arguments, variables={"TOKEN_FILE": "t"})
    assert run.code == 2
    assert told in run.error
    assert "s3" not in run.out + run.err
    assert "cret" not in run.out + run.err


def test_what_stands_right_behind_h_is_not_quoted(tmp_path: Path) -> None:
    run = run_job(tmp_path, "-hs3cret", variables={"TOKEN_FILE": "t"})
    assert run.code == 0 or (run.code == 2 and "-h" in run.error)  # newer ones' argparse shows the help first
    assert "s3" not in run.out + run.err
    assert "cret" not in run.err  # the help says "secret"


def test_problems_of_the_settings_are_told_as_the_dotenv_file_says(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_FORMAT=json\nAPI_KEY_NAM=x\n")
    run = run_job(tmp_path, variables={"LOG_LEVEL": "info"})
    assert run.code == 2
    assert [json.loads(line)["event"] for line in run.err.splitlines()] == ["error", "result"]


def test_a_quiet_check_says_nothing_of_the_settings_either(chirpstack: Simulator, site: Site) -> None:
    site.run()
    assert site.run("check", "--quiet", API_KEY_NAM="x", LOG_LEVEL="loud").err == ""


def test_settings_are_read_from_a_pipe(chirpstack: Simulator, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, f"CHIRPSTACK_URL={chirpstack.url}\nCHIRPSTACK_PASSWORD='{PASSWORD}'\nTOKEN_FILE=t\n".encode())
    os.close(write)
    done = subprocess.run(
        [sys.executable, "-m", "init_job", "--env-file", f"/dev/fd/{read}"],
        cwd=tmp_path, env=environment(), pass_fds=[read], capture_output=True, text=True, check=False,
    )  # fmt: skip
    os.close(read)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("variable", ["CHIRPSTACK_PASSWORD", "CHIRPSTACK_EMAIL", "API_KEY_NAME", "TOKEN_FILE"])
def test_bytes_of_another_encoding_are_no_bug(site: Site, chirpstack: Simulator, variable: str) -> None:
    run = site.run(**{variable: "p\udce4ss"})
    assert run.code == 2
    assert f"{variable}: it is not UTF-8" in run.error
    assert chirpstack.requests == []


@pytest.mark.parametrize("variable", ["TOKEN_FILE", "ENV_FILE", "CHIRPSTACK_PASSWORD_FILE", "KEYS_FILE", "token_file"])
def test_a_path_that_the_locale_has_no_bytes_for_is_told(tmp_path: Path, variable: str) -> None:
    given = f"{variable}=t\u00f6ken\n"
    if variable == "token_file":
        given = "KEYS_FILE=keys.toml\n"
        (tmp_path / "keys.toml").write_text('[[key]]\nname = "a"\ntoken_file = "t\u00f6ken"\n')
    (tmp_path / ".env").write_text(given)
    run = run_job(tmp_path, variables={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert run.code == 2
    assert f"{variable}: it cannot be a path in this locale, which is ascii: set LC_ALL=C.UTF-8" in run.error


# Exit 3: not ready


def test_a_server_that_never_comes_is_given_up(site: Site, chirpstack: Simulator) -> None:
    chirpstack.close()
    run = site.run(WAIT_TIMEOUT="300ms")
    assert run.code == 3
    assert "connection refused" in run.error
    assert re.search(r"\d+ tries", run.error)
    assert "localhost is the container itself" in run.hint
    assert not site.token_file.exists()


def test_zero_is_one_try(site: Site, chirpstack: Simulator) -> None:
    chirpstack.close()
    run = site.run(WAIT_TIMEOUT="0")
    assert run.code == 3
    assert "1 try" in run.error


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def website(status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("api", ["auto", "v3", "v4"])
@pytest.mark.parametrize(
    ("status", "headers", "body", "told", "hint"),
    [
        (200, {"Content-Type": "text/html"}, b"<title>Sign in</title>", "Sign in", "CHIRPSTACK_URL"),
        (404, {"Content-Type": "text/html"}, b"<h1>nothing here</h1>", "answered 404", "CHIRPSTACK_URL"),
        (
            404,
            {"Content-Type": "application/json"},
            b'{"code":5,"message":"Not Found","details":[]}',
            "REST proxy",
            "8090",
        ),
        (302, {"Location": "https://sso.example.com/"}, b"", "https://sso.example.com/", "redirects"),
        (503, {"Content-Type": "text/html"}, b"<title>Down</title>", "503", ""),
        (200, {"Content-Type": "application/json"}, b"{}", "no ChirpStack", ""),
    ],
    ids=["login-page", "other-site", "rest-proxy", "redirect", "proxy-down", "other-api"],
)
def test_what_is_no_chirpstack_is_told(
    tmp_path: Path, api: str, status: int, headers: dict[str, str], body: bytes, told: str, hint: str
) -> None:
    if "REST" in told and api == "v4":
        told, hint = "application/json", ""
    with website(status, headers, body) as url:
        run = Site(tmp_path, url).run(WAIT_TIMEOUT="0", CHIRPSTACK_API=api)
    assert run.code == 3
    assert told in run.error
    assert hint in run.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("greeting", "told", "hint"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "does not speak HTTP", "CHIRPSTACK_URL"),
        (b"-ERR unknown command 'POST'\r\n", "does not speak HTTP", "CHIRPSTACK_URL"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "broke off", "https://"),
    ],
)
def test_a_port_that_speaks_something_else_is_told(tmp_path: Path, greeting: bytes, told: str, hint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)
                connection.recv(10_000)

        thread = threading.Thread(target=answer)
        thread.start()
        run = Site(tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}").run(WAIT_TIMEOUT="0")
        thread.join()
    assert run.code == 3
    assert told in run.error
    assert hint in run.hint


# Exit 4: the account


def test_a_wrong_password_names_the_account_and_creates_nothing(chirpstack: Simulator, site: Site) -> None:
    run = site.run(CHIRPSTACK_PASSWORD="a wrong password")
    assert run.code == 4
    assert "admin" in run.error
    assert "CHIRPSTACK_PASSWORD" in run.hint
    assert "OpenID Connect" in run.hint
    assert chirpstack.keys() == []
    assert site.files() == {}


def test_a_first_run_without_a_password_speaks_of_no_token(site: Site) -> None:
    run = site.run(CHIRPSTACK_PASSWORD="")
    assert run.code == 2
    assert "CHIRPSTACK_PASSWORD is not set" in run.error
    assert "token" not in run.error
    assert "CHIRPSTACK_PASSWORD_FILE" in run.hint


def test_what_is_odd_about_a_refused_password_is_told(chirpstack: Simulator, site: Site) -> None:
    run = site.run(CHIRPSTACK_PASSWORD=f'"{PASSWORD}" ')
    assert run.code == 4
    assert "quotes" in run.hint
    assert "space" in run.hint


def test_an_account_that_may_not_make_keys_is_told(chirpstack: Simulator, site: Site) -> None:
    chirpstack.add_user("reader@example.com", PASSWORD, admin=False)
    run = site.run(CHIRPSTACK_EMAIL="reader@example.com")
    assert run.code == 4
    assert "may not" in run.error
    assert site.files() == {}


def test_an_account_at_which_v3_crashes_is_not_tried_for_ever(v3: Simulator, tmp_path: Path) -> None:
    def crash(request: Request) -> None:
        if b"password" in request.body:
            raise Drop(reset=True)

    v3.before = crash
    run = Site(tmp_path, v3.url).run()
    assert run.code == 4
    assert "OpenID Connect" in run.hint
    assert sum(b"password" in request.body for request in v3.requests) == 3


def test_a_session_that_is_not_read_behind_a_proxy_is_explained(v3: Simulator, tmp_path: Path) -> None:
    def confuse(request: Request) -> Response | None:
        body = b'{"error":"authentication failed: jwt parse error: signature is invalid","code":16}'
        return Response(401, [("Content-Type", "application/json")], body) if "api-keys" in request.path else None

    v3.before = confuse
    run = Site(tmp_path, v3.url).run()
    assert run.code == 4
    assert "proxy" in run.hint


# Exit 5: the token


def test_somebody_elses_token_is_left_alone(chirpstack: Simulator, site: Site) -> None:
    other, token = chirpstack.add_key("grafana")
    site.token_file.write_text(token)
    run = site.run(ON_LOST_TOKEN="replace")
    assert run.code == 5
    assert other in run.error
    assert site.token == token
    assert chirpstack.keys(NAME) == []


# Exit 6: the outputs


def test_a_folder_in_the_place_of_the_file_is_explained(chirpstack: Simulator, site: Site) -> None:
    site.token_file.mkdir()
    run = site.run()
    assert run.code == 6
    assert "is a folder" in run.error
    assert "Docker" in run.hint
    assert chirpstack.keys() == []


@pytest.mark.parametrize(
    ("variable", "content", "told"),
    [
        ("TOKEN_FILE", b"verysecret\n", "signing secret"),
        ("TOKEN_FILE", b"\x7fELF\x00\xff", "no token"),
        ("TOKEN_FILE", jwt({"sub": "1234567890", "name": "John Doe"}).encode(), "did not make"),
        ("ENV_FILE", b"CHIRPSTACK_API_TOKEN=changeme\n", "no token"),
        ("JSON_FILE", b"[1, 2]", "no JSON object"),
        ("JSON_FILE", b"not json", "no JSON"),
        ("JSON_FILE", b'{"token": "", "db_password": "mine"}', "db_password"),
        ("ENV_FILE", b'[agent]\ninterval = "10s"\n', "line 1 is no NAME=value"),
    ],
)
def test_a_file_that_holds_something_else_is_not_overwritten(
    chirpstack: Simulator, site: Site, variable: str, content: bytes, told: str
) -> None:
    path = site.folder / "output"
    path.write_bytes(content)
    run = site.run(**{variable: path})
    assert run.code == 6
    assert told in run.error
    assert path.read_bytes() == content
    assert chirpstack.keys() == []


def test_what_is_no_id_is_told_before_a_key_is_made(chirpstack: Simulator, site: Site) -> None:
    [(name, _)] = chirpstack.groups().items()
    kind = "tenant" if name == "ChirpStack" else "organization"
    env = site.folder / "consumer.env"
    env.write_text("GROUP=my-db-password\n")
    run = site.run(API_KEY_SCOPE=f"{kind}:{name}", ENV_FILE=env, ENV_SCOPE_ID_VAR="GROUP")
    assert run.code == 6
    assert "what GROUP holds is no id" in run.error
    assert env.read_text() == "GROUP=my-db-password\n"
    assert chirpstack.keys() == []


def test_a_folder_that_is_not_there_is_told_before_the_wait(site: Site, chirpstack: Simulator) -> None:
    run = site.run(TOKEN_FILE=site.folder / "no" / "token")
    assert run.code == 6
    assert "there is no folder" in run.error
    assert "volume" in run.hint
    assert chirpstack.requests == []


@needs_mounts
def test_a_volume_that_is_read_only_now_is_told_before_a_dead_token_is_replaced(
    chirpstack: Simulator, site: Site
) -> None:
    site.run()
    keys = chirpstack.keys(NAME)
    chirpstack.set_secret("another secret")
    read_only = f"mount --bind {site.folder} {site.folder} && mount -o remount,ro,bind {site.folder}"
    run = _in_a_mount_namespace(read_only, chirpstack.url, site.token_file)
    assert run.code == 6, run.err
    assert "Read-only" in run.error
    assert chirpstack.keys(NAME) == keys


@needs_mounts
@pytest.mark.parametrize(("options", "told"), [("ro", "Read-only"), ("size=4k", "No space")])
def test_a_volume_that_cannot_be_written_is_told_before_a_key_is_made(
    chirpstack: Simulator, tmp_path: Path, options: str, told: str
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    fill = f" && dd if=/dev/zero of={volume}/filler bs=4k count=1 2>/dev/null" if "size" in options else ""
    run = _in_a_mount_namespace(f"mount -t tmpfs -o {options} tmpfs {volume}{fill}", chirpstack.url, volume / "token")
    assert run.code == 6, run.err
    assert told in run.error
    assert chirpstack.keys() == []


def _in_a_mount_namespace(prepare: str, url: str, token_file: Path) -> Run:
    process = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{prepare} && exec "$0" -m init_job', sys.executable],
        cwd=Path(__file__).parent.parent,
        env={
            "PATH": os.environ["PATH"], "CHIRPSTACK_URL": url, "CHIRPSTACK_PASSWORD": PASSWORD,
            "TOKEN_FILE": str(token_file), "WAIT_TIMEOUT": "30s",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Run(process.returncode, process.stdout, process.stderr)


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path, v4: Simulator) -> None:
    (tmp_path / "gone").mkdir()
    given = {"CHIRPSTACK_URL": v4.url, "CHIRPSTACK_PASSWORD": PASSWORD, "TOKEN_FILE": "token"}
    done = subprocess.run(
        ["sh", "-c", 'cd gone && rmdir ../gone && exec "$0" -m init_job', sys.executable],
        cwd=tmp_path, env=environment(**given, LOG_LEVEL="info"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    run = Run(done.returncode, done.stdout, done.stderr)
    assert len(run.messages) == 2
    assert "TOKEN_FILE: " in run.error
    assert v4.keys() == []


# Exit 7: the server


def test_an_unknown_group_is_told(chirpstack: Simulator, site: Site) -> None:
    kind = "organization" if "3.17.9" in str(chirpstack._state.version_text) else "tenant"
    run = site.run(API_KEY_SCOPE=f"{kind}:nobody")
    assert run.code == 7
    assert f"no {kind} 'nobody'" in run.error
    assert chirpstack.keys() == []
    assert site.files() == {}


def test_an_ambiguous_tenant_is_told_with_its_ids(v4: Simulator, tmp_path: Path) -> None:
    ids = [v4.add_tenant("twin"), v4.add_tenant("twin")]
    run = Site(tmp_path, v4.url).run(API_KEY_SCOPE="tenant:twin")
    assert run.code == 7
    assert all(tenant in run.error for tenant in ids)
    assert min(ids) in run.hint
    assert Site(tmp_path, v4.url).run(API_KEY_SCOPE=f"tenant:{ids[0]}").code == 0


@pytest.mark.parametrize(("api", "version"), [("v3", "3.17.9"), ("v4", "4.16.0"), ("v4", "4.7.0")])
def test_a_read_only_key_is_refused_where_the_server_has_none(tmp_path: Path, api: str, version: str) -> None:
    with Simulator(api, version) as simulator:  # type: ignore[arg-type]
        run = Site(tmp_path, simulator.url).run(CHIRPSTACK_PASSWORD="admin", API_KEY_READ_ONLY="true")
        assert run.code == 7
        assert "read-only" in run.error
        assert simulator.keys() == []
        assert list(tmp_path.iterdir()) == []


def test_a_key_that_turns_out_not_to_be_read_only_is_deleted_again(tmp_path: Path) -> None:
    """A tenant's admin is not told the server's version, and v4 before v4.17 drops the wish in silence."""
    with Simulator("v4", "4.11.0") as simulator:
        simulator.add_user("owner@example.com", PASSWORD, admin=False)
        simulator.add_member("owner@example.com", simulator.groups()["ChirpStack"], admin=True)
        run = Site(tmp_path, simulator.url).run(
            CHIRPSTACK_EMAIL="owner@example.com", API_KEY_SCOPE="tenant:ChirpStack", API_KEY_READ_ONLY="true"
        )
        assert run.code == 7
        assert "not read-only" in run.error
        assert simulator.keys(NAME) == []
        assert list(tmp_path.iterdir()) == []


def test_a_new_token_that_the_server_does_not_accept_is_not_written(chirpstack: Simulator, site: Site) -> None:
    def refuse(request: Request) -> Response | None:
        if "gateway-profiles" in request.path or "organizations" in request.path:
            body = b'{"error":"authentication failed: not authorized","code":16,"message":"","details":[]}'
            return Response(401, [("Content-Type", "application/json")], body)
        if "ListAdrAlgorithms" in request.path:
            return Response(200, [("Content-Type", "application/grpc-web+proto"), ("grpc-status", "16")])
        return None

    chirpstack.before = refuse
    run = site.run()
    assert run.code == 7
    assert "does not accept the token" in run.error
    assert chirpstack.keys(NAME) == []
    assert site.files() == {}


# Exit 130 and 143


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_wait_is_ended_by_a_signal(tmp_path: Path, signum: signal.Signals, code: int) -> None:
    with started_job(
        tmp_path, CHIRPSTACK_URL="http://127.0.0.1:1", CHIRPSTACK_PASSWORD=PASSWORD, TOKEN_FILE="token",
        WAIT_TIMEOUT="60s",
    ) as job:  # fmt: skip
        assert job.stderr is not None
        assert any("waiting" in line for line in iter(job.stderr.readline, ""))
        job.send_signal(signum)
        _, err = job.communicate(timeout=30)
        assert job.returncode == code
        assert f"exit {code}" in err.splitlines()[-1]


# Logs


def test_json_logs_are_one_object_a_line(chirpstack: Simulator, site: Site) -> None:
    run = site.run(LOG_FORMAT="json", LOG_LEVEL="debug")
    assert run.code == 0, run.err
    lines = [json.loads(line) for line in run.err.splitlines()]
    assert all({"time", "level", "event", "message"} <= line.keys() for line in lines)
    assert (lines[-1]["event"], lines[-1]["exit_code"]) == ("result", 0)


def test_of_hundreds_of_keys_of_the_name_a_line_of_json_has_a_hundred_ids(chirpstack: Simulator, site: Site) -> None:
    ids = sorted(chirpstack.add_key(NAME)[0] for _ in range(150))
    run = site.run(LOG_FORMAT="json", ON_LOST_TOKEN="add")
    assert run.code == 0, run.err
    (told,) = (line for line in map(json.loads, run.err.splitlines()) if line["event"] == "more-keys")
    assert told["ids"] == ids[:100]
    assert "and 145 more" in told["message"]


@pytest.mark.parametrize("password", ['pä"ss/wo\\rd 1', "pw9"])
@pytest.mark.parametrize(
    ("status", "content_type", "encode"),
    [
        (200, "text/html", base64.b64encode),
        (401, "application/json", bytes),
        (404, "text/plain", lambda body: quote(body).encode()),
        (302, "text/plain", bytes),
        (503, "text/html", bytes),
    ],
)
def test_a_password_that_comes_back_is_in_no_line(
    chirpstack: Simulator, site: Site, password: str, status: int, content_type: str, encode: Callable[[bytes], bytes]
) -> None:
    forms = [password.encode(), json.dumps(password)[1:-1].encode()]  # as v4 and v3 are sent it
    leaks: list[str] = []

    def answer(request: Request) -> Response | None:
        for form in forms:
            if form in request.body:
                break
        else:
            return None
        echo = encode(request.body)
        at = request.body.index(form)
        if encode is base64.b64encode:
            leaks.append(echo[at * 4 // 3 + 2 : (at + len(form)) * 4 // 3].decode())
        else:
            leaks.extend([encode(form).decode(), password, quote(password)])
        headers = [("Content-Type", content_type), ("Location", f"http://x/?p={quote(password)}")]
        if content_type == "application/json":
            headers += [("grpc-status", "7"), ("grpc-message", quote(password))]
            echo = json.dumps({"error": f"refused {password}", "code": 7, "message": password}).encode()
        return Response(status, headers, b"<title>" + echo + b"</title>" if "html" in content_type else echo)

    chirpstack.before = answer
    run = site.run(CHIRPSTACK_PASSWORD=password, WAIT_TIMEOUT="0")
    assert run.code in (3, 4, 7)
    assert leaks
    assert [leak for leak in leaks if leak in run.err] == []


def test_a_password_in_the_name_or_the_type_of_what_a_server_answers_is_in_no_line(
    chirpstack: Simulator, site: Site
) -> None:
    key, token = chirpstack.add_key(f"x {PASSWORD} y")
    site.token_file.write_text(token)
    run = site.run()
    assert run.code == 5
    assert f"it is key 'x *** y' in scope admin (id {key}), not '{NAME}'" in run.error
    assert PASSWORD not in run.err

    site.token_file.unlink()
    chirpstack.before = lambda request: (
        Response(400, [("Content-Type", f"text/{PASSWORD}")], b"x") if PASSWORD.encode() in request.body else None
    )
    run = site.run(WAIT_TIMEOUT="0")
    assert run.code == 3
    assert "answered 400 (something)" in run.error
    assert PASSWORD not in run.err


def test_ones_own_names_are_not_masked_because_they_contain_the_password(tmp_path: Path) -> None:
    given = {"CHIRPSTACK_URL": "http://chirpstack.invalid:8080", "CHIRPSTACK_PASSWORD": "chirpstack", "TOKEN_FILE": "t"}
    done = subprocess.run(
        [sys.executable, "-m", "init_job"],
        cwd=tmp_path, env=environment(**given, WAIT_TIMEOUT="0"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "http://chirpstack.invalid:8080" in Run(done.returncode, done.stdout, done.stderr).error


def test_an_error_is_two_lines_and_no_traceback(site: Site) -> None:
    run = site.run(CHIRPSTACK_PASSWORD="a wrong password", LOG_LEVEL="error")
    assert len(run.err.splitlines()) == 2


# Exit 1: a bug


@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_bug_is_two_lines_and_a_traceback_only_at_debug_level(tmp_path: Path, level: str) -> None:
    broken = "import sys; from init_job import cli; cli.ensure = lambda *_: 1 / 0; sys.exit(cli.main([]))"
    done = subprocess.run(
        [sys.executable, "-c", broken],
        cwd=tmp_path, env=environment(TOKEN_FILE="token", LOG_LEVEL=level), capture_output=True, text=True, check=False,
    )  # fmt: skip
    run = Run(done.returncode, done.stdout, done.stderr)
    assert run.code == 1
    assert "ZeroDivisionError" in run.error
    assert "LOG_LEVEL=debug" in run.hint
    assert ("Traceback" in run.err) == (level == "debug")
