"""Whole processes: a run with nothing to do and a first run, against bare imports and against other programs."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench import job
from bench.measure import Failed, Program, Results, in_turns, spread
from bench.report import Section, picture, table

_REQUESTS = 'python -c "import requests"'
_IMPORTS = 'python -c "import requests, tenacity, dotenv"'
_COLLECTING = "the job (v4, simulated), garbage collection left on"
_NOTHING_ROUNDS, _FIRST_ROUNDS = 40, 20
_NO_SERVER = "no CHIRPSTACK_TEST_V4_URL"


@contextmanager
def _nothing() -> Iterator[Mapping[str, str]]:
    yield {}


def _bare_imports() -> list[Program]:
    return [
        Program(name, (sys.executable, "-c", name.split('"')[1]), _nothing) for name in (_REQUESTS, _IMPORTS)
    ]  # fmt: skip


def nothing_to_do(package: Path, servers: list[job.Server]) -> Section:
    section = Section("A run with nothing to do")
    with ExitStack() as stack:
        programs = _bare_imports()
        for server in servers:
            try:
                turn = stack.enter_context(job.nothing_to_do(package, server))
            except Failed as error:
                section.parts.append(f"Left out: {server} ({error}).")
                continue
            programs += job.programs(server, turn)
            if server.api == "v4" and not server.real:
                plain = "import sys; from init_job.cli import main; sys.exit(main([]))"
                programs.append(Program(_COLLECTING, (sys.executable, "-c", plain), turn))
        results = in_turns(programs, _NOTHING_ROUNDS)
    section.parts.append(_table(programs, results, _NOTHING_ROUNDS))
    for api in ("v4", "v3"):
        name = f"the job ({api}, simulated)"
        section.limit(f"a run with nothing to do on {api}, against (a)", 1.10, results.ratio(name, _IMPORTS), " x")
        section.limit(f"the same, against `{_REQUESTS}`", 1.25, results.ratio(name, _REQUESTS), " x")
    return section


def first_run(package: Path, servers: list[job.Server]) -> Section:
    section = Section("A first run")
    section.parts.append(picture("startup", "Bars: how long a first run takes, and a run with nothing to do"))
    programs = _bare_imports()
    for server in servers:
        programs += job.programs(server, partial(job.first_run, package, server))
    results = in_turns(programs, _FIRST_ROUNDS)
    section.parts.append(_table(programs, results, _FIRST_ROUNDS))
    section.limit(
        "the first run on v4, against (b) the official client",
        1.30,
        results.ratio("the job (v4, real)", "official client (v4, real)"),
        " x",
        missing=_NO_SERVER,
    )
    return section


def several_keys(package: Path, servers: list[job.Server]) -> Section:
    section = Section("Several keys in one run")
    apis = [server for server in servers if not server.real]
    programs = _bare_imports() + [
        Program(f"{name} ({server.api})", job.COMMAND, partial(job.first_run_with, keys, package, server))
        for server in apis
        for keys, name in ((1, "one key"), (5, "five keys"))
    ]
    results = in_turns(programs, _FIRST_ROUNDS)
    section.parts.append(_table(programs, results, _FIRST_ROUNDS))
    for api in (server.api for server in apis):
        ratio = results.ratio(f"five keys ({api})", f"one key ({api})")
        section.limit(f"five keys against one, first run on {api}", 1.30, ratio, " x")
    return section


def _table(programs: list[Program], results: Results, rounds: int) -> str:
    rows = []
    for program in programs:
        samples = results.samples.get(program.name)
        if samples is None:
            rows.append((program.name, "failed", results.failures[program.name][:60], *[""] * 5))
            continue
        walls = [sample.wall * 1000 for sample in samples]
        cpu = sorted(sample.cpu for sample in samples)[len(samples) // 2]
        rows.append(
            (
                program.name,
                f"{results.wall(program.name) * 1000:.0f}",
                spread(walls),
                f"{min(walls):.0f}",
                f"{cpu * 1000:.0f}",
                f"{max(sample.memory for sample in samples):.0f}",
                *(f"{results.ratio(program.name, base) or 0:.2f}" for base in (_IMPORTS, _REQUESTS)),
            )
        )
    header = (
        "program",
        "median, ms",
        "middle half",
        "fastest",
        "processor, ms",
        "peak, MiB",
        "against (a)",
        "against requests",
    )
    return f"{rounds} runs of each, in turns.\n\n" + table(header, rows)
