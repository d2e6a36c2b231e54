"""ENV_FILE: one variable in a user's own `.env`, or two; every other byte stays as it is."""

import io
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from init_job.outputs.interface import Format, IssuedKey

if TYPE_CHECKING:
    from dotenv.parser import Binding

_BOM = "\ufeff"
# One binding: blank lines, `export`, the name and `=`; white space; the value as python-dotenv delimits it.
_BINDING = re.compile(
    r"""(?P<name>\s*(?:export[^\S\r\n]+)?(?:'[^']*'|[^=\s]+)[^\S\r\n]*=)(?P<gap>[^\S\r\n]*)"""
    r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?P<bare>[^\r\n]*?)(?=[^\S\r\n]+\#|[^\S\r\n]*(?:[\r\n]|\Z)))""",
    re.DOTALL,
)
# Of a line as a shell reads it: what stands in quotes or behind a backslash, and its comment.
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|\#[^\r\n]*""", re.DOTALL)
# A section, an object, a tag; or a quote that is not closed.
_NO_DOTENV = re.compile(r"""\s*(?:\[\[?[^\s\[]|[]{<])|[^'"]*['"]""")
_YAML = re.compile(r"\s*[^=:\s][^=:]*:(?!\S)")
"""`name: value`, which Compose takes too: among lines with `=` it is one for Compose."""
# What may stand where the scope's id is written: nothing, v3's number or UUID, v4's UUID.
_ID = re.compile(r"[0-9]*|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class EnvFile(Format):
    variable = "ENV_FILE"
    default_mode = 0o600

    def __init__(self, name: str, scope_id_name: str = "") -> None:
        """`scope_id_name`: also this variable, for the id of the key's tenant, organization or application."""
        self.part = name
        self._scope_id_name = scope_id_name

    def token(self, content: bytes) -> str:
        return _value(_decode(content), self.part)

    def render(self, content: bytes, key: IssuedKey) -> bytes:
        text = _decode(content)
        _need_dotenv(text)
        text = _with(text, self.part, key.token)
        if self._scope_id_name and key.scope_id:
            if not _ID.fullmatch(_value(text, self._scope_id_name)):
                raise ValueError(f"what {self._scope_id_name} holds is no id")
            text = _with(text, self._scope_id_name, key.scope_id)
        return _encode(text)

    def erase(self, content: bytes) -> bytes | None:
        """Without any binding of the token's name, each with its line. The scope's id is no secret, and stays true."""
        text = _decode(content)
        for start, binding, _ in reversed(_bindings(text, self.part)):
            blank = len(binding) - len(binding.lstrip())
            text = text[: start + blank] + text[start + len(binding) :]
        return _encode(text)


def _value(text: str, name: str) -> str:
    """As readers see it: the last binding counts."""
    value = ""
    for _, _, found in _bindings(text, name):
        value = found or ""
    return value.strip()


def _with(text: str, name: str, value: str) -> str:
    """Readers take the last binding, so that one is changed; where there is none, a line is added. Raises ValueError
    for a value that would need quotes."""
    if not re.fullmatch(r"[\w.-]+", value, re.ASCII):
        raise ValueError(f"the server's answer holds no value for {name}")
    if _value(text, name) == value:
        return text
    *_, (start, binding, old) = [(0, "", None), *_bindings(text, name)]
    match = _BINDING.match(binding)
    # `export NAME` has no value to change, and for most readers a name behind a byte order mark is another name.
    if match is None or old is None or (text[:1] == _BOM and start == 1 and not binding[0].isspace()):
        return text + _new_line(text, f"{name}={value}")
    if not old and match["bare"] is not None:
        # `NAME=   # comment`: behind the white space the value would swallow the comment.
        before = after = match.end("name")
    elif match["bare"] is not None:
        before, after = match.span("bare")
    else:
        before, after = match.end("gap") + 1, match.end() - 1  # the quotes stay
    return text[: start + before] + value + text[start + after :]


@lru_cache(maxsize=4)
def _bindings(text: str, name: str) -> tuple[tuple[int, str, str | None], ...]:
    """Where each binding of the variable starts, its text and its value. Kept for the content before and after, with
    two variables: python-dotenv takes seconds for a MiB, and a run asks a dozen times."""
    return tuple(
        (position, binding.original.string, binding.value)
        for position, binding in (_parsed(text) if name in text else ())
        if binding.key == name
    )


@lru_cache(maxsize=2)
def _need_dotenv(text: str) -> None:
    """Raises ValueError for a file in which readers of a `.env` would not find the token, or which a new line would
    break for readers of its own: one line opens quotes and does not close them, or is of JSON, YAML, TOML or the like.
    Any other line that sets nothing (words, a shell's `if`) harms nobody."""
    found = list(_parsed(text))
    is_yaml = all(binding.value is None for _, binding in found)
    for position, binding in found:
        if binding.value is None and (binding.key or binding.error):
            line = binding.original.string
            bare = _QUOTED.sub("", line)
            if _NO_DOTENV.match(bare) or (is_yaml and _YAML.match(bare)):
                before = text[:position] + line[: len(line) - len(line.lstrip())]
                number = 1 + len(re.findall(r"\r\n?|\n", before))
                raise ValueError(f"line {number} is no NAME=value, or its quotes are not closed")


def _parsed(text: str) -> Iterator[tuple[int, "Binding"]]:
    """What python-dotenv finds, and where."""
    from dotenv.parser import parse_stream  # a run without ENV_FILE does not pay for the import

    position = len(_BOM) if text.startswith(_BOM) else 0
    for binding in parse_stream(io.StringIO(text[position:], newline="")):
        yield position, binding
        position += len(binding.original.string)


def _decode(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _new_line(text: str, line: str) -> str:
    """What to append so that `line` is a line of its own, ended as most lines of the file are."""
    counts = {"\r\n": text.count("\r\n")}
    counts["\n"] = text.count("\n") - counts["\r\n"]
    counts["\r"] = text.count("\r") - counts["\r\n"]
    newline = max(("\n", "\r\n", "\r"), key=lambda one: counts[one])
    gap = newline if text.strip(_BOM) and not text.endswith(("\n", "\r")) else ""
    if text.rstrip("\r\n").endswith("\\"):
        gap += newline  # a shell joins the line after a backslash to it
    return gap + line + newline
