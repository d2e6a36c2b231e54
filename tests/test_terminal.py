"""Standard error as a terminal: a real one (a pty), whose screen is what an emulator makes of the bytes."""

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from init_job import log
from init_job.errors import NotThere
from init_job.terminal import Terminal, fitting
from init_job.wait import Patience
from tests.screen import Screen
from tests.simulator import Simulator
from tests.support import PASSWORD, environment, jwt, run_job

NOWHERE = "http://127.0.0.1:1"
LEFT = re.compile(r"waiting: \d+ s left")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


@contextmanager
def job_on(screen: Screen, folder: Path, url: str, code: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """The job, whose end is waited for."""
    given = {
        "CHIRPSTACK_URL": url, "CHIRPSTACK_PASSWORD": PASSWORD, "TOKEN_FILE": "-", "LOG_LEVEL": "info",
        "TERM": "xterm", **variables,
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "init_job"],
        cwd=folder,
        env=environment(**given),
        stdout=subprocess.PIPE,
        stderr=screen.other_end,
    ) as process:
        os.close(screen.other_end)
        try:
            yield process
            screen.to_the_end()
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert bool(out) is (code == 0 and given["TOKEN_FILE"] == "-")
    assert process.returncode == code, screen.lines


def ran_on(screen: Screen, folder: Path, url: str, code: int, **variables: str) -> Screen:
    with job_on(screen, folder, url, code, **variables):
        pass
    return screen


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_wait_is_one_line_that_counts_down_and_goes(tmp_path: Path, signum: signal.Signals) -> None:
    screen = Screen(columns=200)
    with job_on(screen, tmp_path, NOWHERE, 128 + signum) as process:
        screen.until(lambda lines: len(lines) == 2 and LEFT.fullmatch(lines[1]) is not None)
        first = screen.lines[1]
        screen.until(lambda lines: lines[1] != first and LEFT.fullmatch(lines[1]) is not None)
        told = f"waiting: {NOWHERE}/api.InternalService/Login: connection refused "
        assert re.match(rf"{re.escape(told)}\(\d+ s passed, \d+ s left\)", screen.lines[0])
        assert len(screen.lines) == 2
        process.send_signal(signum)
    assert screen.lines[1:] == [f"exit {128 + signum}: ended by {signum.name}"]


def test_at_the_deadline_the_line_goes(tmp_path: Path) -> None:
    screen = ran_on(Screen(columns=300), tmp_path, NOWHERE, 3, WAIT_TIMEOUT="3")
    assert re.search(rb"waiting: \d s left", screen.sent)
    assert [line.split(":")[0] for line in screen.lines] == ["waiting", "error", "exit 3"]


def test_it_goes_when_the_server_is_ready(tmp_path: Path) -> None:
    late, screen = Simulator("v4", "4.19.0"), Screen(columns=300)
    late.set_password("admin", PASSWORD)
    late.bind()
    with job_on(screen, tmp_path, late.url, 0):
        screen.until(lambda lines: bool(lines) and LEFT.fullmatch(lines[-1]) is not None)
        late.listen()
    late.close()
    assert [line.split(" ")[0] for line in screen.lines] == ["waiting:", "ChirpStack", "made", "exit"]


@pytest.mark.parametrize(("columns", "shown"), [(12, "waiting: 2…"), (5, "wai…")])
def test_a_long_line_is_cut_to_the_width_and_never_wraps(tmp_path: Path, columns: int, shown: str) -> None:
    screen = Screen(columns)
    with job_on(screen, tmp_path, NOWHERE, 143) as process:
        screen.until(lambda lines: lines[-1:] == [shown])
        process.send_signal(signal.SIGTERM)
    assert "".join(screen.lines).replace(" ", "").endswith("usetheservice'snameexit143:endedbySIGTERM")


def test_warnings_errors_and_the_result_have_colours(tmp_path: Path, v4: Simulator) -> None:
    v4.set_password("admin", "admin")
    screen = ran_on(Screen(300), tmp_path, v4.url, 0, CHIRPSTACK_PASSWORD="admin")
    assert [screen.colour(word) for word in ("warning:", "exit 0", "made key")] == ["brown", "green", "default"]
    screen = ran_on(Screen(300), tmp_path, v4.url, 4, API_KEY_NAME="another", CHIRPSTACK_PASSWORD="wrong")
    assert [screen.colour(word) for word in ("error:", "exit 4")] == ["red", "red"]
    assert not TIME.search("".join(screen.lines))


@pytest.mark.parametrize(("no_color", "is_coloured"), [("1", False), ("", True)])
def test_no_color_turns_them_off(tmp_path: Path, no_color: str, is_coloured: bool) -> None:
    screen = ran_on(Screen(300), tmp_path, NOWHERE, 3, WAIT_TIMEOUT="1", NO_COLOR=no_color)
    assert (b"\x1b[31m" in screen.sent) is is_coloured
    assert screen.lines[1].startswith("error: the server was not ready")


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": ""}, {"LOG_FORMAT": "json"}])
def test_where_nothing_can_be_erased_and_as_json_all_is_as_in_a_pipe(
    tmp_path: Path, v4: Simulator, variables: dict[str, str]
) -> None:
    given = {"CHIRPSTACK_URL": v4.url, "CHIRPSTACK_PASSWORD": PASSWORD, "TOKEN_FILE": "token", "LOG_LEVEL": "info"}
    run_job(tmp_path, variables=given)
    piped = run_job(tmp_path, variables={**given, **variables})
    screen = ran_on(Screen(300), tmp_path, v4.url, 0, TOKEN_FILE="token", **variables)
    assert TIME.sub("", screen.sent.decode().replace("\r\n", "\n")) == TIME.sub("", piped.err)
    assert TIME.search(piped.err)


