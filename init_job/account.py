"""The service account that a pod has been given: three files and two variables, as every client in a cluster finds
them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True)
class Account:
    url: str
    """Of the API server."""
    namespace: str
    ca_file: str
    token_file: str

    def token(self) -> str:
        """As it is now: the kubelet puts a new one there every hour or so. Raises OSError, ValueError."""
        return _text(self.token_file)


def of_the_pod(environ: Mapping[str, str]) -> Account:
    """Raises ValueError with the reason why there is none."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ValueError(
            "this is no pod of a Kubernetes cluster (KUBERNETES_SERVICE_HOST is not set); outside a cluster: "
            "the token on standard output, and kubectl for the rest"
        )
    files = {name: os.path.join(FOLDER, name) for name in ("token", "ca.crt", "namespace")}
    try:
        texts = {name: _text(path) for name, path in files.items()}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or error
        raise ValueError(
            f"the pod has no service account's token ({FOLDER}: {reason}); name a serviceAccountName, and leave "
            "automountServiceAccountToken at true, in the pod and in the account"
        ) from None
    address = f"[{host}]" if ":" in host else host
    return Account(f"https://{address}:{port}", texts["namespace"], files["ca.crt"], files["token"])


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        text = file.read().strip()
    if not text:
        raise ValueError(f"{path} is empty")
    return text
