"""The whole job on every server, as a user runs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from init_job.servers.interface import ResolvedScope, Server
from init_job.tokens import read_claims
from tests.contract.conftest import Chirpstack
from tests.support import Run, run_job

ADMIN = ResolvedScope("admin")


class Site:
    """A user's folder and a key's name of its own on a server that others use too."""

    def __init__(self, folder: Path, url: str, name: str, server: Server) -> None:
        self.folder, self.url, self.name, self.server = folder, url, name, server
        self.token_file = folder / "token"

    def run(self, *arguments: str, **variables: str) -> Run:
        given = {"CHIRPSTACK_URL": self.url, "CHIRPSTACK_PASSWORD": "admin", "TOKEN_FILE": str(self.token_file)}
        return run_job(self.folder, *arguments, variables={**given, "API_KEY_NAME": self.name, **variables})

    @property
    def ids(self) -> list[str]:
        return [key.id for key in self.server.list_keys(ADMIN, self.name)]

    def expect_one_key_that_works(self) -> str:
        token = self.token_file.read_text().strip()
        [key_id] = self.ids
        assert read_claims(token).key_id == key_id
        assert self.server.check_token(token, key_id).works
        return key_id


@pytest.fixture
def site(chirpstack: Chirpstack, tmp_path: Path, name: str) -> Iterator[Site]:
    site = Site(tmp_path, chirpstack.url, name, chirpstack.logged_in())
    yield site
    for key_id in site.ids:
        site.server.delete_key(key_id)


def test_a_keys_life(site: Site) -> None:
    created = site.run()
    assert created.code == 0, created.err
    first = site.expect_one_key_that_works()

    unchanged = site.run()
    assert "up to date" in unchanged.messages[-1]
    assert site.expect_one_key_that_works() == first
    assert site.run("check").code == 0

    site.server.delete_key(first)
    assert site.run("check").code == 5
    assert site.run().code == 0
    second = site.expect_one_key_that_works()
    assert second != first

    site.token_file.unlink()
    assert site.run().code == 5
    assert site.ids == [second]
    assert site.run(ON_LOST_TOKEN="replace").code == 0
    third = site.expect_one_key_that_works()
    assert third != second

    assert site.run("rotate").code == 0
    assert site.expect_one_key_that_works() != third

    assert site.run("revoke").code == 0
    assert site.ids == []
    assert list(site.folder.iterdir()) == []


def test_the_first_boot_sets_the_password(chirpstack: Chirpstack, site: Site) -> None:
    account = {"CHIRPSTACK_EMAIL": chirpstack.add_account(admin=True), "CHIRPSTACK_PASSWORD": "a better password"}
    refused = site.run(**account)
    assert refused.code == 4
    run = site.run(**account, CHIRPSTACK_INITIAL_PASSWORD="a password")
    assert run.code == 0, run.err
    site.expect_one_key_that_works()
    assert chirpstack.connect().log_in(account["CHIRPSTACK_EMAIL"], "a better password")


def test_several_keys_of_one_run(site: Site) -> None:
    kind, name = ("organization", "chirpstack") if site.server.api == "v3" else ("tenant", "ChirpStack")
    (site.folder / "keys.toml").write_text(
        f'[[key]]\nname = "{site.name}"\ntoken_file = "token"\n'
        f'[[key]]\nname = "{site.name}"\nscope = "{kind}:{name}"\njson_file = "key.json"\n'
    )
    variables = {"TOKEN_FILE": "", "API_KEY_NAME": "", "KEYS_FILE": "keys.toml"}
    for _ in range(2):
        run = site.run(**variables)
        assert run.code == 0, run.err
    site.expect_one_key_that_works()
    assert site.run("check", **variables).code == 0
    assert site.run("revoke", **variables).code == 0
    assert [path.name for path in site.folder.iterdir()] == ["keys.toml"]


def test_a_wrong_password_changes_nothing(site: Site) -> None:
    assert site.run(CHIRPSTACK_PASSWORD="no password of anybody").code == 4
    assert site.ids == []
    assert list(site.folder.iterdir()) == []
