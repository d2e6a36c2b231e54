"""Formats and files. Faults of the operating system and odd `.env` files have suites of their own in `tests/faults`."""

import codecs
import errno
import io
import json
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import dotenv.parser
import pytest

from init_job.errors import OutputError
from init_job.outputs.env_file import EnvFile
from init_job.outputs.interface import Format, IssuedKey, Output
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


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('# Telegraf\n\n[agent]\ninterval = "10s"\n', 3),
        ("[Service]\r\nExecStart=/bin/true\r\n", 1),
        ('urls = [\n  "http://a",\n]\n', 3),
        ('{"a":1}', 1),
        ('{\n  "a=b": 1\n}', 1),
        ("a: b\n", 1),
        ("---\nservices:\n  one:\n    image: x=y\n", 2),
        ("<a b='c'/>\n", 1),
        ("- one: a\n  two: b\n", 1),
        ("[[inputs.cpu]]\n", 1),
        ('A="b\nC=d\n', 1),
        ("A=1\rB='b\rC=d\r", 2),
        (f"API_TOKEN={TOKEN}\nA='it's'\n", 2),
        ("some note that isn't commented out\n", 1),
    ],
)
def test_a_file_that_readers_of_a_dotenv_file_would_not_read_is_not_written(
    content: str, line: int, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content.encode())
    one = Output(ENV, str(path))
    for attempt in (one.prove_writable, one.write):
        with pytest.raises(OutputError, match=f"not ours to overwrite: line {line} is no NAME=value"):
            attempt(KEY)
    assert path.read_bytes() == content.encode()


def test_a_dotenv_file_is_not_parsed_anew_for_each_question(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = dotenv.parser.parse_stream

    def counted(file: io.StringIO) -> Iterator[dotenv.parser.Binding]:
        parsed.append(file.getvalue())
        return parse(file)

    monkeypatch.setattr(dotenv.parser, "parse_stream", counted)
    content = b"ONLY_IN_THIS_TEST=1\n"
    for _ in range(3):
        assert ENV.token(content) == ""
        rendered = ENV.render(content, KEY)
        assert ENV.token(rendered) == TOKEN
        assert ENV.render(rendered, KEY) == rendered
    assert len(parsed) == 3  # once as it was, and twice as it is: what stands in it, and whether it is one


@pytest.mark.parametrize(
    "content",
    [
        "a note\n",
        "export A\nB # [x]: isn't it\n",
        'if [ -f x ]; then . x; fi\n[[ $A ]]\n: "${A:=x}"\nf() {\n}\n',
        "A='it is'\\''so'\n",
        "A=it's {\n",
        "'A B'=x\n",
        "A='b\nc: d'\n",
        "A=1\nB: 2\n",
    ],
)
def test_a_line_that_is_merely_odd_keeps_no_token_out(content: str) -> None:
    assert ENV.render(content.encode(), KEY).decode() == f"{content}API_TOKEN={TOKEN}\n"


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


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_json_object_with_fields_that_the_job_does_not_write_stays(token: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"token": token, "db_password": "mine"}))
    before = path.read_bytes()
    one = Output(JsonFile(), str(path))
    for attempt in (one.read, one.remove, lambda: one.prove_writable(KEY), lambda: one.write(KEY)):
        with pytest.raises(OutputError, match='not ours to overwrite: it holds "db_password"'):
            attempt()
    assert path.read_bytes() == before


def test_a_json_object_of_the_jobs_own_fields_may_lack_some_and_the_token(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(KEY.__dict__ | {"token": ""}))
    assert Output(JsonFile(), str(path)).write(KEY)
    path.write_text('{"token": ""}')
    assert Output(JsonFile(), str(path)).write(KEY)
    assert JsonFile().token(path.read_bytes()) == TOKEN


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


ACL = "system.posix_acl_access"


