import json

import pytest

from init_job import log
from tests.support import jwt


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_and_tokens_are_masked(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.hide("open sesame")
    log.configure(log_format, "debug")
    token = jwt({"typ": "key"})
    log.info("event", f"password open sesame, token {token}", detail="open sesame", several=["open sesame", token])
    try:
        raise ValueError(f"open sesame {token}")
    except ValueError as error:
        log.debug_traceback(error)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "open sesame" not in captured.err
    assert token not in captured.err
    assert "ValueError" in captured.err


def test_a_json_line_has_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info")
    log.info("created", "created key", id="x", count=2)
    log.debug("request", "not at this level")
    [line] = capsys.readouterr().err.splitlines()
    content = json.loads(line)
    assert content.pop("time").endswith("Z")
    assert content == {"level": "info", "event": "created", "message": "created key", "id": "x", "count": 2}


def test_a_message_stays_one_line_whatever_a_server_says(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("text", "info")
    log.info("event", "a\nb\r\x1b[31m\u2028c")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_result_says_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info")
    log.result(5, "lost")
    content = json.loads(capsys.readouterr().err)
    assert (content["event"], content["exit_code"], content["message"]) == ("result", 5, "exit 5: lost")
