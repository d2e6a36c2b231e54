from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.secured.authority import Authority, Certificate, tls
from tests.secured.server import Site, TlsSimulator


@dataclass(frozen=True)
class Pki:
    folder: Path
    ca: Authority
    stranger: Authority
    server: Certificate
    """Of `ca`, for localhost."""


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    ca, stranger = Authority(folder, "ca"), Authority(folder, "stranger")
    return Pki(folder, ca, stranger, ca.issue("server"))


@pytest.fixture(params=["v3", "v4"])
def secured(request: pytest.FixtureRequest, pki: Pki) -> Iterator[TlsSimulator]:
    simulator = TlsSimulator(request.param, tls(pki.server), health=True)
    with simulator:
        yield simulator


@pytest.fixture
def site(tmp_path: Path, secured: TlsSimulator) -> Site:
    return Site(tmp_path, secured.url)
