"""The servers that the contract is checked on: the simulator in every generation, and real ones by their URLs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from init_job.servers.detect import detect
from init_job.servers.generation import Refused
from init_job.servers.http import Http
from init_job.servers.interface import Server
from init_job.servers.v3 import V3
from init_job.servers.v4 import V4
from init_job.wait import Once
from tests.simulator import Simulator
from tests.simulator.state import parse_version
from tests.support import settings_for

_SIMULATED = (
    "3.10.0",
    "3.11.0",
    "3.12.0",
    "3.17.9",
    "4.0.5",
    "4.3.0",
    "4.11.0",
    "4.16.0",
    "4.17.0",
    "4.19.0",
    "4.20.0",
)
_REAL = {name: os.environ[name] for name in ("CHIRPSTACK_TEST_V3_URL", "CHIRPSTACK_TEST_V4_URL") if name in os.environ}


@dataclass(frozen=True)
class Chirpstack:
    url: str
    api: str
    version: tuple[int, ...]
    """() of a real v3, which does not tell it."""
    simulator: Simulator | None

    def connect(self) -> Server:
        return detect(Http(settings_for(self.url)), Once(), "auto")

    def logged_in(self) -> Server:
        server = self.connect()
        assert server.log_in("admin", "admin")
        return server

    def add_account(self, admin: bool) -> str:
        """The e-mail of a new account with the password `a password`."""
        email = f"{uuid4()}@example.com"
        if self.simulator:
            self.simulator.add_user(email, "a password", admin=admin)
        else:
            return _add_to_real_server(self.logged_in(), email, admin)
        return email


def _add_to_real_server(server: Server, email: str, admin: bool) -> str:
    """The job itself makes no accounts."""
    if isinstance(server, V3):
        user = {"email": email, "isAdmin": admin, "isActive": True}
        try:
            server._call("POST", "/api/users", {"user": user, "password": "a password"})
        except Refused:
            # v3.10 wants a user name, of letters and digits.
            user["username"] = email = uuid4().hex
            server._call("POST", "/api/users", {"user": user, "password": "a password"})
    elif isinstance(server, V4):
        from chirpstack_api.api.user_pb2 import CreateUserRequest, User

        request = CreateUserRequest(user=User(email=email, is_admin=admin, is_active=True), password="a password")
        server._call("UserService/Create", request)
    return email


@pytest.fixture(params=[*_SIMULATED, *_REAL])
def chirpstack(request: pytest.FixtureRequest) -> Iterator[Chirpstack]:
    if request.param in _REAL:
        url = _REAL[request.param]
        api = "v3" if "V3" in request.param else "v4"
        known = Chirpstack(url, api, (), None).logged_in().version
        yield Chirpstack(url, api, parse_version(known) if known else (), None)
        return
    api = "v3" if request.param.startswith("3") else "v4"
    with Simulator(api, request.param) as simulator:  # type: ignore[arg-type]
        if api == "v3":
            simulator.add_application("1", "app1")
        yield Chirpstack(simulator.url, api, parse_version(request.param), simulator)


@pytest.fixture
def name() -> str:
    """A key's name that nobody else uses: a real server keeps what earlier runs left."""
    return f"contract {uuid4()}"
