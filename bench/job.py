"""The job as it is installed (a copy with its bytecode), and the servers that it is run against."""

import compileall
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import requests

from bench.measure import Failed, Program, finish
from tests.simulator import Simulator

COMMAND = (sys.executable, "-m", "init_job")
SIMULATED: dict[Literal["v3", "v4"], str] = {"v3": "3.17.9", "v4": "4.19.0"}
_HERE = Path(__file__).parent
_OTHERS = {
    "v4": ("official client", (sys.executable, str(_HERE / "official_client.py"))),
    "v3": ("curl and jq", ("sh", str(_HERE / "curl_jq.sh"))),
}
_numbers = itertools.count()


@dataclass(frozen=True)
class Server:
    api: str
    url: str
    real: bool

    def __str__(self) -> str:
        return f"{self.api}, {'real' if self.real else 'simulated'}"


@contextmanager
def servers() -> Iterator[list[Server]]:
    """A simulated one of each generation, and the real ones whose URLs are given."""
    with ExitStack() as stack:
        found = [
            Server(api, stack.enter_context(Simulator(api, version)).url, real=False)
            for api, version in SIMULATED.items()
        ]
        for api in SIMULATED:
            if url := os.environ.get(f"CHIRPSTACK_TEST_{api.upper()}_URL"):
                try:
                    requests.get(url, timeout=10)
                    found.append(Server(api, url, real=True))
                except requests.RequestException as error:
                    print(f"left out: {url} does not answer ({type(error).__name__})")
        yield found


@contextmanager
def installed() -> Iterator[Path]:
    """A folder for PYTHONPATH: what is edited meanwhile is not measured, and nothing is compiled during a run."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        package = Path(folder, "init_job")
        shutil.copytree(_HERE.parent / "init_job", package, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(package, quiet=1)
        yield Path(folder)


def variables(package: Path, server: Server, folder: Path, name: str) -> dict[str, str]:
    return {
        "PYTHONPATH": str(package),
        "CHIRPSTACK_URL": server.url,
        "CHIRPSTACK_PASSWORD": "admin",
        "API_KEY_NAME": name,
        "WAIT_TIMEOUT": "30s",
        "TOKEN_FILE": str(folder / "token"),
    }


@contextmanager
def first_run(package: Path, server: Server) -> Iterator[dict[str, str]]:
    """An empty folder and a name that no key has; on a real server the key is deleted again."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        given = variables(package, server, Path(folder), f"bench-{os.getpid()}-{next(_numbers)}")
        try:
            yield given
        finally:
            if server.real:
                # A key that stays is no reason to lose the figures.
                with suppress(Failed):
                    finish([*COMMAND, "revoke", "--all"], given)


@contextmanager
def first_run_with(keys: int, package: Path, server: Server) -> Iterator[dict[str, str]]:
    """The same with a file of so many keys."""
    with first_run(package, server) as given:
        name, token = given.pop("API_KEY_NAME"), given.pop("TOKEN_FILE")
        file = Path(token).with_name("keys.toml")
        tables = (f'[[key]]\nname = "{name}-{key}"\ntoken_file = "{token}-{key}"\n' for key in range(keys))
        file.write_text("".join(tables))
        yield {**given, "KEYS_FILE": str(file)}


@contextmanager
def nothing_to_do(package: Path, server: Server) -> Iterator[Callable[[], AbstractContextManager[Mapping[str, str]]]]:
    """A key that is there, with its token on disk: the variables of every further run."""
    with first_run(package, server) as given:
        finish(COMMAND, given)

        @contextmanager
        def turn() -> Iterator[Mapping[str, str]]:
            yield given

        yield turn


def rival(server: Server) -> tuple[str, tuple[str, ...]] | None:
    """Another program that does the same work: its name and its command, which takes the run's variables from a shell.

    The simulator speaks gRPC-Web only, so the official client needs a real server.
    """
    if server.api == "v4" and not server.real:
        return None
    name, command = _OTHERS[server.api]
    return name, ("sh", "-c", 'exec "$@" "$CHIRPSTACK_URL" "$API_KEY_NAME" "$TOKEN_FILE"', "sh", *command)


def programs(
    server: Server, turn: Callable[[], AbstractContextManager[Mapping[str, str]]], suffix: str = ""
) -> list[Program]:
    """The job, and whatever can be compared with it on this server."""
    found = [Program(f"the job ({server}){suffix}", COMMAND, turn)]
    if other := rival(server):
        found.append(Program(f"{other[0]} ({server}){suffix}", other[1], turn))
    return found
