"""Docker as a user calls it, and a look at the simulated server from outside."""

import json
import os
import subprocess
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from chirpstack_api import api

from tests.simulator.client import GRPC_WEB, frame

ROOT = Path(__file__).parent.parent.parent
IMAGE = os.environ.get("IMAGE", "chirpstack-init-job")
SIMULATOR_IMAGE = os.environ.get("SIMULATOR_IMAGE", "chirpstack-simulator")
PYTHON_IMAGE = os.environ.get("PYTHON_IMAGE", "python:3.15-alpine")
JOB_UID = 65532
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")

Done = subprocess.CompletedProcess[str]


def new_name() -> str:
    return f"init-job-test-{uuid.uuid4().hex[:12]}"


def call(*command: str, fails: bool = False, **options: Any) -> Done:
    """`fails`: the caller looks at the exit code."""
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=300, **options)
    assert fails or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def docker(*arguments: str, fails: bool = False) -> Done:
    return call("docker", *arguments, fails=fails)


class Project:
    """A compose project in a folder, under a name of its own; at the end nothing of it is left."""

    def __init__(self, folder: Path, *files: str) -> None:
        self.folder = folder
        self.name = new_name()
        self.environment = {"IMAGE": IMAGE, "SIMULATOR_IMAGE": SIMULATOR_IMAGE}
        self.files = files

    def __enter__(self) -> "Project":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # pytest shows it beside a failure.
        print(self.compose("ps", "--all", fails=True).stdout, self.compose("logs", fails=True).stdout)
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1", fails=True)

    def compose(self, *arguments: str, fails: bool = False) -> Done:
        environment = {**os.environ, **self.environment}
        files = [part for file in self.files for part in ("--file", file)]
        command = ("docker", "compose", "--project-name", self.name, *files, *arguments)
        return call(*command, fails=fails, cwd=self.folder, env=environment)

    def up(self, *services: str, fails: bool = False) -> Done:
        return self.compose("up", "--detach", *services, fails=fails)

    def start_server(self) -> None:
        """The simulated one, anew, and wait until it listens."""
        self.up("--force-recreate", "chirpstack")
        deadline = time.monotonic() + 60
        while "http://" not in self.log("chirpstack"):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def container(self, service: str) -> dict[str, Any]:
        """What `docker inspect` says of its container."""
        (found,) = self.compose("ps", "--all", "--quiet", service).stdout.split()
        inspected: dict[str, Any] = json.loads(docker("inspect", found).stdout)[0]
        return inspected

    def end(self, service: str) -> int:
        """Wait until it has ended by itself; its exit code."""
        return int(docker("wait", self.container(service)["Id"]).stdout)

    def log(self, service: str) -> str:
        return self.compose("logs", "--no-log-prefix", "--no-color", service).stdout

    @property
    def network(self) -> str:
        return f"{self.name}_default"

    def read(self, volume: str, file: str = "chirpstack_api_token") -> str:
        return in_volume(f"{self.name}_{volume}", "cat", f"/shared/{file}")

    def run_job(self, *options: str, command: tuple[str, ...] = (), fails: bool = False) -> Done:
        """`docker run` of the image, in the server's network, with the right password."""
        settings = ("--env", "CHIRPSTACK_URL=http://chirpstack:8080", "--env", "CHIRPSTACK_PASSWORD=admin")
        return docker("run", "--rm", "--network", self.network, *settings, *options, IMAGE, *command, fails=fails)

    @property
    def url(self) -> str:
        """Of the server, from here."""
        return "http://" + self.compose("port", "chirpstack", "8080").stdout.strip()

    def key_names(self, password: str = "admin") -> list[str]:
        """Of the admin keys on the simulated v4 server."""
        login = api.LoginRequest(email="admin", password=password)
        session = api.LoginResponse.FromString(self._ask("Login", login))
        keys = api.ListApiKeysRequest(limit=100, is_admin=True)
        answer = api.ListApiKeysResponse.FromString(self._ask("ListApiKeys", keys, session.jwt))
        return [key.name for key in answer.result]

    def _ask(self, method: str, message: Any, token: str = "") -> bytes:
        headers = {"Content-Type": GRPC_WEB, **({"Authorization": f"Bearer {token}"} if token else {})}
        url = f"{self.url}/api.InternalService/{method}"
        response = requests.post(url, data=frame(message), headers=headers, timeout=10)
        return response.content[5:-20]


def in_volume(volume: str, *command: str) -> str:
    """The output of a command that sees the volume, as root."""
    options = ("--rm", "--user", "0:0", "--volume", f"{volume}:/shared", "--entrypoint", command[0])
    return docker("run", *options, IMAGE, *command[1:]).stdout