def acl(mode: int, uid: int, bits: int) -> bytes:
    """Owner, group, mask and others as the mode says, and a user of whom it says nothing; acl(5), linux/posix_acl.h."""
    entries = [(1, mode >> 6 & 7, -1), (2, bits, uid), (4, 0, -1), (16, mode >> 3 & 7, -1), (32, mode & 7, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)


def carried(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


@pytest.mark.parametrize("form", [TokenFile(), ENV, JsonFile()], ids=lambda form: form.variable)
def test_whatever_a_file_carries_besides_its_bytes_stays(form: Format, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("")
    path.chmod(0o600)
    try:
        os.setxattr(path, "user.note", b"mine")
        os.setxattr(path, ACL, acl(0o640, 472, 4))
    except OSError:
        pytest.skip("the file system has no extended attributes")
    before = path.stat()
    assert Output(form, str(path)).write(KEY)
    assert path.stat().st_ino != before.st_ino
    assert path.stat().st_mode == before.st_mode
    assert carried(path) == {"user.note": b"mine", ACL: acl(0o640, 472, 4)}


def test_a_folders_default_acl_opens_no_file_to_others(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("")
    path.chmod(0o640)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", acl(0o770, 472, 7))
    except OSError:
        pytest.skip("the file system has no ACLs")
    assert output(path).write(KEY)
    assert carried(path) == {}
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("refused", [("setxattr",), ("fchown",), ("fchmod",), ("listxattr",)])
def test_what_a_new_file_cannot_be_given_is_kept_by_rewriting_in_place(
    refused: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text(OLD)
    path.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(path, 12, 34)
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        pytest.skip("the file system has no extended attributes")
    before = path.stat()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    for name in refused:
        monkeypatch.setattr(os, name, refuse)
    if refused == ("fchown",) and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    output(path).prove_writable(KEY)
    assert output(path).write(KEY)
    monkeypatch.undo()
    after = path.stat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
    assert carried(path) == {"user.note": b"mine"}
    assert path.read_text() == f"{TOKEN}\n"
    assert os.listdir(tmp_path) == ["token"]


def test_a_file_system_that_gives_every_file_one_mode_takes_the_token_but_not_under_a_mode_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fchmod

    def fchmod(fd: int, mode: int) -> None:
        real(fd, 0o777)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchmod", fchmod)
    for form in (TokenFile(), ENV, JsonFile()):
        path = tmp_path / form.variable
        Output(form, str(path)).prove_writable(KEY)
        assert Output(form, str(path)).write(KEY)
        assert not Output(form, str(path)).write(KEY)
        other = Output(form, str(tmp_path / "other"), 0o600)
        for attempt in (other.prove_writable, other.write):
            with pytest.raises(OutputError, match="not 0600"):
                attempt(KEY)
        assert Output(form, str(tmp_path / f"wide-{form.variable}"), 0o777).write(KEY)
    assert not any("other" in name for name in os.listdir(tmp_path))


ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("form", "text"),
    [
        (TokenFile(), f"{OLD}\n"),
        (ENV, "A=1\n"),
        (ENV, f"API_TOKEN={OLD}\n"),
        (JsonFile(), json.dumps({"token": OLD})),
    ],
)
def test_a_file_in_an_encoding_of_wider_characters_is_named_and_stays(
    form: Format, text: str, encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(text.encode(encoding))
    one = Output(form, str(path))
    for attempt in (one.text, one.read, one.remove, lambda: one.prove_writable(KEY), lambda: one.write(KEY)):
        with pytest.raises(OutputError, match="UTF-16") as error:
            attempt()
        assert str(path) in str(error.value)
    assert path.read_bytes() == text.encode(encoding)


def test_a_byte_order_mark_hides_no_token() -> None:
    for form in (TokenFile(), ENV, JsonFile()):
        marked = codecs.BOM_UTF8 + (b"# mine\n" if form is ENV else b"") + form.render(b"", KEY)
        assert form.token(marked) == TOKEN
    # Whoever reads the token would take the mark for its beginning.
    assert TokenFile().render(codecs.BOM_UTF8 + TOKEN.encode(), KEY) == f"{TOKEN}\n".encode()
    assert not any(form.token(codecs.BOM_UTF8) for form in (TokenFile(), ENV, JsonFile()))


@pytest.mark.parametrize(
    "value",
    ["changeme", "change-me", "CHANGE_ME", "<your token here>", "your-api-token", "xxx", "TODO", "...", "${TOKEN}",
     "replace-with-token", "none", "***", "insert_token_here", "__TOKEN__", "CHIRPSTACK_API_TOKEN", "TOKEN_HERE",
     "undefined", "will be set", "# set later"],
)  # fmt: skip
def test_a_placeholder_is_told_and_stays(value: str, tmp_path: Path) -> None:
    for form, content in (
        (TokenFile(), value),
        (ENV, f"API_TOKEN='{value}'\n"),
        (JsonFile(), json.dumps({"token": value})),
    ):
        path = tmp_path / form.variable
        path.write_text(content)
        one = Output(form, str(path))
        for attempt in (one.read, one.remove, lambda one=one: one.write(KEY)):
            with pytest.raises(OutputError, match="no token but a placeholder"):
                attempt()
        assert path.read_text() == content


@pytest.mark.parametrize(
    "secret", ["verysecret", "k3NwYQe0nZ+Z3u9H/1lB8nXoJ2xkqf0Ghq1dC0i1n0E=", "you-must-replace-this"]
)
def test_a_signing_secret_is_no_placeholder(secret: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(secret)
    with pytest.raises(OutputError, match="signing secret"):
        output(tmp_path / "token").read()


@pytest.mark.parametrize("form", ["Bearer {}", '"{}"', "API_TOKEN={}", "{}\u200b", "{0:.60}\n {0}"])
def test_a_token_with_something_round_it_is_told(form: str, tmp_path: Path) -> None:
    pasted = form.format(TOKEN)
    (tmp_path / "token").write_text(pasted)
    with pytest.raises(OutputError, match="a token and more"):
        output(tmp_path / "token").read()
    assert (tmp_path / "token").read_text() == pasted


SCOPED = replace(KEY, scope="tenant:x", scope_id="52f14cd4-c6f1-4fbd-8f87-4025e1d49242")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "API_TOKEN=@\nTENANT=%\n"),
        ("TENANT=7 # which\nAPI_TOKEN=\nB=2\n", "TENANT=% # which\nAPI_TOKEN=@\nB=2\n"),
        ("API_TOKEN=@\nexport TENANT=''\r\n", "API_TOKEN=@\nexport TENANT='%'\r\n"),
        (f'TENANT="{str(UUID(int=10)).upper()}"\n', 'TENANT="%"\nAPI_TOKEN=@\n'),
    ],
)
def test_the_scopes_id_is_set_in_the_same_write(before: str, after: str, tmp_path: Path) -> None:
    form, path = EnvFile("API_TOKEN", "TENANT"), tmp_path / ".env"
    path.write_bytes(before.replace("@", TOKEN).encode())
    assert Output(form, str(path)).write(SCOPED)
    assert path.read_bytes().decode() == after.replace("@", TOKEN).replace("%", SCOPED.scope_id)
    assert not Output(form, str(path)).write(SCOPED)
    assert Output(form, str(path)).remove()
    assert b"API_TOKEN" not in path.read_bytes()
    assert SCOPED.scope_id.encode() in path.read_bytes()


@pytest.mark.parametrize("value", ["my-company-db-password", OLD, "'a b'", "10-20", UUID(int=10).hex])
def test_what_is_no_id_is_not_overwritten_with_the_scopes(value: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(f"TENANT={value}\nAPI_TOKEN={OLD}\n")
    one = Output(EnvFile("API_TOKEN", "TENANT"), str(path))
    for attempt in (one.prove_writable, one.write):
        with pytest.raises(OutputError, match="not ours to overwrite: what TENANT holds is no id"):
            attempt(SCOPED)
    assert path.read_text() == f"TENANT={value}\nAPI_TOKEN={OLD}\n"


def test_a_scopes_id_that_would_say_something_else_in_a_dotenv_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    for scope_id in ("x\nA=2", "$(reboot)", "a b", "'", "\udce9"):
        with pytest.raises(OutputError):
            Output(EnvFile("API_TOKEN", "TENANT"), str(path)).write(replace(SCOPED, scope_id=scope_id))
    assert path.read_text() == "A=1\n"


def test_a_json_file_tells_the_scopes_id() -> None:
    assert json.loads(JsonFile().render(b"", SCOPED))["scope_id"] == SCOPED.scope_id


def test_what_servers_send_never_keeps_a_json_file_from_being_written() -> None:
    assert json.loads(JsonFile().render(b"", replace(KEY, version="\ud800")))["version"] == "\ud800"


@pytest.mark.parametrize("form", [TokenFile(), ENV, JsonFile()], ids=lambda form: form.variable)
def test_a_file_that_is_replaced_between_the_look_and_the_opening_is_looked_at_again(
    form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, newer = tmp_path / "file", tmp_path / "newer"
    path.write_bytes(form.render(b"", replace(KEY, token=OLD)))
    real = os.open
    swaps: list[str] = []

    def swapping(name: str, flags: int, *arguments: int, dir_fd: int | None = None) -> int:
        if name == "file" and not flags & os.O_PATH and len(swaps) < 3:
            newer.write_bytes(form.render(b"", replace(KEY, token=OLD)))
            newer.rename(path)
            swaps.append(name)
        return real(name, flags, *arguments, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapping)
    assert Output(form, str(path)).read() == OLD
    swaps.clear()
    assert Output(form, str(path)).write(KEY)
    assert len(swaps) == 3
    assert form.token(path.read_bytes()) == TOKEN


def test_an_output_knows_where_its_jobs_memory_is() -> None:
    assert output(Path("/shared/token")).place.memory == "/shared/.token.state"
    assert output(Path("token")).place.memory == ".token.state"
    assert Output(ENV, "/project/.env").place.memory == "/project/..env.API_TOKEN.env-state"
    assert output(Path("/project/.env.API_TOKEN")).place.memory == "/project/..env.API_TOKEN.state"
    assert Output(TokenFile(), "-").place.memory == ""


def test_an_output_that_cannot_be_read_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "volume" / "token"
    path.parent.mkdir()
    one = output(path)
    assert one.write(KEY)
    assert one.holds(TOKEN)
    assert not one.holds(OLD)
    path.unlink()
    assert not one.holds("")
    shutil.rmtree(path.parent)
    assert not one.holds(TOKEN)
    assert not Output(TokenFile(), "-").holds(TOKEN)


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
    (tmp_path / ".token.0123abcd.tmp").symlink_to(precious)
    others = [".token.tmp", ".token.0123ABCD.tmp", ".token.backup.tmp", ".token2.0123abcd.tmp"]
    for name in others:
        (tmp_path / name).touch()
    output(tmp_path / "token").write(KEY)
    assert precious.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "precious", "token"])


@pytest.mark.parametrize("name", ["n" * 241, "n" * 242, "n" * 255, "\u00e9" * 127])
@pytest.mark.parametrize("form", [TokenFile(), ENV], ids=lambda form: form.variable)
def test_a_name_may_be_as_long_as_the_file_system_allows(
    form: Format, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Output(form, str(tmp_path / name))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        for call in ("rename", "unlink"):
            patch.setattr(os, call, killed)
        with pytest.raises(KeyboardInterrupt):
            one.write(KEY)
    assert len([left for left in os.listdir(tmp_path) if left.endswith(".tmp")]) == 1
    assert one.write(KEY)
    assert os.listdir(tmp_path) == [name]


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
