"""gRPC-Web as tonic-web speaks it over HTTP/1.1."""

import base64
import struct
from urllib.parse import quote

from tests.simulator.wire import Headers, Request, Response

_BINARY = ("application/grpc-web", "application/grpc-web+proto")
_TEXT = ("application/grpc-web-text", "application/grpc-web-text+proto")
CONTENT_TYPES = _BINARY + _TEXT

_NOT_ENCODED = "".join(c for c in map(chr, range(0x21, 0x7F)) if c not in '"#%<>?`{}')
_TRAILER = b"grpc-status:0\r\n"


class Failure(Exception):
    """A gRPC status."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def status_headers(code: int, message: str) -> Headers:
    """Without a message there is no header for it."""
    headers = [("grpc-status", str(code))]
    return [*headers, ("grpc-message", quote(message, safe=_NOT_ENCODED))] if message else headers


def answer(request: Request, headers: Headers, message: bytes | None = None, *, type_first: bool = True) -> Response:
    """A message and the trailers, or only headers."""
    as_text = request.headers.get("Accept") in _TEXT  # not the request's own form
    content_type = ("content-type", _TEXT[1] if as_text else _BINARY[1])
    if message is None:
        return Response(200, [content_type, *headers] if type_first else [*headers, content_type])
    frames = [struct.pack(">BI", flag, len(data)) + data for flag, data in ((0, message), (0x80, _TRAILER))]
    if as_text:
        frames = [base64.b64encode(frame) for frame in frames]  # each on its own, with its padding
    return Response(200, [*headers, content_type, ("transfer-encoding", "chunked")], b"".join(frames))


def payload(request: Request, limit: int | None) -> bytes:
    """The message of a unary call."""
    body = request.body
    if request.headers.get("Content-Type") in _TEXT:
        body = base64.b64decode(body)
    if not body:
        raise Failure(13, "Missing request message.")
    if body[0] == 1:
        raise Failure(13, "protocol error: received message with compressed-flag but no grpc-encoding was specified")
    length = int.from_bytes(body[1:5], "big")
    if limit is not None and length > limit:
        raise Failure(
            11,
            f"Error, decoded message length too large: found {length} bytes, the limit is: {limit} bytes",
        )
    if len(body) < 5 + length:
        raise Failure(13, "Unexpected EOF decoding stream.")
    return body[5 : 5 + length]
