"""One job and one Secret: what a run makes of what it finds, and what it says."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from init_job.outputs.annotation import NAME as ANNOTATION
from tests.faults.proxy import Exchange, Raw
from tests.faults.runner import Result
from tests.faults.world import NAME, Expected
from tests.kubernetes.cluster import Admin
from tests.kubernetes.conftest import SecretWorlds
from tests.kubernetes.scenarios import killed_after_the_create, up_to_date
from tests.kubernetes.world import OTHERS, VARIABLE, SecretWorld
from tests.support import jwt

TOKEN_FILE = {"TOKEN_FILE": "token"}


@pytest.fixture
def world(worlds: SecretWorlds) -> Iterator[SecretWorld]:
    with worlds("v4") as one:
        one.settle()
        yield one


def error(result: Result, code: int) -> str:
    """The line that says what happened and the one that says what to do."""
    assert result.code == code, result.log
    lines = [line[33:] for line in result.err.splitlines() if line[25:29] in ("INFO", "WARN", "ERRO")]
    assert lines[-1].startswith(f"exit {code}: what to do: "), result.log
    return "\n".join(lines[-2:])


def lines(requests: list[bytes]) -> list[str]:
    return [request.split(b" HTTP/")[0].decode() for request in requests]


def record(world: SecretWorld) -> list[bytes]:
    """The requests to the API server, from now on."""
    seen: list[bytes] = []

    def note(exchange: Exchange) -> None:
        seen.append(exchange.request)

    world.gate.plan(note)
    return seen


def test_a_first_run_brings_the_token_and_its_record_in_one_patch(world: SecretWorld) -> None:
    requests = record(world)
    result = world.run()
    world.expect_promise_kept(result)
    assert result.code == 0, result.log
    path = f"/api/v1/namespaces/{world.namespace}/secrets/{world.name}"
    dry = f"PATCH {path}?dryRun=All"
    assert lines(requests) == [f"GET {path}", dry, dry, f"PATCH {path}", f"PATCH {path}"]
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in requests[1:]]
    assert all(list(body) == ["data"] for body in bodies[:2])
    intent, both = bodies[2:]
    assert "data" not in intent
    assert json.loads(intent["metadata"]["annotations"][ANNOTATION])[VARIABLE]["intent"]["name"] == NAME
    assert base64.b64decode(both["data"][VARIABLE]).decode() == world.token()
    assert all(body["metadata"].keys() >= {"uid", "resourceVersion"} for body in (intent, both))
    remembered = world.records()[VARIABLE]
    assert remembered["key"]["id"] in world.ids()
    assert remembered["intent"] is None
    assert world.token() not in json.dumps(world.records())


def test_a_run_with_nothing_to_do_sends_one_request_to_each_server(world: SecretWorld) -> None:
    up_to_date(world)
    before = world.secret()
    world.server.clear_requests()
    requests = record(world)
    result = world.run()
    assert result.code == 0, result.log
    assert "up to date" in result.err
    assert len(requests) == 1
    assert len(world.server.requests) == 1
    assert world.secret() == before


@pytest.mark.parametrize("arguments", [("check",), ("--dry-run",), ("rotate", "--dry-run"), ("revoke", "--dry-run")])
@pytest.mark.parametrize("is_first", [True, False])
def test_what_changes_nothing_only_reads(world: SecretWorld, arguments: tuple[str, ...], is_first: bool) -> None:
    if not is_first:
        up_to_date(world)
    before, keys = world.secret(), world.server.keys()
    requests = record(world)
    result = world.run(None, arguments)
    assert result.code == (5 if is_first and arguments == ("check",) else 0), result.log
    assert {request.split()[0] for request in requests} == {b"GET"}
    assert world.secret() == before
    assert world.server.keys() == keys


def test_rotate_replaces_the_token_and_deletes_the_old_key(world: SecretWorld) -> None:
    up_to_date(world)
    old = world.token()
    result = world.run(None, ("rotate",))
    world.expect_promise_kept(result)
    assert world.token() != old
    assert not world.server.token_works(old)
    assert world.run(None, ("rotate", "--if-older-than", "30d")).code == 0
    assert len(world.keys()) == 1
    assert world.run(None, ("check",)).code == 0


def test_revoke_removes_the_key_the_token_and_the_record(world: SecretWorld) -> None:
    up_to_date(world)
    requests = record(world)
    assert world.run(None, ("revoke",)).code == 0
    assert [request.split()[0] for request in requests] == [b"GET", b"PATCH"]
    assert not world.keys()
    there = world.secret()
    assert there["data"] == OTHERS["data"]
    assert there["metadata"]["annotations"] == OTHERS["metadata"]["annotations"]


def test_the_token_goes_into_a_file_as_well(world: SecretWorld) -> None:
    result = world.run(None, (), **TOKEN_FILE)
    assert result.code == 0, result.log
    file = world.folder / "token"
    assert file.read_text().strip() == world.token()
    assert not list(world.folder.glob(".token*"))
    file.unlink()
    assert world.run(None, (), **TOKEN_FILE).code == 0
    assert file.read_text().strip() == world.token()
    world.patch({"data": {VARIABLE: None}})
    assert world.run(None, (), **TOKEN_FILE).code == 0
    assert file.read_text().strip() == world.token()
    world.expect_healed()


def test_the_scope_gets_a_name_of_its_own(world: SecretWorld) -> None:
    result = world.run(None, (), API_KEY_SCOPE=world.group_scope, ENV_SCOPE_ID_VAR="TENANT_ID", ENV_VAR="TENANT_TOKEN")
    assert result.code == 0, result.log
    assert world.token("TENANT_ID") == world.group_scope.partition(":")[2]
    assert world.server.token_works(world.token("TENANT_TOKEN"))


def test_a_secret_in_another_namespace_is_named_with_it(world: SecretWorld, admin: Admin) -> None:
    with admin.namespace(f"{world.namespace}-other") as other:
        admin.make(other, "secrets", {"metadata": {"name": "app"}})
        said = error(world.run(None, (), KUBERNETES_SECRET=f"{other}/app"), 6)
        assert f"refuses to get Secret {other}/app: 403" in said
        assert f"a Role in namespace {other}" in said
        assert f"for the account of namespace {world.namespace}" in said
        assert "verbs [get, patch]" in said
        assert not world.keys()


def test_no_secret_and_a_secret_that_is_deleted_and_applied_again(world: SecretWorld) -> None:
    up_to_date(world)
    world.admin.delete_secret(world.namespace, world.name)
    said = error(world.run(), 6)
    assert f"there is no Secret {world.namespace}/{world.name}" in said
    world.apply()
    assert "ON_LOST_TOKEN=replace" in error(world.run(), 5)
    assert world.run(None, (), ON_LOST_TOKEN="replace", CHIRPSTACK_PASSWORD="admin").code == 0
    world.settle()


def test_a_removed_token_is_a_lost_one(world: SecretWorld) -> None:
    up_to_date(world)
    world.patch({"data": {VARIABLE: None}})
    assert "its token is lost" in error(world.run(), 5)
    assert len(world.keys()) == 1


def test_a_deleted_key_is_made_anew(world: SecretWorld) -> None:
    up_to_date(world)
    world.server.delete_key(world.ids()[0])
    result = world.run()
    world.expect_promise_kept(result)
    assert result.code == 0, result.log


def test_an_immutable_secret_is_refused_before_a_key_is_made(world: SecretWorld) -> None:
    world.apply(immutable=True)
    said = error(world.run(), 6)
    assert "refuses to patch" in said
    assert "without `immutable: true`" in said
    assert not world.keys()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("the signing secret", "it holds no token"),
        ("changeme", "a placeholder"),
        (jwt({"sub": "1234567890"}), "a JWT that ChirpStack did not make"),
    ],
)
def test_what_is_no_token_is_not_overwritten(world: SecretWorld, text: str, what: str) -> None:
    world.put(text)
    before = world.secret()
    said = error(world.run(), 6)
    assert f"Secret {world.namespace}/{world.name} ({VARIABLE}) is not ours to overwrite" in said
    assert what in said
    assert world.secret() == before
    assert not world.keys()


def test_bytes_that_are_no_text_are_not_overwritten(world: SecretWorld) -> None:
    world.patch({"data": {VARIABLE: base64.b64encode(b"\xff\xfe\0").decode()}})
    assert "no text in UTF-8" in error(world.run(), 6)


def test_a_token_with_a_newline_becomes_the_bare_one(world: SecretWorld) -> None:
    up_to_date(world)
    token = world.token()
    world.put(f"{token}\n")
    assert world.run().code == 0
    assert world.token() == token


def test_a_record_that_cannot_be_read_costs_a_login(world: SecretWorld) -> None:
    up_to_date(world)
    world.patch({"metadata": {"annotations": {ANNOTATION: "odd"}}})
    result = world.run()
    assert result.code == 0, result.log
    world.expect_promise_kept(result)
    assert world.records()[VARIABLE]["key"]["id"] in world.ids()


@pytest.mark.parametrize(("verbs", "verb"), [((), "get"), (("get",), "patch"), (("patch",), "get")])
def test_a_role_that_lacks_something_is_told_what(
    world: SecretWorld, admin: Admin, verbs: tuple[str, ...], verb: str
) -> None:
    account = f"poor-{verb}-{len(verbs)}"
    admin.account(world.namespace, account)
    if verbs:
        admin.allow(world.namespace, verbs, [world.name], account)
    (world.account.folder / "token").write_text(token := admin.token(world.namespace, account))
    result = world.run()
    said = error(result, 6)
    assert f"refuses to {verb} Secret {world.namespace}/{world.name}: 403" in said
    assert f"resourceNames [{world.name}], verbs [get, patch]" in said
    assert token not in result.err
    assert not world.keys()


def test_the_role_needs_no_more_than_to_get_and_patch_this_one(world: SecretWorld, admin: Admin) -> None:
    account = "least"
    admin.account(world.namespace, account)
    admin.allow(world.namespace, ("get", "patch"), [world.name], account)
    (world.account.folder / "token").write_text(admin.token(world.namespace, account))
    for arguments in ((), ("check",), ("rotate",), ("revoke",), ()):
        assert world.run(None, arguments).code == 0


def test_an_accounts_token_that_does_not_work_is_not_told(world: SecretWorld) -> None:
    token = jwt({"sub": "system:serviceaccount:expired"})
    (world.account.folder / "token").write_text(token)
    result = world.run()
    said = error(result, 6)
    assert "refuses to get" in said
    assert "401" in said
    assert "has expired" in said
    assert token not in result.err


def test_the_accounts_token_is_read_for_each_request(world: SecretWorld, admin: Admin) -> None:
    """The kubelet puts a new one there; the old one ends."""
    tokens = [admin.token(world.namespace) for _ in range(8)]
    used: list[str] = []

    def rotate(exchange: Exchange) -> None:
        found = exchange.request.partition(b"Authorization: Bearer ")[2].split(b"\r\n")[0].decode()
        used.append(found)
        (world.account.folder / "token").write_text(tokens[len(used)])

    (world.account.folder / "token").write_text(tokens[0])
    world.gate.plan(rotate)
    result = world.run()
    assert result.code == 0, result.log
    assert used == tokens[: len(used)]
    assert not any(token in result.err for token in tokens)


def test_a_certificate_of_another_authority_is_not_trusted(world: SecretWorld, admin: Admin) -> None:
    (world.account.folder / "ca.crt").write_text(admin.ca)
    requests = record(world)
    said = error(world.run(None, (), WAIT_TIMEOUT="0"), 6)
    assert "certificate is not trusted" in said
    assert requests == []
    (world.account.folder / "ca.crt").write_text("no certificate")
    assert "KUBERNETES_SECRET:" in error(world.run(), 2)


def test_an_api_server_that_is_down_is_waited_for_and_then_named(world: SecretWorld) -> None:
    world.gate.refuse(0.7)
    result = world.run()
    assert result.code == 0, result.log
    world.gate.refuse(3600)
    said = error(world.run(None, (), WAIT_TIMEOUT="1s"), 6)
    assert "connection refused" in said
    assert "this is the cluster's API server" in said


def test_a_policy_that_refuses_the_patch_is_quoted(world: SecretWorld) -> None:
    said_by_it = 'admission webhook \\"policy.example.com\\" denied the request: not on a Friday'

    def refuse(exchange: Exchange) -> Any:
        body = f'{{"kind": "Status", "code": 403, "reason": "Forbidden", "message": "{said_by_it}"}}'
        answer = Raw.of("403 Forbidden", body.encode(), "application/json").whole
        return (lambda exchange: exchange.send(answer)) if exchange.request.startswith(b"PATCH") else None

    world.gate.plan(refuse)
    said = error(world.run(), 6)
    assert "not on a Friday" in said
    assert "a quota or an admission policy" in said
    assert not world.keys()


@pytest.mark.parametrize("which", ["all", "those with the token"])
def test_a_conflict_that_is_about_something_else_comes_to_an_end_and_no_key_is_left(
    world: SecretWorld, which: str
) -> None:
    body = b'{"kind": "Status", "code": 409, "reason": "Conflict", "message": "denied: not on a Friday"}'
    answer = Raw.of("409 Conflict", body, "application/json").whole

    def refuse(exchange: Exchange) -> Any:
        head, _, changes = exchange.request.partition(b"\r\n\r\n")
        is_it = head.startswith(b"PATCH") and (which == "all" or (b'"data"' in changes and b"dryRun" not in head))
        return (lambda exchange: exchange.send(answer)) if is_it else None

    world.gate.plan(refuse)
    result = world.run(None, (), WAIT_TIMEOUT="1s")
    said = error(result, 6)
    assert "409 denied: not on a Friday" in said
    assert "an admission webhook" in said
    assert result.seconds < 5
    assert not world.keys()
    world.expect_healed(result.log)


def test_trouble_that_the_api_server_has_itself_is_told_as_its_own(world: SecretWorld) -> None:
    body = b'{"kind": "Status", "code": 503, "reason": "ServiceUnavailable", "message": "etcd is gone"}'
    answer = Raw.of("503 Service Unavailable", body, "application/json").whole
    world.gate.plan(lambda exchange: lambda exchange: exchange.send(answer))
    said = error(world.run(None, (), WAIT_TIMEOUT="0"), 6)
    assert "etcd is gone" in said
    assert "the API server itself says so" in said


def test_a_run_that_is_killed_between_create_and_patch_is_mended_by_the_next(world: SecretWorld) -> None:
    killed_after_the_create(world)
    (left,) = world.ids()
    result = world.run()
    assert result.code == 0, result.log
    assert "has not been heard of" in result.err
    assert left not in world.ids()
    world.expect_healed()


def test_a_killed_run_is_waited_for_for_thirty_seconds(world: SecretWorld) -> None:
    """As the program has it, and longer than WAIT_TIMEOUT."""
    del world.constants["init_job.outputs.secret.STALE"]
    killed_after_the_create(world)
    result = world.run(None, (), WAIT_TIMEOUT="5s")
    assert result.code == 0, result.log
    assert 30 <= result.seconds < 45
    world.expect_healed()


def test_an_answer_that_is_lost_with_the_api_server_costs_no_key(world: SecretWorld) -> None:
    """The last patch may be done or not: its key is not deleted."""

    def lose(exchange: Exchange) -> Any:
        def fault(exchange: Exchange) -> None:
            exchange.forward()
            exchange.proxy.refuse(2.0)
            exchange.hang_up()

        patch = exchange.request.partition(b"\r\n\r\n")[2] if b"dryRun" not in exchange.request else b""
        return fault if b'"data"' in patch else None

    world.gate.plan(lose)
    result = world.run(None, (), WAIT_TIMEOUT="1s")
    world.gate.wait_until_idle()
    error(result, 6)
    (made,) = world.ids()
    world.expected = Expected(same_token=world.token())
    world.expect_healed(result.log)
    assert world.ids() == [made]


def test_a_run_that_fails_leaves_no_claim_for_the_next_to_wait_for(world: SecretWorld) -> None:
    def lose(exchange: Exchange) -> None:
        exchange.forward()
        exchange.hang_up()

    world.constants["init_job.outputs.secret.STALE"] = 60.0
    world.proxy.plan(lambda exchange: lose if exchange.is_create else None)
    error(world.run(None, (), WAIT_TIMEOUT="0"), 3)
    remembered = world.records()[VARIABLE]
    assert remembered["intent"]["name"] == NAME
    assert "run" not in remembered
    world.expect_healed()


@pytest.mark.parametrize("arguments", [(), ("check",), ("rotate",), ("revoke",)])
def test_a_login_that_is_refused_changes_nothing(world: SecretWorld, arguments: tuple[str, ...]) -> None:
    up_to_date(world)
    world.patch({"metadata": {"annotations": {ANNOTATION: None}}})
    before = world.secret()
    assert world.run(None, arguments, CHIRPSTACK_PASSWORD="wrong").code in (0, 4)
    assert world.secret() == before


def test_several_keys_of_a_file_share_secrets(world: SecretWorld) -> None:
    """One request for each key to each server when there is nothing to do; a Secret that is not there costs its own."""
    file = world.folder / "keys.toml"
    names = ["ONE", "TWO", "GONE"]
    secrets = dict.fromkeys(names, world.name) | {"GONE": "not-there"}
    tables = [f'[[key]]\nname = "{name}"\nenv_var = "{name}"\nkubernetes_secret = "{secrets[name]}"' for name in names]
    file.write_text("\n".join(tables))
    variables = {name: value for name, value in world.variables.items() if name != "KUBERNETES_SECRET"}
    world.variables = {**variables, "KEYS_FILE": str(file)}
    result = world.run()
    assert "not ready: 'GONE'; ready: 'ONE', 'TWO'" in error(result, 6)
    assert set(world.records()) == {"ONE", "TWO"}
    assert all(world.server.token_works(world.token(name)) for name in ("ONE", "TWO"))
    file.write_text("\n".join(tables[:2]))
    world.server.clear_requests()
    requests = record(world)
    result = world.run()
    assert result.code == 0, result.log
    assert len(requests) == 2
    assert len(world.server.requests) == 2


def without_annotation(world: SecretWorld, answers_so: bool) -> Any:
    """What somebody does to each patch of the annotation: at once, as a webhook, or a moment later."""

    def strip(exchange: Exchange) -> None:
        answer = exchange.forward()
        world.patch({"metadata": {"annotations": {ANNOTATION: None}}})
        body = json.dumps(world.secret()).encode()
        exchange.send(Raw.of("200 OK", body, "application/json").whole if answers_so else answer.whole)

    def plan(exchange: Exchange) -> Any:
        head, _, body = exchange.request.partition(b"\r\n\r\n")
        return strip if b"dryRun" not in head and ANNOTATION.encode() in body else None

    return plan


def test_a_webhook_that_takes_the_record_away_is_told_before_a_key_is_made(world: SecretWorld) -> None:
    world.gate.plan(without_annotation(world, answers_so=True))
    assert "does not stay as it is written" in error(world.run(), 6)
    assert not world.keys()


def test_a_controller_that_takes_the_record_away_again_and_again_is_told_and_no_key_is_left(world: SecretWorld) -> None:
    world.gate.plan(without_annotation(world, answers_so=False))
    said = error(world.run(None, (), WAIT_TIMEOUT="3s"), 3)
    assert "another run has been at work" in said
    assert "self-heal" in said
    assert not world.keys()
