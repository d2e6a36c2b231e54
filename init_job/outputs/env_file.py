"""ENV_FILE: one variable in a user's own `.env`; every other byte stays as it is."""

import io
import re
from collections.abc import Iterator

from init_job.outputs.interface import Format, IssuedKey

_BOM = "\ufeff"
# One binding: blank lines, `export`, the name and `=`; white space; the value as python-dotenv delimits it.
_BINDING = re.compile(
    r"""(?P<name>\s*(?:export[^\S\r\n]+)?(?:'[^']*'|[^=\s]+)[^\S\r\n]*=)(?P<gap>[^\S\r\n]*)"""
    r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?P<bare>[^\r\n]*?)(?=[^\S\r\n]+\#|[^\S\r\n]*(?:[\r\n]|\Z)))""",
    re.DOTALL,
)


class EnvFile(Format):
    variable = "ENV_FILE"
    default_mode = 0o600
    is_users_own = True

    def __init__(self, name: str) -> None:
        self._name = name

    def token(self, content: bytes) -> str:
        value = ""
        for _, _, found in self._bindings(_decode(content)):
            value = found or ""
        return value.strip()

    def render(self, content: bytes, key: IssuedKey) -> bytes:
        """Readers take the last binding, so that one is changed; where there is none, a line is added."""
        if self.token(content) == key.token:
            return content
        text = _decode(content)
        *_, (start, binding, value) = [(0, "", None), *self._bindings(text)]
        match = _BINDING.match(binding)
        # `export NAME` has no value to change, and for most readers a name behind a byte order mark is another name.
        if match is None or value is None or (text[:1] == _BOM and start == 1 and not binding[0].isspace()):
            return _encode(text + _new_line(text, f"{self._name}={key.token}"))
        if not value and match["bare"] is not None:
            # `NAME=   # comment`: behind the white space the token would swallow the comment.
            before = after = match.end("name")
        elif match["bare"] is not None:
            before, after = match.span("bare")
        else:
            before, after = match.end("gap") + 1, match.end() - 1  # the quotes stay
        return _encode(text[: start + before] + key.token + text[start + after :])

    def erase(self, content: bytes) -> bytes | None:
        """Without any binding of the name, each with its line."""
        text = _decode(content)
        for start, binding, _ in reversed(list(self._bindings(text))):
            blank = len(binding) - len(binding.lstrip())
            text = text[: start + blank] + text[start + len(binding) :]
        return _encode(text)

    def _bindings(self, text: str) -> Iterator[tuple[int, str, str | None]]:
        """Where each binding of our variable starts, its text and its value, as python-dotenv reads them."""
        from dotenv.parser import parse_stream  # a run without ENV_FILE does not pay for the import

        position = len(_BOM) if text.startswith(_BOM) else 0
        for binding in parse_stream(io.StringIO(text[position:], newline="")):
            if binding.key == self._name and not binding.error:
                yield position, binding.original.string, binding.value
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
