"""First boot, rotation, revocation and `check` through the real command line."""

import json
import math
import os
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from init_job.job import age
from init_job.state import MadeKey
from tests.simulator import Simulator
from tests.support import PASSWORD, jwt, run_job
from tests.test_cli import NAME, Site


@pytest.fixture
def site(tmp_path: Path, chirpstack: Simulator) -> Site:
    return Site(tmp_path, chirpstack.url)


# First boot


@pytest.mark.parametrize(("api", "version"), [("v3", "3.10.0"), ("v3", "3.17.9"), ("v4", "4.0.5"), ("v4", "4.19.0")])
def test_the_first_boot_sets_the_password_and_the_next_runs_need_no_other(
    tmp_path: Path, api: str, version: str
) -> None:
    with Simulator(api, version) as simulator:  # type: ignore[arg-type]
        site = Site(tmp_path, simulator.url)
        run = site.run(CHIRPSTACK_INITIAL_PASSWORD="admin")
        assert run.code == 0, run.err
        assert any("set CHIRPSTACK_PASSWORD as the password of admin" in line for line in run.messages)
        assert simulator.token_works(site.token)
        site.token_file.unlink()
        again = site.run(CHIRPSTACK_INITIAL_PASSWORD="admin", ON_LOST_TOKEN="replace")
        assert again.code == 0, again.err
        assert "set CHIRPSTACK_PASSWORD" not in again.err


def test_the_initial_password_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "initial").write_text("admin\n")
    with Simulator("v4", "4.19.0") as simulator:
        run = Site(tmp_path, simulator.url).run(CHIRPSTACK_INITIAL_PASSWORD_FILE="initial")
    assert run.code == 0, run.err


def test_two_wrong_passwords_are_an_account_error(chirpstack: Simulator, site: Site) -> None:
    run = site.run(CHIRPSTACK_PASSWORD="wrong password", CHIRPSTACK_INITIAL_PASSWORD="also wrong")
    assert run.code == 4
    assert "initial password" in run.error
    assert "also wrong" not in run.err
    assert chirpstack.keys(NAME) == []


def test_a_password_that_no_server_takes_is_a_configuration_error(chirpstack: Simulator, site: Site) -> None:
    run = site.run(CHIRPSTACK_PASSWORD="12345", CHIRPSTACK_INITIAL_PASSWORD="admin")
    assert run.code == 2
    assert "too short" in run.error
    assert chirpstack.requests == []


def test_a_password_that_this_server_does_not_take_is_refused_with_its_words(tmp_path: Path) -> None:
    with Simulator("v4", "4.19.0") as simulator:
        run = Site(tmp_path, simulator.url).run(CHIRPSTACK_PASSWORD="1234567", CHIRPSTACK_INITIAL_PASSWORD="admin")
        assert run.code == 7
        assert "at least 8 characters" in run.error
        assert "CHIRPSTACK_PASSWORD cannot take the place of the initial password" in run.error
        assert simulator.keys(scope="admin") == []


@pytest.mark.parametrize(
    "password",
    ["'longenough1'", '"longenough1"', "longenough1\r", "\ufefflongenough1", " longenough1", "${PASSWORD_OF_ALL}"],
)
def test_a_password_that_something_has_damaged_is_not_set(chirpstack: Simulator, site: Site, password: str) -> None:
    run = site.run(CHIRPSTACK_PASSWORD=password, CHIRPSTACK_INITIAL_PASSWORD=PASSWORD)
    assert run.code == 2, run.err
    assert "CHIRPSTACK_PASSWORD would be set" in run.error
    assert site.run().code == 0, "the account has another password"


def test_a_password_that_begins_as_a_variable_may_be_meant(chirpstack: Simulator, site: Site) -> None:
    assert site.run(CHIRPSTACK_PASSWORD="$ecretpass1", CHIRPSTACK_INITIAL_PASSWORD=PASSWORD).code == 0


def test_an_odd_initial_password_is_told(chirpstack: Simulator, site: Site) -> None:
    run = site.run(CHIRPSTACK_PASSWORD="another one", CHIRPSTACK_INITIAL_PASSWORD=f'"{PASSWORD}"')
    assert run.code == 4
    assert "CHIRPSTACK_INITIAL_PASSWORD: it has quotes" in run.hint


