"""The cluster's API server, as far as this job has a question for it: to read one Secret, and to patch it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from init_job import log
from init_job.account import Account
from init_job.errors import ConfigurationError, NotReady, NotThere, OutputError, Overtaken, Unavailable
from init_job.servers import explain
from init_job.servers.answer import Answer
from init_job.servers.http import Http
from init_job.settings import Settings
from init_job.wait import Patience

T = TypeVar("T")
Json = Mapping[str, Any]

_LONGEST_QUOTE = 300  # characters


class Conflict(NotThere):
    """The Secret is not what it was when it was read; or whoever says so, such as an admission webhook, has another
    reason."""

    in_doubt = False


class Missing(OutputError):
    """There is no such Secret."""


@dataclass(frozen=True)
class Named:
    """A Secret, by its name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"Secret {self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/secrets/{self.name}"


class Cluster:
    """As the pod's service account may use it."""

    def __init__(self, account: Account, settings: Settings, patience: Patience) -> None:
        """`settings` are for the time limits. Raises ConfigurationError."""
        self._account = account
        self._patience = patience
        self._variable = settings.keys[0].called("KUBERNETES_SECRET")
        # The other server's: not its address, its certificates and what stands before it.
        own = replace(
            settings, url=account.url, ca_file=account.ca_file, tls_verify=True, health_url="", headers=(),
            client_cert_file="", client_key_file="",
        )  # fmt: skip
        try:
            self._http = Http(own)
        except ConfigurationError as error:
            reason = str(error).partition(": ")[2]
            raise ConfigurationError(f"{self._variable}: {reason}", "it is the kubelet's to put there") from error

    def patiently(self, action: Callable[[], T]) -> T:
        """What it returns, tried again until the run's deadline. Raises OutputError then."""
        try:
            return self._patience.call(action)
        except Overtaken:
            raise
        except NotReady as error:
            raise OutputError(str(error.__cause__), error.hint) from error

    def read(self, secret: Named) -> Json:
        """In one try. Raises Unavailable, OutputError."""
        return self._ask("get", secret, "GET", secret.path)

    def patch(self, secret: Named, changes: Json, only_try: bool = False) -> Json:
        """What it is then, in one try; a merge patch (RFC 7396). Raises Conflict, OutputError, and Unavailable, whose
        `in_doubt` says whether it may be done."""
        path = secret.path + ("?dryRun=All" if only_try else "")
        return self._ask("patch", secret, "PATCH", path, json.dumps(changes).encode())

    def _ask(self, verb: str, secret: Named, method: str, path: str, content: bytes | None = None) -> Json:
        try:
            token = self._account.token()
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{self._variable}: the service account's token cannot be read: {error}",
                "is it still mounted into the pod?",
            ) from error
        log.hide(token)
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        try:
            # Of an answer that was cut nobody knows where a token begins: only what is whole is told.
            answer = self._http.send(method, path, headers, content, confidential=True)
            found = _object(answer)
        except Unavailable as error:
            error.args = (f"{self._variable}: {error}",)
            error.hint = (
                "this is the cluster's API server: does a network policy, a mesh's sidecar, or HTTPS_PROXY without "
                "its address in NO_PROXY keep the pod from it?"
            )
            raise
        if found["kind"] == "Secret":
            return found
        raise self._refusal(answer, log.masked(found["message"])[:_LONGEST_QUOTE], verb, secret)

    def _refusal(self, answer: Answer, said: str, verb: str, secret: Named) -> Exception:
        """What the API server itself means by it."""
        what = f"the API server refuses to {verb} {secret}: {answer.status} {said}"
        if answer.status == 409:
            return Conflict(
                what,
                "something else changes it again and again, or an admission webhook says so: let it pass this Secret",
            )
        if explain.is_trouble(answer):
            trouble = explain.trouble(answer)
            trouble.args = (f"{self._variable}: {trouble}: {said}",)
            trouble.hint = "the API server itself says so: look at it, or raise WAIT_TIMEOUT"
            return trouble
        if answer.status == 404:
            return Missing(
                f"there is no {secret}",
                "the job makes none, so that it needs no right to: apply one without data, as examples/kubernetes does",
            )
        return OutputError(what, _hint(answer.status, said, secret, self._account.namespace))


def _object(answer: Answer) -> Json:
    """The API server's: a Secret, or a Status with a message. Raises Unavailable when it is neither."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        is_refusal = answer.status >= 400 and found.get("kind") == "Status" and isinstance(found.get("message"), str)
        if (answer.status == 200 and found.get("kind") == "Secret") or (is_refusal and found["message"]):
            return found
    if explain.is_trouble(answer):
        raise explain.trouble(answer)
    raise Unavailable(f"{answer}, which is no Secret")


def _hint(status: int, said: str, secret: Named, own_namespace: str) -> str:
    if status == 401:
        return (
            "the service account's token is not accepted: it has expired, or its account or pod was deleted; start a "
            "new pod"
        )
    said = re.sub('"[^"]*"', "", said)  # names may be any words
    if "immutable" in said:
        return "delete the Secret and apply it again without `immutable: true`: what is immutable cannot be rotated"
    if "exceeded quota" in said or "admission" in said or "denied the request" in said:
        return "a quota or an admission policy of the cluster forbids it: let it pass this Secret"
    if status == 403:
        elsewhere = f", for the account of namespace {own_namespace}" if secret.namespace != own_namespace else ""
        return (
            f'give the job\'s account a Role in namespace {secret.namespace} with apiGroups [""], resources [secrets], '
            f"resourceNames [{secret.name}], verbs [get, patch], and a RoleBinding{elsewhere}, as "
            "examples/kubernetes does"
        )
    return "correct what the API server names"
