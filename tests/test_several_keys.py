"""A file of keys through the real command line: one wait, one login, and each key for itself."""

import fcntl
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from init_job.tokens import read_claims
from tests.simulator import Request, Response, Simulator
from tests.support import PASSWORD, Run, jwt, run_job, started_job

NAMES = ("alpha", "beta", "gamma")


class Site:
    """A user's folder with a file of three keys: of the admin, and two of one tenant or organization."""

    def __init__(self, folder: Path, simulator: Simulator, url: str = "") -> None:
        self.folder, self.server = folder, simulator
        self.variables = {
            "CHIRPSTACK_URL": url or simulator.url,
            "CHIRPSTACK_PASSWORD": PASSWORD,
            "KEYS_FILE": "keys.toml",
            "LOG_LEVEL": "info",
            "REQUEST_TIMEOUT": "2s",
        }
        is_v4 = "ChirpStack" in simulator.groups()
        name, kind = ("ChirpStack", "tenant") if is_v4 else ("chirpstack", "organization")
        self.scope, self.id = f"{kind}:{name}", simulator.groups()[name]
        self.keys: dict[str, dict[str, str]] = {
            "alpha": {"token_file": "alpha"},
            "beta": {"scope": self.scope, "env_file": "app.env", "env_var": "BETA"},
            "gamma": {"scope": self.scope, "env_file": "app.env", "env_var": "GAMMA", "json_file": "gamma.json"},
        }

    def run(self, *arguments: str, **variables: str) -> Run:
        self.write()
        return run_job(self.folder, *arguments, variables={**self.variables, **variables})

    def write(self) -> None:
        tables = [
            "\n".join(
                ["[[key]]", *(f"{field} = {json.dumps(value)}" for field, value in [("name", name), *fields.items()])]
            )
            for name, fields in self.keys.items()
        ]
        (self.folder / "keys.toml").write_text("\n\n".join(tables) + "\n")

    def token(self, name: str) -> str:
        """As the service reads it that it is for; empty when there is none."""
        path = self.folder / self.keys[name].get("token_file", "app.env")
        text = path.read_text() if path.exists() else ""
        found = text.strip() if path.name == name else "".join(re.findall(rf"(?m)^{name.upper()}=(.*)$", text))
        return str(found)

    def ready(self) -> list[str]:
        """The keys of which there is exactly one on the server, with its token on disk."""
        found = []
        for name in self.keys:
            ids = [key.id for key in self.server.keys(name)]
            token = self.token(name)
            if token and ids == [read_claims(token).key_id] and self.server.token_works(token):
                found.append(name)
        return found


@pytest.fixture
def site(tmp_path: Path, chirpstack: Simulator) -> Site:
    return Site(tmp_path, chirpstack)


@pytest.fixture
def v4_site(tmp_path: Path, v4: Simulator) -> Site:
    return Site(tmp_path, v4)


def lines_of(run: Run, name: str) -> list[str]:
    return [line.removeprefix(f"{name}: ") for line in run.messages if line.startswith(f"{name}: ")]


# All goes well


def test_each_key_of_the_file_is_made_and_its_token_is_where_it_says(site: Site) -> None:
    run = site.run()
    assert run.code == 0, run.err
    assert run.messages[-1] == "exit 0: ready: 'alpha', 'beta', 'gamma'"
    assert site.ready() == list(NAMES)
    assert json.loads((site.folder / "gamma.json").read_text())["token"] == site.token("gamma")
    assert {key.scope for name in NAMES[1:] for key in site.server.keys(name)} == {
        f"{site.scope.partition(':')[0]}:{site.id}"
    }
    for name in NAMES:
        assert lines_of(run, name)[-1].startswith(f"created key '{name}' (id ")


def test_a_run_with_nothing_to_do_needs_no_password_and_changes_nothing(site: Site) -> None:
    assert site.run().code == 0
    before = {path: path.stat().st_mtime_ns for path in site.folder.iterdir() if path.name != "keys.toml"}
    run = site.run(CHIRPSTACK_PASSWORD="")
    assert run.code == 0, run.err
    assert [line.rpartition(" ")[2] for name in NAMES for line in lines_of(run, name)] == ["date"] * 3
    assert {path: path.stat().st_mtime_ns for path in site.folder.iterdir() if path.name != "keys.toml"} == before


def test_the_first_boot_sets_the_password_once(tmp_path: Path) -> None:
    with Simulator("v4", "4.19.0") as simulator:
        run = Site(tmp_path, simulator).run(CHIRPSTACK_INITIAL_PASSWORD="admin")
    assert run.code == 0, run.err
    assert sum("set CHIRPSTACK_PASSWORD" in line for line in run.messages) == 1


