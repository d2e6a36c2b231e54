"""What `init_job.servers` promises, on every server: the simulator's versions, and real servers where their URLs are
given (CHIRPSTACK_TEST_V3_URL, CHIRPSTACK_TEST_V4_URL; account admin/admin)."""

import pytest

from init_job.errors import AccountError, NotReady, ServerRefusal
from init_job.servers import generation
from init_job.servers.detect import detect
from init_job.servers.http import Http
from init_job.servers.interface import KEY_DELETED, SIGNED_OTHERWISE, NotThisApi, ResolvedScope, TokenStatus
from init_job.servers.v3 import V3
from init_job.servers.v4 import V4
from init_job.tokens import Kind, read_claims
from init_job.values import Scope
from init_job.wait import Once, Patience
from tests.contract.conftest import Chirpstack
from tests.support import jwt, settings_for

ADMIN = ResolvedScope("admin")


def test_the_generation_is_found_out(chirpstack: Chirpstack) -> None:
    assert chirpstack.connect().api == chirpstack.api


def test_the_other_generations_probe_says_that_this_is_none(chirpstack: Chirpstack) -> None:
    other = V4 if chirpstack.api == "v3" else V3
    assert isinstance(other(Http(settings_for(chirpstack.url)), Once()).probe(), NotThisApi)


def test_where_the_generation_was_given_and_is_another_one_the_setting_is_named(chirpstack: Chirpstack) -> None:
    other = "v4" if chirpstack.api == "v3" else "v3"
    with pytest.raises(NotReady, match=f"this is no ChirpStack {other}") as caught:
        detect(Http(settings_for(chirpstack.url)), Patience(0), other)
    assert "CHIRPSTACK_API" in caught.value.hint


def test_a_wrong_password_is_refused(chirpstack: Chirpstack) -> None:
    assert not chirpstack.connect().log_in("admin", "wrong")
    assert not chirpstack.connect().log_in("nobody@example.com", "admin")


def test_v4_tells_its_version_from_4_8_on(chirpstack: Chirpstack) -> None:
    version = chirpstack.logged_in().version
    if chirpstack.api == "v4" and chirpstack.version >= (4, 8):
        assert version.split(".")[0] == "4"
    else:
        assert version == ""


def test_a_new_key_is_listed_and_its_token_works(chirpstack: Chirpstack, name: str) -> None:
    server = chirpstack.logged_in()
    new = server.create_key(ADMIN, name, read_only=False)
    claims = read_claims(new.token)
    assert (claims.kind, claims.api, claims.key_id) == (Kind.API_KEY, chirpstack.api, new.id)
    assert [(key.id, key.scope, key.read_only) for key in server.list_keys(ADMIN, name)] == [(new.id, ADMIN, False)]
    assert chirpstack.connect().check_token(new.token, new.id).works


def test_two_keys_may_have_one_name(chirpstack: Chirpstack, name: str) -> None:
    server = chirpstack.logged_in()
    made = sorted(server.create_key(ADMIN, name, read_only=False).id for _ in range(2))
    assert [key.id for key in server.list_keys(ADMIN, name)] == made


def test_a_deleted_key_is_gone_and_so_is_its_token(chirpstack: Chirpstack, name: str) -> None:
    server = chirpstack.logged_in()
    new = server.create_key(ADMIN, name, read_only=False)
    server.delete_key(new.id)
    assert server.list_keys(ADMIN, name) == []
    status = chirpstack.connect().check_token(new.token, new.id)
    assert (status.works, status.reason) == (False, KEY_DELETED)


def test_deleting_what_is_not_there_is_no_error(chirpstack: Chirpstack) -> None:
    chirpstack.logged_in().delete_key("00000000-0000-4000-8000-000000000000")


def test_a_token_signed_with_another_secret_is_told_from_one_whose_key_is_deleted(
    chirpstack: Chirpstack, name: str
) -> None:
    new = chirpstack.logged_in().create_key(ADMIN, name, read_only=False)
    claims: dict[str, object] = {"aud": "chirpstack", "iss": "chirpstack", "sub": new.id, "typ": "key"}
    if chirpstack.api == "v3":
        claims = {"aud": "as", "iss": "as", "nbf": 0, "sub": "api_key", "api_key_id": new.id}
    status = chirpstack.connect().check_token(jwt(claims), new.id)
    assert (status.works, status.reason) == (False, SIGNED_OTHERWISE)


def test_a_token_of_the_other_generation_does_not_work(chirpstack: Chirpstack) -> None:
    claims: dict[str, object] = {"aud": "as", "iss": "as", "nbf": 0, "sub": "api_key", "api_key_id": "1"}
    if chirpstack.api == "v3":
        claims = {"aud": "chirpstack", "iss": "chirpstack", "sub": "1", "typ": "key"}
    assert not chirpstack.connect().check_token(jwt(claims), "1").works


@pytest.mark.parametrize("odd", ["%", "_", "'", '"', "\\", "ü🔑", "שלום", "a/b?c&d=e#f", " ", "x" * 40])
def test_a_name_is_listed_exactly(chirpstack: Chirpstack, name: str, odd: str) -> None:
    server = chirpstack.logged_in()
    new = server.create_key(ADMIN, name + odd, read_only=False)
    server.create_key(ADMIN, f"{name}{odd}2", read_only=False)
    server.create_key(ADMIN, (name + odd).upper(), read_only=False)
    assert [key.id for key in server.list_keys(ADMIN, name + odd)] == [new.id]


