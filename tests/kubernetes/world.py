"""A world whose output is a Secret: `gate` stands between the job and the API server, `proxy` before ChirpStack."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from init_job.outputs.annotation import NAME as ANNOTATION
from tests.faults.ledger import require
from tests.faults.proxy import Proxy
from tests.faults.runner import Runner
from tests.faults.world import Api, World
from tests.kubernetes.cluster import Admin, Gate, Trust, mounted
from tests.simulator import Simulator
from tests.simulator.client import V3, V4

VARIABLE = "CHIRPSTACK_API_TOKEN"
STALE = 1.0
"""Seconds, in the place of the program's 30: every case in which a run is killed waits for them."""
OTHERS: dict[str, dict[str, Any]] = {
    "data": {"OTHER": "bWluZQ=="},
    "metadata": {"annotations": {"mine": "too"}, "labels": {"app": "mine"}},
}


class SecretWorld(World):
    def __init__(
        self, api: Api, folder: Path, runner: Runner, server: Simulator, proxy: Proxy, gate: Gate,
        admin: Admin, namespace: str, name: str, trust: Trust, token: str,
    ) -> None:  # fmt: skip
        super().__init__(api, folder, runner, server, proxy)
        self.gate, self.admin, self.namespace, self.name = gate, admin, namespace, name
        self.account = mounted(folder / "account", namespace, token, trust.ca, gate.port)
        for variable in ("TOKEN_FILE", "ENV_FILE", "JSON_FILE"):
            del self.variables[variable]
        self.variables |= {"KUBERNETES_SECRET": name, **self.account.variables}
        self.constants = {"init_job.account.FOLDER": str(self.account.folder), "init_job.outputs.secret.STALE": STALE}
        self.apply()

    def apply(self, **more: Any) -> None:
        """The Secret anew, as its manifest makes it, with something of other people's in it."""
        self.admin.delete_secret(self.namespace, self.name)
        metadata = {"name": self.name, **OTHERS["metadata"]}
        self.admin.make(self.namespace, "secrets", {**OTHERS, "metadata": metadata, **more})

    def patch(self, changes: dict[str, Any]) -> None:
        self.admin.patch_secret(self.namespace, self.name, changes)

    def put(self, text: str, variable: str = VARIABLE) -> None:
        self.patch({"data": {variable: base64.b64encode(text.encode()).decode()}})

    def secret(self) -> dict[str, Any]:
        return self.admin.secret(self.namespace, self.name)

    def records(self) -> dict[str, Any]:
        annotations = self.secret()["metadata"].get("annotations", {})
        found: dict[str, Any] = json.loads(annotations.get(ANNOTATION, "{}"))
        return found

    def token(self, variable: str = VARIABLE) -> str:
        return base64.b64decode(self.secret().get("data", {}).get(variable, "")).decode()

    def tokens(self) -> list[str]:
        return [self.token()]

    def settle(self) -> None:
        super().settle()
        self.gate.plan(None)

    def expect_nothing_of_others_touched(self, log: str = "") -> None:
        super().expect_nothing_of_others_touched(log)
        there = self.secret()
        mine = there["data"].get("OTHER") == OTHERS["data"]["OTHER"] and there["metadata"]["labels"] == {"app": "mine"}
        require(mine and there["metadata"]["annotations"]["mine"] == "too", "the user's lines damaged", log)

    def expect_healed(self, before: str = "") -> None:
        self.gate.plan(None)
        super().expect_healed(before)
        left = self.records().get(VARIABLE, {})
        assert "run" not in left, f"a claim is left: {left}\n{before}"


@contextmanager
def secret_world(
    api: Api, folder: Path, runner: Runner, admin: Admin, namespace: str, name: str, trust: Trust, token: str
) -> Iterator[SecretWorld]:
    folder.mkdir()
    with (
        Simulator(api, V3 if api == "v3" else V4) as server,
        Proxy(server.url) as proxy,
        Gate(admin, trust) as gate,
    ):
        yield SecretWorld(api, folder, runner, server, proxy, gate, admin, namespace, name, trust, token)
