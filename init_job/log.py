"""Logs: standard error only, as text or as JSON objects, and never with a secret in them.

The program itself never puts a secret into a message, so what it says is written as it is: masked, the password
`chirpstack` would be blanked out of the server's address, and tell itself by the gap. A secret comes in with what
others say. That passes `masked` where it enters a message: the text of an answer, of a header, of a library's
exception. Lines of libraries and tracebacks pass it here, whole. A token looks like nothing else and is masked
everywhere.
"""

import base64
import json
import logging
import os
import re
import string
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import unquote

_logger = logging.getLogger("init_job")

MASK = "***"
_JWT = re.compile(r"eyJ[\w+/=-]{10,}(?:\.[\w-]*){0,2}")  # or any JSON in base64: a login that comes back
_secrets: set[str] = set()
_about = ""
_on_terminal = False
_LONGEST = 8192  # characters; what is longer is nobody's secret, and to look for it would take seconds
_LONG = 200  # characters
_SHORTEST_PART = 8  # characters; what is shorter is the name of a kind (`Bearer`) or of a field (`kid`)
_SHORTEST_VALUE = 4  # characters, behind such a name: a PIN has four; what is shorter is a flag or a version


@contextmanager
def about(key: str) -> Iterator[None]:
    """What is told in here is about this key of several; empty: about all."""
    global _about
    before, _about = _about, key
    try:
        yield
    finally:
        _about = before


def hide(secret: str | None) -> None:
    """Mask this text, be it a single character, in all that is foreign from now on."""
    if secret and (secret := secret[:_LONGEST]) not in _secrets:
        _secrets.add(secret)
        _pattern.cache_clear()


def hide_user_info(address: str) -> None:
    """Hide what stands before the `@` of an address, as a whole and in the parts that errors quote: the password may
    have characters in it that end the host for a parser."""
    user_info, at, _ = address.partition("://")[2].rpartition("@") if "://" in address else address.rpartition("@")
    for text in {user_info, unquote(user_info)} if at else ():
        for part in (text, *re.split("[/?#]", text.partition(":")[2])):
            hide(part)


def hide_header(value: str) -> None:
    """Hide a header's value, as a whole and in the parts that whoever reads it tells of: a cookie's, the password of
    `Basic`."""
    kind, _, last = value.rpartition(" ")
    hide(value)
    hide(last)  # without its kind: `Bearer …`
    for mark, part in re.findall("([=:]?)[\\s\"']*([^\\s;,=&:\"']+)", value):
        if len(part) >= (_SHORTEST_VALUE if mark else _SHORTEST_PART):
            hide(part)
    if kind.lower() == "basic":
        for encoding in ("utf-8", "latin-1"):  # RFC 7617 leaves it open
            with suppress(ValueError):  # no base64, no UTF-8
                hide(base64.b64decode(f"{last}==").decode(encoding).partition(":")[2])


def masked(text: str) -> str:
    """What a server, a proxy or a library says, for a message: without secrets, in whatever encoding they came back.
    Cut it afterwards, not before: the beginning of a password is no text that could be found."""
    return _JWT.sub(MASK, _pattern().sub(MASK, text))


@cache
def _pattern() -> re.Pattern[str]:
    """All secrets, the longest first, since one may be part of another."""
    spellings = [
        spelling
        for secret in sorted(_secrets, key=len, reverse=True)
        for spelling in (_in_any_spelling(secret), *_in_base64(secret))
    ]
    return re.compile("|".join(spellings) or r"(?!)")


def _in_any_spelling(secret: str) -> str:
    """As it is, escaped in JSON or a literal, percent-encoded (each perhaps several times over), in HTML, or in a wrong
    encoding. One character at a time, because no two programs escape the same ones; and without a choice that could be
    taken back (`+` behind a quantifier): else hostile text would take hours."""
    # Spellings cost time: in what is long, a header's value or what stands in a token's place, letters and digits have
    # none but their own, which no encoding that programs use changes.
    plain = string.ascii_letters + string.digits if len(secret) > _LONG else ""
    if plain and sum(char not in plain for char in secret) > _LONG:
        return re.escape(secret)
    pattern = ""
    for run in re.findall(r"\\+|[^\x00-\x7f]+|.", secret, re.DOTALL):
        one_by_one = "".join(char if char in plain else _any_spelling(char) for char in run)
        if run.isascii() and run[0] != "\\":
            pattern += one_by_one
        else:
            # Backslashes are doubled, and letters of an encoding that was taken for another are lost, as a run.
            whole = "\ufffd" if run[0] != "\\" else r"\\"
            pattern += f"(?:{whole}{{{len(run)},{8 * len(run)}}}+|{one_by_one})"
    return pattern


def _any_spelling(char: str) -> str:
    if char.isascii():
        return _spelling(char)
    octets = (bytes([octet]) for octet in char.encode("utf-8", "surrogatepass"))
    return f"(?:{_spelling(char)}|{''.join(map(_octet, octets))})"


def _octet(octet: bytes) -> str:
    """Of UTF-8. Where it was taken for a character of its own, that one may have been escaped afterwards, or not: a
    literal of Python has `\\x9f` beside `Ã`."""
    taken_for = sorted({octet.decode(encoding, "replace") for encoding in ("latin-1", "cp1252")})
    return f"(?:{'|'.join(map(_spelling, taken_for))})"


