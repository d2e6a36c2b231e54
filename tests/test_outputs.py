"""Formats and files. Faults of the operating system and odd `.env` files have suites of their own in `tests/faults`."""

import errno
import json
import os
from pathlib import Path

import pytest

from init_job.errors import OutputError
from init_job.outputs.env_file import EnvFile
from init_job.outputs.interface import IssuedKey, Output
from init_job.outputs.json_file import JsonFile
from init_job.outputs.token_file import TokenFile
from tests.support import jwt

OLD = jwt({"typ": "key", "sub": "9d29abdf-a5ec-4aac-a1ed-93bcef9590d5"}, "old")
TOKEN = jwt({"typ": "key", "sub": "9d29abdf-a5ec-4aac-a1ed-93bcef9590d5"}, "new")
KEY = IssuedKey(TOKEN, "9d29abdf", "grafana", "admin", False, "http://x", "v4", "4.19.0")
ENV = EnvFile("API_TOKEN")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "API_TOKEN=@\n"),
        ("A=1", "A=1\nAPI_TOKEN=@\n"),
        ("A=1\r\nB=2\r\n", "A=1\r\nB=2\r\nAPI_TOKEN=@\r\n"),
        ("API_TOKEN=\nB=2", "API_TOKEN=@\nB=2"),
        ("API_TOKEN=@old\n", "API_TOKEN=@\n"),
        ("API_TOKEN=@old # made by hand\nB=2\n", "API_TOKEN=@ # made by hand\nB=2\n"),
        ("API_TOKEN=  # later\n", "API_TOKEN=@  # later\n"),
        ('export API_TOKEN="@old"  # x\n', 'export API_TOKEN="@"  # x\n'),
        ("  API_TOKEN = '@old'\n", "  API_TOKEN = '@'\n"),
        ("API_TOKEN=''\n", "API_TOKEN='@'\n"),
        ("API_TOKEN=@old\nX=1\nAPI_TOKEN=@old\n", "API_TOKEN=@old\nX=1\nAPI_TOKEN=@\n"),
        ("# API_TOKEN=@old\n", "# API_TOKEN=@old\nAPI_TOKEN=@\n"),
        ("MY_API_TOKEN=@old\n", "MY_API_TOKEN=@old\nAPI_TOKEN=@\n"),
        ('A="\nAPI_TOKEN=@old\n"\n', 'A="\nAPI_TOKEN=@old\n"\nAPI_TOKEN=@\n'),
        ("export API_TOKEN\n", "export API_TOKEN\nAPI_TOKEN=@\n"),
        ("\ufeffAPI_TOKEN=\nB=1\n", "\ufeffAPI_TOKEN=\nB=1\nAPI_TOKEN=@\n"),
        ("\ufeffB=1\nAPI_TOKEN=\n", "\ufeffB=1\nAPI_TOKEN=@\n"),
        ("A=1\\\n", "A=1\\\n\nAPI_TOKEN=@\n"),
        ("A='it is'\\''so'\nAPI_TOKEN=", "A='it is'\\''so'\nAPI_TOKEN=@"),
    ],
)
def test_in_a_dotenv_file_only_the_value_changes(before: str, after: str) -> None:
    content = before.replace("@old", OLD).replace("@", TOKEN).encode()
    rendered = ENV.render(content, KEY)
    assert rendered.decode() == after.replace("@old", OLD).replace("@", TOKEN)
    assert ENV.token(rendered) == TOKEN
    assert ENV.render(rendered, KEY) == rendered


def test_a_dotenv_file_in_another_encoding_keeps_its_bytes() -> None:
    assert ENV.render(b"NAME=M\xfcller\n", KEY) == b"NAME=M\xfcller\nAPI_TOKEN=" + TOKEN.encode() + b"\n"


