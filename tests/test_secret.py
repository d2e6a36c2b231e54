"""KUBERNETES_SECRET without a cluster: what is pure, and what is said where there is none. `tests/kubernetes` has the
rest, with a real API server."""

import json
from pathlib import Path

import pytest

from init_job import account, values
from init_job.outputs import annotation
from init_job.outputs.annotation import Seen
from init_job.outputs.interface import IssuedKey
from init_job.outputs.secret import SecretData
from init_job.servers import kubernetes
from init_job.servers.kubernetes import Named
from init_job.state import Intent, MadeKey, State, parsed
from tests.support import jwt, run_job

MADE = MadeKey("1", "n", "admin", "", False, "http://s", "v4", "4.19", "")
INTENT = Intent("n", "admin", "http://s", ("1",), ())
TOKEN = jwt({"typ": "key", "sub": "b1a7b3c4-0000-4000-8000-000000000000"})
KEY = IssuedKey(TOKEN, "1", "n", "tenant:a", False, "http://s", "v4", "4.19", "2")


def secret(**more: object) -> dict[str, object]:
    return {"metadata": {"uid": "u", "resourceVersion": "7", **more}, "data": {"OTHER": "eA=="}}


@pytest.mark.parametrize("text", ["name", "a-b.c", "ns/name", "1/2", "n" * 63 + "/" + "a." * 90 + "a"])
def test_a_name_that_the_api_server_takes(text: str) -> None:
    assert values.secret(text) == text


@pytest.mark.parametrize(
    "text", ["", "Name", "a_b", "ns/", "/name", "a/b/c", "-a", "a.", "a..b", "n.s/a", "a" * 254, "n" * 64 + "/a", "a\n"]
)
def test_a_name_that_the_api_server_does_not_take(text: str) -> None:
    with pytest.raises(ValueError, match="NAMESPACE"):
        values.secret(text)


@pytest.mark.parametrize("text", [None, "", "no JSON", "[1]", "null", "1", "[" * 100_000])
def test_an_annotation_that_is_none_of_ours_holds_no_record(text: str | None) -> None:
    assert annotation.seen(secret(annotations={annotation.NAME: text})).records == {}
    assert annotation.seen(secret(annotations=None)).records == {}


def test_a_patch_changes_one_variable_and_its_record_of_the_version_that_was_read() -> None:
    there = annotation.seen(secret(annotations={annotation.NAME: '{"A": {"x": 1}, "B": {"y": 2}}'}))
    patch = there.patch({"A": "YQ=="}, "A", {"x": 2})
    assert patch is not None
    assert patch["data"] == {"A": "YQ=="}
    assert patch["metadata"]["resourceVersion"] == "7"
    assert patch["metadata"]["uid"] == "u"
    assert json.loads(patch["metadata"]["annotations"][annotation.NAME]) == {"A": {"x": 2}, "B": {"y": 2}}
    assert there.patch({}, "A", {"x": 1}) is None
    assert "annotations" not in (there.patch({"A": "YQ=="}, "A", {"x": 1}) or {})["metadata"]


def test_the_last_record_that_goes_takes_the_annotation_with_it() -> None:
    there = annotation.seen(secret(annotations={annotation.NAME: '{"A": {"x": 1}}'}))
    patch = there.patch({}, "A", None)
    assert patch is not None
    assert patch["metadata"]["annotations"] == {annotation.NAME: None}


def test_what_is_remembered_comes_back() -> None:
    for remembered in (State(), State(MADE), State(MADE, (MADE,), INTENT), State(intent=INTENT)):
        one = json.loads(json.dumps(annotation.record(remembered, "r-1")))
        assert parsed(one, "here") == remembered
        assert annotation.record(remembered, "r-1") == one


