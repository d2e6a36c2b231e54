import base64
import html
import json
import logging
import re
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from init_job import log
from tests.support import jwt

SECRET = 'pä"ss wo/rd\\<&>😀\n'


@pytest.mark.parametrize(
    "encode",
    [
        str,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(json.dumps(text)),
        lambda text: json.dumps(text).replace("<", "\\u003C").replace("/", "\\/"),
        repr,
        lambda text: repr(text.encode()),
        quote,
        quote_plus,
        lambda text: quote(text, safe="").lower(),
        lambda text: quote(quote(text)),
        html.escape,
        lambda text: html.escape(json.dumps(text)),
        lambda text: text.encode().decode("latin-1"),
        lambda text: text.encode("utf-8").decode("ascii", "replace"),
    ],
)
def test_a_secret_is_masked_in_whatever_encoding_it_comes_back(encode: Callable[[str], str]) -> None:
    log.hide(SECRET)
    shown = log.masked(f"you sent [{encode(SECRET)}], thank you")
    # What stays are the quotes of the encoding.
    assert re.fullmatch(r"you sent \[(b?['\"]|\\*\"|&quot;)*\*\*\*(['\"]|\\*\"|&quot;)*\], thank you", shown)


@pytest.mark.parametrize("taken_for", ["latin-1", "cp1252"])
@pytest.mark.parametrize(
    "encode",
    [
        str,
        repr,
        ascii,
        json.dumps,
        html.escape,
        lambda text: "".join(f"&#{ord(char)};" for char in text),
    ],
)
def test_a_secret_whose_octets_were_taken_for_letters_is_masked_in_whatever_encoding_too(
    encode: Callable[[str], str], taken_for: str
) -> None:
    secret = "Größe!“Ásam7”\U0001fae9"
    log.hide(secret)
    shown = log.masked(f"got {encode(secret.encode().decode(taken_for, 'replace'))} here")
    assert re.fullmatch(r"got ['\"]?\*\*\*['\"]? here", shown)


@pytest.mark.parametrize(
    ("secret", "encode"),
    [
        ("Größe", lambda text: quote(text, encoding="latin-1")),
        ("Größe\x9f\U000e0001", repr),
        ("Größe\x9f\U0001fae9", ascii),
    ],
)
def test_octets_of_latin_1_and_what_python_escapes_are_masked(secret: str, encode: Callable[[str], str]) -> None:
    log.hide(secret)
    assert log.masked(encode(secret)).strip("'") == log.MASK


@pytest.mark.parametrize("user", ["", "a", "ad", "admin", "me@example.com"])
def test_a_secret_is_masked_in_the_base64_of_basic_authentication(user: str) -> None:
    log.hide("open sesame?>")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(f"{user}:open sesame?>".encode()).decode()
        assert log.masked(encoded).count(log.MASK) == 1
        assert len(log.masked(encoded)) < len(user) * 4 / 3 + 12


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("user", ["", "a", "ad", "admin"])
def test_basic_authentication_is_masked_in_both_encodings_that_are_in_use(user: str, encoding: str) -> None:
    log.hide("größe?>Sesam")
    encoded = base64.b64encode(f"{user}:größe?>Sesam".encode(encoding)).decode()
    assert log.masked(encoded).count(log.MASK) == 1
    assert len(log.masked(encoded)) < len(user) * 4 / 3 + 12


def test_a_short_secret_is_masked_as_well() -> None:
    log.hide("pw1")
    assert log.masked('{"email":"admin","password":"pw1"}') == '{"email":"admin","password":"***"}'


def test_of_two_secrets_the_one_within_the_other_leaves_nothing_of_it() -> None:
    log.hide("sesame")
    log.hide("open sesame now")
    assert log.masked("it is open sesame now, or sesame") == "it is ***, or ***"


