"""Whole processes that take turns, so that whatever else the machine does meets all of them alike."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

_LAUNCH = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")))
BARE = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
"""What every measured program gets of this environment: as little as a container has."""


@dataclass(frozen=True)
class Sample:
    wall: float
    """Seconds, from before the process starts to after it has ended."""
    cpu: float
    memory: float
    """Peak, in MiB."""


@dataclass(frozen=True)
class Program:
    name: str
    command: Sequence[str]
    turn: Callable[[], AbstractContextManager[Mapping[str, str]]]
    """Around every run, unmeasured: yields the run's variables."""


@dataclass
class Results:
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def wall(self, name: str) -> float:
        return median(sample.wall for sample in self.samples[name])

    def ratio(self, name: str, base: str) -> float | None:
        """Of the medians; None when one of them could not be measured."""
        if name not in self.samples or base not in self.samples:
            return None
        return self.wall(name) / self.wall(base)


class Failed(Exception):
    """A measured program did not do its work."""


def finish(command: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, without measuring it. Raises Failed."""
    try:
        process = subprocess.run(
            command, env={**BARE, **variables}, capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from error
    if process.returncode:
        raise Failed((process.stderr.strip().splitlines() or ["no message"])[-1])
    return process


def run(command: Sequence[str], variables: Mapping[str, str]) -> Sample:
    wall, cpu, memory = finish([*_LAUNCH, *command], variables).stdout.split()
    return Sample(float(wall), float(cpu), float(memory) / 1024)


def in_turns(programs: Sequence[Program], rounds: int) -> Results:
    """Every program once a round; one round before that only warms the caches. One that fails is left out."""
    results = Results({program.name: [] for program in programs})
    for number in range(rounds + 1):
        for program in programs:
            if program.name in results.failures:
                continue
            try:
                with program.turn() as variables:
                    sample = run(program.command, variables)
            except Failed as error:
                results.failures[program.name] = str(error)
                del results.samples[program.name]
                continue
            if number:
                results.samples[program.name].append(sample)
    return results


def spread(values: Sequence[float]) -> str:
    """The middle half."""
    low, _, high = quantiles(values, n=4)
    return f"{low:.0f}-{high:.0f}"