def test_a_run_is_at_work_while_it_intends_something_until_it_says_that_it_is_not() -> None:
    claimed = annotation.record(State(MADE, (), INTENT), "r-1")
    assert annotation.is_claimed(claimed)
    assert not annotation.is_claimed(annotation.released(claimed))
    assert parsed(annotation.released(claimed), "here").intent == INTENT
    assert not annotation.is_claimed(annotation.record(State(MADE), "r-1"))
    assert not annotation.is_claimed(None)
    assert not annotation.is_claimed("odd")  # type: ignore[arg-type]


@pytest.mark.parametrize("one", ["odd", 1, [], {}, {"format": 2}, {"format": 99, "key": None}])
def test_a_record_that_cannot_be_read_is_none(one: object, caplog: pytest.LogCaptureFixture) -> None:
    assert parsed(one, "the record of A") == State()
    assert "the record of A cannot be read" in caplog.text


@pytest.mark.parametrize("name", ["immutable-x", "admission"])
def test_a_secrets_name_is_no_reason(name: str) -> None:
    said = f'secrets "{name}" is forbidden: User "system:serviceaccount:{name}:job" cannot patch resource "secrets"'
    assert "give the job's account a Role" in kubernetes._hint(403, said, Named("ns", name), "ns")
    assert "immutable: true" in kubernetes._hint(
        422, f'Secret "{name}" is invalid: data: field is immutable', Named("ns", name), "ns"
    )


def test_the_differences_of_two_contents_are_a_merge_patch() -> None:
    assert annotation.differences(b'{"A": "1", "B": "2"}', b'{"B": "3", "C": "4"}') == {"A": None, "B": "3", "C": "4"}
    assert annotation.differences(b'{"A": "1"}', b'{"A": "1"}') == {}


def test_the_format_keeps_to_its_own_names() -> None:
    form = SecretData("TOKEN", "TENANT")
    content = Seen("", "", {"OTHER": "eA=="}, {}).content(form.names)
    assert content == b"{}"
    assert form.token(content) == ""
    written = form.render(content, KEY)
    assert set(json.loads(written)) == {"TOKEN", "TENANT"}
    assert form.token(written) == TOKEN
    assert set(json.loads(form.erase(written))) == {"TENANT"}
    with_newline = json.dumps({"TOKEN": "ZXgK"}).encode()
    assert form.token(with_newline) == "ex"
    with pytest.raises(ValueError, match="UTF-8"):
        form.token(b'{"TOKEN": "//4A"}')


def test_an_account_is_found_where_pods_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "FOLDER", str(tmp_path))
    for name in ("token", "ca.crt", "namespace"):
        (tmp_path / name).write_text(f"{name}\n")
    found = account.of_the_pod({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"})
    assert found.url == "https://[fd00::1]:6443"
    assert found.namespace == "namespace"
    assert found.token() == "token"
    (tmp_path / "token").write_text("rotated")
    assert found.token() == "rotated"
    for content in ("", "é"):
        (tmp_path / "token").write_text(content)
        with pytest.raises(ValueError):  # noqa: PT011 - any
            found.token()


def test_outside_a_cluster_and_without_an_account_nothing_is_asked(tmp_path: Path) -> None:
    given = {"CHIRPSTACK_PASSWORD": "long enough", "KUBERNETES_SECRET": "app", "CHIRPSTACK_URL": "http://127.0.0.1:1"}
    run = run_job(tmp_path, variables=given)
    assert run.code == 2
    assert "KUBERNETES_SECRET: this is no pod" in run.error
    run = run_job(tmp_path, variables={**given, "KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SECRET": "No Name"})
    assert run.code == 2
    assert "KUBERNETES_SECRET: 'No Name' is not [NAMESPACE/]NAME" in run.error
    run = run_job(tmp_path, variables={**given, "KUBERNETES_SERVICE_HOST": "10.0.0.1", "LOG_LEVEL": "debug"})
    assert run.code == 2
    assert "automountServiceAccountToken" in run.error
    assert "10.0.0.1" not in run.err.replace(run.error, "")