@pytest.mark.parametrize("version", ["3.11.0", "3.12.0"])
def test_a_server_that_cannot_change_the_password_of_admin_is_explained(tmp_path: Path, version: str) -> None:
    with Simulator("v3", version) as simulator:
        run = Site(tmp_path, simulator.url).run(CHIRPSTACK_INITIAL_PASSWORD="admin")
    assert run.code == 7
    assert "v3.11 or v3.12" in run.error
    assert "v3.13" in run.hint


def test_a_default_password_is_warned_of_without_a_further_login(tmp_path: Path) -> None:
    with Simulator("v4", "4.19.0") as simulator:
        site = Site(tmp_path, simulator.url)
        run = site.run(CHIRPSTACK_PASSWORD="admin")
        assert run.code == 0, run.err
        assert any("still has the password admin" in line for line in run.messages)
        logins = [
            request for request in simulator.requests if request.path.endswith("/Login") and len(request.body) > 5
        ]
        assert len(logins) == 1
        site.token_file.unlink()
        quiet = site.run(CHIRPSTACK_PASSWORD="admin", ON_LOST_TOKEN="replace", WARN_DEFAULT_PASSWORD="false")
        assert "password admin" not in quiet.err


def test_a_default_password_is_found_when_the_job_uses_another_account(tmp_path: Path) -> None:
    with Simulator("v3", "3.17.9") as simulator:
        simulator.add_user("job@example.com", PASSWORD)
        run = Site(tmp_path, simulator.url).run(CHIRPSTACK_EMAIL="job@example.com")
        assert run.code == 0, run.err
        assert "still has the password admin" in run.err


def test_a_changed_password_is_not_warned_of(site: Site) -> None:
    assert "default-password" not in site.run(LOG_FORMAT="json").err


# rotate


def test_rotate_replaces_the_key_in_every_output(chirpstack: Simulator, site: Site) -> None:
    env = site.folder / "consumer.env"
    site.run(ENV_FILE=env)
    old_token, [old] = site.token, chirpstack.keys(NAME)
    run = site.run("rotate", ENV_FILE=env)
    assert run.code == 0, run.err
    [new] = chirpstack.keys(NAME)
    assert new.id != old.id
    assert chirpstack.token_works(site.token)
    assert not chirpstack.token_works(old_token)
    assert env.read_text() == f"CHIRPSTACK_API_TOKEN={site.token}\n"


def test_rotate_on_a_first_boot_is_a_create(chirpstack: Simulator, site: Site) -> None:
    assert site.run("rotate").code == 0
    assert len(chirpstack.keys(NAME)) == 1


def test_rotate_leaves_a_young_key_alone(chirpstack: Simulator, site: Site) -> None:
    site.run()
    before = site.token
    chirpstack.clear_requests()
    run = site.run("rotate", "--if-older-than", "30d")
    assert run.code == 0, run.err
    assert site.token == before
    assert len(chirpstack.requests) == 1

    path = site.token_file.with_name(f".{site.token_file.name}.state")
    state = json.loads(path.read_text())
    state["key"]["created"] = "2020-01-01T00:00:00+00:00"
    path.write_text(json.dumps(state))
    assert site.run("rotate", "--if-older-than", "30d").code == 0
    assert site.token != before


@pytest.mark.parametrize(
    ("ahead", "is_replaced"), [(timedelta(minutes=10), False), (timedelta(days=20), False), (timedelta(days=400), True)]
)
def test_a_key_that_was_made_ahead_of_the_clock_is_old_only_when_it_is_far_ahead(
    chirpstack: Simulator, site: Site, ahead: timedelta, is_replaced: bool
) -> None:
    """Set back by a time server, a clock makes no young key old; and one that was wrong at first boot, no key young for
    ever."""
    site.run()
    before = site.token
    path = site.token_file.with_name(f".{site.token_file.name}.state")
    state = json.loads(path.read_text())
    state["key"]["created"] = (datetime.now(UTC) + ahead).isoformat(timespec="seconds")
    path.write_text(json.dumps(state))
    run = site.run("rotate", "--if-older-than", "30d")
    assert run.code == 0, run.err
    assert (site.token != before) is is_replaced


