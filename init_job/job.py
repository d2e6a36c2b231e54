"""What every command works with: the outputs, the state, the server, and one deadline for all of it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from init_job import log, state
from init_job.errors import AccountError, ConfigurationError, InitJobError, Unavailable
from init_job.outputs.env_file import EnvFile
from init_job.outputs.interface import IssuedKey, Output
from init_job.outputs.json_file import JsonFile
from init_job.outputs.token_file import TokenFile
from init_job.servers.detect import GENERATIONS, detect
from init_job.servers.http import Http
from init_job.servers.interface import Key, ResolvedScope, Server, TokenStatus
from init_job.settings import Settings
from init_job.state import MadeKey, State, StateFile
from init_job.tokens import read_claims
from init_job.wait import Once, Patience


@dataclass(frozen=True)
class SavedToken:
    """An API token found in an output."""

    token: str
    key_id: str
    output: str


class Job:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.patience = Patience(settings.wait_timeout)
        self.outputs = [
            Output(form, path, settings.file_mode)
            for form, path in (
                (TokenFile(), settings.token_file),
                (EnvFile(settings.env_var), settings.env_file),
                (JsonFile(), settings.json_file),
            )
            if path
        ]
        self.memory = StateFile()
        self.lacking: list[str] = []
        """Names of the files without a token, once `saved_tokens` has looked."""
        self._likely_api = ""
        self._http = Http(settings)
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = self._connect()
        return self._server

    @contextlib.contextmanager
    def remembering(self, read_only: bool) -> Iterator[None]:
        """The state file: locked for this job, or only looked at."""
        path = next((state.path_beside(output.path) for output in self.outputs if not output.is_stdout), "")
        if not path or read_only:
            self.memory = StateFile(state.peek(path) if path else State())
            yield
            return
        with state.locked(path, self.patience.left) as self.memory:
            yield

    def saved_tokens(self) -> list[SavedToken]:
        """Each distinct token once, in the order of the outputs. Raises OutputError."""
        found: dict[str, SavedToken] = {}
        for output in self.outputs:
            if token := output.read():
                claims = read_claims(token)
                found.setdefault(token, SavedToken(token, claims.key_id, str(output)))
                self._likely_api = claims.api
            elif not output.is_stdout:
                self.lacking.append(str(output))
        return list(found.values())

    def remembers(self, saved: list[SavedToken]) -> MadeKey | None:
        """The key of the only saved token, if this job made it under exactly these settings and finished its work."""
        made, asked = self.memory.state.key, self.settings
        if made is None or self.memory.state.intent is not None or [one.key_id for one in saved] != [made.id]:
            return None
        same = (made.server, made.name, made.scope, made.read_only) == (
            asked.url, asked.key_name, str(asked.scope), asked.read_only,
        )  # fmt: skip
        return made if same else None

    def still_works(self, made: MadeKey, saved: SavedToken) -> bool:
        """One request when it does. Any doubt is a no: then the server is waited for and asked for everything."""
        if self.settings.health_url or self.settings.api not in ("auto", made.api):
            return self.check(saved.token).works
        try:
            return GENERATIONS[made.api](self._http, Once()).check_token(saved.token, made.id).works
        except Unavailable:
            return self.check(saved.token).works

    def _connect(self) -> Server:
        settings, likely = self.settings, self._likely_api
        server = detect(self._http, self.patience, settings.api, likely, settings.health_url)
        log.info("ready", f"ChirpStack {server.api} at {settings.url} is ready", api=server.api)
        return server

    def log_in(self) -> None:
        """Raises ConfigurationError without a password, AccountError when it is refused."""
        email, password, initial = self.settings.email, self.settings.password, self.settings.initial_password
        self.need_password()
        server = self.server
        if server.log_in(email, password):
            self._warn_of_default_password()
            return
        if initial and server.log_in(email, initial):
            server.set_password(password)
            log.info("password-set", f"set CHIRPSTACK_PASSWORD as the password of {email}", account=email)
            if server.log_in(email, password):
                self._warn_of_default_password()
                return
        raise AccountError(
            f"the server refused the login of {email}" + (", with the initial password as well" if initial else ""),
            "check CHIRPSTACK_EMAIL and CHIRPSTACK_PASSWORD; an account that signs in with OpenID Connect only has no "
            "password here: use a local one",
        )

    def _warn_of_default_password(self) -> None:
        """Everybody knows admin/admin. It costs a login where the job itself uses another account."""
        if not self.settings.warn_default_password:
            return
        default, (email, password) = "admin", (self.settings.email, self.settings.password)
        try:
            answers = password == default if email == default else self.server.accepts(default, default)
        except (InitJobError, Unavailable):
            return  # a warning is not worth a failure
        if answers:
            log.warning(
                "default-password",
                "the account admin still has the password admin: change it in the web interface, or on the first boot "
                "with CHIRPSTACK_INITIAL_PASSWORD=admin; WARN_DEFAULT_PASSWORD=false silences this",
            )

    def need_password(self) -> None:
        if not self.settings.password:
            raise ConfigurationError(
                "CHIRPSTACK_PASSWORD is not set, and without a login there is no telling which key a token belongs to",
                "set CHIRPSTACK_PASSWORD, or CHIRPSTACK_PASSWORD_FILE to a file with the password",
            )

    def list_keys(self, scope: ResolvedScope) -> list[Key]:
        return self.server.list_keys(scope, self.settings.key_name)

    def delete_key(self, key_id: str) -> None:
        self.server.delete_key(key_id)
        log.info("deleted", f"deleted key {key_id} on the server", id=key_id)

    def check(self, token: str) -> TokenStatus:
        return self.server.check_token(token, read_claims(token).key_id)

    def made_key(self, key_id: str) -> MadeKey:
        """What to remember of a key made under these settings."""
        asked, server, before = self.settings, self.server, self.memory.state.key
        created = before.created if before and before.id == key_id else ""
        return MadeKey(
            key_id, asked.key_name, str(asked.scope), asked.read_only, asked.url, server.api, server.version, created
        )

    def write_outputs(self, token: str, made: MadeKey) -> list[str]:
        """Names of the outputs that had to change. Raises OutputError."""
        issued = IssuedKey(token, made.id, made.name, made.scope, made.read_only, made.server, made.api, made.version)
        return [str(output) for output in self.outputs if output.write(issued)]

    def prove_outputs(self) -> None:
        """With a key as large as one gets. Raises OutputError."""
        asked, filler = self.settings, "0" * 300
        token = f"{filler}.{filler}.{filler}"
        issued = IssuedKey(token, filler, asked.key_name, str(asked.scope), asked.read_only, asked.url, filler, filler)
        for output in self.outputs:
            output.prove_writable(issued)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def age(made: MadeKey) -> float:
    """Seconds since the key was made; endless when that is not known."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(made.created)).total_seconds()
    except (ValueError, TypeError):
        return float("inf")
