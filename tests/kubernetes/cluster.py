"""The cluster of the current kubeconfig, as its admin sees it, and what stands between the job and its API server."""

import base64
import contextlib
import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.faults.proxy import Proxy, Upstream

ACCOUNT = "init-job"
MERGE = "application/merge-patch+json"
Json = dict[str, Any]


class Admin:
    """Everything that the kubeconfig's user may do, through `kubectl proxy`: it knows how to log in anywhere."""

    def __init__(self, url: str, server: str, ca: str) -> None:
        """`server` is the API server's own address, `ca` what signed its certificate, in PEM."""
        self._url, self.server, self.ca = url, server, ca
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, method: str, path: str, content: Any = None, kind: str = "application/json", *ok: int) -> Json:
        """`ok`: further statuses that are no failure."""
        body = None if content is None else json.dumps(content)
        answer = self._session.request(method, self._url + path, data=body, headers={"Content-Type": kind}, timeout=60)
        assert answer.status_code < 300 or answer.status_code in ok, f"{method} {path}: {answer.text}"
        found: Json = answer.json()
        return found

    def make(self, namespace: str, kind: str, content: Json, group: str = "/api/v1") -> Json:
        where = f"/namespaces/{namespace}" if namespace else ""
        return self.ask("POST", f"{group}{where}/{kind}", content)

    def secret(self, namespace: str, name: str) -> Json:
        return self.ask("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")

    def patch_secret(self, namespace: str, name: str, changes: Json) -> Json:
        return self.ask("PATCH", f"/api/v1/namespaces/{namespace}/secrets/{name}", changes, MERGE)

    def delete_secret(self, namespace: str, name: str) -> None:
        self.ask("DELETE", f"/api/v1/namespaces/{namespace}/secrets/{name}", None, "application/json", 404)

    def token(self, namespace: str, account: str = ACCOUNT, seconds: int = 3600) -> str:
        """A new one of this service account."""
        order = {"spec": {"expirationSeconds": seconds}}
        found = self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", order)
        return str(found["status"]["token"])

    @contextlib.contextmanager
    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> Iterator[str]:
        self.make("", "namespaces", {"metadata": {"name": name, "labels": dict(labels or {})}})
        try:
            yield name
        finally:
            self.ask("DELETE", f"/api/v1/namespaces/{name}", None, "application/json", 404, 409)

    def account(self, namespace: str, name: str = ACCOUNT) -> None:
        self.make(namespace, "serviceaccounts", {"metadata": {"name": name}})

    def allow(self, namespace: str, verbs: tuple[str, ...], secrets: list[str], account: str = ACCOUNT) -> None:
        """And wait until the authorizer knows it."""
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": secrets, "verbs": list(verbs)}]
        self.make(namespace, "roles", {"metadata": {"name": account}, "rules": rules}, rbac)
        binding = {
            "metadata": {"name": account},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }
        self.make(namespace, "rolebindings", binding, rbac)
        review = {
            "spec": {
                "user": f"system:serviceaccount:{namespace}:{account}",
                "resourceAttributes": {
                    "namespace": namespace, "resource": "secrets", "name": secrets[-1], "verb": verbs[-1],
                },
            }
        }  # fmt: skip
        deadline = time.monotonic() + 30
        while not self.make("", "subjectaccessreviews", review, "/apis/authorization.k8s.io/v1")["status"]["allowed"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@contextlib.contextmanager
def admin() -> Iterator[Admin]:
    view = ["kubectl", "config", "view", "--raw", "--minify", "--flatten", "--output", "json"]
    cluster = json.loads(subprocess.run(view, check=True, capture_output=True).stdout)["clusters"][0]["cluster"]
    process = subprocess.Popen(["kubectl", "proxy", "--port=0", "--reject-paths=^$"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, "kubectl proxy does not start"
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        yield Admin(f"http://{found[0]}", cluster["server"], ca)
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Trust:
    """How gates show who they are, and what their clients have to trust."""

    context: ssl.SSLContext
    ca: Path


class Gate(Proxy):
    """Before the API server, with TLS on both sides: what is hurt here is the request, not its encryption."""

    def __init__(self, admin: Admin, trust: Trust) -> None:
        super().__init__(admin.server)
        self._tls = trust.context
        self._to_server = ssl.create_default_context(cadata=admin.ca)
        self._name = urlsplit(admin.server).hostname or ""

    def _secured(self, client: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(client, server_side=True)

    def _upstream(self) -> Upstream:
        return _TlsUpstream(self._server, self._to_server, self._name)


class _TlsUpstream(Upstream):
    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, name: str) -> None:
        super().__init__(address)
        self._context, self._name = context, name

    def _connected(self) -> socket.socket:
        return self._context.wrap_socket(super()._connected(), server_hostname=self._name)


@dataclass(frozen=True)
class Mounted:
    """What a pod finds of its account, in a folder of ours: three files and two variables."""

    folder: Path
    port: int

    @property
    def variables(self) -> dict[str, str]:
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}


def mounted(folder: Path, namespace: str, token: str, ca: Path, port: int) -> Mounted:
    folder.mkdir(exist_ok=True)
    (folder / "namespace").write_text(namespace)
    (folder / "token").write_text(token)
    (folder / "ca.crt").write_bytes(ca.read_bytes())
    return Mounted(folder, port)