def test_a_key_that_is_taken_out_of_the_file_stays(site: Site) -> None:
    assert site.run().code == 0
    token = site.token("alpha")
    del site.keys["alpha"]
    assert site.run().code == 0
    assert site.run("rotate").code == 0
    assert site.run("revoke").code == 0
    assert site.server.token_works(token)


def test_a_key_that_is_added_is_made_and_the_others_stay(site: Site) -> None:
    assert site.run().code == 0
    before = [site.token(name) for name in NAMES]
    site.keys["delta"] = {"token_file": "delta"}
    run = site.run()
    assert run.code == 0, run.err
    assert site.ready() == [*NAMES, "delta"]
    assert [site.token(name) for name in NAMES] == before


def test_rotate_check_and_revoke_are_for_all_keys(site: Site) -> None:
    assert site.run().code == 0
    before = {site.token(name) for name in NAMES}
    assert site.run("check").messages[-1] == "exit 0: ready: 'alpha', 'beta', 'gamma'"
    run = site.run("rotate")
    assert run.code == 0, run.err
    assert site.ready() == list(NAMES)
    assert not any(map(site.server.token_works, before))
    assert site.run("rotate", "--if-older-than", "1h").code == 0
    run = site.run("revoke")
    assert run.messages[-1] == "exit 0: done: 'alpha', 'beta', 'gamma'"
    assert [site.server.keys(name) for name in NAMES] == [[], [], []]
    assert sorted(os.listdir(site.folder)) == ["app.env", "keys.toml"]
    assert (site.folder / "app.env").read_bytes() == b""


def test_some_keys_are_chosen_by_their_names(site: Site) -> None:
    run = site.run("--key", "gamma", "--key", "alpha")
    assert run.messages[-1] == "exit 0: ready: 'alpha', 'gamma'"
    assert site.ready() == ["alpha", "gamma"]
    assert site.run("check").code == 5
    assert site.run("check", "--key", "alpha").code == 0
    before = site.token("alpha")
    assert site.run("rotate", "--key", "gamma").code == 0
    assert site.token("alpha") == before
    assert site.run("revoke", "--key", "alpha").code == 0
    assert site.ready() == ["gamma"]


@pytest.mark.parametrize("command", ["ensure", "rotate", "revoke"])
def test_a_dry_run_changes_nothing(command: str, site: Site) -> None:
    assert site.run("--key", "beta").code == 0
    server = site.server.keys()
    before = {path.name: path.read_bytes() for path in site.folder.iterdir()}
    run = site.run(command, "--dry-run")
    assert run.code == 0, run.err
    assert run.messages[-1] == "exit 0: done: 'alpha', 'beta', 'gamma'"
    assert site.server.keys() == server
    assert {path.name: path.read_bytes() for path in site.folder.iterdir()} == before


def test_a_token_that_somebody_pasted_is_checked_as_one_keys(site: Site) -> None:
    assert site.run().code == 0
    (site.folder / "pasted").write_text(site.token("beta"))
    assert site.run("check", "--token-file", "pasted", "--key", "beta").code == 0
    wrong = site.run("check", "--token-file", "pasted", "--key", "alpha")
    assert wrong.code == 5, wrong.err
    assert site.run("check", "--token-file", "pasted").code == 2


def test_a_line_about_a_key_has_its_name_as_a_field(site: Site) -> None:
    site.keys["alpha"]["scope"] = site.scope.replace(":", ":no ")
    run = site.run(LOG_FORMAT="json", LOG_LEVEL="debug", WARN_DEFAULT_PASSWORD="false")
    lines = [json.loads(line) for line in run.err.splitlines()]
    about = {
        event: {line.get("key") for line in lines if line["event"] == event}
        for event in {line["event"] for line in lines}
    }
    assert about["created"] == about["done"] == about["written"] == {"beta", "gamma"}
    assert about["error"] == {"alpha", None}  # one is about all of them
    assert about["hint"] == {"alpha"}
    assert about["ready"] == about["result"] == {None}
    assert not any(line["message"].startswith("alpha: ") for line in lines)


def test_the_wait_for_the_server_is_about_no_key(v4_site: Site) -> None:
    """Also where the first key's token is what the server is asked about first."""
    assert v4_site.run().code == 0
    v4_site.server.clear_requests()
    v4_site.server.after = lambda *_: Response(503) if len(v4_site.server.requests) < 3 else None
    run = v4_site.run(LOG_FORMAT="json")
    lines = [json.loads(line) for line in run.err.splitlines()]
    assert [line.get("key") for line in lines if line["event"] in ("waiting", "ready")] == [None, None]


