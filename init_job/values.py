"""What the text of a setting may be, and what it means. Every parser raises ValueError with the reason."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Scope:
    """What a key may do: `admin` (everything), or one tenant (v4), organization or application (v3)."""

    kind: str
    ref: str = ""
    """The name or the id as the user wrote it; empty for admin."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.ref}" if self.ref else self.kind


class OnLostToken(Enum):
    """What to do when the key is there and its token is not."""

    FAIL = "fail"
    REPLACE = "replace"
    ADD = "add"


def one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"{text!r} is none of {', '.join(values)}")
        return text

    return parse


def on_lost_token(text: str) -> OnLostToken:
    return OnLostToken(one_of(*(choice.value for choice in OnLostToken))(text))


def boolean(text: str) -> bool:
    return one_of("true", "false")({"1": "true", "0": "false"}.get(text, text.lower())) == "true"


def duration(text: str) -> float:
    """Seconds. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", text, re.ASCII)
    if not match:
        raise ValueError(f"{text!r} is not a duration such as 90, 90s, 5m or 0")
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}[match[2]]


def timeout(text: str) -> float:
    if not 0 < (seconds := duration(text)) <= 3600:
        raise ValueError(f"{text!r} is not between 1ms and 1h")
    return seconds


def url(text: str) -> str:
    parts = urlsplit(text)  # raises ValueError for an address that cannot be
    if parts.username is not None or parts.password is not None:
        raise ValueError("user and password do not belong into it: use CHIRPSTACK_EMAIL and CHIRPSTACK_PASSWORD")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{text!r} is not an address such as http://chirpstack:8080")
    if not text.isascii() or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(f"{text!r} has characters that must be percent-encoded")
    _ = parts.port  # raises ValueError when it is no number or out of range
    return text


def server_url(text: str) -> str:
    parts = urlsplit(url(text).rstrip("/"))
    path = parts.path + ("#" + parts.fragment if parts.fragment else "")
    for end in ("/api/internal/login", "/#/login", "#/login", "/api"):
        if path.endswith(end):
            root = f"{parts.scheme}://{parts.netloc}{path.removesuffix(end)}"
            raise ValueError(f"ends in {end}; use the server's root: {root}")
    if parts.query or parts.fragment:
        raise ValueError(
            f"{text!r} has a query or a fragment; use the server's root: {parts.scheme}://{parts.netloc}{parts.path}"
        )
    return parts.geturl()


def name(text: str) -> str:
    """1 to 100 characters; v3 counts bytes and needs a non-blank one since v3.13.0 (contract §3.6)."""
    if "{hostname}" in text:
        import socket

        text = text.replace("{hostname}", socket.gethostname())
    if not text.strip() or len(text) > 100 or not text.isprintable():
        raise ValueError("must have 1 to 100 printable characters that are not all blank")
    return text


def scope(text: str) -> Scope:
    kind, _, ref = text.partition(":")
    if text == "admin" or (kind in ("tenant", "organization", "application") and ref.strip()):
        return Scope(kind, ref)
    raise ValueError(f"{text!r} is none of admin, tenant:NAME-OR-ID, organization:NAME-OR-ID, application:ID")


def identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(f"{text!r} is not the name of a variable: letters, digits and _ only")
    return text


def mode(text: str) -> int:
    if not re.fullmatch(r"0?o?[0-7]{3}", text) or not int(text[-3:], 8) & 0o400:
        raise ValueError(f"{text!r} is not a mode such as 0644 that lets the owner read")
    return int(text[-3:], 8)


def readable_file(text: str) -> str:
    read_file(text)
    return text


def read_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file") from error


def unsupported(api: str, scope: Scope) -> str:
    """Why this API has no such scope; empty if it has."""
    if api == "v3" and scope.kind == "tenant":
        return "ChirpStack v3 has organizations, not tenants: organization:NAME-OR-ID"
    if api == "v4" and scope.kind == "organization":
        return "ChirpStack v4 has tenants, not organizations: tenant:NAME-OR-ID"
    if api == "v4" and scope.kind == "application":
        return "ChirpStack v4 has no keys for one application: tenant:NAME-OR-ID is the smallest scope"
    return ""
