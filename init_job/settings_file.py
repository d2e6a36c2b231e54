"""A `.env` of settings, read as Docker Compose reads it: that is what the users of such a file run.

The grammar is compose-go's (`dotenv/parser.go`, `template/template.go`), which is neither python-dotenv's nor a
shell's: a `$` counts everywhere but in single quotes, and a file with an error in it is refused as a whole.
`tests/test_settings_file.py` has what Docker Compose makes of such values.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_LONGEST = 1 << 17
"""Characters of a value: Linux passes no longer one to a program. A few lines that name each other twice would be
gigabytes."""
_LONGEST_OF_ALL = 1 << 24
"""Characters of all values: many lines that each name a long one would be gigabytes as well."""
_DEEPEST = 20
Lookup = Callable[[str], str | None]


@dataclass(frozen=True)
class Value:
    text: str
    unset: tuple[str, ...] = ()
    """Variables in it that are set nowhere: nothing stands in their place."""


_SPACE = r"[ \t\v\f\r\x85\xa0]*"  # within a line
# Nothing is given back (`*+`): so as to be able to, Python would keep a hundred bytes for each round.
_BLANK = re.compile(r"(?:\s++|#[^\n]*)*+")
_NAME = re.compile(rf"(?:export\s+)?(?P<name>[\w.\-[\]]+){_SPACE}(?P<end>[=:\n]){_SPACE}")
_VALUE = re.compile(
    r"""'(?P<single>(?:[^'\\]++|\\.)*+)'|"(?P<double>(?:[^"\\]++|\\.)*+)"|(?P<bare>(?!['"])[^\n]*)""", re.DOTALL
)
_ESCAPE = re.compile(r'\\(?:([abfnrtv$"\\])|0([0-3][0-7]{2})|0)')
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "$": "$$"}
_OPERATOR = re.compile(r":?[-+?]|(?=\})")
_DOLLAR = re.compile(r"\$(?:(?P<dollar>\$)|(?P<brace>\{)?(?P<name>[_a-z][_a-z0-9]*)|\{)", re.IGNORECASE | re.ASCII)


def read(text: str, environ: Mapping[str, str]) -> dict[str, Value]:
    """`environ` goes before the file where a value names another variable. Raises ValueError with the line that
    cannot be read, but not with what stands in it, nor with its name: that may be the second line of a secret."""
    found: dict[str, Value] = {}

    def look_up(name: str) -> str | None:
        return environ.get(name, found[name].text if name in found else None)

    start, length = _after_blanks(text, 0), 0
    while start < len(text):
        try:
            name, value, end = _entry(text, start, look_up)
            length += len(value.text) if value else 0
            if length > _LONGEST_OF_ALL:
                raise ValueError(f"the values become longer than {_LONGEST_OF_ALL} characters")
        except ValueError as error:
            line = text.count("\n", 0, start) + 1
            raise ValueError(f"line {line}: {error}") from None
        if value:
            found[name] = value
        start = _after_blanks(text, end)
    return found


def _entry(text: str, start: int, look_up: Lookup) -> tuple[str, Value | None, int]:
    """The name and the value that stand there, and where they end. Raises ValueError."""
    key = _NAME.match(text, start)
    if not key:
        raise ValueError("no NAME=value")
    if key["end"] == "\n":  # the name alone stands for the environment's value, which counts anyway
        return key["name"], None, key.end()
    value = _VALUE.match(text, key.end())
    if not value:
        raise ValueError("the quotes are not closed")
    return key["name"], _meant(value, look_up), value.end()


def _after_blanks(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _meant(value: re.Match[str], look_up: Lookup) -> Value:
    if value["single"] is not None:
        return Value(value["single"].replace("\\'", "'"))
    if value["double"] is not None:
        text = _ESCAPE.sub(_unescaped, value["double"])
    else:
        text = value["bare"].partition(" #")[0].rstrip()
    unset: list[str] = []
    return Value(_interpolated(text, look_up, unset), tuple(unset))


def _unescaped(match: re.Match[str]) -> str:
    if match[2]:
        return chr(int(match[2], 8))
    return _ESCAPED.get(match[1], match[1]) if match[1] else "\\"


def _interpolated(text: str, look_up: Lookup, unset: list[str], depth: int = 0) -> str:
    """With the variables' values in the place of `$NAME`, `${NAME}`, `${NAME:-default}` and the like; a `$` before
    anything else is one."""
    if depth > _DEEPEST:
        raise ValueError(f"${{ within ${{ more than {_DEEPEST} times")
    done: list[str] = []
    length = position = 0
    while match := _DOLLAR.search(text, position):
        if length + len(text) - position > _LONGEST:
            raise ValueError(f"it becomes longer than {_LONGEST} characters")
        done.append(text[position : match.start()])
        position = match.end()
        if match["dollar"]:
            done.append("$")
        elif not match["name"]:
            raise ValueError("${ without a name; single quotes keep it as it is")
        else:
            operator, operand = "", ""
            if match["brace"]:
                operator, operand, position = _braced(text, position)
            value = look_up(match["name"])
            # With a colon an empty one is none.
            is_there = bool(value) if operator.startswith(":") else value is not None
            kind = operator[-1:]
            if kind == "?" and not is_there:
                raise ValueError("a variable that is required in it is not set")
            if (kind == "-" and not is_there) or (kind == "+" and is_there):
                value = _interpolated(operand, look_up, unset, depth + 1)
            elif value is None and not kind:
                unset.append(match["name"])
            done.append(value or "")
        length += len(done[-2]) + len(done[-1])
    return "".join(done) + text[position:]


def _braced(text: str, start: int) -> tuple[str, str, int]:
    """The operator, what follows it, and where the closing brace ends."""
    operator = _OPERATOR.match(text, start)
    depth, end = 1, start
    while operator and depth and end < len(text) and text[end] != "\n":
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    if not operator or depth:
        raise ValueError("${ without a } where it is due; single quotes keep it as it is")
    return operator[0], text[operator.end() : end - 1], end
