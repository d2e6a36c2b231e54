"""The simulator: one server of a version on a port of its own, and what a test may do to it."""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from tests.simulator.state import ApiKey, Owner, State, User, parse_version
from tests.simulator.v3 import V3
from tests.simulator.v4 import V4
from tests.simulator.wire import Drop, Listener, Request, Response

Api = Literal["v3", "v4"]
Database = Literal["postgres", "sqlite"]


class Simulator:
    """A context manager. Its data survives `restart`, as a database does.

    `starts_after`: seconds during which connections are refused. `starting_for`: seconds after that during
    which v3 answers 501 (v4 has no such stage). `database`: from v4.10 on SQLite unless PostgreSQL is asked
    for. `clock`: what the server takes for the time, also later as an attribute. `ui`: whether there is a page at `/`,
    or v4's page itself.
    """

    def __init__(
        self,
        api: Api,
        version: str,
        *,
        secret: str = "verysecret",
        starts_after: float = 0.0,
        starting_for: float = 0.0,
        ui: bool | bytes = True,
        host: str = "127.0.0.1",
        port: int = 0,
        health: bool = False,
        health_port: int = 0,
        latency: float = 0.0,
        database: Database | None = None,
        clock: Callable[[], float] = time.time,
        verbose: bool = False,
    ) -> None:
        number = parse_version(version)
        if api not in ("v3", "v4") or number[0] != int(api[1]):
            raise ValueError(f"{version} is no version of {api}")
        self.clock = clock
        postgres = database == "postgres" or (database is None and number < (4, 10))
        self._state = State(api, version, secret, self._now, postgres)
        self._server = V3(self._state, ui=ui) if api == "v3" else V4(self._state, ui=ui)
        self._starts_after = starts_after
        self._starting_for = starting_for if api == "v3" else 0.0
        self._host = host
        self._ports = [port, health_port] if health or health_port else [port]
        self._latency = latency
        self._verbose = verbose
        self._listeners: list[Listener] = []
        self._ready_at = 0.0
        self._requests_lock = threading.Lock()
        self.requests: list[Request] = []
        self.before: Callable[[Request], Response | None] | None = None
        """Called before the server acts: if it returns a Response or raises Drop, the server does not act."""
        self.after: Callable[[Request, Response], Response | None] | None = None
        """Called when the server has acted: a Response replaces the answer, with Drop there is none."""

    def _now(self) -> float:
        return self.clock()

    # Up and down

    def __enter__(self) -> "Simulator":
        self.bind()
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def bind(self) -> None:
        """Take the ports; connections are refused until `listen`."""
        for port, answer in zip(self._ports, (self._answer, self._answer_health), strict=False):
            self._listeners.append(Listener(self._host, port, answer))
        self._ports = [listener.port for listener in self._listeners]

    def listen(self) -> None:
        self._ready_at = time.monotonic() + self._starts_after + self._starting_for
        self._listeners[0].start(self._starts_after, self._latency)
        for listener in self._listeners[1:]:
            listener.start(self._starts_after + self._starting_for)

    def close(self) -> None:
        for listener in self._listeners:
            listener.stop()
        self._listeners = []

    def restart(self, secret: str | None = None, *, starts_after: float = 0.0, starting_for: float = 0.0) -> None:
        """On the same port. Connections that are open are closed."""
        self.close()
        if secret is not None:
            self.set_secret(secret)
        self._starts_after = starts_after
        self._starting_for = starting_for if self._state.api == "v3" else 0.0
        self.bind()
        self.listen()

    @property
    def ready_at(self) -> float:
        """The instant before which it refuses, on the monotonic clock."""
        return self._ready_at

    @property
    def url(self) -> str:
        return self._url(0)

    @property
    def health_url(self) -> str:
        return f"{self._url(1)}/health"

    def _url(self, index: int) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._ports[index]}"

    # Requests

    def _answer(self, request: Request) -> Response:
        with self._requests_lock:
            self.requests.append(request)
        started = time.monotonic()
        try:
            response = self._hooked(request)
        except Drop as drop:
            self._log(request, f"connection {drop}", started)
            raise
        grpc_status = response.header("grpc-status")
        grpc = f" grpc-status {grpc_status} {response.header('grpc-message') or ''}" if grpc_status else ""
        self._log(request, f"{response.status}{grpc}", started)
        return response

    def _hooked(self, request: Request) -> Response:
        response = self.before(request) if self.before else None
        if response is not None:
            return response
        if self._starting_for and time.monotonic() < self._ready_at:
            response = Response(501)  # v3 listens before its handlers are there
        else:
            with self._state.lock:
                response = self._server.answer(request)
        replaced = self.after(request, response) if self.after else None
        return response if replaced is None else replaced

    def _answer_health(self, request: Request) -> Response:
        state = self._state
        if request.route != "/health":
            return Response(404)
        text = b""
        if state.database_down:
            text = b"postgresql ping error: refused" if state.api == "v3" else b"PostgreSQL connection error"
        elif state.api == "v4" and state.version < (4, 9):
            text = b"OK"
        return Response(503 if state.database_down else 200, [("Content-Type", "text/plain; charset=utf-8")], text)

    def _log(self, request: Request, result: str, started: float) -> None:
        if self._verbose:
            milliseconds = (time.monotonic() - started) * 1000
            print(
                f"{request.method} {request.path}: {result} ({milliseconds:.1f} ms)",
                file=sys.stderr,
                flush=True,
            )

    def clear_requests(self) -> None:
        with self._requests_lock:
            self.requests.clear()

    # Data

    @property
    def database_down(self) -> bool:
        return self._state.database_down

    @database_down.setter
    def database_down(self, down: bool) -> None:
        self._state.database_down = down

    def set_secret(self, secret: str) -> None:
        """Every token made until now is dead."""
        with self._state.lock:
            self._state.secret = secret

    def keys(self, name: str | None = None, scope: str | None = None) -> list[ApiKey]:
        with self._state.lock:
            keys = self._state.keys(lambda owner: scope is None or str(owner) == scope)
            return [key for key in keys if name is None or key.name == name]

    def add_key(
        self, name: str, scope: str = "admin", read_only: bool = False, key_id: str | None = None
    ) -> tuple[str, str]:
        """The key's id, a new one unless it is given, and its token."""
        with self._state.lock:
            key = self._state.add_key(name, Owner.parse(scope), is_read_only=read_only, key_id=key_id)
            return key.id, self._server.key_token(self._state, key)

    def add_keys(self, count: int, scope: str = "admin", prefix: str = "key-") -> None:
        with self._state.lock:
            self._state.add_keys((f"{prefix}{number:06}" for number in range(count)), Owner.parse(scope))

    def key_token(self, key_id: str) -> str:
        with self._state.lock:
            key = self._state.key(key_id)
            if key is None:
                raise KeyError(key_id)
            return self._server.key_token(self._state, key)

    def delete_key(self, key_id: str) -> None:
        with self._state.lock:
            if not self._state.delete_key(key_id):
                raise KeyError(key_id)

    def add_tenant(self, name: str) -> str:
        return self._add_group("v4", name, "")

    def add_organization(self, name: str, display_name: str = "") -> str:
        return self._add_group("v3", name, display_name)

    def _add_group(self, api: Api, name: str, display_name: str) -> str:
        if self._state.api != api:
            raise ValueError(f"{self._state.api} has organizations, v4 has tenants: {name}")
        with self._state.lock:
            return self._state.add_group(name, display_name=display_name).id

    def groups(self) -> dict[str, str]:
        """The ids of v3's organizations or v4's tenants, by name; of two with one name, the newer one's."""
        with self._state.lock:
            return {group.name: group.id for group in self._state.groups.values()}

    def add_application(self, group_id: str, name: str) -> str:
        """In a v3 organization or a v4 tenant."""
        with self._state.lock:
            return self._state.add_application(group_id, name).id

    def add_user(self, email: str, password: str, admin: bool = True, active: bool = True) -> str:
        with self._state.lock:
            if self._state.user_by_email(email):
                raise ValueError(f"there is a user {email} already")
            return self._state.add_user(email, password, is_admin=admin, is_active=active).id

    def add_member(self, email: str, group_id: str, admin: bool = False) -> None:
        """Make the user a member, or an administrator, of an organization or tenant."""
        with self._state.lock:
            self._state.add_member(self._user(email).id, group_id, is_admin=admin)

    def set_password(self, email: str, password: str) -> None:
        with self._state.lock:
            self._user(email).password = password

    def password_of(self, email: str) -> str:
        with self._state.lock:
            return self._user(email).password

    def login_token(self, email: str) -> str:
        with self._state.lock:
            return self._server.login_token(self._state, self._user(email))

    def token_works(self, token: str) -> bool:
        """Whether it is the token of a key that is there or of an active user, whatever it may do."""
        with self._state.lock:
            return self._server.token_works(self._state, token)

    def _user(self, email: str) -> User:
        user = self._state.user_by_email(email)
        if user is None:
            raise KeyError(email)
        return user
