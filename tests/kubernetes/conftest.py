"""Collected only where KUBERNETES_TESTS=1 says that there is a cluster: `make test-kubernetes`."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import pytest

if os.environ.get("KUBERNETES_TESTS") != "1":
    collect_ignore_glob = ["test_*.py"]

from tests.faults.conftest import runner  # noqa: F401 - a fixture
from tests.faults.runner import Runner
from tests.faults.world import Api
from tests.kubernetes import cluster
from tests.kubernetes.cluster import Admin, Trust
from tests.kubernetes.world import SecretWorld, secret_world
from tests.secured.authority import Authority, tls

SecretWorlds = Callable[[Api], AbstractContextManager[SecretWorld]]
_NAMES = [f"secret-{number}" for number in range(64)]
"""More than there are worlds at once; one Role allows them all."""


@pytest.fixture(scope="session")
def admin() -> Iterator[Admin]:
    with cluster.admin() as one:
        yield one


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    authority = Authority(tmp_path_factory.mktemp("authority"), "gates")
    return Trust(tls(authority.issue("gate")), authority.file)


@pytest.fixture(scope="session")
def namespace(admin: Admin) -> Iterator[str]:
    """Of this worker, with an account that may read and patch its Secrets."""
    with admin.namespace(f"init-job-{os.getpid()}") as name:
        admin.account(name)
        admin.allow(name, ("get", "patch"), _NAMES)
        yield name


_numbers = count()


@pytest.fixture
def worlds(
    runner: Runner,  # noqa: F811
    admin: Admin,
    trust: Trust,
    namespace: str,
    tmp_path: Path,
) -> SecretWorlds:
    token = admin.token(namespace)

    def made(api: Api) -> AbstractContextManager[SecretWorld]:
        number = next(_numbers)
        name = _NAMES[number % len(_NAMES)]
        return secret_world(api, tmp_path / f"world-{number}", runner, admin, namespace, name, trust, token)

    return made
