"""What the job asks of a ChirpStack, whichever generation it is.

Whatever is transient is tried again, one request at a time, until the run's deadline: every method may raise NotReady
then, and Terminated. Once logged in it may raise AccountError (the account may not do this) or ServerRefusal (the
server said no).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from init_job.errors import Unavailable
from init_job.servers import explain
from init_job.servers.answer import Answer
from init_job.values import Scope

SIGNED_OTHERWISE = "it was signed with another secret: the server's secret was changed after it was made"
KEY_DELETED = "its key was deleted on the server"


class NotThisApi(Unavailable):
    """Something answers, and it is not this generation of ChirpStack."""

    @classmethod
    def because_of(cls, answer: Answer) -> "NotThisApi":
        error = cls(str(answer), explain.hint_of(answer))
        error.lasting = explain.is_gate(answer)
        return error


@dataclass(frozen=True)
class ResolvedScope:
    """A scope as the server knows it: the id of the tenant, organization or application instead of its name."""

    kind: str
    id: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind


@dataclass(frozen=True)
class Key:
    """An API key as the server lists it: it shows neither the token nor a time."""

    id: str
    name: str
    scope: ResolvedScope
    read_only: bool = False


@dataclass(frozen=True)
class NewKey:
    """The answer to a create, the only one that ever holds the token."""

    id: str
    token: str


@dataclass(frozen=True)
class TokenStatus:
    works: bool
    """When not, the token is dead for good."""
    reason: str = ""
    """SIGNED_OTHERWISE, KEY_DELETED, or that the other generation made it, when it does not work."""


class Server(ABC):
    """One ChirpStack. `log_in` comes before everything but `probe` and `check_token`."""

    api: str
    """`v3` or `v4`."""
    version: str = ""
    """Known after a login, where the server tells it."""
    sees_every_token: bool
    """Whether `check_token` can tell of every kind of key that it works, without its scope."""

    @abstractmethod
    def probe(self) -> NotThisApi | None:
        """Nothing when the API and its database answer; what speaks against this generation otherwise."""

    @abstractmethod
    def accepts(self, email: str, password: str) -> bool:
        """Whether a login would be accepted; the session stays what it is."""

    @abstractmethod
    def log_in(self, email: str, password: str) -> bool:
        """Whether the server accepted it; the session is used by every later call."""

    @abstractmethod
    def set_password(self, password: str) -> None:
        """Change the password of the account that is logged in."""

    @abstractmethod
    def resolve(self, scope: Scope) -> ResolvedScope:
        """By id or by exact name. Raises ServerRefusal when there is none, or more than one of that name."""

    @abstractmethod
    def list_keys(self, scope: ResolvedScope, name: str) -> list[Key]:
        """All keys of exactly this name in this scope, sorted by id."""

    @abstractmethod
    def find_key(self, key_id: str) -> Key | None:
        """The key of this id, whatever its name and scope. AccountError when the account may not see all."""

    @abstractmethod
    def create_key(self, scope: ResolvedScope, name: str, read_only: bool) -> NewKey:
        """Sent once. Raises Unavailable, and its `in_doubt` tells whether there may be a new key now."""

    @abstractmethod
    def delete_key(self, key_id: str) -> None:
        """A key that is not there is deleted."""

    @abstractmethod
    def check_token(self, token: str, key_id: str, scope: ResolvedScope | None = None) -> TokenStatus:
        """Whether the server accepts this API token right now; `scope` is its key's, where it is known.

        It does not only when that is certain to last. Any other word against a token is waited for to pass.
        """
