import fcntl
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from init_job import state
from init_job.errors import NotReady, OutputError
from init_job.state import Intent, MadeKey, State
from tests.support import needs_mounts

MADE = MadeKey("id", "grafana", "admin", "", False, "http://x", "v4", "4.19.0", "2026-01-01T00:00:00+00:00")
OLD = MadeKey("old", "grafana", "tenant:x", "x-id", True, "http://x", "v4", "4.19.0", "")
INTENT = Intent("grafana", "admin", "http://x", ("a", "b"), ("a",))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / ".token.state")


ODD = replace(
    MADE,
    scope="tenant:Soci\u00a0\u00e9t\u00e9 \u682a\u3000x \u2009 \U0001f469\u200d\U0001f4bb \u202e\u2028",
    name="a\u00adb",
)


@pytest.mark.parametrize("remembered", [State(MADE, (OLD,), INTENT), State(MADE), State(None, (), INTENT), State(ODD)])
def test_what_is_saved_is_read_by_the_next_run(path: str, remembered: State) -> None:
    with state.locked(path, 0) as file:
        file.save(State(MADE, (OLD,), INTENT))
        file.save(remembered)
    with state.locked(path, 0) as file:
        assert file.state == remembered
    assert state.peek(path) == remembered
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_run_that_came_to_nothing_leaves_nothing(path: str) -> None:
    with state.locked(path, 0):
        assert Path(path).exists()
    assert not Path(path).exists()
    with state.locked(path, 0) as file:
        file.save(State(None, (), INTENT))
        file.save(State())
    assert not Path(path).exists()


def test_looking_leaves_no_trace(path: str) -> None:
    assert state.peek(path) == State()
    assert not Path(path).exists()


@pytest.mark.parametrize(
    "content",
    [
        "rubbish",
        "[]",
        "{}",
        '{"format": 3, "key": null, "left": [], "intent": null}',
        '{"format": 2, "key": {"id": "x"}, "left": [], "intent": null}',
        json.dumps({"format": 2, "key": None, "left": [], "intent": {**INTENT.__dict__, "known": [1]}}),
        json.dumps({"format": 2, "key": None, "left": [], "intent": {**INTENT.__dict__, "known": "ab"}}),
        json.dumps({"format": 2, "key": {**MADE.__dict__, "read_only": "no"}, "left": [], "intent": None}),
        json.dumps({"format": 2, "key": {**MADE.__dict__, "more": "x"}, "left": [], "intent": None}),
        json.dumps({"format": 2, "key": {**MADE.__dict__, "api": "v9"}, "left": [], "intent": None}),
        json.dumps({"format": 2, "key": {**MADE.__dict__, "id": "\ud800"}, "left": [], "intent": None}),
        json.dumps({"format": 2, "key": None, "left": [{**MADE.__dict__, "id": "x" * 5000}], "intent": None}),
        json.dumps({"format": 2, "key": None, "left": None, "intent": None}),
        "[" * 100_000,
    ],
)
def test_a_state_that_cannot_be_read_is_none_and_is_told(
    path: str, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(path).write_text(content)
    with state.locked(path, 0) as file:
        assert file.state == State()
    assert "ignored" in caplog.text


def test_what_a_longer_state_left_behind_the_first_line_is_not_read(path: str) -> None:
    line = json.dumps({"format": 2, "key": MADE.__dict__, "left": [], "intent": None})
    Path(path).write_text(f'{line}\n"rest of an older, longer one"]}}\n')
    assert state.peek(path) == State(MADE)


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_what_is_no_plain_file_is_not_followed(
    path: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    if kind == "link":
        os.symlink(target, path)
    elif kind == "folder":
        os.mkdir(path)
    else:
        os.mkfifo(path)
    with state.locked(path, 0) as file:
        assert not isinstance(file, state.StateFile)
        file.save(State(MADE))
        assert file.state == State(MADE)
    assert target.read_text() == "precious"
    assert "nothing can be remembered" in caplog.text


@needs_mounts
def test_on_a_volume_that_is_read_only_now_what_was_saved_is_still_known(tmp_path: Path) -> None:
    """So that a run with nothing to do goes on working there."""
    script = (
        "import os, subprocess, sys; from init_job import state\n"
        "path = sys.argv[1] + '/.token.state'\n"
        "made = state.MadeKey('id', 'n', 'admin', '', False, 'u', 'v4', '', '')\n"
        "intent = state.Intent('n', 'admin', 'u', ('a',), ())\n"
        "with state.locked(path, 0) as file: file.save(state.State(made, (), intent))\n"
        "subprocess.run(['mount', '-o', 'remount,ro', sys.argv[1]], check=True)\n"
        "with state.locked(path, 0) as file: print(file.state.key.name, file.state.intent.name, type(file).__name__)\n"
    )
    mounted = f'mount -t tmpfs tmpfs {tmp_path} && exec "$0" -c "$1" {tmp_path}'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, sys.executable, script],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "n n Memory\n", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_state_file_of_somebody_else_is_neither_read_nor_written_nor_waited_for(
    path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with state.locked(path, 0) as file:
        file.save(State(intent=INTENT))
    before = Path(path).read_bytes()
    os.chown(path, 12345, 12345)
    with open(path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with state.locked(path, 60) as file:
            assert file.state == State()
            file.save(State(MADE))
        assert "belongs to uid 12345" in caplog.text
        tmp_path.chmod(0o1777)  # now it may be a neighbour's
        with pytest.raises(OutputError, match="belongs to uid 12345"), state.locked(path, 60):
            pass
    assert Path(path).read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_whoever_only_looks_leaves_a_state_file_of_somebody_else_out_of_account(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with state.locked(path, 0) as file:
        file.save(State(None, (), INTENT))
    os.chown(path, 12345, 12345)
    assert state.peek(path) == State()
    assert "belongs to uid 12345" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_of_the_folder_may_have_made_the_state_file(path: str, tmp_path: Path) -> None:
    with state.locked(path, 0) as file:
        file.save(State(intent=INTENT))
    os.chown(path, 12345, 12345)
    os.chown(tmp_path, 12345, 12345)
    with state.locked(path, 0) as file:
        assert file.state == State(intent=INTENT)


def test_a_second_job_waits_no_longer_than_it_has_patience(path: str) -> None:
    with state.locked(path, 0) as file:
        file.save(State(MADE))
        with pytest.raises(NotReady, match="another job has held"), state.locked(path, 0.05):
            pass


def test_a_second_job_goes_on_with_the_firsts_state(path: str) -> None:
    """The holder is another process, removes its empty file in the end, and a third must not slip in between."""
    script = (
        "import sys; from init_job import state\n"
        "with state.locked(sys.argv[1], 0) as file:\n"
        "    print('held', flush=True); sys.stdin.readline()\n"
        "    if sys.argv[2]: file.save(state.State(intent=state.Intent('n', 's', 'u', ('a',), ())))\n"
    )
    for saves in ("", "yes"):
        with subprocess.Popen(
            [sys.executable, "-c", script, path, saves], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdin is not None
            assert holder.stdout.readline() == "held\n"
            holder.stdin.write("\n")
            holder.stdin.flush()
            with state.locked(path, 10) as file:
                assert (file.state.intent is not None) == bool(saves)
                # The lock is on the file that has the name now.
                with open(path, "rb") as other, pytest.raises(BlockingIOError):
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
