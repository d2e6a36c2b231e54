"""What the suites tried and how it ended, for the tables in docs/reliability.md."""

import json
import os
from pathlib import Path

NEVER = (
    "exit 0 without a working token",
    "lost",
    "two keys",
    "a key without its token",
    "another key deleted",
    "a key of another name or scope made",
    "a working token replaced",
    "a token of a deleted key left on disk",
    "no token on disk",
    "no token that works while a new one is made",
    "exit 0 of revoke and not all is gone",
    "the user's lines damaged",
    "the old content damaged",
    "a temporary file left",
    "a hostile token written",
    "path or reason not named",
    "wrong exit code",
    "not within a second",
)
"""What must not happen, in the words of the tables."""


def record(table: str, row: str, outcome: str, count: int = 1) -> None:
    """One line in the file of this process, if somebody wants to count."""
    if folder := os.environ.get("FAULTS_LEDGER"):
        line = json.dumps([table, row, outcome, count]) + "\n"
        with Path(folder, str(os.getpid())).open("a") as file:
            file.write(line)


def require(condition: bool, what: str, log: str) -> None:
    """One of NEVER fails the test, and is counted."""
    assert what in NEVER, what
    if not condition:
        record("never", what, "times")
        raise AssertionError(f"{what}: {log}")
