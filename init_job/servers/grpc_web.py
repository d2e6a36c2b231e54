"""gRPC-Web in its binary form: one framed message each way, over any HTTP/1.1 proxy (contract §2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from init_job.errors import Unavailable
from init_job.servers import explain
from init_job.servers.answer import Answer
from init_job.servers.interface import NotThisApi

HEADERS = {"Content-Type": "application/grpc-web+proto", "Accept": "application/grpc-web+proto", "X-Grpc-Web": "1"}
_DATA, _TRAILERS = 0x00, 0x80
_PREFIX = 5  # bytes: one of flags, four of length


@dataclass(frozen=True)
class Reply:
    status: int
    """gRPC status code; 0 is success."""
    message: str
    payload: bytes


def frame(message: bytes) -> bytes:
    return bytes([_DATA]) + len(message).to_bytes(4, "big") + message


def read(answer: Answer) -> Reply:
    """Raises NotThisApi when this is no gRPC-Web, Unavailable when it is cut or damaged."""
    if explain.is_trouble(answer):
        raise explain.trouble(answer)
    if answer.status != 200 or not answer.content_type.startswith("application/grpc-web"):
        raise NotThisApi.because_of(answer)
    if "grpc-status" in answer.headers:
        # An error has no frames at all.
        return _reply(answer, answer.headers, b"")
    payload: bytes | None = None
    rest = answer.body
    while len(rest) >= _PREFIX:
        kind, end = rest[0], _PREFIX + int.from_bytes(rest[1:_PREFIX], "big")
        content, whole = rest[_PREFIX:end], end <= len(rest)
        if whole and kind == _DATA and payload is None:
            payload, rest = content, rest[end:]
            continue
        if whole and kind == _TRAILERS and end == len(rest):
            lines = (line.partition(":") for line in content.decode("latin-1").split("\r\n"))
            trailers = {name.strip().lower(): value.strip() for name, _, value in lines}
            reply = _reply(answer, trailers, payload or b"")
            if reply.status == 0 and payload is None:
                break
            return reply
        break
    raise Unavailable(f"{answer.url} answered a damaged gRPC-Web message ({len(answer.body)} bytes)")


def _reply(answer: Answer, trailers: Mapping[str, str], payload: bytes) -> Reply:
    status = trailers.get("grpc-status", "")
    if not (status.isascii() and status.isdecimal() and len(status) <= 2):
        raise Unavailable(f"the answer's gRPC status is no number: {answer.quoted(status, 20)!r}")
    return Reply(int(status), unquote(trailers.get("grpc-message", "")), payload)
