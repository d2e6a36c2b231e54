"""From a server's readiness (the instant before which it refuses) to the token on disk, and what the wait costs."""

import os
import random
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from bench import job
from bench.measure import BARE, Failed, spread
from bench.report import Section, picture, table
from tests.simulator import Simulator

_RUNS = 50
_AT_ONCE = 10  # they mostly wait
_LONGEST = 60.0  # seconds until a server is ready; the shortest is 1
_STARTING = 0.1  # seconds of v3's empty 501s (contract §7)
_LOOK_EVERY = 0.001  # seconds


@dataclass(frozen=True)
class _Run:
    wait: float
    """Seconds from the start of the job to the server's readiness."""
    late: float
    """Seconds from there to the token on disk."""
    cpu: float
    """Seconds of processor time of the whole run."""


def from_ready_to_token(package: Path) -> Section:
    section = Section("From the server's readiness to the token on disk")
    rows = []
    for api, version in job.SIMULATED.items():
        waits = [_LONGEST ** (number / (_RUNS - 1)) for number in range(_RUNS)]
        random.shuffle(waits)
        at_once = [_once(package, api, version, 0.0) for _ in range(5)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            runs = list(pool.map(lambda wait: _once(package, api, version, wait), waits))  # noqa: B023
        late = [run.late * 1000 for run in runs]
        work = median(run.cpu for run in at_once)
        share = 100 * sum(max(0.0, run.cpu - work) for run in runs) / sum(run.wait for run in runs)
        rows.append((api, f"{median(late):.0f}", spread(late), f"{max(late):.0f}", f"{share:.1f}"))
        section.limit(f"readiness to token on {api}: median", 150, median(late), " ms")
        section.limit(f"the same: worst of {_RUNS}", 300, max(late), " ms")
        section.limit(f"processor time while waiting for {api}", 3, share, " % of a core")
    section.parts.append(picture("readiness", "From readiness to the token: the middle half, the median and the worst"))
    header = ("simulated server", "median, ms", "middle half", "worst, ms", "processor time of the wait, % of a core")
    section.parts.append(
        f"{_RUNS} servers of each generation that become ready 1 to {_LONGEST:.0f} s after the job has started, "
        f"{_AT_ONCE} at once. Until then they refuse connections; v3 answers 501 for the last {_STARTING * 1000:.0f} "
        f"ms, as the real one does.\n\n{table(header, rows)}"
    )
    return section


def _once(package: Path, api: Literal["v3", "v4"], version: str, wait: float) -> _Run:
    starting = _STARTING if wait and api == "v3" else 0.0
    late = Simulator(api, version, starts_after=max(0.0, wait - starting), starting_for=starting)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, late as simulator:
        server = job.Server(api, simulator.url, real=False)
        given = {**job.variables(package, server, Path(folder), "bench"), "WAIT_TIMEOUT": f"{2 * _LONGEST:g}s"}
        token_file = Path(given["TOKEN_FILE"])
        begun = time.monotonic()
        with subprocess.Popen(
            job.COMMAND, env={**BARE, **given}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            time.sleep(max(0.0, wait - 0.5))
            # The file gets its name when it is complete.
            while not token_file.exists():
                if time.monotonic() > begun + wait + 30:
                    process.kill()
                    raise Failed(process.communicate()[1])
                time.sleep(_LOOK_EVERY)
            found = time.monotonic()
            _, _, usage = os.wait4(process.pid, 0)
            process.returncode = 0
        return _Run(wait, found - simulator.ready_at, usage.ru_utime + usage.ru_stime)
