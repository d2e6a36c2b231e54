"""What the text of a setting may be, and what it means. Every parser raises ValueError with the reason."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from init_job import texts


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


def one_of(*words: str, **synonyms: str) -> Callable[[str], str]:
    """In any case, or a synonym."""

    def parse(text: str) -> str:
        word = synonyms.get(text.lower(), text.lower())
        if word not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return word

    return parse


api = one_of("auto", "v3", "v4", **{"3": "v3", "4": "v4"})
log_format = one_of("text", "json", plain="text")
log_level = one_of(
    "debug", "info", "warning", "error",
    trace="debug", verbose="debug", notice="info", warn="warning", err="error", critical="error", fatal="error",
)  # fmt: skip
_boolean = one_of(
    "true", "false",
    **dict.fromkeys(("1", "yes", "y", "on", "t", "enabled"), "true"),
    **dict.fromkeys(("0", "no", "n", "off", "f", "disabled"), "false"),
)  # fmt: skip


def boolean(text: str) -> bool:
    return _boolean(text) == "true"


def on_lost_token(text: str) -> OnLostToken:
    return OnLostToken(one_of(*(choice.value for choice in OnLostToken))(text))


_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_UNITS = {
    "ms": "ms", "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m", "h": "h", "hour": "h", "hours": "h",
    "d": "d", "day": "d", "days": "d", "w": "w", "week": "w", "weeks": "w",
}  # fmt: skip
_PART = re.compile(rf"(\d+(?:\.\d+)?) ?({'|'.join(sorted(_UNITS, key=len, reverse=True))}) ?", re.ASCII | re.IGNORECASE)


_LONGEST = 3660 * 86400
_LONGEST_TEXT = 100  # characters; the pattern would take minutes for a hundred thousand digits


def duration(text: str, example: str = "duration such as 90, 90s, 5m or 0") -> float:
    """Seconds: 90, 90s, 5m, 1m30s. Raises ValueError."""
    if not text or len(text) > _LONGEST_TEXT:
        raise ValueError(f"it is not a {example}")
    if re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII):
        seconds = float(text)
    elif _PART.sub("", text):
        raise ValueError(f"{text!r} is not a {example}")
    else:
        seconds = sum(float(number) * _SECONDS[_UNITS[unit.lower()]] for number, unit in _PART.findall(text))
    if seconds > _LONGEST:
        raise ValueError(f"{text!r} is more than ten years")
    return seconds


def age(text: str) -> float:
    """Seconds, with a unit: who writes 30 thinks of days, and a key would be replaced in every run."""
    seconds = duration(text, "duration such as 30d, 12h or 90m")
    if seconds and text[-1].isdigit():
        raise ValueError(f"{text!r} has no unit: is it {text}d, {text}h or {text}m?")
    return seconds


def timeout(text: str) -> float:
    if not 0 < (seconds := duration(text)) <= 3600:
        raise ValueError(f"{text!r} is not between 1ms and 1h")
    return seconds


_USER_INFO = re.compile(r"@|^[^/]*(?://[^/?#]*)?%40")
"""An `@` wherever it is: with a slash in the password the rest of it is a path for a parser. In a path it is `%40`."""


def url(text: str) -> str:
    if _USER_INFO.search(text):
        # Nothing of it is quoted.
        raise ValueError(
            "user and password do not belong into it: use CHIRPSTACK_EMAIL and CHIRPSTACK_PASSWORD (any other @ is %40)"
        )
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:  # it quotes what stands behind the colon, which may be a password
        raise ValueError("its host or its port cannot be one; an address is such as http://chirpstack:8080") from None
    shown = "it" if "%40" in text else repr(text)
    if not (parts.hostname or "").isascii():
        raise ValueError(f"{shown} has a host that must be written in punycode (xn--…)")
    if not text.isascii() or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(f"{shown} has characters that must be percent-encoded")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{shown} is not an address such as http://chirpstack:8080")
    if parts.netloc.endswith(":"):
        raise ValueError(f"{shown} has no port after the colon: was a variable expanded to nothing?")
    return text


def server_url(text: str) -> str:
    parts = urlsplit(url(text).rstrip("/#"))
    path = parts.path + ("#" + parts.fragment if parts.fragment else "")
    for end in ("/api/internal/login", "/#/login", "#/login", "/api"):
        if path.endswith(end):
            root = f"{parts.scheme}://{parts.netloc}{path.removesuffix(end)}"
            raise ValueError(f"ends in {end}; use the server's root: {root}")
    if parts.query or parts.fragment:
        raise ValueError(
            f"it has a query or a fragment; use the server's root: {parts.scheme}://{parts.netloc}{parts.path}"
        )
    return parts.geturl()


def name(text: str) -> str:
    """1 to 100 characters; v3 counts bytes and needs a non-blank one since v3.13.0 (contract §3.6)."""
    text = with_hostname(text)
    if not text.strip() or len(text) > 100 or not text.isprintable():
        raise ValueError("must have 1 to 100 printable characters that are not all blank")
    return text


def with_hostname(text: str) -> str:
    if "{hostname}" not in text:
        return text
    import socket

    return text.replace("{hostname}", socket.gethostname())


_KINDS = {"organisation": "organization", "org": "organization", "app": "application"}


def scope(text: str) -> Scope:
    kind, _, ref = (part.strip() for part in text.partition(":"))
    kind = _KINDS.get(kind.lower(), kind.lower())
    if (kind == "admin" and ":" not in text) or (kind in ("tenant", "organization", "application") and ref):
        return Scope(kind, ref)
    raise ValueError(f"{text!r} is none of admin, tenant:NAME-OR-ID, organization:NAME-OR-ID, application:NAME-OR-ID")


def identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(f"{text!r} is not the name of a variable: letters, digits and _ only")
    return text


def mode(text: str) -> int:
    if not re.fullmatch(r"0?o?[0-7]{3}", text) or not int(text[-3:], 8) & 0o400:
        raise ValueError(f"{text!r} is not a mode such as 0644 that lets the owner read")
    owner, group, others = (int(digit) for digit in text[-3:])
    if group & ~owner or others & ~group:
        # YAML reads a bare 0640 as a number, and Compose passes it on as 416.
        raise ValueError(f"{text!r} allows more to others than to the owner: in YAML, a mode stands in quotes")
    return int(text[-3:], 8)


def output(text: str) -> str:
    texts.expect_path(text)
    name = text.rsplit("/", 1)[-1]
    if name in ("", ".", ".."):
        raise ValueError(f"{text} is a folder, not a file: was a variable expanded to nothing?")
    if name.startswith(".") and name.endswith((".state", ".env-state")):
        raise ValueError(f"{text} has a name as the job's own state files have: take another one")
    return text


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123


def secret(text: str) -> str:
    """[NAMESPACE/]NAME; the names that the API server allows."""
    if not re.fullmatch(rf"(?:{_LABEL}/)?(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*", text, re.ASCII):
        raise ValueError(
            f"{text!r} is not [NAMESPACE/]NAME of a Secret: lower-case letters, digits and -, in the name also ."
        )
    return text


def pem_file(path: str) -> str:
    """Whether there are certificates in it is for the TLS library to say; this is what it would not name."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        # The library opens it once more, and would wait for ever for what a FIFO has given already.
        raise ValueError(f"{path} is no plain file, and it is read twice: save what it gives in one")
    content = texts.read_bytes(path)
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or content[1:2] == b"\0":
        raise ValueError(f"{path} begins with a byte order mark, or is UTF-16: save it as ASCII")
    return path


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.1
_OURS = re.compile(
    r"authorization|grpc-.*|content-.*|host|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer",
    re.IGNORECASE,
)


