"""Text as it comes in, and what an editor, a shell or a YAML file leaves in it."""

import os
import re
import sys
from collections.abc import Callable

_MAX_FILE = 8 * 1024 * 1024  # bytes; a bundle of CA certificates has a quarter of one MiB
_BOM = "\ufeff"
_PAIRS = (
    '""', "''", "``", "\u201c\u201d", "\u201d\u201d", "\u201e\u201c", "\u201e\u201d",
    "\u2018\u2019", "\u2019\u2019", "\u201a\u2018", "\u00ab\u00bb", "\u00bb\u00ab",
)  # fmt: skip
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u2028\u2029\ufeff]")
_MARK = re.compile("[\xad\u180e\u200c-\u200f\u202a-\u202e\u2060-\u206f]")
"""Windows puts U+202A before a path that is copied from its dialogs, chats something behind what is copied from them;
within a name, and at its end, such marks may be meant."""
_ODD_SPACE = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_UNEXPANDED = re.compile(r"\$\{[^}]*\}|\$\([^)]*\)|\{\{.*?\}\}|^\$\w+$|^~/")
_PLACEHOLDER = re.compile(
    r"<.*>|\[.*\]|[x*.]{3,}|(please)?[-_ ]?(change|replace|set|insert|enter|fill)[-_ ]?(me|this|it|here|in)\b.*"
    r"|(change|replace|insert|enter|your|my).*(secret|password|passphrase)([-_ ]?here)?"
    r"|to[-_ ]?do|tbd|fixme|placeholder|dummy|example",
    re.IGNORECASE,
)

_PATH = re.compile(r"\.{0,2}/[^=]*|[\w./-]*\.(?:env(?:\.\w+)?|toml|pem|crt|cer|key|txt)")
"""What nobody takes for a value. Anything else that is not there may be a secret where a path is due."""
_FOR_A_TOKEN = re.compile(
    r"[\W_]*(change[-_ ]?(me|this)|replace[-_ ]?(me|this|with\b.*)|"
    r"(your|my|the|insert|enter|put|paste|add|some)[-_ ].*|(to|will)[-_ ]be[-_ ].*|set[-_ ].*|.*[-_ ]here|"
    r"([a-z]+[-_ ])*(token|key)|none|null|undefined|x+|\W+|\$\{?\w+\}?)[\W_]*",
    re.IGNORECASE | re.ASCII,
)
_LONGEST_PLACEHOLDER = 100  # characters; the patterns would take minutes for a line of a thousand dashes


class NotUtf8(ValueError):
    """Bytes in another encoding, or none."""


def read_file(path: str) -> str:
    """A text file in UTF-8, without its byte order mark. Raises ValueError."""
    return decoded(read_bytes(path), path)


def read_bytes(path: str, opener: Callable[[str, int], int] | None = None) -> bytes:
    """`opener` as for `open`. Raises ValueError."""
    expect_path(path)
    shown = path if _PATH.fullmatch(path) else "the file (what is named may be a value, not a path)"
    try:
        with open(path, "rb", opener=opener) as file:
            content = file.read(_MAX_FILE + 1)
    except IsADirectoryError:
        raise ValueError(
            f"{path} is a folder (Docker makes one where a bind-mounted file was missing: remove it, then create the "
            "file first)"
        ) from None
    except PermissionError:
        raise ValueError(f"cannot read {shown}: the job's user, {os.geteuid()}, may not") from None
    except OSError as error:
        raise ValueError(f"cannot read {shown}: {error.strerror}") from None
    if len(content) > _MAX_FILE:
        raise ValueError(f"{path} has more than {_MAX_FILE >> 20} MiB")
    return content


def decoded(content: bytes, path: str, errors: str = "strict") -> str:
    """Raises ValueError."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise NotUtf8(f"{path} is not UTF-8 but UTF-16, or no text: save it as UTF-8")
    try:
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError:
        raise NotUtf8(f"{path} is not UTF-8: save it as UTF-8") from None


def is_utf8(text: str) -> bool:
    """Python keeps other bytes of the environment and of the command line as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def expect_utf8(text: str) -> None:
    """Raises ValueError."""
    if not is_utf8(text):
        raise NotUtf8("it is not UTF-8: the file or the terminal that it comes from has another encoding")


def expect_path(text: str) -> None:
    """Raises ValueError for what no file can be called, or nobody calls one."""
    if _MARK.match(text[-1:]):
        raise ValueError(f"it has the character {text[-1]!r} in it")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise ValueError(f"it cannot be a path in this locale, which is {encoding}: set LC_ALL=C.UTF-8") from None


def tidied(text: str) -> tuple[str, list[str]]:
    """Without what cannot be meant round a value, and what that was."""
    found: list[str] = []
    before = None
    while text != before:
        before = text
        if text.startswith(_BOM):
            found.append("a byte order mark")
            text = text.lstrip(_BOM)
        if text[:1].isspace():
            found.append("white space at its beginning")
        if text[-1:].isspace():
            found.append("a line end at its end" if text.endswith(("\n", "\r")) else "white space at its end")
        text = text.strip()
        inside = text[1:-1]
        if text[:1] + text[-1:] in _PAIRS and len(text) > 1 and not {text[0], text[-1]} & set(inside):
            found.append("quotes around it")
            text = inside
    return text, list(dict.fromkeys(found))


def expect_sense(text: str) -> None:
    """Raises ValueError for what cannot be meant within a value."""
    if unseen := _UNSEEN.search(text) or _MARK.match(text):
        raise ValueError(f"it has the character {unseen[0]!r} in it")
    if unexpanded := _UNEXPANDED.search(text):
        raise ValueError(f"it has {unexpanded[0]} in it, which nothing has expanded")


def is_placeholder(text: str) -> bool:
    return len(text) <= _LONGEST_PLACEHOLDER and bool(_PLACEHOLDER.fullmatch(text))


def stands_for_a_token(text: str) -> bool:
    """What people write where a token is to come."""
    return is_placeholder(text) or (len(text) <= _LONGEST_PLACEHOLDER and bool(_FOR_A_TOKEN.fullmatch(text)))


def suspicious(password: str, surely: bool = False) -> str:
    """What makes it unlikely that somebody chose this password, for the message after a refused login: `it has quotes
    around it`; `surely`: so unlikely that it must not be set. Empty when nothing does; never the password."""
    rest, found = tidied(password)
    if _UNEXPANDED.search(rest) and not (surely and re.fullmatch(r"\$\w+|~/.*", rest)):
        found.append("a variable in it that nothing has expanded")
    if _UNSEEN.search(rest) or (_MARK.search(rest) and not surely):
        found.append("a control character in it")
    if _ODD_SPACE.search(rest) and not surely:
        found.append("a space in it that no space bar makes")
    told = [f"it has {' and '.join(found)}"] if found else []
    if not surely and is_placeholder(rest):
        told.append("it looks like a placeholder")
    return "; ".join(told)
