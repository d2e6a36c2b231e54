"""The table of `.env` values, held to the Docker Compose that is there."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.test_settings_file import COMPOSE, ENVIRON

FILE = """
services:
  asks:
    image: none
    environment:
      VALUE: "<${VALUE}>"
"""


@pytest.mark.parametrize(("text", "value"), COMPOSE)
def test_compose_reads_the_file_as_the_table_says(tmp_path: Path, text: str, value: str | None) -> None:
    (tmp_path / "compose.yml").write_text(FILE)
    (tmp_path / ".env").write_bytes(text.encode())
    done = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], **ENVIRON}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if value is None:
        assert done.returncode != 0
    else:
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)["services"]["asks"]["environment"]["VALUE"]
        assert shown.replace("$$", "$") == f"<{value}>"
