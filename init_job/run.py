"""What is common to all keys of a run: the server, the login, and one deadline for all of it."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from init_job import log, texts
from init_job.errors import AccountError, ConfigurationError, InitJobError, NotReady, ServerRefusal
from init_job.servers.detect import GENERATIONS, detect
from init_job.servers.http import Http
from init_job.servers.interface import ResolvedScope, Server
from init_job.settings import Settings
from init_job.wait import Once, Patience

if TYPE_CHECKING:
    from init_job.servers.kubernetes import Cluster


class Run:
    """`may_change` is the command's: without it nothing below changes anything. On the server all that does goes
    through `_change`, but for the create itself, which no such command comes to; a `Job` leaves the outputs alone."""

    def __init__(self, settings: Settings, may_change: bool) -> None:
        self.settings = settings
        self.may_change = may_change
        self.patience = Patience(settings.wait_timeout)
        self.likely_api = ""
        """Which generation to ask for first."""
        self._http = Http(settings)
        self._server: Server | None = None
        self._login: bool | AccountError = False
        """Whether it is done, or why it was refused: to be refused once for each key may lock the account."""
        self._owners: dict[tuple[str, ResolvedScope], object] = {}

    @cached_property
    def cluster(self) -> "Cluster":
        """The one that the job is a pod of."""
        from init_job.servers.kubernetes import Cluster

        if self.settings.account is None:
            raise ValueError("no key is asked for in a Secret")
        return Cluster(self.settings.account, self.settings, self.patience)

    @property
    def server(self) -> Server:
        if self._server is None:
            asked = self.settings
            with log.about(""):
                self._server = detect(self._http, self.patience, asked.api, self.likely_api, asked.health_url)
                api = self._server.api
                log.info("ready", f"ChirpStack {api} at {asked.url} is ready", api=api)
        return self._server

    @property
    def is_waited_for(self) -> bool:
        """Whether the server is still to be found, which may take as long as WAIT_TIMEOUT."""
        return self._server is None

    def is_reachable(self) -> bool:
        """Asked when the server was not ready for one key: whether another one is worth a try."""
        try:
            self.server.probe()
        except NotReady:
            return False
        return True

    def asked_once(self, api: str) -> Server:
        """The server, taken for one of this generation, without patience."""
        return GENERATIONS[api](self._http, Once())

    def claim(self, name: str, scope: ResolvedScope, owner: object) -> None:
        """A name in a scope belongs to one key of the run: two would take each other's for a lost one. Raises
        ConfigurationError."""
        if self._owners.setdefault((name, scope), owner) is not owner:
            raise ConfigurationError(
                f"another key of this run is {name!r} in scope {scope} already: its scope is written otherwise",
                "leave one of them out, or give it another name",
            )

    def log_in(self) -> None:
        """Once for all keys. Raises ConfigurationError without a password, AccountError when it is refused."""
        self.need_password()
        if isinstance(self._login, AccountError):
            raise self._login
        if not self._login:
            try:
                with log.about(""):
                    self._log_in()
            except AccountError as refused:
                self._login = refused
                raise
            self._login = True

    def _log_in(self) -> None:
        email, password, initial = self.settings.email, self.settings.password, self.settings.initial_password
        if not self.server.log_in(email, password):
            if initial and self.server.log_in(email, initial):
                if odd := texts.suspicious(password, surely=True):
                    raise ConfigurationError(
                        f"CHIRPSTACK_PASSWORD would be set as the password of {email}, and {odd}",
                        "correct it; a password that is meant so can be set in the web interface",
                    )
                what = f"set CHIRPSTACK_PASSWORD as the password of {email}"
                self._change(what, "password-set", what, self._set_password, account=email)
                return
            # Another job may have set it between the two.
            if not initial or not self.server.log_in(email, password):
                given = {"CHIRPSTACK_PASSWORD": password, "CHIRPSTACK_INITIAL_PASSWORD": initial}
                odd = "".join(f"; {name}: {what}" for name, one in given.items() if (what := texts.suspicious(one)))
                raise AccountError(
                    f"the server refused the login of {email}"
                    + (", with the initial password as well" if initial else ""),
                    f"check CHIRPSTACK_EMAIL and CHIRPSTACK_PASSWORD{odd}; an account that signs in with OpenID "
                    "Connect only has no password here: use a local one",
                )
        self._warn_of_default_password()

    def _set_password(self) -> None:
        try:
            self.server.set_password(self.settings.password)
        except ServerRefusal as refused:
            what = f"CHIRPSTACK_PASSWORD cannot take the place of the initial password of {self.settings.email}"
            raise ServerRefusal(f"{what}: {refused}", refused.hint) from refused

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
                "CHIRPSTACK_PASSWORD is not set, and without a login there is no way to list, make or delete keys",
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