def headers_file(path: str) -> tuple[tuple[str, str], ...]:
    """Names and values; nothing of a line that is wrong is quoted, since it is a secret."""
    found: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(texts.read_file(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, value = (part.strip() for part in line.partition(":"))
        if not _TOKEN.fullmatch(name) or not value:
            raise ValueError(f"{path}, line {number}: not of the form Name: value")
        if _OURS.fullmatch(name):
            raise ValueError(f"{path}, line {number}: {name} is for the job itself to send")
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"{path}, line {number}: only printable ASCII characters can be sent in a header")
        if name.lower() in found:
            raise ValueError(f"{path}, line {number}: {name} is there twice")
        found[name.lower()] = (name, value)
    if not found:
        raise ValueError(f"{path} has no header in it")
    return tuple(found.values())


def unsupported(api: str, scope: Scope) -> str:
    """Why this API has no such scope; empty if it has."""
    if api == "v3" and scope.kind == "tenant":
        return "ChirpStack v3 has organizations, not tenants: organization:NAME-OR-ID"
    if api == "v4" and scope.kind == "organization":
        return "ChirpStack v4 has tenants, not organizations: tenant:NAME-OR-ID"
    if api == "v4" and scope.kind == "application":
        return "ChirpStack v4 has no keys for one application: tenant:NAME-OR-ID is the smallest scope"
    return ""
