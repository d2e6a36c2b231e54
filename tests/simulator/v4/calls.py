"""The methods of the services."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.simulator.state import State, Version
from tests.simulator.v4 import grpc_web
from tests.simulator.v4.grpc_web import Failure
from tests.simulator.v4.messages import pb
from tests.simulator.wire import Request

Message = Any  # one of the official package's, which has no type information; None for an empty answer
_MAX_MESSAGE = 4 * 1024 * 1024


class UnknownMethodError(Exception):
    """The service has no such method."""


@dataclass(frozen=True)
class Caller:
    kind: str = ""
    """`user` or `key`; nothing without an authorization header."""
    id: str = ""


@dataclass(frozen=True)
class Logged:
    """An answer with what the request is logged with, which leaks into the headers."""

    message: Message
    log: dict[str, str]


Handler = TypeVar("Handler", bound=Callable[[State, Caller, Message], "Message | Logged"])


@dataclass(frozen=True)
class _Method:
    request: str
    handler: Callable[[State, Caller, Message], "Message | Logged"]
    since: Version
    until: Version


class Methods:
    def __init__(self) -> None:
        self._methods: dict[str, _Method] = {}

    def __call__(
        self, path: str, request: str = "", *, since: Version = (4,), until: Version = (5,)
    ) -> Callable[[Handler], Handler]:
        """Decorates the function that serves this method, in versions from `since` to before `until`.

        `request` is the name of the message it takes; none for google.protobuf.Empty.
        """

        def register(handler: Handler) -> Handler:
            self._methods[f"/api.{path}"] = _Method(request, handler, since, until)
            return handler

        return register

    def call(self, state: State, caller: Caller, request: Request) -> tuple[bytes, dict[str, str]]:
        method = self._methods.get(request.route)
        if method is None or not method.since <= state.version < method.until:
            raise UnknownMethodError
        data = grpc_web.payload(request, _MAX_MESSAGE if state.version >= (4, 3, 1) else None)
        try:
            message = getattr(pb, method.request).FromString(data) if method.request else None
        except pb.DecodeError:
            raise Failure(13, "failed to decode Protobuf message: invalid tag value: 0") from None
        answer = method.handler(state, caller, message)
        log = {}
        if isinstance(answer, Logged):
            answer, log = answer.message, answer.log
        return answer.SerializeToString() if answer is not None else b"", log


methods = Methods()
