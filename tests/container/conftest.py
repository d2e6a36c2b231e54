"""Collected only where CONTAINER_TESTS=1 says that there are a Docker engine and the images: `make test-container`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

if os.environ.get("CONTAINER_TESTS") != "1":
    collect_ignore_glob = ["test_*.py"]
elif "CHIRPSTACK_VERSION" not in os.environ:
    # Against the official images: `make test-official CHIRPSTACK_VERSION=4.12`.
    collect_ignore = ["test_official.py"]

from tests.container.harness import ROOT, Project, docker, new_name


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A simulated ChirpStack, the job, and a consumer, as services of `stack.yml`."""
    shutil.copy(ROOT / "tests/container/stack.yml", tmp_path / "compose.yml")
    with Project(tmp_path) as made:
        yield made


@pytest.fixture
def server(project: Project) -> Project:
    """The same with only the server running."""
    project.start_server()
    return project


@pytest.fixture
def volume() -> Iterator[str]:
    """The name of a volume that is removed afterwards; Docker makes it when it is first mounted."""
    name = new_name()
    yield name
    docker("volume", "rm", "--force", name)
