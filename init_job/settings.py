"""The environment, a `.env` file and `NAME_FILE` files, as one frozen Settings.

VARIABLES is the one table of them: it is what is parsed, what `--help` prints and what the README is checked against.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from init_job import log, values
from init_job.errors import ConfigurationError
from init_job.values import OnLostToken, Scope


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
    Variable("CHIRPSTACK_URL", "url", values.server_url, "http://chirpstack:8080",
             "the server, or the proxy in front of it; a path prefix is kept"),
    Variable("CHIRPSTACK_API", "api", values.one_of("auto", "v3", "v4"), "auto",
             "v3 (Application Server, REST), v4 (gRPC-Web), or auto: find out"),
    Variable("CHIRPSTACK_EMAIL", "email", str, "admin", "the account that logs in"),
    Variable("CHIRPSTACK_PASSWORD", "password", str, "",
             "its password; required unless a saved token works", secret=True),
    Variable("CHIRPSTACK_INITIAL_PASSWORD", "initial_password", str, "",
             "first boot: log in with it if the password is refused, then set CHIRPSTACK_PASSWORD", secret=True),
    Variable("CHIRPSTACK_CA_FILE", "ca_file", values.readable_file, "",
             "trust the CA certificates in this PEM file instead of the system's"),
    Variable("CHIRPSTACK_CLIENT_CERT_FILE", "client_cert_file", values.readable_file, "",
             "certificate for mutual TLS, PEM"),
    Variable("CHIRPSTACK_CLIENT_KEY_FILE", "client_key_file", values.readable_file, "",
             "its key, if it is not in the same file"),
    Variable("CHIRPSTACK_TLS_VERIFY", "tls_verify", values.boolean, "true",
             "false: accept any certificate (warns on every run)"),
    Variable("HEALTH_URL", "health_url", values.url, "",
             "also wait until this address answers 2xx (the server's monitoring /health)"),
    Variable("WAIT_TIMEOUT", "wait_timeout", values.duration, "300s",
             "how long the server may take to become ready: 90, 90s, 5m; 0 is one try"),
    Variable("REQUEST_TIMEOUT", "request_timeout", values.timeout, "10s",
             "limit for one request, from the connect to the whole answer"),
    Variable("API_KEY_NAME", "key_name", values.name, "init-job",
             "name of the key, 1 to 100 characters; {hostname} stands for this machine's name"),
    Variable("API_KEY_SCOPE", "scope", values.scope, "admin",
             "admin; v4: tenant:NAME-OR-ID; v3: organization:NAME-OR-ID, application:NAME-OR-ID"),
    Variable("API_KEY_READ_ONLY", "read_only", values.boolean, "false", "a key that only reads (v4.17 and later)"),
    Variable("ON_LOST_TOKEN", "on_lost_token", values.on_lost_token, "fail",
             "the key exists and its token is lost: fail, replace the key, or add another one"),
    Variable("TOKEN_FILE", "token_file", str, "", "write the bare token here; - is standard output"),
    Variable("ENV_FILE", "env_file", str, "", "set ENV_VAR in this .env file"),
    Variable("ENV_VAR", "env_var", values.identifier, "CHIRPSTACK_API_TOKEN", "the variable to set in ENV_FILE"),
    Variable("JSON_FILE", "json_file", str, "",
             "write a JSON object with the token, the key's id and where it belongs; - is standard output"),
    Variable("FILE_MODE", "file_mode", values.mode, "",
             "mode of a file that the job creates; 0644 unless set, 0600 for ENV_FILE"),
    Variable("WARN_DEFAULT_PASSWORD", "warn_default_password", values.boolean, "true",
             "false: do not warn that the account admin still has the password admin"),
    Variable("LOG_FORMAT", "log_format", values.one_of("text", "json"), "text", "json: one object a line"),
    Variable("LOG_LEVEL", "log_level", values.one_of("debug", "info", "warning", "error"), "info",
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
    chosen: dict[str, Any] = {"file_mode": -1}
    for variable in VARIABLES:
        try:
            text = _given_text(variable, given) or variable.default
            if variable.secret:
                log.hide(text)
            chosen.setdefault(variable.field, "")
            if text:
                chosen[variable.field] = variable.parse(text)
        except ValueError as error:
            problems.append(f"{variable.name}: {error}")
    problems += _contradictions(chosen)
    if problems:
        count = "is a problem" if len(problems) == 1 else f"are {len(problems)} problems"
        raise ConfigurationError(
            f"there {count} in the settings: {'; '.join(problems)}",
            "correct the variables named above; --help lists all of them",
        )
    _point_out_typos(given, chosen["env_var"])
    return Settings(**{field.name: chosen[field.name] for field in fields(Settings)})


def _given_text(variable: Variable, given: Mapping[str, str]) -> str:
    """The value as text, from the variable or from the file that NAME_FILE names. Raises ValueError."""
    path = given.get(variable.from_file, "")
    if not path:
        return given.get(variable.name, "")
    if variable.name in given:
        raise ValueError(f"{variable.name} and {variable.from_file} are both set")
    try:
        text = values.read_file(path)
    except ValueError as error:
        raise ValueError(f"{variable.from_file}: {error}") from error
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{variable.from_file}: {path} is empty")
    return text


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
    found = dotenv.dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in found.items() if value}


def _contradictions(chosen: Mapping[str, Any]) -> list[str]:
    """What each variable for itself does not show."""
    problems = []
    outputs = [chosen.get(field) for field in ("token_file", "env_file", "json_file")]
    paths = [os.path.abspath(path) if path != "-" else "standard output" for path in outputs if path]
    if not paths:
        problems.append("no output: set TOKEN_FILE, ENV_FILE or JSON_FILE")
    problems += [f"{path} is named by two outputs" for path in sorted(set(paths)) if paths.count(path) > 1]
    if chosen.get("env_file") == "-":
        problems.append("ENV_FILE: standard output is no .env file; use TOKEN_FILE or JSON_FILE")
    if chosen.get("client_key_file") and not chosen.get("client_cert_file"):
        problems.append("CHIRPSTACK_CLIENT_KEY_FILE is set without CHIRPSTACK_CLIENT_CERT_FILE")
    api, scope = chosen.get("api"), chosen.get("scope")
    if scope and values.unsupported(str(api), scope):
        problems.append(f"API_KEY_SCOPE: {values.unsupported(str(api), scope)}")
    if chosen.get("read_only") and api == "v3":
        problems.append("API_KEY_READ_ONLY: ChirpStack v3 has no read-only keys")
    password = chosen.get("password", "")
    if chosen.get("initial_password") and 0 < len(password) < 6 and len(password.encode()) < 8:
        # Contract §3.10: v3 wants 6 characters, v4 since v4.17 8 bytes. A longer one is the server's to refuse.
        problems.append("CHIRPSTACK_PASSWORD: too short to be set as a new password: 6 characters on v3, 8 on v4")
    return problems


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
