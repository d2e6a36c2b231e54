"""The environment, a `.env` file and `NAME_FILE` files, as one frozen Settings.

VARIABLES is the one table of them: it is what is parsed, what `--help` prints and what the README is checked against.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from init_job import log
from init_job.errors import ConfigurationError


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


@dataclass(frozen=True)
class Settings:
    """What the user asked for. Times in seconds, paths as given."""

    url: str
    """Without a slash at its end."""
    api: str
    email: str
    password: str
    """Empty when it was not given."""
    initial_password: str
    ca_file: str
    client_cert_file: str
    client_key_file: str
    tls_verify: bool
    health_url: str
    wait_timeout: float
    request_timeout: float
    key_name: str
    scope: Scope
    read_only: bool
    on_lost_token: OnLostToken
    token_file: str
    env_file: str
    env_var: str
    json_file: str
    file_mode: int
    """-1: each output's own default."""
    warn_default_password: bool
    log_format: str
    log_level: str


def _text(text: str) -> str:
    return text


def _one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"{text!r} is none of {', '.join(values)}")
        return text

    return parse


def _on_lost_token(text: str) -> OnLostToken:
    return OnLostToken(_one_of(*(choice.value for choice in OnLostToken))(text))


def _boolean(text: str) -> bool:
    return _one_of("true", "false")({"1": "true", "0": "false"}.get(text, text.lower())) == "true"


