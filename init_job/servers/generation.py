"""What both generations of ChirpStack have in common: gRPC statuses, sessions, lists, and what counts as dead."""

import functools
import re
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Concatenate, ParamSpec, TypeVar

from init_job.errors import AccountError, ServerRefusal, Unavailable
from init_job.servers.answer import Answer
from init_job.servers.http import Http
from init_job.servers.interface import (
    KEY_DELETED,
    SIGNED_OTHERWISE,
    Key,
    NotThisApi,
    ResolvedScope,
    Server,
    TokenStatus,
)
from init_job.tokens import is_jwt
from init_job.wait import Patience

PAGE = 5000
"""Entries asked for at once: few round trips, and with the longest names still half of the 4 MiB that v3's gateway
accepts in one message."""
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ANOTHER_SENDER = "a proxy on the way adds an Authorization header of its own: it must not for ChirpStack"

T = TypeVar("T")
P = ParamSpec("P")


def patiently(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method that is tried again, besides its requests, when an answer to them cannot be understood. What is refused
    in it, and was not expected to be, ends the run."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **options: P.kwargs) -> T:
        patience: Patience = self._patience
        try:
            return patience.call(lambda: method(self, *args, **options))
        except Refused as refused:
            raise self._refusal(refused) from None

    return call


class Code(IntEnum):
    """gRPC status codes, which both generations have."""

    NOT_FOUND = 5
    UNIMPLEMENTED = 12
    UNAUTHENTICATED = 16


class Refused(Exception):
    """A gRPC status that is no trouble of the moment. As a text it is fit for a message."""

    def __init__(self, code: int, said: str, answer: Answer) -> None:
        super().__init__(code)
        self.code = code
        self.said = said
        self._answer = answer

    def __str__(self) -> str:
        # Masked only where it is told: most refusals are expected, and looking for secrets takes a while.
        return self._answer.quoted(self.said) or f"gRPC status {self.code}"


class ClockDoubt(Unavailable):
    """The server takes a token for one of another time."""


@dataclass(frozen=True)
class Group:
    """A tenant, an organization or an application."""

    id: str
    name: str


L = TypeVar("L", Key, Group)


class Generation(Server):
    """A server whose answers are gRPC's statuses, in whatever dress."""

    _login_refused: str
    """What it says to a wrong password."""
    _dead: Mapping[str, str]
    """What it says of a token that is dead for good, and the reason in the user's words."""
    _token_header: str
    _groups: str
    """Of what else than everything an account may be admin."""

    def __init__(self, http: Http, patience: Patience) -> None:
        self._http = http
        self._patience = patience
        self._session = ""
        self._account = ("", "")

    @patiently
    def probe(self) -> NotThisApi | None:
        """A login without e-mail: it asks the database and matches no user (contract §3.1)."""
        try:
            self._log_in_as_nobody()
        except NotThisApi as refusal:
            return refusal
        except Refused as refused:
            if refused.code == Code.UNAUTHENTICATED:
                return None
            return NotThisApi(f"the login answers {str(refused)!r}, as no ChirpStack {self.api} does")
        return NotThisApi(f"the login lets anybody in, as no ChirpStack {self.api} does")

    @abstractmethod
    def _log_in_as_nobody(self) -> None:
        """In one try."""

    def accepts(self, email: str, password: str) -> bool:
        return bool(self._patience.call(lambda: self._token_of_login(email, password)))

    def log_in(self, email: str, password: str) -> bool:
        self._account = (email, password)
        self._session = self._patience.call(lambda: self._token_of_login(email, password))
        return bool(self._session)

    def _token_of_login(self, email: str, password: str) -> str:
        """In one try; empty when it is refused."""
        try:
            token = self._answer_to_login(email, password)
        except Refused as refused:
            if refused.code == Code.UNAUTHENTICATED:
                return ""
            raise self._refusal(refused) from None
        if not isinstance(token, str) or not is_jwt(token):
            raise Unavailable("the server answered the login with something that is no token")
        return token

    @abstractmethod
    def _answer_to_login(self, email: str, password: str) -> object:
        """What stands in the token's place, in one try. Raises Refused."""

    @patiently
    def check_token(self, token: str, key_id: str, scope: ResolvedScope | None = None) -> TokenStatus:
        gone = False
        for ask in self._questions(scope):
            try:
                self._patience.call(lambda ask=ask: ask(token))  # type: ignore[misc]
                return TokenStatus(True)
            except Refused as refused:
                if refused.code == Code.UNIMPLEMENTED:
                    continue
                if refused.code != Code.UNAUTHENTICATED:
                    raise Unavailable(f"asked about the token of key {key_id} the server says: {refused}") from None
                reason = self._dead[refused.said]
                if reason == SIGNED_OTHERWISE:
                    return TokenStatus(False, reason)
                # Or this kind of key may not make this call.
                gone = True
        if not gone:
            raise Unavailable(f"the server knows no call that tells whether the token of key {key_id} works")
        return TokenStatus(False, KEY_DELETED)

    @abstractmethod
    def _questions(self, scope: ResolvedScope | None) -> Iterable[Callable[[str], object]]:
        """Calls that need a token and change nothing: one of them may be made with any key (contract §3.8)."""

    def _judged(self, refused: Refused, token: str) -> Exception:
        """A token is dead only by certain words; by all others the request was not carried out, and may be later."""
        if refused.code != Code.UNAUTHENTICATED or refused.said in (self._dead if token else (self._login_refused,)):
            return refused
        what = "of the token" if token else "to the login, as if a token had been sent with it"
        error = Unavailable(f"the server says {what}: {refused}", _ANOTHER_SENDER)
        if "not valid yet" in refused.said or "expired" in refused.said.lower():
            error = ClockDoubt(
                str(error),
                "the server's clock is wrong, or was when it made the token: set the clocks; if they are right now, "
                "remove the token and set ON_LOST_TOKEN=replace",
            )
        elif token and "no authorization" in refused.said:
            error = Unavailable(
                f"the token does not reach the server: {refused}",
                f"a proxy on the way removes the header {self._token_header}: it must let it through",
            )
            error.lasting = True
        error.in_doubt = False
        return error

    def _as_account(self, send: Callable[[str], T]) -> T:
        """One request with the session, which is a new one when a clock has made the old one useless."""
        if not self._session:
            try:
                self._session = self._token_of_login(*self._account)
            except Unavailable as error:
                error.in_doubt = False  # not what `send` is for
                raise
            if not self._session:
                raise AccountError(
                    f"the server refuses the login of {self._account[0]}, which it accepted before",
                    "was the password changed meanwhile? Run the job again",
                )
        try:
            return send(self._session)
        except ClockDoubt:
            self._session = ""
            raise

    def _all(self, page_at: Callable[[int, int], tuple[int, list[L]]]) -> Iterator[L]:
        """The entries of a list, page by page. `page_at`: (limit, offset) → (total, entries).

        Raises Unavailable when the list changes meanwhile, or does not go on, or does not end in time: what a server
        says of its total must not keep the job busy for ever.
        """
        until = time.monotonic() + max(self._patience.left, self._http.timeout)
        offset, total, first = 0, -1, ""
        while time.monotonic() < until:
            before, (total, page) = total, page_at(PAGE, offset)
            if before not in (-1, total) or (page and page[0].id == first):
                break
            yield from page
            offset += len(page)
            if offset >= total:
                return
            # The last page, and short of the total: a server that is wrong about it would be asked for ever.
            if len(page) < PAGE:
                break
            first = page[0].id
        raise Unavailable("the server's list changed while it was read, or has no end")

    def _refusal(self, refused: Refused) -> AccountError | ServerRefusal:
        if refused.code != Code.UNAUTHENTICATED:
            return ServerRefusal(f"the server refused: {refused}", "correct the setting that the server names")
        if self._dead.get(refused.said) == SIGNED_OTHERWISE:
            return AccountError(
                f"the server read another token than the one of its own login: {refused}",
                f"{_ANOTHER_SENDER}; or do several servers with different secrets answer at CHIRPSTACK_URL?",
            )
        return AccountError(
            f"the account may not do this{f': {refused}' if refused.said else ''}",
            f"use an active account with global admin rights, or one that is admin of the {self._groups} asked for",
        )


def an_id(text: str) -> str:
    """A UUID. Ids are told as they are, and what is none may be a secret that comes back. Raises Unavailable."""
    if not _UUID.fullmatch(text):
        raise Unavailable(
            "the server's answer has no UUID in the place of an id",
            "is something between the job and the server that changes its answers?",
        )
    return text


def keys_of_name(keys: Iterable[Key], name: str) -> list[Key]:
    """Keeps only the keys of that name, so that memory stays flat.

    Both servers sort by name alone: keys of the same name can change places between two pages, and then one of them
    comes twice and another never.
    """
    found = sorted((key for key in keys if key.name == name), key=lambda key: key.id)
    if len({an_id(key.id) for key in found}) < len(found):
        raise Unavailable("the server's list of API keys changed while it was read")
    return found


def only_match(what: str, ref: str, groups: Iterable[Group]) -> str:
    """The single id of that exact name. Raises ServerRefusal."""
    # Those of v3 are numbers.
    ids = [group.id if group.id.isdecimal() else an_id(group.id) for group in groups if group.name == ref]
    if not ids:
        raise ServerRefusal(
            f"the server has no {what} {ref!r} that this account can see",
            f"correct the scope: the {what}'s exact name (case counts) or its id, as the web interface shows it",
        )
    if len(ids) > 1:
        raise ServerRefusal(
            f"the server has {len(ids)} {what}s of the name {ref!r}: {', '.join(sorted(ids))}",
            f"set the scope to one of the ids, for example {what}:{min(ids)}",
        )
    return ids[0]
