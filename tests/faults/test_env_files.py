"""A user's `.env`: one value changes, every other byte stays, and every reader finds the token."""

import io
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import dotenv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from init_job.errors import OutputError
from init_job.outputs.env_file import EnvFile
from init_job.outputs.interface import IssuedKey, Output
from tests.faults.ledger import record
from tests.faults.world import FULL
from tests.support import jwt

NAME = "CHIRPSTACK_API_TOKEN"
TOKEN = jwt({"typ": "key", "sub": "6ad5b0ef-3b3d-4a0a-b8a4-2d0d6b8bb9b2"})
OLD = jwt({"typ": "key", "sub": "11111111-3b3d-4a0a-b8a4-2d0d6b8bb9b2"})
KEY = IssuedKey(TOKEN, "6ad5b0ef-3b3d-4a0a-b8a4-2d0d6b8bb9b2", "init-job", "admin", False, "http://s", "v4", "")
EXAMPLES = settings(
    max_examples=1000 if FULL else 100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def written(folder: Path, content: bytes) -> bytes:
    """The file after the write, and after the same write again."""
    path = folder / "app.env"
    path.write_bytes(content)
    output = Output(EnvFile(NAME), str(path))
    output.write(KEY)
    once = path.read_bytes()
    assert output.write(KEY) is False
    assert path.read_bytes() == once
    assert output.form.token(once) == TOKEN
    return once


def read_by_dotenv(content: bytes) -> dict[str, str | None]:
    text = content.decode("utf-8-sig", "surrogateescape")
    return dotenv.dotenv_values(stream=io.StringIO(text, newline=""), interpolate=False)


def read_by_shell(content: bytes) -> str | None:
    """Nothing when the shell does not take the file."""
    with TemporaryDirectory() as folder:
        Path(folder, "app.env").write_bytes(content)
        command = f'set -e; . ./app.env >/dev/null; printf %s "${NAME}"'
        shell = subprocess.run(["sh", "-c", command], cwd=folder, env={}, capture_output=True, check=False)
    return shell.stdout.decode("utf-8", "replace") if shell.returncode == 0 else None


@dataclass(frozen=True)
class Line:
    text: str
    is_shell: bool = True


OTHER_LINES = st.sampled_from(
    [
        Line("# a comment with 'one quote and a \" other"),
        Line(""),
        Line("   "),
        Line("OTHER=plain"),
        Line("export OTHER=plain"),
        Line("QUOTED='single # no comment'"),
        Line('QUOTED="double \\" quote"'),
        Line("LINES='one\ntwo\n  three'"),
        Line(f"LINES='one\n{NAME}=not a binding\nthree'"),
        Line(f'LINES="one\n{NAME}=not a binding\nthree"'),
        Line("EMPTY="),
        Line("AFTER=value # comment"),
        Line("INTERPOLATED=${OTHER}/x"),
        Line(f"INTERPOLATED=${{{NAME}}}"),
        Line(f"#{NAME}=commented out"),
        Line(f"# {NAME}=commented out"),
        Line(f"X{NAME}=another"),
        Line(f"{NAME}_X=another"),
        Line("LATIN='na\udcefve'"),
        Line("UNICODE='ключ 🔑'"),
        Line("SPACED = value", is_shell=False),
        Line("no binding at all", is_shell=False),
        Line("'QUOTED NAME'=x", is_shell=False),
        Line("B" * 3000 + "=long"),
    ]
)
# What stands before and behind the value.
BINDINGS = st.sampled_from(
    [(f"{NAME}=", ""), (f"{NAME}='", "'"), (f'{NAME}="', '"'), (f"export {NAME}=", ""), (f"{NAME}=", "  # mine"),
     (f"export  {NAME}='", "' # mine"), (f"  {NAME}=", ""), (f"{NAME}=", "   ")]
)  # fmt: skip


@given(st.lists(OTHER_LINES, max_size=6), BINDINGS, st.lists(OTHER_LINES, max_size=6),
       st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.booleans(), st.booleans())  # fmt: skip
@EXAMPLES
def test_only_the_value_changes_and_every_reader_finds_the_token(
    before: list[Line], binding: tuple[str, str], after: list[Line], newline: str, ended: bool, bom: bool, twice: bool
) -> None:
    def assembled(value: str) -> bytes:
        duplicate = [f"{NAME}={OLD}x"] if twice else []
        lines = [*(line.text for line in before), *duplicate, value.join(binding), *(line.text for line in after)]
        text = ("\ufeff# first" + newline if bom else "") + newline.join(lines) + (newline if ended else "")
        return text.replace("\n", newline).replace("\r\r\n", "\r\n").encode("utf-8", "surrogateescape")

    with TemporaryDirectory() as folder:
        content = written(Path(folder), assembled(OLD))
    assert content == assembled(TOKEN)
    assert read_by_dotenv(content)[NAME] == TOKEN
    shell = newline == "\n" and not bom and all(line.is_shell for line in (*before, *after))
    if shell:
        assert read_by_shell(content) == TOKEN
    record("env files", "a binding among other lines", "only the value changed, dotenv and shell read the token")


@given(st.lists(OTHER_LINES, max_size=8), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
@EXAMPLES
def test_a_file_without_a_binding_gets_a_line_of_its_own(lines: list[Line], newline: str, ended: bool) -> None:
    before = newline.join(line.text for line in lines).replace("\n", newline).replace("\r\r\n", "\r\n")
    old = (before + (newline if ended else "")).encode("utf-8", "surrogateescape")
    with TemporaryDirectory() as folder:
        content = written(Path(folder), old)
    assert content.startswith(old)
    assert content[len(old) :].strip(b"\r\n") == f"{NAME}={TOKEN}".encode()
    assert read_by_dotenv(content)[NAME] == TOKEN
    if newline == "\n" and all(line.is_shell for line in lines):
        assert read_by_shell(content) == TOKEN
    record("env files", "no binding yet", "one line more, dotenv and shell read the token")


PIECES = st.sampled_from(
    [NAME, f"{NAME}=", "=", "export ", "'", '"', "\\", "\n", "\r", "\r\n", " ", "\t", "#", "$", "${A}", "`", "A", "x=1",
     "\ufeff", "\udce9", "\x00", "\x0b", "\x0c", "\x85", "\u2028", "é", "🔑", OLD]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join))
@EXAMPLES
def test_of_any_file_at_all_only_one_place_changes_or_it_is_refused(text: str) -> None:
    old = text.encode("utf-8", "surrogateescape")
    with TemporaryDirectory() as folder:
        try:
            content = written(Path(folder), old)
        except OutputError:
            assert Path(folder, "app.env").read_bytes() == old
            record("env files", "any bytes", "refused, nothing changed")
            return
    old = old.rstrip(b"\0")  # these are what a killed rewrite leaves
    if content != old:
        start = content.index(TOKEN.encode())
        start = max(i for i in range(start + 1) if old.startswith(content[:i]))
        rest = content[content.rindex(TOKEN.encode()) + len(TOKEN) :]
        assert old[start:].endswith(rest) or not rest.strip(b"\r\n"), "more than one place has changed"
    others = {name: value for name, value in read_by_dotenv(old).items() if name != NAME}
    assert {name: value for name, value in read_by_dotenv(content).items() if name != NAME} == others
    assert read_by_dotenv(content)[NAME] == TOKEN
    valid = read_by_shell(old) is not None and not {0, 13} & set(old)  # no shell script has them
    if valid and (found := read_by_shell(content)) is not None and f"{NAME}=".encode() not in old:
        assert found == TOKEN
    record("env files", "any bytes", "one place changed, dotenv reads the token")


def test_a_large_file_keeps_every_other_byte(tmp_path: Path) -> None:
    line = b"SOME_VARIABLE='with a value' # and a comment\n"
    half = line * ((500_000 if FULL else 100_000) // len(line))
    content = written(tmp_path, half + f"{NAME}={OLD}\n".encode() + half)
    assert content == half + f"{NAME}={TOKEN}\n".encode() + half


# What compose's own parser (compose-go's dotenv) reads in these files, by its source and its tests.
COMPOSE = [
    (b"", f"{NAME}={TOKEN}\n"),
    (b"A=b", f"A=b\n{NAME}={TOKEN}\n"),
    (f"{NAME}=\n".encode(), f"{NAME}={TOKEN}\n"),
    (f"{NAME}={OLD} # mine\n".encode(), f"{NAME}={TOKEN} # mine\n"),
    (f"{NAME}='{OLD}'\n".encode(), f"{NAME}='{TOKEN}'\n"),
    (f'{NAME}="{OLD}"\n'.encode(), f'{NAME}="{TOKEN}"\n'),
    (f"export {NAME}={OLD}\n".encode(), f"export {NAME}={TOKEN}\n"),
    (f"{NAME}={OLD}\r\nA=b\r\n".encode(), f"{NAME}={TOKEN}\r\nA=b\r\n"),
    (f"{NAME}={OLD}\n{NAME}={OLD}\n".encode(), f"{NAME}={OLD}\n{NAME}={TOKEN}\n"),
    (f"A='x\n{NAME}=no\n'\n".encode(), f"A='x\n{NAME}=no\n'\n{NAME}={TOKEN}\n"),
    (f"A=${{B:-c}}\n{NAME}=\n".encode(), f"A=${{B:-c}}\n{NAME}={TOKEN}\n"),
]


@pytest.mark.parametrize(("before", "after"), COMPOSE)
def test_the_files_that_compose_is_known_to_read_look_like_this(before: bytes, after: str, tmp_path: Path) -> None:
    assert written(tmp_path, before) == after.encode()


def has_compose() -> bool:
    version = ["docker", "compose", "version"]
    return bool(shutil.which("docker")) and subprocess.run(version, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
@pytest.mark.parametrize("after", [after for _, after in COMPOSE])
def test_compose_reads_the_token(after: str, tmp_path: Path) -> None:
    tmp_path.joinpath("app.env").write_bytes(after.encode())
    service = {"services": {"one": {"image": "none", "env_file": ["app.env"]}}}
    tmp_path.joinpath("compose.json").write_text(json.dumps(service))
    config = subprocess.run(
        ["docker", "compose", "-f", "compose.json", "config", "--format", "json"],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(config.stdout)["services"]["one"]["environment"][NAME] == TOKEN
