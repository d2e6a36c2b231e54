"""Time and memory with many keys on the server."""

import time
from functools import partial
from pathlib import Path
from statistics import median

from bench import job
from bench.measure import Program, in_turns
from bench.report import Section, picture, table
from tests.simulator import Request, Response, Simulator

_SIZES = (10, 10_000, 100_000)
_ROUNDS = 5


class _Clock:
    """The simulator's hooks: how long it takes over its answers, and how many they are."""

    def __init__(self, simulator: Simulator) -> None:
        self.total = 0.0
        self.calls = 0
        self._begun = 0.0
        simulator.before, simulator.after = self._before, self._after

    def _before(self, request: Request) -> None:
        self._begun = time.perf_counter()

    def _after(self, request: Request, response: Response) -> None:
        self.total += time.perf_counter() - self._begun
        self.calls += 1


def many_keys(package: Path) -> Section:
    section = Section("Many keys on the server")
    section.parts.append(picture("keys", "Lines: the time and the memory of a first run against the number of keys"))
    rows = []
    for api, version in job.SIMULATED.items():
        for size in _SIZES:
            with Simulator(api, version) as simulator:
                simulator.add_keys(size)
                clock = _Clock(simulator)
                server = job.Server(api, simulator.url, real=False)
                program = Program("first run", job.COMMAND, partial(job.first_run, package, server))
                samples = in_turns([program], _ROUNDS).samples["first run"]
            wall, memory = median(sample.wall for sample in samples), max(sample.memory for sample in samples)
            runs = _ROUNDS + 1
            rows.append(
                (
                    f"{api}, {size:,} keys",
                    f"{wall:.2f}",
                    f"{median(sample.cpu for sample in samples):.2f}",
                    f"{clock.total / runs:.2f}",
                    f"{clock.calls / runs:.0f}",
                    f"{memory:.1f}",
                )
            )
            if size == _SIZES[-1]:
                section.limit(f"{size:,} keys on {api}: first run", 5, wall, " s")
            if size != 10_000:
                section.limit(f"{size:,} keys on {api}: peak memory of a first run", 40, memory, " MiB")
    header = ("first run", "median, s", "of it the job's processor", "of it the simulator", "calls", "peak, MiB")
    section.parts.append(f"{_ROUNDS} runs of each.\n\n{table(header, rows)}")
    return section
