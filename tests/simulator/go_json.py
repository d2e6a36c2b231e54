"""JSON as Go's encoding/json reads and writes it, down to the words of its errors, which v3 passes on."""

import json
import re
from typing import Any


class GoJSONError(Exception):
    pass


_DECODER = json.JSONDecoder(strict=True)
_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})

# Where Go's scanner stands when Python's decoder gives up, by the beginning of Python's message.
_PLACES = (
    ("Expecting property name", "looking for beginning of object key string"),
    ("Illegal trailing comma before end of object", "looking for beginning of object key string"),
    ("Illegal trailing comma before end of array", "looking for beginning of value"),
    ("Expecting value", "looking for beginning of value"),
    ("Expecting ':'", "after object key"),
    ("Invalid control character", "in string literal"),
    ("Invalid \\escape", "in string escape code"),
    ("Invalid \\uXXXX", "in \\u hexadecimal character escape"),
)


def loads(text: bytes) -> Any:
    """The first value. What follows it is not looked at, like a json.Decoder's single Decode."""
    decoded = text.decode("utf-8", errors="replace").lstrip(" \t\r\n")
    try:
        return _DECODER.raw_decode(decoded)[0]
    except json.JSONDecodeError as error:
        raise GoJSONError(_words(decoded, error)) from None


def _words(text: str, error: json.JSONDecodeError) -> str:
    at = error.pos
    if error.msg.startswith("Illegal trailing comma"):
        at += 1 + len(text[at + 1 :]) - len(text[at + 1 :].lstrip())  # Go complains of what follows the comma
    elif error.msg.startswith("Invalid \\escape"):
        at += 1
    if at >= len(text) or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    if error.msg.startswith("Expecting ','"):
        place = "after array element" if _in_array(text[:at]) else "after object key:value pair"
    else:
        place = next(words for start, words in _PLACES if error.msg.startswith(start))
    character = {"'": r"'\''", '"': "'\"'"}.get(text[at]) or f"'{json.dumps(text[at], ensure_ascii=False)[1:-1]}'"
    return f"invalid character {character} {place}"


def _in_array(before: str) -> bool:
    """Whether the innermost bracket open at the end of this text is an array's."""
    brackets: list[str] = []
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', before):
        if token in "[{":
            brackets.append(token)
        elif token in "]}":
            brackets.pop()
    return brackets[-1:] == ["["]


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES).encode()