def test_one_name_in_two_scopes_is_told_apart(site: Site) -> None:
    site.write()
    text = '[[key]]\nname = "a"\ntoken_file = "1"\n[[key]]\nname = "a"\ntoken_file = "2"\nscope = ' + json.dumps(
        site.scope
    )
    (site.folder / "keys.toml").write_text(text)
    run = run_job(site.folder, variables=site.variables)
    assert run.messages[-1] == f"exit 0: ready: 'a (admin)', 'a ({site.scope})'"


# One fails


def test_a_key_that_fails_keeps_no_other_from_being_made(site: Site) -> None:
    site.keys = {"lost": {"token_file": "lost"}, "nowhere": {"token_file": "no/such/folder"}, **site.keys}
    site.server.add_key("lost")
    run = site.run()
    assert run.code == 5, "the first failure's"
    assert site.ready() == list(NAMES)
    assert run.error == "not ready: 'lost', 'nowhere'; ready: 'alpha', 'beta', 'gamma'"
    what, hint = lines_of(run, "lost")
    assert what.startswith("key 'lost' exists (id ")
    assert 'on_lost_token = "replace" makes a new key' in hint
    assert [line.partition(":")[0] for line in lines_of(run, "nowhere")] == ["token_file", "what to do"]
    swapped = dict(reversed(site.keys.items()))
    site.keys = swapped
    assert site.run().code == 6, "in the file's order"


def test_settings_are_called_as_in_the_file_and_what_only_looks_like_one_is_kept(v4_site: Site) -> None:
    login = jwt({"typ": "user", "sub": "x", "exp": 1})
    v4_site.keys = {"API_KEY_NAME": {"token_file": "lost"}, "b": {"token_file": "ENV_VAR/b"}, "c": {"json_file": "old"}}
    (v4_site.folder / "old").write_text(json.dumps({"token": login}))
    v4_site.server.add_key("API_KEY_NAME")
    run = v4_site.run()
    what, hint = lines_of(run, "API_KEY_NAME")
    assert what.startswith("key 'API_KEY_NAME' exists")
    assert "take another name;" in hint
    assert lines_of(run, "b")[0].endswith("there is no folder ENV_VAR")
    assert lines_of(run, "c")[0].startswith("json_file: old holds a login token")


def test_two_keys_that_are_one_on_the_server_are_told_and_neither_is_taken_from_the_other(site: Site) -> None:
    """By the scope's name and by its id: that shows only when the server is asked."""
    kind = site.scope.partition(":")[0]
    text = [f'[[key]]\nname = "a"\ntoken_file = "{scope[-3:]}"\non_lost_token = "replace"\nscope = "{scope}"\n'
            for scope in (site.scope, f"{kind}:{site.id}")]  # fmt: skip
    (site.folder / "keys.toml").write_text("".join(text))
    for _ in range(2):
        run = run_job(site.folder, variables=site.variables)
        assert run.code == 2, run.err
        assert "its scope is written otherwise" in run.err
        assert site.server.token_works((site.folder / site.scope[-3:]).read_text().strip())
        assert len(site.server.keys("a")) == 1


def test_a_login_that_is_refused_is_asked_for_once(site: Site) -> None:
    run = site.run(CHIRPSTACK_PASSWORD="no password of anybody")
    assert run.code == 4
    refused = [one for one in site.server.requests if b"no password of anybody" in one.body]
    assert len(refused) == 1
    assert run.error == "not ready: 'alpha', 'beta', 'gamma'"


def test_without_a_password_those_that_work_are_ready(site: Site) -> None:
    assert site.run("--key", "beta").code == 0
    run = site.run(CHIRPSTACK_PASSWORD="")
    assert run.code == 2
    assert run.error == "not ready: 'alpha', 'gamma'; ready: 'beta'"


@pytest.mark.parametrize(
    "content", [b"\xff\xfek\0", b"[key]", b"", b'[[key]]\nname = "x"\ntoken_file = "x"\nsecret = "precious"']
)
def test_a_file_that_is_wrong_ends_with_2_before_anything_is_asked_or_written(content: bytes, site: Site) -> None:
    (site.folder / "keys.toml").write_bytes(content)
    run = run_job(site.folder, variables=site.variables)
    assert run.code == 2
    assert "KEYS_FILE: " in run.error
    assert "precious" not in run.err
    assert site.server.requests == []
    assert os.listdir(site.folder) == ["keys.toml"]


