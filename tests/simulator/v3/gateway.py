"""grpc-gateway v1.12.1, which stands before v3's gRPC services: routes, the fields of requests, answers."""

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

from tests.simulator import go_json
from tests.simulator.state import State, Version
from tests.simulator.wire import Headers, Request, Response

Json = dict[str, Any]
Handler = TypeVar("Handler", bound=Callable[[State, "Call"], Json])

_HTTP_STATUS = {2: 500, 3: 400, 5: 404, 8: 429, 16: 401}


class Failure(Exception):
    """A gRPC status; the gateway's own lack the service's headers."""

    def __init__(self, code: int, message: str, *, in_gateway: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.in_gateway = in_gateway


@dataclass(frozen=True)
class Call:
    headers: "Message[str, str]"
    id: str = ""
    """What stands in the path."""
    query: dict[str, str] = field(default_factory=dict)
    body: Json = field(default_factory=dict)
    limit: int = 0
    offset: int = 0


@dataclass(frozen=True)
class _Route:
    method: str
    pattern: re.Pattern[str]
    handler: Callable[[State, Call], Json]
    paged: bool
    since: Version
    until: Version


class Routes:
    def __init__(self) -> None:
        self._routes: list[_Route] = []

    def __call__(
        self, method: str, path: str, *, paged: bool = False, since: Version = (), until: Version = (4,)
    ) -> Callable[[Handler], Handler]:
        """Decorates the function that serves this route in versions from `since` to before `until`."""

        def register(handler: Handler) -> Handler:
            pattern = re.compile(re.sub(r"\{\w+\}", "([^/]+)", path))
            self._routes.append(_Route(method, pattern, handler, paged, since, until))
            return handler

        return register

    def answer(self, state: State, request: Request) -> Response:
        found = [
            (route, match)
            for route in self._routes
            if route.since <= state.version < route.until and (match := route.pattern.fullmatch(request.route))
        ]
        if not found:
            return plain(404, "Not Found")
        chosen = [(route, match) for route, match in found if route.method == request.method]
        content_type = request.headers.get("Content-Type", "")
        if request.method == "POST" and content_type.startswith("application/x-www-form-urlencoded"):
            chosen = chosen or found  # "Allow fallback to POST": another method's handler serves a form
        if not chosen:
            return plain(405, "Method Not Allowed")
        route, match = chosen[0]
        try:
            return _json(200, route.handler(state, _call(route, match, request)))
        except Failure as failure:
            body = {"error": failure.message, "code": failure.code, "message": failure.message, "details": []}
            return _json(_HTTP_STATUS[failure.code], body, in_gateway=failure.in_gateway)


routes = Routes()


def _call(route: _Route, match: re.Match[str], request: Request) -> Call:
    body: Json = {}
    form = ""
    if route.method in ("POST", "PUT"):
        body = object_field({"body": _body(request.body)}, "body")
    elif request.method == "POST":
        form = request.body.decode(errors="replace")
    # Of a name that is given twice the first value counts; in a form the body goes before the URL.
    query = dict(reversed(parse_qsl(f"{form}&{request.query}", keep_blank_values=True)))
    return Call(
        request.headers,
        unquote(match.group(1)) if match.groups() else "",
        query,
        body,
        _query_int(query, "limit") if route.paged else 0,
        _query_int(query, "offset") if route.paged else 0,
    )


def _body(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return go_json.loads(body)
    except go_json.GoJSONError as error:
        raise Failure(3, str(error), in_gateway=True) from None


def plain(status: int, text: str) -> Response:
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
    return Response(status, headers, f"{text}\n".encode())


def _json(status: int, value: Json, *, in_gateway: bool = False) -> Response:
    headers: Headers = [("Content-Type", "application/json")]
    if not in_gateway:
        headers += [
            ("Grpc-Metadata-Content-Type", "application/grpc"),
            ("Grpc-Metadata-Ctx-Id", str(uuid.uuid4())),
        ]
        trailers = ("Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin")
        headers += [("Grpc-Metadata-Trailer", trailer) for trailer in trailers]
    return Response(status, headers, go_json.dumps(value))


# Fields, in a body and in a query


def _field(value: Json, names: Sequence[str]) -> Any:
    """Both the JSON name and the name in the .proto are understood; any other is ignored."""
    return next((value[name] for name in names if value.get(name) is not None), None)


def _mismatch(value: Any, go_type: str) -> Failure:
    names = {"dict": "object", "list": "array", "str": "string", "bool": "bool"}
    kind = names.get(type(value).__name__, "number")
    return Failure(3, f"json: cannot unmarshal {kind} into Go value of type {go_type}", in_gateway=True)


def object_field(value: Json, *names: str) -> Json:
    found = _field(value, names)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _mismatch(found, "map[string]json.RawMessage")
    return found


def string_field(value: Json, *names: str) -> str:
    found = _field(value, names)
    if found is not None and not isinstance(found, str):
        raise _mismatch(found, "string")
    return found or ""


def bool_field(value: Json, *names: str) -> bool:
    found = _field(value, names)
    if found is not None and not isinstance(found, bool):
        raise _mismatch(found, "bool")
    return found or False


def id_field(value: Json, *names: str) -> str:
    """As an id: empty for 0."""
    found = _field(value, names)
    if isinstance(found, str):
        try:
            found = go_json.loads(found.encode())
        except go_json.GoJSONError as error:
            raise Failure(3, str(error), in_gateway=True) from None
    if found is None:
        return ""
    if type(found) is not int:
        raise _mismatch(found, "int64")
    return str(found) if found else ""


def _parse_int(text: str) -> int:
    """strconv.ParseInt with base 0: 0x…, 0o…, 0b… and a leading 0 for octal."""
    try:
        return int(re.sub(r"^([+-]?)0(?=\d)", r"\g<1>0o", text), 0)
    except ValueError:
        quoted = go_json.dumps(text).decode()
        raise ValueError(f"strconv.ParseInt: parsing {quoted}: invalid syntax") from None


def path_id(name: str, text: str) -> str:
    try:
        return str(_parse_int(text))
    except ValueError as error:
        raise Failure(3, f"type mismatch, parameter: {name}, error: {error}", in_gateway=True) from None


def _query_int(query: dict[str, str], *names: str) -> int:
    for name in names:
        if name in query:
            try:
                return _parse_int(query[name])
            except ValueError as error:
                raise Failure(3, str(error), in_gateway=True) from None
    return 0


def query_id(call: Call, *names: str) -> str:
    """As an id: empty for 0."""
    return str(_query_int(call.query, *names) or "")


def query_bool(call: Call, *names: str) -> bool:
    for name in names:
        if name in call.query:
            text = call.query[name]
            if text in ("1", "t", "T", "TRUE", "true", "True"):
                return True
            if text in ("0", "f", "F", "FALSE", "false", "False"):
                return False
            quoted = go_json.dumps(text).decode()
            raise Failure(3, f"strconv.ParseBool: parsing {quoted}: invalid syntax", in_gateway=True)
    return False
