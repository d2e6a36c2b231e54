"""A proxy between the job and the server that hurts the requests that it is told to."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Self
from urllib.parse import urlsplit

_CREATE = re.compile(rb"POST /api(/internal/api-keys|\.InternalService/CreateApiKey) ")
_DELETE = re.compile(rb"DELETE |POST /api\.InternalService/DeleteApiKey ")
_OTHER_CHANGE = re.compile(rb"PUT |POST /api\.UserService/UpdatePassword ")


@dataclass
class Exchange:
    """One request, on its way to the server or not."""

    number: int
    """Counted from 1 since the last `plan`."""
    request: bytes
    client: socket.socket
    proxy: "Proxy"
    _upstream: "Upstream"

    @property
    def is_create(self) -> bool:
        return _CREATE.match(self.request) is not None

    @property
    def is_delete(self) -> bool:
        return _DELETE.match(self.request) is not None

    @property
    def is_change(self) -> bool:
        return self.is_create or self.is_delete or _OTHER_CHANGE.match(self.request) is not None

    def forward(self) -> "Raw":
        """What the server answers."""
        return self._upstream.ask(self.request)

    def pass_on(self) -> None:
        self.client.sendall(self.forward().whole)

    def hang_up(self, reset: bool = False) -> None:
        if reset:
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise HungUp

    def send(self, data: bytes) -> None:
        self.client.sendall(data)

    def wait_for_hang_up(self, seconds: float) -> bool:
        """Whether the job has closed the connection within that time."""
        self.client.settimeout(seconds)
        try:
            return not socket.socket.recv(self.client, 1, socket.MSG_PEEK)  # TLS has no such flag
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            self.client.settimeout(None)


@dataclass(frozen=True)
class Raw:
    """An answer, byte for byte; the head ends with its empty line."""

    head: bytes
    body: bytes

    @property
    def whole(self) -> bytes:
        return self.head + self.body

    def with_body(self, body: bytes, length: int | str = -1) -> "Raw":
        """The same head for another body; `length` is what it says of it."""
        head = re.sub(rb"(?im)^(content-length|transfer-encoding):.*\r\n", b"", self.head)
        said = len(body) if length == -1 else length
        return Raw(head[:-2] + f"Content-Length: {said}\r\n\r\n".encode(), body)

    @property
    def is_chunked(self) -> bool:
        return b"transfer-encoding: chunked" in self.head.lower()

    @property
    def plain_body(self) -> bytes:
        if not self.is_chunked:
            return self.body
        body, rest = b"", self.body
        while (size := int(rest.partition(b"\r\n")[0], 16)) > 0:
            rest = rest.partition(b"\r\n")[2]
            body, rest = body + rest[:size], rest[size + 2 :]
        return body

    @classmethod
    def of(cls, status: str, body: bytes, content_type: str, *more: str) -> "Raw":
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *more, "", ""]
        return cls("\r\n".join(lines).encode(), body)


class HungUp(Exception):
    """The connection to the job is to be closed."""


Fault = Callable[[Exchange], None]
"""Does to one request whatever it does, in the place of `pass_on`."""
Plan = Callable[[Exchange], Fault | None]


class Proxy:
    """A context manager; its port stays the same."""

    def __init__(self, server: str) -> None:
        address = urlsplit(server)
        self._server = (address.hostname or "", address.port or 0)
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._plan: Plan | None = None
        self._listener = self._bound(0)
        self.port: int = self._listener.getsockname()[1]
        self.count = 0
        self.closed = threading.Event()
        self._busy = 0
        self._idle = threading.Condition(self._lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *error: object) -> None:
        self.closed.set()
        self._stop_accepting(self._listener)
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def plan(self, plan: Plan | None) -> None:
        """From now on; requests are counted anew."""
        with self._lock:
            self._plan, self.count = plan, 0

    def refuse(self, seconds: float) -> None:
        """Nobody listens for a while. Connections that are open stay."""
        # Bound at once, so that nobody else takes the port meanwhile.
        before, self._listener = self._listener, self._bound(self.port)
        self._stop_accepting(before)

        def again() -> None:
            if not self.closed.wait(seconds):
                self._listen()

        self._start(again)

    def wait_until_idle(self) -> None:
        """Until no fault has anything left to do."""
        with self._idle:
            assert self._idle.wait_for(lambda: not self._busy, 60)

    def hang_up(self) -> None:
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _bound(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", port))
        return listener

    def _listen(self) -> None:
        self._listener.listen(128)
        self._start(self._accept, self._listener)

    @staticmethod
    def _stop_accepting(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # ends the accept
        listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._serve, client)

    def _secured(self, client: socket.socket) -> socket.socket:
        """Of a proxy that speaks something else with its clients. Raises OSError."""
        return client

    def _upstream(self) -> "Upstream":
        return Upstream(self._server)

    def _serve(self, client: socket.socket) -> None:
        upstream = self._upstream()
        try:
            client = self._secured(client)
        except OSError:
            client.close()
            return
        stream = client.makefile("rb")
        with self._lock:
            self._sockets.add(client)
        try:
            with contextlib.suppress(OSError, HungUp):  # either side may go at any time
                while request := _read_request(stream):
                    with self._lock:
                        self.count += 1
                        exchange = Exchange(self.count, request, client, self, upstream)
                        fault = self._plan(exchange) if self._plan else None
                        self._busy += 1
                    try:
                        (fault or Exchange.pass_on)(exchange)
                    finally:
                        with self._idle:
                            self._busy -= 1
                            self._idle.notify_all()
        finally:
            with self._lock:
                self._sockets.discard(client)
            upstream.close()
            stream.close()
            client.close()


class Upstream:
    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def _connected(self) -> socket.socket:
        return socket.create_connection(self._address)

    def ask(self, request: bytes) -> Raw:
        if self._socket is None:
            self._socket = self._connected()
            self._stream = self._socket.makefile("rb")
        self._socket.sendall(request)
        head = _read_head(self._stream)
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        if length:
            return Raw(head, self._stream.read(int(length[1])))
        body = b""
        while True:
            line = self._stream.readline()
            chunk = self._stream.read(int(line, 16) + 2)
            body += line + chunk
            if int(line, 16) == 0:
                return Raw(head, body)

    def close(self) -> None:
        if self._socket is not None:
            self._stream.close()
            self._socket.close()


def _read_head(stream: BinaryIO) -> bytes:
    """Nothing when the connection ends before the empty line."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return b""
        head += line
    return head


def _read_request(stream: BinaryIO) -> bytes:
    """Nothing when the job is gone, be it in the middle of a request."""
    head = _read_head(stream)
    found = re.search(rb"(?im)^content-length: *(\d+)", head)
    length = int(found[1]) if found else 0
    body = stream.read(length)
    return head + body if len(body) == length else b""
