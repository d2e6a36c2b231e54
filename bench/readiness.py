"""From the server's first good answer to the token on disk, less the server's own time."""

import random
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import job
from bench.measure import BARE, Failed, spread
from bench.report import Section, table
from tests.simulator import Request, Response, Simulator

_RUNS = 50
_LOOK_EVERY = 0.0003  # seconds


@dataclass
class _Watch:
    """The simulator's hooks: when the server answered, and how long it took over it."""

    begun: float = 0.0
    first_good: float = 0.0
    own_time: float = 0.0
    calls: int = 0
    answered: list[float] = field(default_factory=list)

    def before(self, request: Request) -> None:
        self.begun = time.perf_counter()

    def after(self, request: Request, response: Response) -> None:
        now = time.perf_counter()
        if self.first_good:
            self.own_time += now - self.begun
            self.calls += 1
        elif response.status != 501:  # v3 is starting
            self.first_good = now


def from_ready_to_token(package: Path) -> Section:
    """The server becomes ready while the job is waiting for it: v4 begins to listen, v3 answers 501 before that."""
    section = Section("From the server's first good answer to the token on disk")
    rows = []
    for api, version in job.SIMULATED.items():
        with Simulator(api, version) as simulator:
            found = [_once(package, simulator, api) for _ in range(_RUNS)]
        beyond = [(token - watch.first_good - watch.own_time) * 1000 for watch, token in found]
        own = [watch.own_time * 1000 for watch, _ in found]
        calls = {watch.calls for watch, _ in found}
        figures = (f"{median(beyond):.0f}", spread(beyond), f"{max(beyond):.0f}", f"{median(own):.1f}")
        rows.append((f"{api}, simulated", *figures, "/".join(str(count) for count in sorted(calls))))
        section.limit(f"token on disk on {api}, beyond the server's own time: median", 100, median(beyond), " ms")
        section.limit(f"the same: worst of {_RUNS}", 250, max(beyond), " ms")
    header = ("server", "median, ms", "middle half", "worst, ms", "taken off: the server's own, ms", "its calls")
    section.parts.append(
        f"{_RUNS} runs of each; the server becomes ready while the job waits.\n\n{table(header, rows)}"
    )
    return section


def _once(package: Path, simulator: Simulator, api: str) -> tuple[_Watch, float]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server = job.Server(api, simulator.url, real=False)
        given = job.variables(package, server, Path(folder), "bench")
        token_file = Path(given["TOKEN_FILE"])
        watch = _Watch()
        simulator.before, simulator.after = watch.before, watch.after
        delay = random.uniform(0.25, 0.6)
        simulator.restart(starts_after=delay, starting_for=delay / 2)
        with subprocess.Popen(
            job.COMMAND, env={**BARE, **given}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            # The file gets its name when it is complete.
            while not token_file.exists():
                if process.poll() is not None and not token_file.exists():
                    raise Failed(process.communicate()[1])
                time.sleep(_LOOK_EVERY)
            found = time.perf_counter()
            process.communicate()
        for key in simulator.keys("bench"):
            simulator.delete_key(key.id)
        return watch, found
