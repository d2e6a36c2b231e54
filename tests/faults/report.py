"""`python -m tests.faults.report`: run every suite here as a whole and write what was tried, and how it ended, to
docs/reliability.md. `--from FOLDER` takes the ledgers of a run that has been."""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

_ROOT = Path(__file__).parent.parent.parent
_PAGE = _ROOT / "docs" / "reliability.md"
NEVER = ("lost", "two keys", "exit 0 without a working token", "another key deleted", "a working token replaced",
         "a key of another name or scope", "a key without its token", "the user's lines damaged",
         "the old content damaged", "a temporary file left", "path or reason not named", "wrong exit code",
         "not within a second", "no token on disk", "failed")  # fmt: skip
_TITLES = {
    "wire": (
        "The wire",
        "One request of a run is hurt (or it and all that follow), in every run of the decision table's states, with "
        "v3 and v4. The outcome is the exit code of that run; each was followed by one more run without a fault.",
    ),
    "SIGKILL around a request": ("Killed around a request", ""),
    "SIGTERM around a request": ("Terminated around a request", ""),
    "SIGINT around a request": ("Interrupted around a request", ""),
    "SIGKILL around a file call": (
        "Killed around a file call",
        "Before and after every call to the operating system that changes a file. 137 is SIGKILL.",
    ),
    "SIGTERM around a file call": ("Terminated around a file call", ""),
    "SIGINT around a file call": ("Interrupted around a file call", ""),
    "SIGTERM during a wait": (
        "Terminated while a request has no answer",
        "The job ends within a second; between a create and its write it ends when the token is on disk.",
    ),
    "SIGINT during a wait": ("Interrupted while a request has no answer", ""),
    "together": ("Together", "Rounds of jobs that start at the same moment."),
    "env files": ("`.env` files", "Generated files, each written twice."),
    "odd files": ("Odd files", ""),
    "hostile": ("Hostile servers and volumes", ""),
    "fuzz": ("Fuzz", "Calls with generated input; anything but an error of the domain would fail the test."),
    "load and time": ("Load and time", ""),
    "names": ("Names", ""),
}
_OS = "A file call fails with {}: the old content is whole, no temporary file stays, and exit 6 names path and reason."

Tables = dict[str, dict[str, Counter[str]]]


def read(folder: Path) -> Tables:
    tables: Tables = defaultdict(lambda: defaultdict(Counter))
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            table, row, outcome, count = json.loads(line)
            tables[table][row][outcome] += count
    return tables


def page(tables: Tables) -> str:
    everything = sum((count for rows in tables.values() for count in rows.values()), Counter[str]())
    lines = [
        "# Reliability",
        "",
        "What `tests/faults` tried, and how it ended. Written by `make reliability`; do not edit.",
        "",
        f"{sum(everything.values())} cases. After each run that was hurt, one more run without a fault had to leave "
        "exactly the keys of the name that should be there, a working token in every output, and every other key "
        "untouched. What must never happen, and how often it did:",
        "",
        *_table("what", ["times"], {what: Counter({"times": everything[what]}) for what in NEVER}, zero="0"),
        "",
        "By design, without a state file (only standard output, or a single bind-mounted file beside which none can be "
        "made), a job that is killed between a create and its write loses the token: the next run says so with exit 5. "
        "A create whose answer was lost while another host makes a key of the same name cannot be told apart from it.",
    ]
    errors = {table: (f"{table} from a file call", _OS.format(table)) for table in tables if table.startswith("E")}
    for table, (title, text) in {**_TITLES, **dict(sorted(errors.items()))}.items():
        if rows := tables.get(table):
            outcomes = sorted({outcome for counts in rows.values() for outcome in counts})
            lines += ["", f"## {title}", ""]
            lines += [text, ""] if text else []
            lines += _table("fault", outcomes, dict(sorted(rows.items())) if table not in _TITLES else rows)
    return "\n".join(lines) + "\n"


def _table(first: str, columns: list[str], rows: dict[str, Counter[str]], zero: str = "") -> list[str]:
    lines = [f"| {' | '.join([first, *columns])} |", "|---|" + "---:|" * len(columns)]
    for row, counts in rows.items():
        lines.append(f"| {' | '.join([row.replace('|', '¦'), *(str(counts[c] or zero) for c in columns)])} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="folder", type=Path)
    folder = parser.parse_args().folder
    if folder:
        _PAGE.write_text(page(read(folder)))
        return 0
    with TemporaryDirectory() as temporary:
        suites = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "auto", "tests/faults"],
            cwd=_ROOT,
            env={**os.environ, "FULL_SWEEP": "1", "FAULTS_LEDGER": temporary},
            check=False,
        )
        _PAGE.write_text(page(read(Path(temporary))))
    return suites.returncode


if __name__ == "__main__":
    sys.exit(main())