def test_a_list_of_many_pages_is_read_whole(chirpstack: Chirpstack, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "PAGE", 2)
    server = chirpstack.logged_in()
    made = sorted(server.create_key(ADMIN, f"{name} {number}", read_only=False).id for number in range(5))
    found = [server.list_keys(ADMIN, f"{name} {number}") for number in range(5)]
    assert sorted(keys[0].id for keys in found) == made


def test_the_default_group_is_resolved_by_name_and_by_id(chirpstack: Chirpstack) -> None:
    kind, default = ("organization", "chirpstack") if chirpstack.api == "v3" else ("tenant", "ChirpStack")
    server = chirpstack.logged_in()
    by_name = server.resolve(Scope(kind, default))
    assert by_name.kind == kind
    assert server.resolve(Scope(kind, by_name.id)) == by_name


@pytest.mark.parametrize(
    "ref",
    ["no such", "999999", "9" * 19, "9" * 5_000, "00000000-0000-4000-8000-000000000000", "chirpstac", "CHIRPSTACK"],
    ids=lambda ref: ref[:36],
)
def test_a_group_that_is_not_there_is_refused(chirpstack: Chirpstack, ref: str) -> None:
    kind = "organization" if chirpstack.api == "v3" else "tenant"
    with pytest.raises(ServerRefusal, match="has no"):
        chirpstack.logged_in().resolve(Scope(kind, ref))


def test_a_scope_of_the_other_generation_is_refused(chirpstack: Chirpstack) -> None:
    kind = "tenant" if chirpstack.api == "v3" else "organization"
    with pytest.raises(ServerRefusal, match=kind):
        chirpstack.logged_in().resolve(Scope(kind, "chirpstack"))


def test_a_groups_key_is_listed_there_alone_and_its_token_works(chirpstack: Chirpstack, name: str) -> None:
    server = chirpstack.logged_in()
    default = Scope("organization", "chirpstack") if chirpstack.api == "v3" else Scope("tenant", "ChirpStack")
    scope = server.resolve(default)
    new = server.create_key(scope, name, read_only=False)
    assert [(key.id, key.scope) for key in server.list_keys(scope, name)] == [(new.id, scope)]
    assert server.list_keys(ADMIN, name) == []
    assert chirpstack.connect().check_token(new.token, new.id).works


def test_v3_makes_keys_for_one_application(chirpstack: Chirpstack, name: str) -> None:
    server = chirpstack.logged_in()
    if chirpstack.api == "v4":
        with pytest.raises(ServerRefusal, match="application"):
            server.resolve(Scope("application", "app1"))
        return
    scope = server.resolve(Scope("application", "app1"))
    assert server.resolve(Scope("application", scope.id)) == scope
    new = server.create_key(scope, name, read_only=False)
    assert [key.id for key in server.list_keys(scope, name)] == [new.id]
    # Before v3.12 only by its scope. Asked without a login and with one.
    for asked in (chirpstack.connect(), server):
        assert asked.check_token(new.token, new.id, scope).works
    server.delete_key(new.id)
    for asked in (chirpstack.connect(), server):
        assert asked.check_token(new.token, new.id, scope) == TokenStatus(False, KEY_DELETED)


def test_a_read_only_key_is_one_or_is_refused_before_it_is_made(chirpstack: Chirpstack, name: str) -> None:
    server = chirpstack.logged_in()
    if chirpstack.version >= (4, 17):
        new = server.create_key(ADMIN, name, read_only=True)
        assert [key.read_only for key in server.list_keys(ADMIN, name)] == [True]
        assert chirpstack.connect().check_token(new.token, new.id).works
    else:
        with pytest.raises(ServerRefusal, match="read-only"):
            server.create_key(ADMIN, name, read_only=True)
        assert server.list_keys(ADMIN, name) == []


def test_the_password_can_be_changed_where_the_server_allows_it(chirpstack: Chirpstack) -> None:
    email = chirpstack.add_account(admin=True)
    server = chirpstack.connect()
    assert server.log_in(email, "a password")
    server.set_password("another password")
    assert not chirpstack.connect().log_in(email, "a password")
    assert chirpstack.connect().log_in(email, "another password")


def test_a_password_that_the_server_does_not_take_is_refused_with_its_words(chirpstack: Chirpstack) -> None:
    server = chirpstack.connect()
    assert server.log_in(chirpstack.add_account(admin=True), "a password")
    if chirpstack.api == "v3" or chirpstack.version >= (4, 17):
        with pytest.raises(ServerRefusal, match=r"at least [68] characters"):
            server.set_password("short")
    else:
        server.set_password("short")


def test_an_account_without_rights_is_told_so(chirpstack: Chirpstack, name: str) -> None:
    key_id = chirpstack.logged_in().create_key(ADMIN, name, read_only=False).id
    server = chirpstack.connect()
    assert server.log_in(chirpstack.add_account(admin=False), "a password")
    with pytest.raises(AccountError, match="may not"):
        server.list_keys(ADMIN, name)
    with pytest.raises(AccountError, match="may not"):
        server.create_key(ADMIN, name, read_only=False)
    with pytest.raises(AccountError, match="may not"):
        server.delete_key(key_id)