Show = Callable[[Callable[[], object]], Screen]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    """What is logged in a call, on a screen that does not say how wide it is."""

    def shown(tell: Callable[[], object]) -> Screen:
        screen = Screen()
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(log, "_on_terminal", False)
        with open(screen.other_end, "w") as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            log.configure("text", "debug")
            tell()
            logging.basicConfig(handlers=[logging.NullHandler()], force=True)
        screen.to_the_end()
        return screen

    return shown


def test_a_reason_that_comes_back_is_named_in_the_line(show: Show) -> None:
    reasons = iter("ababba")

    def call() -> None:
        if reason := next(reasons, ""):
            raise NotThere(reason)

    screen = show(lambda: Patience(60).call(call))
    in_place = re.findall(r"waiting: \d+ s left([^\r]*)\r", screen.sent.decode())
    assert [named for named, _ in groupby(in_place)] == [": a", "", ": a"]  # each anew for a second that has passed


def test_when_the_wait_is_over_the_line_is_free_for_standard_output(show: Show) -> None:
    reasons = iter("aaa")

    def call() -> None:
        if reason := next(reasons, ""):
            raise NotThere(reason)

    def tell() -> None:
        with log.about("grafana"):
            Patience(60).call(call)
        print("token", file=sys.stderr)

    screen = show(tell)
    assert b"\ngrafana: waiting: 60 s left\r" in screen.sent
    assert screen.lines[1:] == ["token"]


def test_what_is_shown_in_place_does_not_stay_when_the_log_ends(show: Show) -> None:
    screen = show(lambda: log.in_place("waiting", "29 s left"))
    assert b"29 s left" in screen.sent
    assert screen.lines == []


def test_what_is_shown_in_place_is_told_at_its_level_only(show: Show) -> None:
    def tell() -> None:
        log.configure("text", "warning")
        log.in_place("waiting", "29 s left")

    assert show(tell).sent == b""


def test_a_window_that_is_closed_is_no_reason_to_end() -> None:
    master, other_end = os.openpty()
    stream = os.fdopen(other_end, "w")
    handler = Terminal(stream, is_coloured=True)
    os.close(master)
    handler.handle(logging.makeLogRecord({"msg": "what nobody reads", "levelno": logging.WARNING}))
    with pytest.raises(OSError, match="Input/output error"):
        stream.close()


def test_where_the_terminal_does_not_say_its_width_it_is_80(show: Show) -> None:
    screen = show(lambda: log.in_place("waiting", "x" * 200))
    assert screen.sent.decode() == "x" * 78 + "…" + "\r\x1b[K"


HOSTILE = "\x1b]0;title\x07 \x1b[2J\x9b31m \r\b\u202e\x00"


def tell_as_the_program() -> None:
    log.warning("event", HOSTILE)


def tell_in_place() -> None:
    log.in_place("event", HOSTILE)
    log.info("event", "end")


def tell_as_a_library() -> None:
    logging.getLogger("urllib3").warning("%s", HOSTILE)


def tell_as_a_traceback() -> None:
    log.debug_traceback(ValueError(HOSTILE))


@pytest.mark.parametrize("tell", [tell_as_the_program, tell_in_place, tell_as_a_library, tell_as_a_traceback])
def test_nothing_of_what_a_server_says_steers_the_terminal(show: Show, tell: Callable[[], None]) -> None:
    sent = show(tell).sent.decode()
    ours = re.sub(r"\x1b\[\d*[mK]|\r\n|\r(?=\x1b\[K)", "", sent)
    assert "]0;title" in ours
    assert [char for char in ours if not char.isprintable()] == []


def test_secrets_are_masked_there_as_well(show: Show) -> None:
    log.hide("open sesame")
    token = jwt({"typ": "key"})

    def tell() -> None:
        log.in_place("event", token)
        log.warning("event", token)
        logging.getLogger("urllib3").warning("open sesame %s", token)
        log.debug_traceback(ValueError(f"open sesame {token}"))

    screen = show(tell)
    assert token.encode() not in screen.sent
    assert b"open sesame" not in screen.sent
    assert screen.sent.count(log.MASK.encode()) == 6


def test_of_several_keys_each_line_names_its_own(show: Show) -> None:
    def tell() -> None:
        with log.about("grafana"):
            log.error("error", "it failed")
            log.in_place("waiting", "29 s left")

    assert show(tell).sent.decode().startswith("\x1b[31merror:\x1b[0m grafana: it failed\r\ngrafana: 29 s left")


@pytest.mark.parametrize(
    ("line", "columns", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("abcd", 1, "…"),
        ("abcd", 0, ""),
        ("漢字", 4, "漢字"),
        ("漢字", 3, "漢…"),
        ("漢字", 2, "…"),
        ("漢字", 1, "…"),
        ("", 0, ""),
    ],
)
def test_wide_characters_take_two_columns(line: str, columns: int, shown: str) -> None:
    assert fitting(line, columns) == shown