def _spelling(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    number = f"{ord(char):x}"
    escapes = [
        r"\\+".join(f"u{units[i : i + 4]}" for i in range(0, len(units), 4)),
        f"x{number:0>2}",
        f"u{number:0>8}",
        rf"u\{{{number}\}}",
        *_ESCAPES.get(char, ""),
    ]
    spellings = [
        re.escape(char),
        rf"(?<=\\)(?i:{'|'.join(escapes)})",
        f"(?i:&(?:amp;)?(?:#0{{0,6}}{ord(char)}|#x0{{0,6}}{number}|{_ENTITIES.get(char, '#')});)",
    ]
    if ord(char) < 256:
        # Of Latin-1. That of UTF-8 is `_octet`'s: two ways to read the same text are 2**40 for forty characters.
        spellings.append(f"%(?:25)*(?i:{number:0>2})")
    if char == " ":
        spellings.append(r"\+")
    return rf"\\{{0,8}}+(?:{'|'.join(spellings)})"


_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


def _in_base64(secret: str) -> list[str]:
    """What stays of it at each of the three places in a group of bytes, as in `Basic` with a user's name before it, or
    in the body of v3's login."""
    found = []
    texts = {secret.encode("utf-8", "surrogatepass"), json.dumps(secret)[1:-1].encode()}
    with suppress(UnicodeEncodeError):
        texts.add(secret.encode("latin-1"))  # as libraries do for `Basic`, `requests` among them
    for octets in texts:
        for before in range(3):
            encoded = base64.b64encode(bytes(before) + octets).decode()
            # Without the characters that also hold bits of a neighbour.
            core = encoded[(before * 8 + 5) // 6 : (before + len(octets)) * 8 // 6]
            if len(core) > 2:  # less stands in every text
                found.append(re.escape(core).replace(r"\+", "[+-]").replace("/", "[/_]"))
    return sorted(found, key=len, reverse=True)


def _without_tokens(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_tokens(one) for one in value]
    return _JWT.sub(MASK, value) if isinstance(value, str) else value


class _Text(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, form: str = "%(asctime)s %(levelname)-7s %(about)s%(message)s") -> None:
        super().__init__(form, defaults={"about": ""})

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return _JWT.sub(MASK, line) if _is_own(record) else masked(line)


class _Json(_Text):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": message if _is_own(record) else masked(message),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = masked(self.formatException(record.exc_info))
        return json.dumps({name: _without_tokens(value) for name, value in line.items()}, ensure_ascii=False)


class _Libraries(logging.Filter):
    """What libraries say is a line, and each one comes once: urllib3 has one at every request for a header that a proxy
    spoils. Where it was said is told at debug level only."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == _logger.name:
            return True
        record.msg, record.args = _in_a_line(masked(record.getMessage())), ()
        if not _logger.isEnabledFor(logging.DEBUG):
            record.exc_info = None
        is_new = record.msg not in self._told
        self._told.add(record.msg)
        return is_new


def _in_a_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _is_own(record: logging.LogRecord) -> bool:
    return record.name == _logger.name and not record.exc_info


def configure(log_format: str, level: str) -> None:
    global _on_terminal
    _on_terminal = log_format == "text" and _is_terminal()
    if _on_terminal:
        from init_job.terminal import Terminal  # a run that nobody looks at does not pay for it

        handler: logging.Handler = Terminal(sys.stderr, is_coloured=not os.environ.get("NO_COLOR"))
        handler.setFormatter(_Text("%(about)s%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Json() if log_format == "json" else _Text())
    handler.addFilter(_Libraries())
    # Libraries are heard from warnings on.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _logger.setLevel(level.upper())


def _is_terminal() -> bool:
    """Whether a person looks on, at something that can erase a line."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def _emit(level: int, event: str, message: str, fields: dict[str, Any], **more: bool) -> None:
    if not _logger.isEnabledFor(level):
        return
    # One line a message, whatever a server's text or a name brings along.
    text = _in_a_line(message)
    extra = {"event": event, "fields": fields, **more}
    if _about:
        extra |= {"fields": {"key": _about, **fields}, "about": f"{_about}: "}
    _logger.log(level, "%s", text, extra=extra)


def debug(event: str, message: str, **fields: Any) -> None:
    _emit(logging.DEBUG, event, message, fields)


def info(event: str, message: str, **fields: Any) -> None:
    _emit(logging.INFO, event, message, fields)


def in_place(event: str, message: str) -> bool:
    """Shown on a terminal until the next line comes, or something else in place; empty: nothing. False: there is none,
    and nothing was told."""
    if _on_terminal:
        _emit(logging.INFO, event, message, {}, in_place=True)
    return _on_terminal


def warning(event: str, message: str, **fields: Any) -> None:
    _emit(logging.WARNING, event, message, fields)


def error(event: str, message: str, **fields: Any) -> None:
    _emit(logging.ERROR, event, message, fields)


def result(exit_code: int, message: str) -> None:
    """The last line of a run."""
    level = logging.ERROR if exit_code else logging.INFO
    _emit(level, "result", f"exit {exit_code}: {message}", {"exit_code": exit_code})


def debug_traceback(error: BaseException) -> None:
    _logger.debug("traceback", exc_info=error, extra={"event": "traceback"})
