from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from os import environ
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.runner import Runner
from tests.faults.scenarios import Scenario, Survey, survey
from tests.faults.world import Api, World, world
from tests.simulator import Simulator
from tests.simulator.client import V4
from tests.support import runner as runner_of_the_worker

Worlds = Callable[[Api], AbstractContextManager[World]]
Surveys = Callable[[Api, Scenario], Survey]


@pytest.fixture(scope="session")
def runner() -> Runner:
    # The first one imports the messages, which must not happen in several threads at once.
    with Simulator("v4", V4):
        return runner_of_the_worker()


@pytest.fixture(scope="session")
def surveys(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Surveys:
    folder = tmp_path_factory.getbasetemp()
    return partial(survey, runner, folder.parent if "PYTEST_XDIST_WORKER" in environ else folder)


@pytest.fixture
def worlds(runner: Runner, tmp_path: Path) -> Worlds:
    numbers = count()
    return lambda api: world(api, tmp_path / f"world-{next(numbers)}", runner, World)


@pytest.fixture
def open_worlds(runner: Runner) -> Iterator[Worlds]:
    """Where other users get in: each start of pytest, by whomever, closes the folders that it makes."""
    numbers = count()
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield lambda api: world(api, Path(folder, f"world-{next(numbers)}"), runner, World)
