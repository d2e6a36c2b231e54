"""The container image IMAGE: its size over the base PYTHON_IMAGE, and how long its containers take.

CURL_IMAGE, if given, is an image with curl and jq that does the same calls.
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


def containers() -> Section:
    section = Section("As a container")
    image, base = os.environ.get("IMAGE", ""), os.environ.get("PYTHON_IMAGE", "python:3.13-alpine")
    curl = os.environ.get("CURL_IMAGE", "")
    missing = "no IMAGE given" if not image else "" if curl else "no CURL_IMAGE given"
    added, ratio = None, None
    if image:
        added = (_size(image) - _size(base)) / 1e6
        ratio = _starts(section, image, base, curl)
    section.limit("what the image adds to its Python base", 8, added, " MB", missing)
    section.limit("a run with nothing to do as a container (v3), against (c)", 1.30, ratio, " x", missing)
    if not image:
        section.parts.append("Not measured: IMAGE names no image.")
    return section


def _starts(section: Section, image: str, base: str, curl: str) -> float | None:
    """A table of whole containers; the job's against curl's."""
    asked: list[float] = []
    requests: dict[str, list[float]] = {}
    times: dict[str, list[float]] = {}

    def note(request: Request) -> None:
        asked.append(time.perf_counter())

    with Simulator("v3", job.SIMULATED["v3"]) as simulator, _volume() as volume:
        simulator.before = note
        given = {"CHIRPSTACK_URL": simulator.url, "CHIRPSTACK_PASSWORD": "admin", "API_KEY_NAME": "bench"}
        run = ["run", "--rm", "--network=host", f"--volume={volume}:/shared"]
        ours = [*run, *(f"--env={name}={value}" for name, value in given.items()), image]
        programs = {"the job (v3, simulated)": ours, "the base, `python -c pass`": [*run, base, "python", "-c", "pass"]}
        if curl:
            script = ["-c", _SCRIPT, "sh", simulator.url, "bench", "/shared/chirpstack_api_token"]
            programs["curl and jq (v3, simulated)"] = [*run, "--user=0", "--entrypoint=sh", curl, *script]
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
    header = ("`docker run`, nothing to do", "median, ms", "middle half", "to the first request, ms")
    section.parts.append(f"{_ROUNDS} runs of each, in turns.\n\n{table(header, rows)}")
    mine, *_, other = (median(walls) for walls in times.values())
    return mine / other if curl else None


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
