from collections.abc import Generator, Iterator

import pytest

from init_job import log
from tests.simulator import Simulator
from tests.support import PASSWORD


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Two for each processor: a good deal of the tests' time is waiting, for time limits and for late servers."""
    return 2 * (yield)


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one test hides is not masked in the next one's messages."""
    monkeypatch.setattr(log, "_secrets", set())
    log._pattern.cache_clear()
    yield
    log._pattern.cache_clear()


@pytest.fixture(params=["v3", "v4"])
def chirpstack(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """The newest of each generation, whose admin has a password worth hiding."""
    with Simulator(request.param, {"v3": "3.17.9", "v4": "4.19.0"}[request.param]) as simulator:
        simulator.set_password("admin", PASSWORD)
        yield simulator


@pytest.fixture
def v4() -> Iterator[Simulator]:
    with Simulator("v4", "4.19.0") as simulator:
        simulator.set_password("admin", PASSWORD)
        yield simulator


@pytest.fixture
def v3() -> Iterator[Simulator]:
    with Simulator("v3", "3.17.9") as simulator:
        simulator.set_password("admin", PASSWORD)
        yield simulator