@pytest.mark.parametrize(
    ("created", "clock", "days"),
    [
        ("2026-11-01T00:00:00+00:00", "2026-12-01", 30),
        ("2026-11-01T00:00:00+00:00", "1970-01-01", 0),
        ("1970-01-01T00:00:00+00:00", "2026-12-01", 20788),
        ("", "2026-12-01", math.inf),
        ("2026-11-01T00:00:00", "2026-12-01", math.inf),
    ],
)
def test_the_age_of_a_key_is_told_from_clocks_that_may_be_wrong(created: str, clock: str, days: float) -> None:
    made = MadeKey("id", NAME, "admin", "", False, "http://x", "v4", "4.19.0", created)
    assert age(made, datetime.fromisoformat(clock).replace(tzinfo=UTC)) == days * 86400


def test_rotate_replaces_a_key_of_unknown_age(chirpstack: Simulator, site: Site) -> None:
    key_id, token = chirpstack.add_key(NAME)
    site.token_file.write_text(token)
    assert site.run("rotate", "--if-older-than", "30d").code == 0
    assert [key.id for key in chirpstack.keys(NAME)] != [key_id]
    assert len(chirpstack.keys(NAME)) == 1


def test_rotate_keeps_somebody_elses_token(chirpstack: Simulator, site: Site) -> None:
    _, token = chirpstack.add_key("grafana")
    site.token_file.write_text(token)
    assert site.run("rotate").code == 5
    assert site.token == token


def test_a_dry_run_of_rotate_and_revoke_changes_nothing(chirpstack: Simulator, site: Site) -> None:
    site.run()
    keys, files = chirpstack.keys(NAME), site.files()
    for command in ("rotate", "revoke"):
        run = site.run(command, "--dry-run")
        assert run.code == 0, run.err
        assert "would " in run.messages[-1]
    assert (chirpstack.keys(NAME), site.files()) == (keys, files)


# revoke


def test_revoke_deletes_the_key_and_the_token_everywhere(chirpstack: Simulator, site: Site) -> None:
    env = site.folder / "consumer.env"
    env.write_bytes(b"A=1\r\n# ours\r\nCHIRPSTACK_API_TOKEN=\r\nB=\xff")
    other = chirpstack.add_key("grafana")[0]
    outputs = {"ENV_FILE": env, "JSON_FILE": site.folder / "key.json"}
    site.run(**outputs)
    run = site.run("revoke", **outputs)
    assert run.code == 0, run.err
    assert [key.id for key in chirpstack.keys(scope="admin")] == [other]
    assert os.listdir(site.folder) == ["consumer.env"]
    assert env.read_bytes() == b"A=1\r\n# ours\r\nB=\xff"
    again = site.run("revoke", **outputs)
    assert again.code == 0, again.err


@pytest.mark.parametrize("version", ["3.10.0", "3.11.0", "3.17.9"])
def test_a_token_of_another_application_that_this_job_made_works_on_every_server(version: str, tmp_path: Path) -> None:
    """Before v3.12 one call tells that only with the application's id (contract §3.8)."""
    with Simulator("v3", version) as server:
        group = server.groups()["chirpstack"]
        scopes = [f"application:{server.add_application(group, name)}" for name in ("one", "two")]
        site = Site(tmp_path, server.url)
        for scope in scopes:
            assert site.run(API_KEY_SCOPE=scope, CHIRPSTACK_PASSWORD="admin").code == 0
        token = site.token_file.read_text()
        revoked = site.run("revoke", API_KEY_SCOPE=scopes[0], CHIRPSTACK_PASSWORD="admin")
        assert revoked.code == 0, revoked.err
        assert site.token_file.read_text() == token
        assert server.keys(scope=scopes[0]) == []
        assert len(server.keys(scope=scopes[1])) == 1


def test_revoke_leaves_somebody_elses_token_alone(chirpstack: Simulator, site: Site) -> None:
    key_id, token = chirpstack.add_key("grafana")
    chirpstack.add_key(NAME)
    site.token_file.write_text(token)
    run = site.run("revoke")
    assert run.code == 5
    assert key_id in run.error
    assert site.token == token
    assert len(chirpstack.keys(NAME)) == 1


def test_revoke_of_several_keys_wants_to_be_told_so(chirpstack: Simulator, site: Site) -> None:
    ids = [chirpstack.add_key(NAME)[0] for _ in range(2)]
    run = site.run("revoke")
    assert run.code == 5
    assert all(key_id in run.error for key_id in ids)
    assert "revoke --all" in run.hint
    assert site.run("revoke", "--all").code == 0
    assert chirpstack.keys(NAME) == []