def test_a_removed_binding_takes_its_line_along() -> None:
    content = f"A=1\n\n# our token\nexport API_TOKEN='{TOKEN}' # x\nB=2\nAPI_TOKEN={TOKEN}".encode()
    assert ENV.erase(content) == b"A=1\n\n# our token\nB=2\n"


def test_a_token_file_is_the_token_and_a_newline() -> None:
    assert TokenFile().render(b"", KEY) == f"{TOKEN}\n".encode()
    assert TokenFile().render(TOKEN.encode(), KEY) == TOKEN.encode()
    assert TokenFile().token(f" {TOKEN}\r\n".encode()) == TOKEN


def test_a_json_file_is_an_object() -> None:
    rendered = JsonFile().render(b"", KEY)
    assert json.loads(rendered) == KEY.__dict__ | {"scope_id": None}
    assert JsonFile().token(rendered) == TOKEN


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"token": 7}', b"{}", b"[" * 100_000, b"\xff"])
def test_json_without_a_token_is_not_ours(content: bytes) -> None:
    with pytest.raises(ValueError, match="holds no JSON"):
        JsonFile().token(content)


def output(path: Path, mode: int = -1) -> Output:
    return Output(TokenFile(), str(path), mode)


def test_a_new_file_has_the_mode_that_is_asked_for_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        output(tmp_path / "a").write(KEY)
        output(tmp_path / "b", 0o640).write(KEY)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o644, 0o640]


def test_a_file_that_exists_keeps_its_mode_and_owner(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(OLD)
    path.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(path, 12, 34)
    before = path.stat()
    assert output(path).write(KEY)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert os.listdir(tmp_path) == ["token"]


def test_a_file_with_a_second_name_is_written_in_place(tmp_path: Path) -> None:
    path, other = tmp_path / "token", tmp_path / "other"
    path.write_text(OLD * 3)
    other.hardlink_to(path)
    with pytest.raises(OutputError):
        output(path).read()
    path.write_text(OLD)
    assert output(path).write(KEY)
    assert path.read_text() == other.read_text() == f"{TOKEN}\n"


def test_a_proof_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "token"
    output(path).prove_writable(KEY)
    assert os.listdir(tmp_path) == []
    path.write_text(OLD)
    before = path.stat()
    output(path).prove_writable(KEY)
    assert (os.listdir(tmp_path), path.stat()) == (["token"], before)


def test_what_a_killed_run_left_is_cleared_away_and_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / ".token.tmp").symlink_to(precious)
    output(tmp_path / "token").write(KEY)
    assert precious.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["precious", "token"]


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder", "device"])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "token"
    if kind in ("link", "dangling"):
        path.symlink_to(tmp_path / "target")
        if kind == "link":
            (tmp_path / "target").write_text(OLD)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path("/dev/null")
    with pytest.raises(OutputError, match=str(path)):
        output(path).read()


@pytest.mark.parametrize("exists", [True, False])
def test_a_users_own_dotenv_file_may_be_a_link(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "real.env", tmp_path / ".env"
    if exists:
        target.write_text("A=1\n")
    link.symlink_to("real.env")
    Output(ENV, str(link)).write(KEY)
    assert link.is_symlink()
    assert target.read_text() == ("A=1\n" if exists else "") + f"API_TOKEN={TOKEN}\n"


def test_an_error_names_the_path_the_reason_and_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError) as error:
        output(tmp_path / "token").write(KEY)
    assert str(tmp_path / "token") in str(error.value)
    assert f"Permission denied (the job runs as uid {os.geteuid()}" in str(error.value)
    assert "chown" in error.value.hint


def test_a_token_can_be_removed(tmp_path: Path) -> None:
    path, env = tmp_path / "token", tmp_path / ".env"
    assert not output(path).remove()
    path.write_text(f"{TOKEN}\n")
    assert output(path).remove()
    assert not path.exists()
    env.write_text(f"A=1\nAPI_TOKEN={TOKEN}\n")
    assert Output(ENV, str(env)).remove()
    assert env.read_text() == "A=1\n"
