"""What the job asks of a ChirpStack, whichever generation it is.

Whatever is transient is tried again, one request at a time, until the run's deadline: every method may raise NotReady
then, and Terminated. Once logged in it may raise AccountError (the account may not do this) or ServerRefusal (the
server said no).
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from init_job.errors import ServerRefusal, Unavailable
from init_job.servers.http import Http
from init_job.values import Scope
from init_job.wait import Patience

PAGE = 5000
"""Entries asked for at once: few round trips, and with the longest names still half of the 4 MiB that v3's gateway
accepts in one message."""

T = TypeVar("T")


class NotThisApi(Unavailable):
    """Something answers, and it is not this generation of ChirpStack."""


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
    reason: str = ""
    """Why it does not, in the user's words."""


SIGNED_OTHERWISE = "it was signed with another secret: the server's secret was changed after it was made"
KEY_DELETED = "its key was deleted on the server"


P = ParamSpec("P")


def patiently(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method that is tried again, besides its requests, when an answer to them cannot be understood."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **options: P.kwargs) -> T:
        patience: Patience = self._patience
        return patience.call(lambda: method(self, *args, **options))

    return call


class Server(ABC):
    """One ChirpStack. `log_in` comes before everything but `probe` and `check_token`."""

    api: str
    """`v3` or `v4`."""
    version: str = ""
    """Known after a login, where the server tells it."""
    sees_every_token: bool
    """Whether `check_token` can tell of every kind of key that it works, without its scope."""

    def __init__(self, http: Http, patience: Patience) -> None:
        self._http = http
        self._patience = patience

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
        """The key of this id, whatever its name and scope."""

    @abstractmethod
    def create_key(self, scope: ResolvedScope, name: str, read_only: bool) -> NewKey:
        """Sent once. Raises Unavailable, and its `in_doubt` tells whether there may be a new key now."""

    @abstractmethod
    def delete_key(self, key_id: str) -> None:
        """A key that is not there is deleted."""

    @abstractmethod
    def check_token(self, token: str, key_id: str, scope: ResolvedScope | None = None) -> TokenStatus:
        """Whether the server accepts this API token right now, whatever its scope."""


def every_page(pages: Iterator[tuple[int, list[T]]]) -> Iterator[T]:
    """The entries of (total, page) pairs, up to the total. Raises Unavailable when the list changed meanwhile."""
    seen, total = 0, None
    for now, page in pages:
        if total is not None and now != total:
            break
        total = now
        yield from page
        seen += len(page)
        if seen >= total:
            return
        # The last page, and short of the total: a server that is wrong about it would be asked for ever.
        if len(page) < PAGE:
            break
    raise Unavailable("the server's list changed while it was read")


def keys_of_name(keys: Iterable[Key], name: str) -> list[Key]:
    """Keeps only the keys of that name, so that memory stays flat.

    Both servers sort by name alone: keys of the same name can change places between two pages, and then one of them
    comes twice and another never.
    """
    found = sorted((key for key in keys if key.name == name), key=lambda key: key.id)
    if len({key.id for key in found}) < len(found):
        raise Unavailable("the server's list of API keys changed while it was read")
    return found


def only_match(what: str, ref: str, ids: list[str]) -> str:
    """The single id of that exact name. Raises ServerRefusal."""
    if not ids:
        raise ServerRefusal(
            f"the server has no {what} {ref!r} that this account can see",
            f"correct API_KEY_SCOPE: the {what}'s exact name (case counts) or its id, as the web interface shows it",
        )
    if len(ids) > 1:
        raise ServerRefusal(
            f"the server has {len(ids)} {what}s of the name {ref!r}: {', '.join(sorted(ids))}",
            f"set API_KEY_SCOPE to one of the ids, for example {what}:{min(ids)}",
        )
    return ids[0]