def test_an_output_that_another_job_holds_too_long_keeps_no_other_key_from_being_made(v4_site: Site) -> None:
    state = v4_site.folder / ".alpha.state"
    state.touch()
    with state.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = v4_site.run(WAIT_TIMEOUT="300ms")
    assert run.code == 3
    assert "another job has held" in run.err
    assert v4_site.ready() == ["beta", "gamma"]


# The server goes, the job is ended


def test_the_deadline_is_one_for_all_keys(tmp_path: Path, v4: Simulator) -> None:
    """Somebody accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site = Site(tmp_path, v4, f"http://127.0.0.1:{silent.getsockname()[1]}")
        site.keys |= {f"key-{number}": {"token_file": f"key-{number}"} for number in range(20)}
        began = time.monotonic()
        run = site.run(WAIT_TIMEOUT="1s", REQUEST_TIMEOUT="500ms")
    assert run.code == 3
    assert time.monotonic() - began < 5
    assert run.error.startswith("not ready: 'alpha', 'beta', 'gamma', 'key-0'")
    assert lines_of(run, "beta") == []


@pytest.mark.parametrize("after", ["alpha", "beta"])
def test_a_server_that_dies_in_the_middle_fails_the_other_keys_soon(after: str, v4_site: Site) -> None:
    seen: list[str] = []

    def die(request: Request, response: Response) -> Response | None:
        if after in seen:
            return Response(503)
        if request.route.endswith("/CreateApiKey") and after.encode() in request.body:
            seen.append(after)
        return None

    v4_site.server.after = die
    v4_site.keys |= {f"key-{number}": {"token_file": f"key-{number}"} for number in range(5)}
    began = time.monotonic()
    run = v4_site.run(WAIT_TIMEOUT="1s")
    assert time.monotonic() - began < 5
    assert run.code == 3
    v4_site.server.after = None
    run = v4_site.run()
    assert run.code == 0, run.err
    assert v4_site.ready() == list(v4_site.keys)


def test_a_termination_between_keys_ends_the_run_after_the_key_in_flight(v4_site: Site) -> None:
    v4_site.write()
    with started_job(v4_site.folder, **v4_site.variables) as process:

        def terminate(request: Request, response: Response) -> None:
            if request.route.endswith("/CreateApiKey") and b"beta" in request.body:
                process.send_signal(signal.SIGTERM)

        v4_site.server.after = terminate
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert v4_site.ready() == ["alpha", "beta"]
    assert "ready: 'alpha'; unfinished: 'beta', 'gamma'" in err
    assert v4_site.server.keys("gamma") == []


def test_a_file_may_be_a_pipe(v4_site: Site) -> None:
    os.mkfifo(v4_site.folder / "pipe")
    with started_job(v4_site.folder, **v4_site.variables | {"KEYS_FILE": "pipe"}) as process:
        (v4_site.folder / "pipe").write_text('[[key]]\nname = "piped"\ntoken_file = "piped"\n')  # once it is opened
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert len(v4_site.server.keys("piped")) == 1


def test_a_pipe_that_nobody_writes_to_is_no_trap(v4_site: Site) -> None:
    os.mkfifo(v4_site.folder / "pipe")
    with (
        started_job(v4_site.folder, **v4_site.variables | {"KEYS_FILE": "pipe"}) as process,
        (v4_site.folder / "pipe").open("w"),  # once it is opened
    ):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err


@pytest.mark.parametrize("only", [(), ("--key", "new")])
@pytest.mark.parametrize("before", ["as now", "by its name", "by its id"])
def test_the_token_of_a_key_that_is_asked_for_elsewhere_is_not_overwritten(
    before: str, only: tuple[str, ...], site: Site
) -> None:
    """Whether or not that key is the run's, and where its scope or the address is written in another way."""
    by_id = f"{site.scope.partition(':')[0]}:{site.id}"
    then, now = {"as now": ("admin", "admin"), "by its name": (site.scope, by_id), "by its id": (by_id, by_id)}[before]
    site.keys = {"alpha": {"token_file": "x", "scope": then}}
    assert site.run().code == 0
    token = (site.folder / "x").read_text()
    site.keys = {"new": {"token_file": "x"}, "alpha": {"token_file": "y", "scope": now}}
    run = site.run(*only, CHIRPSTACK_URL=site.server.url.replace("127.0.0.1", "localhost"))
    assert run.code == 5, run.err
    assert (site.folder / "x").read_text() == token
    assert [len(site.server.keys(name)) for name in ("new", "alpha")] == [0, 1]
