"""A run with nothing to do whose token is in a Secret, against the same with a file. Needs a cluster: KUBECONFIG."""

import compileall
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench import job
from bench.measure import Program, finish, in_turns, spread
from bench.report import Section, table
from tests.kubernetes import cluster
from tests.kubernetes.world import VARIABLE
from tests.simulator import Simulator

_ROUNDS = 40
_FILE, _SECRET = "the token in a file", "the token in a Secret"
_NO_CLUSTER = "no KUBECONFIG"


def secret(package: Path) -> Section:
    section = Section("A run with nothing to do, in Kubernetes")
    ratio, memory = None, None
    if os.environ.get("KUBECONFIG"):
        ratio, memory = _measured(section, package)
    else:
        section.parts.append("Not measured: KUBECONFIG names no cluster.")
    section.limit("a run with nothing to do, with a Secret against a file", 1.30, ratio, " x", _NO_CLUSTER)
    section.limit("its peak memory", 40, memory, " MiB", _NO_CLUSTER)
    return section


def _measured(section: Section, package: Path) -> tuple[float | None, float]:
    with (
        cluster.admin() as admin,
        admin.namespace(f"bench-{os.getpid()}") as namespace,
        Simulator("v4", job.SIMULATED["v4"]) as simulator,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        admin.account(namespace)
        admin.make(namespace, "secrets", {"metadata": {"name": "token"}})
        admin.allow(namespace, ("get", "patch"), ["token"])
        ca = Path(folder, "admin.pem")
        ca.write_text(admin.ca)
        host, _, port = admin.server.rpartition("://")[2].rpartition(":")
        mounted = cluster.mounted(Path(folder, "account"), namespace, admin.token(namespace), ca, int(port))
        server = job.Server("v4", simulator.url, real=False)
        # Otherwise the folder that this was started in comes first.
        common = job.variables(package, server, Path(folder), "bench") | {"PYTHONSAFEPATH": "1"}
        in_file = {**common, "API_KEY_NAME": "in-a-file"}
        in_secret = {
            **{name: value for name, value in common.items() if name != "TOKEN_FILE"},
            **mounted.variables,
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SECRET": "token",
            "PYTHONPATH": str(_with_account(package, Path(folder), mounted.folder)),
        }
        programs = []
        for name, given in ((_FILE, in_file), (_SECRET, in_secret)):
            finish(job.COMMAND, given)
            programs.append(Program(name, job.COMMAND, _turn(given)))
        assert admin.secret(namespace, "token")["data"][VARIABLE]
        results = in_turns(programs, _ROUNDS)
    rows = []
    for program in programs:
        samples = results.samples[program.name]
        walls = [sample.wall * 1000 for sample in samples]
        peak = f"{max(sample.memory for sample in samples):.0f}"
        rows.append((program.name, f"{results.wall(program.name) * 1000:.0f}", spread(walls), peak))
    header = ("", "median, ms", "middle half", "peak, MiB")
    section.parts.append(f"{_ROUNDS} runs of each, in turns, on v4.\n\n" + table(header, rows))
    return results.ratio(_SECRET, _FILE), max(sample.memory for sample in results.samples[_SECRET])


def _with_account(package: Path, folder: Path, account: Path) -> Path:
    """The program as it is in a pod, but for the place of the pod's account."""
    copy = folder / "package"
    shutil.copytree(package / "init_job", copy / "init_job", ignore=shutil.ignore_patterns("__pycache__"))
    module = copy / "init_job" / "account.py"
    text = module.read_text()
    module.write_text(text.replace('"/var/run/secrets/kubernetes.io/serviceaccount"', repr(str(account))))
    assert module.read_text() != text
    compileall.compile_dir(copy, quiet=1)
    return copy


def _turn(given: Mapping[str, str]) -> Callable[[], AbstractContextManager[Mapping[str, str]]]:
    @contextmanager
    def turn() -> Iterator[Mapping[str, str]]:
        yield given

    return turn