def duration(text: str) -> float:
    """Seconds. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", text, re.ASCII)
    if not match:
        raise ValueError(f"{text!r} is not a duration such as 90, 90s, 5m or 0")
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}[match[2]]


def _timeout(text: str) -> float:
    if not 0 < (seconds := duration(text)) <= 3600:
        raise ValueError(f"{text!r} is not between 1ms and 1h")
    return seconds


def _url(text: str) -> str:
    url = urlsplit(text)  # raises ValueError for an address that cannot be
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"{text!r} is not an address such as http://chirpstack:8080")
    if url.username is not None or url.password is not None:
        raise ValueError("user and password do not belong into it: use CHIRPSTACK_EMAIL and CHIRPSTACK_PASSWORD")
    if not text.isascii() or any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(f"{text!r} has characters that must be percent-encoded")
    _ = url.port  # raises ValueError when it is no number or out of range
    return text


def _server_url(text: str) -> str:
    url = urlsplit(_url(text).rstrip("/"))
    path = url.path + ("#" + url.fragment if url.fragment else "")
    for end in ("/api/internal/login", "/#/login", "#/login", "/api"):
        if path.endswith(end):
            root = f"{url.scheme}://{url.netloc}{path.removesuffix(end)}"
            raise ValueError(f"ends in {end}; use the server's root: {root}")
    if url.query or url.fragment:
        raise ValueError(
            f"{text!r} has a query or a fragment; use the server's root: {url.scheme}://{url.netloc}{url.path}"
        )
    return url.geturl()


def _name(text: str) -> str:
    """1 to 100 characters; v3 counts bytes and needs a non-blank one since v3.13.0 (contract §3.6)."""
    if "{hostname}" in text:
        import socket

        text = text.replace("{hostname}", socket.gethostname())
    if not text.strip() or len(text) > 100 or not text.isprintable():
        raise ValueError("must have 1 to 100 printable characters that are not all blank")
    return text


def _scope(text: str) -> Scope:
    kind, _, ref = text.partition(":")
    if text == "admin" or (kind in ("tenant", "organization", "application") and ref.strip()):
        return Scope(kind, ref)
    raise ValueError(f"{text!r} is none of admin, tenant:NAME-OR-ID, organization:NAME-OR-ID, application:ID")


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(f"{text!r} is not the name of a variable: letters, digits and _ only")
    return text


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?o?[0-7]{3}", text) or not int(text[-3:], 8) & 0o400:
        raise ValueError(f"{text!r} is not a mode such as 0644 that lets the owner read")
    return int(text[-3:], 8)


def _readable_file(text: str) -> str:
    _read_file(text)
    return text


@dataclass(frozen=True)
class Variable:
    name: str
    field: str
    parse: Callable[[str], Any]
    default: str
    """As a user would write it; empty when there is none."""
    meaning: str
    secret: bool = False

    @property
    def from_file(self) -> str:
        """The variable that names a file with the value; a variable that is itself a path has none."""
        return "" if self.name.endswith("_FILE") else self.name + "_FILE"


VARIABLES = (
    Variable("CHIRPSTACK_URL", "url", _server_url, "http://chirpstack:8080",
             "the server, or the proxy in front of it; a path prefix is kept"),
    Variable("CHIRPSTACK_API", "api", _one_of("auto", "v3", "v4"), "auto",
             "v3 (Application Server, REST), v4 (gRPC-Web), or auto: find out"),
    Variable("CHIRPSTACK_EMAIL", "email", _text, "admin", "the account that logs in"),
    Variable("CHIRPSTACK_PASSWORD", "password", _text, "",
             "its password; required unless a saved token works", secret=True),
    Variable("CHIRPSTACK_INITIAL_PASSWORD", "initial_password", _text, "",
             "first boot: log in with it if the password is refused, then set CHIRPSTACK_PASSWORD", secret=True),
    Variable("CHIRPSTACK_CA_FILE", "ca_file", _readable_file, "",
             "trust the CA certificates in this PEM file instead of the system's"),
    Variable("CHIRPSTACK_CLIENT_CERT_FILE", "client_cert_file", _readable_file, "",
             "certificate for mutual TLS, PEM"),
    Variable("CHIRPSTACK_CLIENT_KEY_FILE", "client_key_file", _readable_file, "",
             "its key, if it is not in the same file"),
    Variable("CHIRPSTACK_TLS_VERIFY", "tls_verify", _boolean, "true",
             "false: accept any certificate (warns on every run)"),
    Variable("HEALTH_URL", "health_url", _url, "",
             "also wait until this address answers 2xx (the server's monitoring /health)"),
    Variable("WAIT_TIMEOUT", "wait_timeout", duration, "300s",
             "how long the server may take to become ready: 90, 90s, 5m; 0 is one try"),
    Variable("REQUEST_TIMEOUT", "request_timeout", _timeout, "10s",
             "limit for one request, from the connect to the whole answer"),
    Variable("API_KEY_NAME", "key_name", _name, "init-job",
             "name of the key, 1 to 100 characters; {hostname} stands for this machine's name"),
    Variable("API_KEY_SCOPE", "scope", _scope, "admin",
             "admin; v4: tenant:NAME-OR-ID; v3: organization:NAME-OR-ID, application:NAME-OR-ID"),
    Variable("API_KEY_READ_ONLY", "read_only", _boolean, "false", "a key that only reads (v4.17 and later)"),
    Variable("ON_LOST_TOKEN", "on_lost_token", _on_lost_token, "fail",
             "the key exists and its token is lost: fail, replace the key, or add another one"),
    Variable("TOKEN_FILE", "token_file", _text, "", "write the bare token here; - is standard output"),
    Variable("ENV_FILE", "env_file", _text, "", "set ENV_VAR in this .env file"),
    Variable("ENV_VAR", "env_var", _identifier, "CHIRPSTACK_API_TOKEN", "the variable to set in ENV_FILE"),
    Variable("JSON_FILE", "json_file", _text, "",
             "write a JSON object with the token, the key's id and where it belongs; - is standard output"),
    Variable("FILE_MODE", "file_mode", _mode, "",
             "mode of a file that the job creates; 0644 unless set, 0600 for ENV_FILE"),
    Variable("WARN_DEFAULT_PASSWORD", "warn_default_password", _boolean, "true",
             "false: do not warn that the account admin still has the password admin"),
    Variable("LOG_FORMAT", "log_format", _one_of("text", "json"), "text", "json: one object a line"),
    Variable("LOG_LEVEL", "log_level", _one_of("debug", "info", "warning", "error"), "info",
             "debug, info, warning or error"),
)  # fmt: skip

_OUTPUTS = ("TOKEN_FILE", "ENV_FILE", "JSON_FILE")
_NAMES = {name for variable in VARIABLES for name in (variable.name, variable.from_file) if name}


def load(environ: Mapping[str, str], env_file: str = "", outputs: Mapping[str, str] | None = None) -> Settings:
    """The settings from the environment, completed from `env_file` (default: `.env` here, if there is one).

    `outputs` stand in the place of all outputs that are set there.
    Raises ConfigurationError with all the problems at once.
    """
    problems: list[str] = []
    given = {**_dotenv(env_file, problems), **{name: value for name, value in environ.items() if value}}
    if outputs is not None:
        given = {name: value for name, value in given.items() if name not in _OUTPUTS} | dict(outputs)
    values: dict[str, Any] = {"file_mode": -1}
    for variable in VARIABLES:
        try:
            text = _given_text(variable, given) or variable.default
            if variable.secret:
                log.hide(text)
            values.setdefault(variable.field, "")
            if text:
                values[variable.field] = variable.parse(text)
        except ValueError as error:
            problems.append(f"{variable.name}: {error}")
    problems += _contradictions(values)
    if problems:
        count = "is a problem" if len(problems) == 1 else f"are {len(problems)} problems"
        raise ConfigurationError(
            f"there {count} in the settings: {'; '.join(problems)}",
            "correct the variables named above; --help lists all of them",
        )
    _point_out_typos(given, values["env_var"])
    return Settings(**{field.name: values[field.name] for field in fields(Settings)})


def _given_text(variable: Variable, given: Mapping[str, str]) -> str:
    """The value as text, from the variable or from the file that NAME_FILE names. Raises ValueError."""
    path = given.get(variable.from_file, "")
    if not path:
        return given.get(variable.name, "")
    if variable.name in given:
        raise ValueError(f"{variable.name} and {variable.from_file} are both set")
    try:
        text = _read_file(path)
    except ValueError as error:
        raise ValueError(f"{variable.from_file}: {error}") from error
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{variable.from_file}: {path} is empty")
    return text


def _read_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file") from error


def _dotenv(env_file: str, problems: list[str]) -> dict[str, str]:
    path = env_file or ".env"
    if not env_file and not os.path.isfile(path):
        return {}
    import io

    import dotenv  # a run without a `.env` does not pay for the import

    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        problems.append(f"cannot read {path}: {error.strerror}")
        return {}
    values = dotenv.dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in values.items() if value}


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    """What each variable for itself does not show."""
    problems = []
    outputs = [values.get(field) for field in ("token_file", "env_file", "json_file")]
    paths = [os.path.abspath(path) if path != "-" else "standard output" for path in outputs if path]
    if not paths:
        problems.append("no output: set TOKEN_FILE, ENV_FILE or JSON_FILE")
    problems += [f"{path} is named by two outputs" for path in sorted(set(paths)) if paths.count(path) > 1]
    if values.get("env_file") == "-":
        problems.append("ENV_FILE: standard output is no .env file; use TOKEN_FILE or JSON_FILE")
    if values.get("client_key_file") and not values.get("client_cert_file"):
        problems.append("CHIRPSTACK_CLIENT_KEY_FILE is set without CHIRPSTACK_CLIENT_CERT_FILE")
    api, scope = values.get("api"), values.get("scope")
    if scope and unsupported(str(api), scope):
        problems.append(f"API_KEY_SCOPE: {unsupported(str(api), scope)}")
    if values.get("read_only") and api == "v3":
        problems.append("API_KEY_READ_ONLY: ChirpStack v3 has no read-only keys")
    password = values.get("password", "")
    if values.get("initial_password") and 0 < len(password) < 6 and len(password.encode()) < 8:
        # Contract §3.10: v3 wants 6 characters, v4 since v4.17 8 bytes. A longer one is the server's to refuse.
        problems.append("CHIRPSTACK_PASSWORD: too short to be set as a new password: 6 characters on v3, 8 on v4")
    return problems


def unsupported(api: str, scope: Scope) -> str:
    """Why this API has no such scope; empty if it has."""
    if api == "v3" and scope.kind == "tenant":
        return "ChirpStack v3 has organizations, not tenants: organization:NAME-OR-ID"
    if api == "v4" and scope.kind == "organization":
        return "ChirpStack v4 has tenants, not organizations: tenant:NAME-OR-ID"
    if api == "v4" and scope.kind == "application":
        return "ChirpStack v4 has no keys for one application: tenant:NAME-OR-ID is the smallest scope"
    return ""


def _point_out_typos(given: Mapping[str, str], env_var: str) -> None:
    import difflib

    for name in sorted(given.keys() - _NAMES - {env_var}):
        # NAME_2 is somebody's second NAME, not a slip.
        if name[-1:].isdigit():
            continue
        meant = difflib.get_close_matches(name.upper(), _NAMES, n=1, cutoff=0.92)
        if meant:
            log.warning(
                "unknown-variable", f"{name} is not a variable of this job; was {meant[0]} meant?", variable=name
            )
