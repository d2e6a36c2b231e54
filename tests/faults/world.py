"""A server with its data, a volume, the job between them, and what must be true of both in the end."""

import base64
import json
import re
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Any, Literal, TypeVar

from tests.faults.ledger import require
from tests.faults.proxy import Proxy
from tests.faults.runner import Result, Run, Runner
from tests.faults.shim import Hurt
from tests.simulator import ApiKey, Simulator
from tests.simulator.client import V3, V4

T = TypeVar("T")
Api = Literal["v3", "v4"]
APIS: tuple[Api, ...] = ("v3", "v4")
NAME = "init-job"
FULL = environ.get("FULL_SWEEP") == "1"
"""Every case, not a sample of each kind."""
ENV_BEFORE = b"# mine\nOTHER='a # b'\n"


def pick(choices: Sequence[T], *case: object) -> T:
    """One of them for each case, always the same."""
    return choices[zlib.crc32(repr(case).encode()) // 7 % len(choices)]


def key_id(token: str) -> str:
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return str(claims.get("api_key_id") or claims["sub"])


@dataclass(frozen=True)
class Expected:
    """How it must end, when nothing is in the way any more."""

    code: int = 0
    keys: int = 1
    same_token: str = ""
    """A token that works already is not replaced."""
    is_rotation: bool = False
    """A token that works is replaced, and at no moment is there none."""


class World:
    """`folder/volume` has the outputs: a token file, a `.env` file with something of the user's, a JSON file."""

    def __init__(self, api: Api, folder: Path, runner: Runner, server: Simulator, proxy: Proxy) -> None:
        self.api, self.server, self.proxy = api, server, proxy
        self.folder, self._runner = folder, runner
        self.volume = folder / "volume"
        self.volume.mkdir()
        self.token_file = self.volume / "token"
        self.env_file = self.volume / "app.env"
        self.json_file = self.volume / "key.json"
        self.env_file.write_bytes(ENV_BEFORE)
        self.scope = "admin"
        self.expected = Expected()
        self.arguments: tuple[str, ...] = ()
        """Of the run that is hurt."""
        self.again: tuple[str, ...] = ("ensure",)
        """Of the one more run after it."""
        self.constants: dict[str, object] = {}
        """What the runs have for some of the program's own."""
        self.uid = 0
        """Who they run as; 0 for whoever runs the tests."""
        self.variables = {
            "PATH": environ["PATH"],
            "CHIRPSTACK_URL": proxy.url,
            "CHIRPSTACK_PASSWORD": "admin",
            "WAIT_TIMEOUT": "30s",
            "LOG_LEVEL": "debug",
            "TOKEN_FILE": str(self.token_file),
            "ENV_FILE": str(self.env_file),
            "JSON_FILE": str(self.json_file),
        }
        if api == "v4":
            self.group_scope = f"tenant:{server.groups()['ChirpStack']}"
        else:
            self.group_scope = f"organization:{server.groups()['chirpstack']}"
        # None of these is the job's to touch.
        for name, scope in (("other", "admin"), (f"{NAME}-2", "admin"), ("", "admin"), ("other", self.group_scope)):
            server.add_key(name, scope)
        self._kept: set[ApiKey] = set()
        self.number = 0

    def settle(self) -> None:
        """What is on the server now and is not of the name and scope has to stay."""
        self._kept |= set(self.server.keys()) - set(self.keys())

    def keep(self, *ids: str) -> None:
        everything = self.server.keys()
        self._kept |= {key for key in everything if key.id in ids}

    def keys(self) -> list[ApiKey]:
        """Of the name and scope that is asked for."""
        return self.server.keys(self.variables.get("API_KEY_NAME", NAME), self.scope)

    def ids(self) -> list[str]:
        everything = self.keys()
        return [key.id for key in everything]

    # Runs

    def start(self, hurt: Hurt | None = None, arguments: tuple[str, ...] = (), /, **variables: str) -> Run:
        self.number += 1
        return self._runner.start(
            self.folder,
            {**self.variables, **variables},
            self.folder / f"run-{self.number}",
            arguments=arguments or self.arguments,
            hurt=hurt,
            constants=self.constants,
            uid=self.uid,
        )

    def run(self, hurt: Hurt | None = None, arguments: tuple[str, ...] = (), /, **variables: str) -> Result:
        return self.start(hurt, arguments, **variables).wait()

    def hurt(self, **what: Any) -> Hurt:
        return Hurt(str(self.volume), str(self.folder / "trace"), **what)

    def trace(self) -> list[str]:
        return (self.folder / "trace").read_text().splitlines()

    # What must be true

    def tokens(self) -> list[str]:
        """As the services read them that they are for; an empty text for a file without."""
        found = [self.token_file.read_text().strip() if self.token_file.exists() else ""]
        bindings = re.findall(r"(?m)^CHIRPSTACK_API_TOKEN=(.*)$", self.env_file.read_text())
        found.append(bindings[-1] if bindings else "")
        text = self.json_file.read_text() if self.json_file.exists() else ""
        found.append(json.loads(text)["token"] if text else "")
        return found

    def files(self) -> Mapping[str, bytes]:
        return {path.name: path.read_bytes() for path in self.volume.iterdir() if path.is_file()}

    def expect_nothing_of_others_touched(self, log: str = "") -> None:
        there = set(self.server.keys())
        require(self._kept <= there, "another key deleted", log)
        require(there - self._kept <= set(self.keys()), "a key of another name or scope made", log)
        require(self.env_file.read_bytes().startswith(ENV_BEFORE), "the user's lines damaged", log)

    def expect_promise_kept(self, result: Result) -> None:
        """Exit 0 only with a token that works, of a key of the name, in every output; of `revoke` only without any."""
        self.expect_nothing_of_others_touched(result.log)
        if self.expected.is_rotation:
            works = any(token and self.server.token_works(token) for token in self.tokens())
            require(works, "no token that works while a new one is made", result.log)
        if result.code == 0 and not self.expected.keys:
            require(not self.keys() and not any(self.tokens()), "exit 0 of revoke and not all is gone", result.log)
        elif result.code == 0:
            tokens = self.tokens()
            require(self.are_one(tokens, self.keys()), "exit 0 without a working token", f"{tokens} {result.log}")

    def are_one(self, tokens: Sequence[str], keys: Sequence[ApiKey]) -> bool:
        """Whether these are the same token, the server accepts it, and it is of one of these keys."""
        token = tokens[0]
        works = set(tokens) == {token} and self.server.token_works(token)
        return works and key_id(token) in [key.id for key in keys]

    def expect_healed(self, before: str = "") -> None:
        """One more run, without a fault, gets there."""
        self.proxy.plan(None)
        result = self.run(None, self.again)
        log = f"{before}\n--- one more run: {result.log}"
        self.expect_promise_kept(result)
        require(result.code == self.expected.code, "lost", log)
        keys = len(self.keys())
        require(keys >= self.expected.keys, "lost", log)
        require(keys == self.expected.keys, "two keys", log)
        require(not any(name.endswith(".tmp") for name in self.files()), "a temporary file left", log)
        if self.expected.same_token:
            require(set(self.tokens()) == {self.expected.same_token}, "a working token replaced", log)


W = TypeVar("W", bound=World)


@contextmanager
def world(api: Api, folder: Path, runner: Runner, kind: type[W]) -> Iterator[W]:
    """On a server with nobody else's requests."""
    folder.mkdir()
    with Simulator(api, V3 if api == "v3" else V4) as server, Proxy(server.url) as proxy:
        yield kind(api, folder, runner, server, proxy)


class Handle:
    """The run that a fault, which was planned before, is to hurt."""

    def __init__(self) -> None:
        self._there = threading.Event()

    def set(self, run: Run) -> None:
        self._run = run
        self._there.set()

    def get(self) -> Run:
        self._there.wait(10)
        return self._run
