"""The container image IMAGE: its size over the base PYTHON_IMAGE, and how long its containers take.

CURL_IMAGE is an image with curl and jq that does the same calls.
"""

import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench import job
from bench.measure import finish, spread
from bench.report import Section, table
from tests.simulator import Request, Simulator

_ROUNDS = 15
_SCRIPT = Path(__file__).with_name("curl_jq.sh").read_text()
_JOB, _CURL, _FLOOR = "the job", "(c) curl and jq", "the job's image, `import requests` and nothing else"
_OWN_NETWORK, _HOST_NETWORK = "in a network of its own", "in the host's network"
_NO_ENGINE = "no Docker engine"


def containers() -> Section:
    section = Section("As a container")
    image, base = os.environ.get("IMAGE", ""), os.environ.get("PYTHON_IMAGE", "")
    added = (_size(image) - _size(base)) / 1e6 if image else None
    section.limit("what the image adds to its Python base", 8, added, " MB", _NO_ENGINE)
    # As `docker run` and Compose do it, with a network for the container; and without that work.
    for where in (_OWN_NETWORK, _HOST_NETWORK):
        what = f"a run with nothing to do as a container {where} (v3), against (c)"
        times = _starts(section, where, image, base, os.environ["CURL_IMAGE"]) if image else None
        section.limit(what, 1.30, times[_JOB] / times[_CURL] if times else None, " x", _NO_ENGINE)
        if times:
            section.parts.append(
                f"The limit of a program that uses `requests` is its import: without any work of its own such a "
                f"container takes {times[_FLOOR]:.0f} ms, {times[_FLOOR] / times[_CURL]:.2f} x (c)."
            )
    if not image:
        section.parts.append("Not measured: no Docker engine answered.")
    return section


def _starts(section: Section, where: str, image: str, base: str, curl: str) -> dict[str, float]:
    """A table of whole containers; the medians of their times, in milliseconds."""
    asked: list[float] = []
    requests: dict[str, list[float]] = {}
    times: dict[str, list[float]] = {}

    def note(request: Request) -> None:
        asked.append(time.perf_counter())

    with (
        _network(where) as (network, host),
        Simulator("v3", job.SIMULATED["v3"], host=host) as simulator,
        _volume() as volume,
    ):
        simulator.before = note
        given = {"CHIRPSTACK_URL": simulator.url, "CHIRPSTACK_PASSWORD": "admin", "API_KEY_NAME": "bench"}
        run = ["run", "--rm", f"--network={network}", f"--volume={volume}:/shared"]
        ours = [*run, *(f"--env={name}={value}" for name, value in given.items()), image]
        only_requests = ["-IBc", "import sys; sys.path.insert(0, '/app'); import requests"]
        script = ["-c", _SCRIPT, "sh", simulator.url, "bench", "/shared/chirpstack_api_token"]
        programs = {
            _JOB: ours,
            _CURL: [*run, "--user=0", "--entrypoint=sh", curl, *script],
            _FLOOR: [*run, "--entrypoint=python", image, "-Xpycache_prefix=/app/bytecode", *only_requests],
            "the base, `python -c pass`": [*run, base, "python", "-c", "pass"],
        }
        _docker(ours)  # makes the key
        for _ in range(_ROUNDS):
            for name, command in programs.items():
                asked.clear()
                begun = time.perf_counter()
                _docker(command)
                times.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
                requests.setdefault(name, []).extend((first - begun) * 1000 for first in asked[:1])
    rows = [
        (name, f"{median(walls):.0f}", spread(walls), f"{median(requests[name]):.0f}" if requests[name] else "-")
        for name, walls in times.items()
    ]
    header = (f"`docker run` {where}, nothing to do", "median, ms", "middle half", "to the first request, ms")
    section.parts.append(f"{_ROUNDS} runs of each, in turns, on v3, simulated.\n\n{table(header, rows)}")
    return {name: median(walls) for name, walls in times.items()}


@contextmanager
def _network(where: str) -> Iterator[tuple[str, str]]:
    """Its name, and the address at which a container in it reaches a server of this process."""
    if where == _HOST_NETWORK:
        yield "host", "127.0.0.1"
        return
    name = f"bench-{uuid.uuid4().hex}"
    _docker(["network", "create", name])
    try:
        gateway = "--format={{(index .IPAM.Config 0).Gateway}}"
        yield name, _docker(["network", "inspect", gateway, name]).strip()
    finally:
        _docker(["network", "rm", name])


@contextmanager
def _volume() -> Iterator[str]:
    name = f"bench-{uuid.uuid4().hex}"
    _docker(["volume", "create", name])
    try:
        yield name
    finally:
        _docker(["volume", "rm", "--force", name])


def _size(image: str) -> int:
    return int(_docker(["image", "inspect", "--format={{.Size}}", image]))


def _docker(arguments: Sequence[str]) -> str:
    return finish(["docker", *arguments], {}).stdout
