"""What may be asked for. VARIABLES is the one table of it: it is what is parsed, what `--help` prints and what the
documents are checked against."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from init_job import values
from init_job.account import Account
from init_job.values import OnLostToken, Scope

Called = Callable[..., str]
"""A setting of a key, perhaps with a value, as its user would write it."""


def as_variable(name: str, value: str = "") -> str:
    return f"{name}={value}" if value else name


def as_field(name: str, value: str = "") -> str:
    """In KEYS_FILE."""
    field = next(one.field for one in VARIABLES if one.name == name)
    return f'{field} = "{value}"' if value else field


@dataclass(frozen=True)
class KeySettings:
    """What the user asked for of one key. Paths as given."""

    name: str
    scope: Scope
    read_only: bool
    on_lost_token: OnLostToken
    token_file: str
    env_file: str
    env_var: str
    env_scope_id_var: str
    json_file: str
    kubernetes_secret: str
    """NAMESPACE/NAME."""
    file_mode: int
    """-1: each output's own default."""
    called: Called = field(default=as_variable, repr=False, compare=False)
    """For messages."""


@dataclass(frozen=True)
class Settings:
    """What the user asked for of the run, and the keys. Times in seconds, paths as given."""

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
    headers: tuple[tuple[str, str], ...]
    """Further ones for what stands before the server; the values are secret."""
    health_url: str
    wait_timeout: float
    request_timeout: float
    warn_default_password: bool
    log_format: str
    log_level: str
    keys_file: str
    """Empty: there is one key, and the variables say which."""
    keys: tuple[KeySettings, ...]
    left_out: tuple[tuple[str, Scope], ...] = ()
    """Names and scopes of the keys in that file that are not the run's."""
    account: Account | None = None
    """The pod's, where a key is asked for in a Secret."""


@dataclass(frozen=True)
class Variable:
    name: str
    field: str
    parse: Callable[[str], Any]
    default: str
    """As a user would write it; empty when there is none."""
    meaning: str
    secret: bool = False
    unset: Any = ""
    """What the field is without a value and a default."""

    @property
    def otherwise(self) -> Any:
        """The field where no value is given."""
        return self.parse(self.default) if self.default else self.unset

    @property
    def from_file(self) -> str:
        """The variable that names a file with the value; a variable that is itself a path has none."""
        return "" if self.name.endswith("_FILE") else self.name + "_FILE"


VARIABLES = (
    Variable("CHIRPSTACK_URL", "url", values.server_url, "http://chirpstack:8080",
             "the server, or the proxy in front of it; a path prefix is kept"),
    Variable("CHIRPSTACK_API", "api", values.api, "auto",
             "v3 (Application Server, REST), v4 (gRPC-Web), or auto: find out"),
    Variable("CHIRPSTACK_EMAIL", "email", str, "admin", "the account that logs in"),
    Variable("CHIRPSTACK_PASSWORD", "password", str, "",
             "its password; required unless a saved token works", secret=True),
    Variable("CHIRPSTACK_INITIAL_PASSWORD", "initial_password", str, "",
             "first boot: log in with it if the password is refused, then set CHIRPSTACK_PASSWORD", secret=True),
    Variable("CHIRPSTACK_CA_FILE", "ca_file", values.pem_file, "",
             "trust the CA certificates in this PEM file instead of the system's"),
    Variable("CHIRPSTACK_CLIENT_CERT_FILE", "client_cert_file", values.pem_file, "",
             "certificate for mutual TLS, PEM"),
    Variable("CHIRPSTACK_CLIENT_KEY_FILE", "client_key_file", values.pem_file, "",
             "its key, if it is not in the same file"),
    Variable("CHIRPSTACK_TLS_VERIFY", "tls_verify", values.boolean, "true",
             "false: accept any certificate (warns on every run)"),
    Variable("CHIRPSTACK_HEADERS_FILE", "headers", values.headers_file, "",
             "further request headers for a gate before the server: Name: value, one a line", unset=()),
    Variable("HEALTH_URL", "health_url", values.url, "",
             "also wait until this address answers 2xx (the server's monitoring /health)"),
    Variable("WAIT_TIMEOUT", "wait_timeout", values.duration, "300s",
             "how long the server may take to become ready: 90, 90s, 5m; 0 is one try"),
    Variable("REQUEST_TIMEOUT", "request_timeout", values.timeout, "10s",
             "limit for one request, from the connect to the whole answer"),
    Variable("KEYS_FILE", "keys_file", str, "",
             "several keys: a TOML file with a table [[key]] for each, and in it name, scope, token_file, … as below"),
    Variable("API_KEY_NAME", "name", values.name, "init-job",
             "name of the key, 1 to 100 characters; {hostname} stands for this machine's name"),
    Variable("API_KEY_SCOPE", "scope", values.scope, "admin",
             "admin; v4: tenant:NAME-OR-ID; v3: organization:NAME-OR-ID, application:NAME-OR-ID"),
    Variable("API_KEY_READ_ONLY", "read_only", values.boolean, "false", "a key that only reads (v4.17 and later)"),
    Variable("ON_LOST_TOKEN", "on_lost_token", values.on_lost_token, "fail",
             "the key exists and its token is lost: fail, replace the key, or add another one"),
    Variable("TOKEN_FILE", "token_file", values.output, "", "write the bare token here; - is standard output"),
    Variable("ENV_FILE", "env_file", values.output, "", "set ENV_VAR in this .env file"),
    Variable("KUBERNETES_SECRET", "kubernetes_secret", values.secret, "",
             "[NAMESPACE/]NAME: set ENV_VAR in this Secret; in a pod whose service account may get and patch it"),
    Variable("ENV_VAR", "env_var", values.identifier, "CHIRPSTACK_API_TOKEN",
             "the variable to set in ENV_FILE, and the key in KUBERNETES_SECRET"),
    Variable("ENV_SCOPE_ID_VAR", "env_scope_id_var", values.identifier, "",
             "also set this variable there: the id of the key's tenant, organization or application"),
    Variable("JSON_FILE", "json_file", values.output, "",
             "write a JSON object with the token, the key's id and where it belongs; - is standard output"),
    Variable("FILE_MODE", "file_mode", values.mode, "",
             "mode of a file that the job creates; 0644 unless set, 0600 for ENV_FILE", unset=-1),
    Variable("WARN_DEFAULT_PASSWORD", "warn_default_password", values.boolean, "true",
             "false: do not warn that the account admin still has the password admin"),
    Variable("LOG_FORMAT", "log_format", values.log_format, "text", "json: one object a line"),
    Variable("LOG_LEVEL", "log_level", values.log_level, "info",
             "debug, info, warning or error"),
)  # fmt: skip

OF_A_KEY = tuple(one for one in VARIABLES if one.field in {field.name for field in fields(KeySettings)})
FOR_ALL_KEYS = ("ON_LOST_TOKEN", "FILE_MODE")
"""With KEYS_FILE: for those keys in it that do not say otherwise."""
OUTPUTS = ("token_file", "env_file", "json_file", "kubernetes_secret")
"""Fields, of which a key needs one."""
