"""HTTP/1.1 over real sockets: one thread a connection, kept alive, quick to start and to stop.

Only the parsing of requests is `http.server`'s: its servers poll for their end, and its answers say so.
"""

import contextlib
import selectors
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formatdate
from http.client import responses
from http.server import BaseHTTPRequestHandler
from typing import Protocol

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """As it was sent, with its query. v4's calls: `/api.InternalService/Login`."""
    headers: "Message[str, str]"
    """Looked up without regard to case."""
    body: bytes

    @property
    def route(self) -> str:
        return self.path.partition("?")[0]

    @property
    def query(self) -> str:
        return self.path.partition("?")[2]


@dataclass(frozen=True)
class Response:
    """`Content-Length` is added unless the headers give it or say `Transfer-Encoding: chunked`."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Drop(Exception):
    """Close the connection without an answer; with `reset`, the other side's read fails with ECONNRESET."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__("reset" if reset else "closed")
        self.reset = reset


class Listener:
    """A port that is bound at once, and listens when it is told to. Until then connections are refused."""

    def __init__(self, host: str, port: int, answer: Callable[[Request], Response]) -> None:
        self.answer = answer
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind((host, port))
        except OSError:
            self.socket.close()
            raise
        self.port: int = self.socket.getsockname()[1]
        self.latency = 0.0
        self.stopped = threading.Event()
        self._wake, self._woken = socket.socketpair()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread: threading.Thread | None = None

    def start(self, delay: float, latency: float = 0.0) -> None:
        """Listen after `delay` seconds, and take `latency` seconds for every answer."""
        self.latency = latency
        if not delay:
            self.socket.listen(128)
        self._thread = threading.Thread(target=self._accept, args=(delay,), name=f"port {self.port}", daemon=True)
        self._thread.start()

    def _accept(self, delay: float) -> None:
        if delay:
            if self.stopped.wait(delay):
                return
            self.socket.listen(128)
        with selectors.DefaultSelector() as selector:
            for end in (self.socket, self._woken):
                selector.register(end, selectors.EVENT_READ)
            while not any(key.fileobj is self._woken for key, _ in selector.select()):
                self._accept_one()

    def _accept_one(self) -> None:
        with contextlib.suppress(OSError):  # the other side has gone again
            connection, address = self.socket.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: object) -> None:
        with connection, contextlib.suppress(OSError):  # the other side has gone
            _Connection(connection, address, self)  # serves it in its constructor
        with self._lock:
            self._open.discard(connection)

    def stop(self) -> None:
        """As if the process had ended: not listening any more, every connection closed."""
        self.stopped.set()
        self._wake.send(b".")
        if self._thread:
            self._thread.join()
        for end in (self.socket, self._wake, self._woken):
            end.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # closed by the other side
                    connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = 65536
    server: Listener  # type: ignore[assignment]

    def __init__(self, connection: socket.socket, address: object, listener: Listener) -> None:
        super().__init__(connection, address, listener)  # type: ignore[arg-type]

    def handle_one_request(self) -> None:
        self.close_connection = True  # until parse_request knows better
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        # Not self.path: parse_request folds leading slashes.
        request = Request(self.command, self.requestline.split()[1], self.headers, self._body())
        try:
            if self.server.stopped.wait(self.server.latency):
                return
            response = self.server.answer(request)
        except Drop as drop:
            self.close_connection = True
            if drop.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        except Exception:
            # A mistake in the simulator or in a test's hook: no answer that could pass for a server's.
            self.close_connection = True
            traceback.print_exc(file=sys.stderr)
            return
        self._send(response)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(iter(lambda: _read_chunk(self.rfile), b""))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, response: Response) -> None:
        body = response.body
        headers = list(response.headers)
        if response.header("Transfer-Encoding") == "chunked":
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        elif response.header("Content-Length") is None:
            headers.append(("Content-Length", str(len(body))))
        headers.append(("Date", formatdate(usegmt=True)))
        lines = [f"HTTP/1.1 {response.status} {responses.get(response.status, '')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.wfile.write(head if self.command == "HEAD" else head + body)
        if response.header("Connection") == "close":
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: `--verbose` logs in one place, with the answer."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...


def _read_chunk(stream: _Stream) -> bytes:
    size = int(stream.readline().split(b";")[0], 16)
    data = stream.read(size)
    stream.readline()
    return data