def test_revoke_deletes_only_the_saved_tokens_key_of_several(chirpstack: Simulator, site: Site) -> None:
    site.run()
    other = chirpstack.add_key(NAME)[0]
    assert site.run("revoke").code == 0
    assert [key.id for key in chirpstack.keys(NAME)] == [other]
    assert not site.token_file.exists()


# check


def test_check_makes_one_request_for_a_key_that_it_knows(chirpstack: Simulator, site: Site) -> None:
    site.run()
    chirpstack.clear_requests()
    run = site.run("check", "--quiet", LOG_LEVEL="info")
    assert (run.code, run.out, run.err) == (0, "", "")
    assert len(chirpstack.requests) == 1


V3_KEY = {"aud": "as", "iss": "as", "nbf": 0, "sub": "api_key", "api_key_id": "11111111-1111-4111-8111-111111111111"}
V4_KEY = {"aud": "chirpstack", "iss": "chirpstack", "sub": "11111111-1111-4111-8111-111111111111", "typ": "key"}


def test_check_says_why_a_token_does_not_work(chirpstack: Simulator, site: Site) -> None:
    v3 = chirpstack._state.api == "v3"
    key_id, token = chirpstack.add_key("grafana")
    chirpstack.delete_key(key_id)
    ours, theirs = (V3_KEY, V4_KEY) if v3 else (V4_KEY, V3_KEY)
    group = next(iter(chirpstack.groups().values()))
    scope = f"{'organization' if v3 else 'tenant'}:{group}"
    hour = 3600
    for content, reason in {
        token: "its key was deleted",
        jwt(dict(ours)): "signed with another secret",
        jwt(dict(theirs)): f"a token of ChirpStack {'v4' if v3 else 'v3'}, and the server is {'v3' if v3 else 'v4'}",
        jwt({"typ": "user", "exp": int(time.time()) - 5 * hour}): "login token that expired 5 hours ago",
        jwt({"sub": "user", "exp": int(time.time()) + 5 * hour}): "login token that ends in 5 hours",
        jwt({"sub": "1234567890"}): "ChirpStack did not make",
        "d5jK3mR8pQx2vN7wT4yB9zF6hL1cS0gA": "signing secret",
        f"Bearer {token}": "a token and more",
        "": "no token in",
        chirpstack.add_key(NAME, scope)[1]: f"it is key '{NAME}' in scope {scope}",
    }.items():
        site.token_file.write_text(content)
        run = site.run("check")
        assert run.code == 5, (reason, run.err)
        assert reason in run.error


def test_check_looks_at_any_file(chirpstack: Simulator, tmp_path: Path) -> None:
    _, token = chirpstack.add_key("grafana")
    (tmp_path / "pasted").write_text(token)
    (tmp_path / "some.env").write_text(f"A=1\nexport MY_TOKEN='{token}'\n")
    (tmp_path / ".env").write_text(f"CHIRPSTACK_URL={chirpstack.url}\nJSON_FILE=/no/such/folder/x\n")
    assert run_job(tmp_path, "check", "--token-file", "pasted").code == 0
    assert run_job(tmp_path, "check", "--env-file-value", "some.env:MY_TOKEN").code == 0
    assert run_job(tmp_path, "check", "--env-file-value", "some.env:A").code == 5
    assert run_job(tmp_path, "check", "--token-file", "nothing").code == 5


def test_check_goes_as_far_as_it_can_with_a_wrong_password(chirpstack: Simulator, site: Site) -> None:
    site.token_file.write_text(chirpstack.add_key("grafana")[1])
    run = site.run("check", CHIRPSTACK_PASSWORD="wrong password")
    assert run.code == 0
    assert "no telling the key's name" in run.err


@pytest.mark.parametrize(
    "arguments",
    [("--all",), ("check", "--if-older-than", "1d"), ("rotate", "--quiet"), ("rotate", "--if-older-than", "old"),
     ("check", "--env-file-value", "x"), ("check", "--token-file", "x", "--env-file-value", "y:z")],
)  # fmt: skip
def test_options_of_another_command_are_a_usage_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run_job(tmp_path, *arguments).code == 2


# Several keys


def test_a_keys_name_may_hold_the_machines_name(chirpstack: Simulator, site: Site) -> None:
    assert site.run(API_KEY_NAME="gateway on {hostname}").code == 0
    assert len(chirpstack.keys(f"gateway on {socket.gethostname()}")) == 1
