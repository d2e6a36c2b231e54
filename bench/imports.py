"""What a run imports (`-X importtime`), what it asks the server, and what clarity costs."""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from bench import job
from bench.measure import finish
from bench.report import Section, table
from tests.simulator import Simulator

_ROUNDS = 9
_REPORTING = (sys.executable, "-X", "importtime", *job.COMMAND[1:])
_GROUPS = {
    "requests and what it brings": ("requests", "urllib3", "certifi", "idna", "charset_normalizer", "http", "email"),
    "tenacity": ("tenacity",),
    "python-dotenv": ("dotenv",),
    "protobuf, and the generated messages": ("google", "init_job.servers.chirpstack_pb2"),
    "the job's own modules": ("init_job",),
}
_REST = "other modules of Python's own"
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


def imports(package: Path) -> Section:
    section = Section("What a run imports and asks")
    columns: dict[str, Mapping[str, tuple[int, float]]] = {}
    calls: list[str] = []
    for api, version in job.SIMULATED.items():
        with Simulator(api, version) as simulator, tempfile.TemporaryDirectory(prefix="bench-") as folder:
            given = job.variables(package, job.Server(api, simulator.url, real=False), Path(folder), "bench")
            for what in ("first run", "nothing to do"):
                simulator.clear_requests()
                columns[f"{api}, {what}"] = _grouped(finish(_REPORTING, given).stderr)
                asked = ", ".join(request.route.split("/api", 1)[1].lstrip("./") for request in simulator.requests)
                calls.append(f"* {api}, {what}, {len(simulator.requests)}: {asked}")
                if what == "nothing to do":
                    section.limit(f"requests of a run with nothing to do on {api}", 2, len(simulator.requests))
    rows = [
        (group, *(f"{column[group][0]} / {column[group][1]:.0f} ms" for column in columns.values()))
        for group in (*_GROUPS, _REST)
    ]
    section.parts.append(
        "Modules, and the time that Python reports for each (it is more than without the report).\n\n"
        + table(("modules / time", *columns), rows)
    )
    section.parts.append("Requests of a run, all of them on one connection:\n\n" + "\n".join(calls))
    section.parts.append(_clarity(package))
    return section


def _grouped(report: str) -> Mapping[str, tuple[int, float]]:
    """Number of modules and milliseconds of each group that was imported."""
    count, time = Counter[str](), Counter[str]()
    for self_time, module in _LINE.findall(report):
        fitting = [
            group for group, heads in _GROUPS.items() if any(f"{module}.".startswith(f"{head}.") for head in heads)
        ]
        group = fitting[0] if fitting else _REST
        count[group] += 1
        time[group] += int(self_time)
    return {group: (count[group], time[group] / 1000) for group in (*_GROUPS, _REST)}


_COST_OF_IMPORT = """
import requests, logging, time
start = time.perf_counter(); import {}
print(time.perf_counter() - start)
"""
_COST_OF_DATACLASSES = """
import dataclasses, requests, tenacity, time
real, spent = dataclasses.dataclass, 0.0
def timed(*of, **options):
    def decorate(cls):
        global spent
        start = time.perf_counter()
        made = real(cls, **options)
        spent += time.perf_counter() - start
        return made
    return decorate(*of) if of else decorate
dataclasses.dataclass = timed
import init_job.cli
print(spent)
"""


def _clarity(package: Path) -> str:
    kept = (
        ("frozen dataclasses for every value", _COST_OF_DATACLASSES, "a reader sees what a value is"),
        ("`argparse`, even where there are no arguments", _COST_OF_IMPORT.format("argparse"), "one way to read them"),
        ("`difflib` for misspelt variables", _COST_OF_IMPORT.format("difflib"), "no measure of our own"),
        ("`uuid` for the key's id", _COST_OF_IMPORT.format("uuid"), "no pattern of our own"),
    )
    rows = [(what, f"{_median_ms(script, package):.1f}", why) for what, script, why in kept]
    return "Could be had faster, and stays for clarity:\n\n" + table(("what", "ms", "why it stays"), rows)


def _median_ms(script: str, package: Path) -> float:
    command = (sys.executable, "-c", script)
    return median(float(finish(command, {"PYTHONPATH": str(package)}).stdout) * 1000 for _ in range(_ROUNDS))
