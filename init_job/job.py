"""What every command works with: the outputs, the state, the server, and one deadline for all of it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from init_job import log, state, texts
from init_job.errors import AccountError, ConfigurationError, InitJobError, Unavailable
from init_job.outputs.env_file import EnvFile
from init_job.outputs.interface import IssuedKey, Output
from init_job.outputs.json_file import JsonFile
from init_job.outputs.token_file import TokenFile
from init_job.servers.detect import GENERATIONS, detect
from init_job.servers.http import Http
from init_job.servers.interface import ResolvedScope, Server, TokenStatus
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
    """`may_change` is the command's: without it nothing below changes anything, on the server, on disk, in the
    account. All that does goes through `_change`, but for the create itself, which no such command comes to."""

    def __init__(self, settings: Settings, may_change: bool = True) -> None:
        self.settings = settings
        self.may_change = may_change
        self.patience = Patience(settings.wait_timeout)
        self.outputs = [
            Output(form, path, settings.file_mode)
            for form, path in (
                (TokenFile(), settings.token_file),
                (EnvFile(settings.env_var, settings.env_scope_id_var), settings.env_file),
                (JsonFile(), settings.json_file),
            )
            if path
        ]
        self.memory = StateFile()
        self.lacking: list[Output] = []
        """Those without a token, once `saved_tokens` has looked."""
        self._likely_api = ""
        self._http = Http(settings)
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        if self._server is None:
            asked = self.settings
            self._server = detect(self._http, self.patience, asked.api, self._likely_api, asked.health_url)
            api = self._server.api
            log.info("ready", f"ChirpStack {api} at {asked.url} is ready", api=api)
        return self._server

    @contextlib.contextmanager
    def remembering(self) -> Iterator[None]:
        """The state file: locked for this job, or only looked at."""
        path = next((output.memory for output in self.outputs if output.memory), "")
        if not path or not self.may_change:
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
            else:
                self.lacking.append(output)
        return list(found.values())

    def remembers(self, saved: list[SavedToken]) -> MadeKey | None:
        """The key of the only saved token, if this job made it under exactly these settings and finished its work."""
        made, asked = self.memory.state.key, self.settings
        if made is None or self.memory.state.intent is not None or [one.key_id for one in saved] != [made.id]:
            return None
        same = (made.identity, made.read_only) == (identity(asked), asked.read_only)
        return made if same else None

    def still_works(self, made: MadeKey, saved: SavedToken) -> bool:
        """One request when it does. Any doubt is a no: then the server is waited for and asked for everything."""
        scope = ResolvedScope(made.scope.partition(":")[0], made.scope_id)
        if not self.settings.health_url and self.settings.api in ("auto", made.api):
            try:
                return GENERATIONS[made.api](self._http, Once()).check_token(saved.token, made.id, scope).works
            except Unavailable:
                pass
        return self.check(saved, scope).works

    def check(self, saved: SavedToken, scope: ResolvedScope | None = None) -> TokenStatus:
        """`scope` is where the key is, as far as that is known."""
        api = read_claims(saved.token).api
        if api != self.server.api:
            return TokenStatus(False, f"it is a token of ChirpStack {api}, and the server is {self.server.api}")
        return self.server.check_token(saved.token, saved.key_id, scope)

    def log_in(self) -> None:
        """Raises ConfigurationError without a password, AccountError when it is refused."""
        email, password, initial = self.settings.email, self.settings.password, self.settings.initial_password
        self.need_password()
        if not self.server.log_in(email, password):
            if initial and self.server.log_in(email, initial):
                what = f"set CHIRPSTACK_PASSWORD as the password of {email}"
                self._change(what, "password-set", what, lambda: self.server.set_password(password))
                return
            # Another job may have set it between the two.
            if not initial or not self.server.log_in(email, password):
                odd = texts.suspicious(password)
                raise AccountError(
                    f"the server refused the login of {email}"
                    + (", with the initial password as well" if initial else ""),
                    f"check CHIRPSTACK_EMAIL and CHIRPSTACK_PASSWORD{f' ({odd})' if odd else ''}; an account that "
                    "signs in with OpenID Connect only has no password here: use a local one",
                )
        self._warn_of_default_password()

    def _warn_of_default_password(self) -> None:
        """Everybody knows admin/admin. It costs a login where the job itself uses another account."""
        if not self.settings.warn_default_password:
            return
        default, (email, password) = "admin", (self.settings.email, self.settings.password)
        try:
            answers = password == default if email == default else self.server.accepts(default, default)
        except InitJobError:
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
                "CHIRPSTACK_PASSWORD is not set, and without a login there is no way to make a key, nor to tell which "
                "key a token belongs to",
                "set CHIRPSTACK_PASSWORD, or CHIRPSTACK_PASSWORD_FILE to a file with the password",
            )

    def delete_key(self, key_id: str, because: str = "") -> None:
        key = f"key {key_id} on the server{f': {because}' if because else ''}"
        self._change(f"delete {key}", "deleted", f"deleted {key}", lambda: self.server.delete_key(key_id), id=key_id)

    def _change(self, what: str, event: str, done: str, action: Callable[[], object], **fields: str) -> None:
        if not self.may_change:
            log.info("would", f"would {what}", **fields)
            return
        action()
        log.info(event, done, **fields)

    def made_key(self, key_id: str, scope: ResolvedScope) -> MadeKey:
        """What to remember of a key made under these settings."""
        asked, server = self.settings, self.server
        created = next((made.created for made in self.memory.state.made if made.id == key_id), "")
        return MadeKey(
            key_id, asked.key_name, str(asked.scope), scope.id, asked.read_only, asked.url, server.api, server.version,
            created,
        )  # fmt: skip

    def write_outputs(self, token: str, made: MadeKey) -> list[str]:
        """Names of the outputs that had to change. Raises OutputError."""
        if not self.may_change:
            return [str(output) for output in self.lacking]
        issued = IssuedKey(
            token, made.id, made.name, made.scope, made.read_only, made.server, made.api, made.version, made.scope_id
        )
        return [str(output) for output in self.outputs if output.write(issued)]

    def empty_outputs(self, kept: set[str]) -> list[str]:
        """Names of the outputs from which the token is removed; the `kept` tokens stay. Raises OutputError."""
        held = [output for output in self.outputs if (token := output.text()) and token not in kept]
        return [str(output) for output in held if not self.may_change or output.remove()]

    def prove(self, outputs: list[Output]) -> None:
        """That they can be written, with a key as large as one gets. Raises OutputError."""
        asked, filler = self.settings, "0" * 300
        token = f"{filler}.{filler}.{filler}"
        issued = IssuedKey(
            token, filler, asked.key_name, str(asked.scope), asked.read_only, asked.url, filler, filler, filler
        )
        for output in outputs:
            output.prove_writable(issued)


def identity(asked: Settings) -> tuple[str, str, str]:
    return asked.url, asked.key_name, str(asked.scope)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def age(made: MadeKey) -> float:
    """Seconds since the key was made; endless when that is not known, as when a clock was wrong at the time."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(made.created)).total_seconds()
    except (ValueError, TypeError):
        return float("inf")
    return seconds if seconds >= 0 else float("inf")
