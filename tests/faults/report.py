"""`python -m tests.faults.report`: run every suite here as a whole and write what was tried, and how it ended, to
docs/reliability.md."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.ledger import NEVER

_ROOT = Path(__file__).parent.parent.parent
_PAGE = _ROOT / "docs" / "reliability.md"
_INTRODUCTION = """# Reliability

What `tests/faults` tried, and (KUBERNETES_TESTS=1, against a real API server) `tests/kubernetes`, and how it ended.
Written by `make reliability`, which takes up to an hour; do not edit.

{runs:,} runs, each a process of its own with real sockets, files and signals, against a simulated v3 or v4; and
{inputs:,} generated inputs to what reads and writes (the sections Fuzz and `.env` files). After each run that was
hurt, one more run without a fault had to leave exactly the keys of the name that should be there, a working token in
every output, and every other key on the server untouched.
"""
_NEVER = """## What must not happen

{never}

Not among them, by design: without a state file (only standard output, or a single bind-mounted file beside which none
can be made) a job that is killed between a create and its write loses the token. The next run says so with exit 5, or
replaces the key under `ON_LOST_TOKEN=replace`. A create that such a job has given up after `REQUEST_TIMEOUT`, and that
the server carries out when the job has ended, leaves a second key; the next run warns of it. And a create whose answer
was lost, while another host makes a key of the same name, cannot be told apart from that one.
"""

Rows = Mapping[str, Counter[str]]
Tables = Mapping[str, Rows]


def _columns(rows: Rows) -> list[str]:
    """A row for each fault, a column for each outcome."""
    outcomes = sorted({outcome for counts in rows.values() for outcome in counts})
    return _table(["", *outcomes], ([row, *(counts[one] or "" for one in outcomes)] for row, counts in rows.items()))


def _list(rows: Rows) -> list[str]:
    """Where a fault has one outcome."""
    return _table(
        ["", "outcome", "times"], ([row, one, count] for row, counts in rows.items() for one, count in counts.items())
    )


def _by_error(rows: Rows) -> list[str]:
    """Outcomes are `EIO exit 6`: a column for each error."""
    errors = sorted({outcome.split()[0] for counts in rows.values() for outcome in counts})

    def cell(counts: Counter[str], error: str) -> str:
        found = sorted((outcome.split()[-1], count) for outcome, count in counts.items() if outcome.startswith(error))
        return ", ".join(f"{code}: {count}" for code, count in found)

    return _table(["", *errors], ([row, *(cell(counts, one) for one in errors)] for row, counts in rows.items()))


_SECTIONS: dict[str, tuple[str, Callable[[Rows], list[str]], str]] = {
    "wire": (
        "The wire",
        _columns,
        "One request of a run is hurt, or it and all that follow, with v3 and v4, in first runs and in runs from every "
        "state of the decision table. `waits` is a run with 30 s of patience (`WAIT_TIMEOUT`) and one fault: it ends "
        "as it would without. `no patience` is a run with none: it may end with exit 3 as well, the server is not "
        "ready. Exit 5 is the right end of the runs that find somebody else's token, or a lost one under "
        "`ON_LOST_TOKEN=fail`.",
    ),
    "around a request": (
        "Signals around a request",
        _columns,
        "Each request of each run, with SIGKILL and with one of the others. A run may end as if nothing had been when "
        "the signal came after its last answer.",
    ),
    "around a file call": (
        "Signals around a file call",
        _columns,
        "Before each call to the operating system that changes a file, or brings a change to the disk, and after the "
        "last one. All ended by the signal (exit 137, 143, 130); after SIGTERM and SIGINT no key was without a token.",
    ),
    "during a wait": (
        "Signals during a wait",
        _columns,
        "Each request of each run has no answer when the signal comes.",
    ),
    "OS faults": (
        "File calls that fail",
        _by_error,
        "Each call about a file or its lock. The old content is whole, no temporary file stays, and before a create "
        "no key is made. `6: 27` is 27 runs that ended with exit 6, which names path and reason; with exit 0 the job "
        "did without the call, or rewrote the file in place; with exit 5 it could not read its state file, and took "
        "its own token for somebody else's. One more run got there each time.",
    ),
    "several keys": (
        "Several keys in one run",
        _columns,
        "A file of three keys, of which one cannot be made in some runs. `0`, `5` and `7` are what it ends with when "
        "nothing is in the way; every key that the last lines say is ready was looked at, whatever the exit code.",
    ),
    "keys of others": ("Keys of others", _list, "On the server, with the job's own beside them or not."),
    "changes nothing": (
        "What changes nothing",
        _list,
        "From every state of the decision table; server, account and volume are compared, with the times of the files.",
    ),
    "together": ("Together", _list, "Rounds of jobs that start at the same moment."),
    "env files": ("`.env` files", _list, "Generated files, each written twice; the second time changes nothing."),
    "odd files": ("Odd files", _list, ""),
    "hostile": ("Hostile servers and volumes", _list, ""),
    "fuzz": ("Fuzz", _columns, "Generated input; anything but an error of the domain would be a failure."),
    "load and time": ("Load and time", _list, ""),
    "rate limits": (
        "Rate limits",
        _list,
        "Counted per connection or per address, without a burst. A first run takes longer, and no answer is wasted.",
    ),
    "in between": ("Gates and proxies", _list, ""),
    "kubernetes: wire": (
        "Kubernetes: the wire",
        _columns,
        "One request to a real API server is hurt, or it and all that follow, in runs whose token is in a Secret. As "
        "above; without patience a run may end with exit 6, the Secret cannot be written.",
    ),
    "kubernetes: signals": (
        "Kubernetes: signals around a request",
        _columns,
        "Each request to the API server, and each to ChirpStack, of each run whose token is in a Secret.",
    ),
    "kubernetes: together": ("Kubernetes: together", _list, "Several runs, one Secret."),
    "clocks": ("Clocks, and what is said of a token", _list, ""),
    "names": ("Names", _list, "Every odd character that the servers accept."),
}


def read(folder: Path) -> Tables:
    tables: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            table, row, outcome, count = json.loads(line)
            tables[table][row][outcome] += count
    return {table: dict(sorted(rows.items())) for table, rows in tables.items()}


def page(tables: Tables, complete: bool) -> str:
    never = tables.get("never", {})
    totals = {name: sum(sum(counts.values()) for counts in tables.get(name, {}).values()) for name in _SECTIONS}
    inputs = totals["fuzz"] + totals["env files"]
    parts = [_INTRODUCTION.format(runs=sum(totals.values()) - inputs, inputs=inputs)]
    if not complete:
        parts.append("**A suite failed: these counts are not complete.**\n")
    counts = _table(["", "times"], ([what, never[what]["times"] if what in never else 0] for what in NEVER))
    parts.append(_NEVER.format(never="\n".join(counts)))
    for name, (title, lay_out, text) in _SECTIONS.items():
        if name not in tables:
            continue
        lines = [f"## {title}", "", *([text, ""] if text else []), *lay_out(tables.get(name, {}))]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (header, *rows)]
    rule = ["---", *("---:" for _ in header[1:])]
    return [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]


def main() -> int:
    with TemporaryDirectory() as folder:
        suites = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal", "tests/faults", "tests/kubernetes"],
            cwd=_ROOT,
            env={**os.environ, "FULL_SWEEP": "1", "FAULTS_LEDGER": folder},
            check=False,
        )
        _PAGE.write_text(page(read(Path(folder)), complete=suites.returncode == 0))
    return suites.returncode


if __name__ == "__main__":
    sys.exit(main())
