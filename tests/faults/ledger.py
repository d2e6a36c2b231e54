"""What the suites tried and how it ended, for the tables in docs/reliability.md."""

import json
import os
from pathlib import Path


def record(table: str, row: str, outcome: str, count: int = 1) -> None:
    """One line in the file of this process, if somebody wants to count."""
    if folder := os.environ.get("FAULTS_LEDGER"):
        line = json.dumps([table, row, outcome, count]) + "\n"
        with Path(folder, str(os.getpid())).open("a") as file:
            file.write(line)