@pytest.mark.parametrize(
    "address", ["http://user:pass/word@proxy:3128", "user:pass/word@proxy:3128", "http://user:pass%2Fword@proxy"]
)
def test_no_part_of_an_addresss_password_is_shown(address: str) -> None:
    log.hide_user_info(address)
    shown = log.masked(f"cannot parse {address}: port 'pass', path '/word@proxy', or user:pass/word")
    assert "pass" not in shown
    assert "word" not in shown


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("CF_Session=open-sesame", "session {} has expired"),
        ("job-7;secret=open-sesame", "job-7 has sent {}"),
        ('key="open-sesame", kid=4', "no key {}"),
        ("Bearer open-sesame", "{} is no token"),
        ("Basic " + base64.b64encode(b"bob:open-sesame").decode(), "bob may not log in with {}"),
        ("Basic " + base64.b64encode(b"b:open-sesame").decode().rstrip("="), "b may not log in with {}"),
    ],
)
def test_of_a_headers_value_no_part_is_shown_that_a_gate_quotes(value: str, quoted: str) -> None:
    log.hide_header(value)
    assert log.masked(quoted.format("open-sesame")) == quoted.format(log.MASK)
    assert log.masked(f"got: {value}.") == f"got: {log.MASK}."
    assert log.masked("your client with a kid is a Bearer of Basic secrets") == (
        "your client with a kid is a Bearer of Basic secrets"
    )


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("CF=abc1234", "abc1234"),
        ("v=2; CF = 'abc1'; kind=jwt", "abc1"),
        ("job:abc1234", "abc1234"),
        ('{"key": "abc1234"}', "abc1234"),
        ("Basic " + base64.b64encode("bob:pässwörd9".encode()).decode(), "pässwörd9"),
        ("Basic " + base64.b64encode("bob:pässwörd9".encode("latin-1")).decode(), "pässwörd9"),
    ],
)
def test_of_a_headers_value_what_is_short_and_has_a_name_is_not_shown_either(value: str, secret: str) -> None:
    log.hide_header(value)
    assert log.masked(f"session {secret} has expired") == f"session {log.MASK} has expired"
    assert log.masked("CF, key and job are missing: v 2, jwt") == "CF, key and job are missing: v 2, jwt"


@pytest.mark.parametrize("value", ["Basic", "Basic :", "Basic é", "Basic /w==", "=", "Bearer"])
def test_a_headers_value_may_be_anything(value: str) -> None:
    log.hide_header(value)


@pytest.mark.parametrize("encode", [quote, lambda text: quote(text, safe=""), json.dumps, html.escape])
def test_a_long_secret_is_masked_in_an_encoding_too(encode: Callable[[str], str]) -> None:
    secret = 'a long/se+cret="x"' * 16
    log.hide(secret)
    assert "cret" not in log.masked(f"you sent {encode(secret)}, thank you")


def test_what_is_long_and_strange_is_hidden_without_taking_seconds() -> None:
    log.hide("%\\é" * 2_000)
    begun = time.process_time()
    assert log.masked("%\\é" * 2_000) == log.MASK
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("secret", ["\\" * 40 + "x", "\\é" * 20 + "x", "é" * 40 + "x", "%25" * 10 + "x", "  + %2B" * 9,
                                    "Ã\x83" * 20 + "x", "ÃƒÃ" * 12 + "x", "Ã" * 40 + "x"])  # fmt: skip
@pytest.mark.parametrize("text", ["\\", "\ufffd", "\\\ufffd", "%25", "%2525", "+", "&amp;", "\\u00e9", "\\\\xc3",
                                  "Ã", "Ã\x83", "Ãƒ", "Ã\ufffd", "\\xc3\\x83", "%c3%83", "%c3%a9",
                                  "Ã\x83\x83", "Ã©"])  # fmt: skip
def test_hostile_text_is_masked_without_going_astray(secret: str, text: str) -> None:
    """A regular expression with choices would be at it for hours."""
    log.hide(secret)
    assert log.masked(text * 5_000 + secret).endswith(log.MASK)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_the_program_says_is_not_masked_but_for_tokens(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.hide("chirpstack")
    log.configure(log_format, "debug")
    token = jwt({"typ": "key"})
    log.info("event", f"http://chirpstack:8080, token {token}", name="chirpstack", several=["chirpstack", token])
    shown = capsys.readouterr().err
    assert "http://chirpstack:8080" in shown
    assert shown.count("chirpstack") == (3 if log_format == "json" else 1)
    assert token not in shown


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_of_libraries_and_tracebacks_are_masked(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.hide("open sesame")
    log.configure(log_format, "debug")
    token = jwt({"typ": "key"})
    logging.getLogger("urllib3").warning("retrying %s", f"open sesame {token}")
    try:
        raise ValueError(f"open sesame {token}")
    except ValueError as error:
        log.debug_traceback(error)
        logging.getLogger("urllib3").exception("failed")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "open sesame" not in captured.err
    assert token not in captured.err
    assert captured.err.count("ValueError: ") == 2


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_a_library_says_is_one_line_and_comes_once(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(log_format, "info")
    for path in ("/a", "/b", "/a"):
        try:
            raise ValueError("what urllib3 raises for itself")
        except ValueError as error:
            logging.getLogger("urllib3").warning("no header (url=%s): %s\n100%%", path, error, exc_info=True)
    log.info("event", "ours")
    log.info("event", "ours")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert "Traceback" not in "".join(lines)
    assert "no header (url=/b): what urllib3 raises for itself 100%" in lines[1]


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
