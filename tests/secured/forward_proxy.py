"""A proxy as HTTP_PROXY and HTTPS_PROXY name it. It knows names that this machine does not."""

import contextlib
import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit


class ForwardProxy:
    """Leads to `port` of this machine, whatever host is asked for. With `refusal` it answers everything so, and
    perhaps `says_back` the login; a `tunnel` may be one that is "closed" at once, or "deaf"."""

    def __init__(self, port: int, *, refusal: int = 0, says_back: bool = False, tunnel: str = "open") -> None:
        self.tunnels: list[str] = []
        """What CONNECT asked for."""
        self.forwarded: list[str] = []
        """The addresses of plain requests."""
        self.logins: set[str | None] = set()
        """What came as Proxy-Authorization."""

        class Handler(_Handler):
            proxy = self
            target = port
            refuses_with = refusal
            tells_login = says_back
            tunnel_is = tunnel

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}"

    def __enter__(self) -> "ForwardProxy":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: ForwardProxy
    target: int
    refuses_with: int
    tells_login: bool
    tunnel_is: str

    def do_CONNECT(self) -> None:
        self.proxy.tunnels.append(self.path)
        self.proxy.logins.add(self.headers["Proxy-Authorization"])
        self.close_connection = True
        if self._refused():
            return
        if self.tunnel_is == "deaf":
            self.connection.recv(1)  # until the client has gone
            return
        if self.tunnel_is == "closed":
            self.send_response(200, "Connection established")
            self.end_headers()
            return
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            self.send_response(200, "Connection established")
            self.end_headers()
            back = threading.Thread(target=pump, args=(server, self.connection), daemon=True)
            back.start()
            pump(self.connection, server)
            back.join()

    def do_any(self) -> None:
        self.proxy.forwarded.append(self.path)
        self.proxy.logins.add(self.headers["Proxy-Authorization"])
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self._refused():
            return
        headers = {name: value for name, value in self.headers.items() if not name.startswith("Proxy-")}
        url = urlsplit(self.path)
        upstream = http.client.HTTPConnection("127.0.0.1", self.target, timeout=10)
        with contextlib.closing(upstream):
            upstream.request(self.command, url.path + (f"?{url.query}" if url.query else ""), body, headers)
            answer = upstream.getresponse()
            content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_any

    def _refused(self) -> bool:
        if self.refuses_with:
            to = f" to {self.headers['Proxy-Authorization']}" if self.tells_login else ""
            page = f"<html><head><title>Squid says no{to}</title></head></html>".encode()
            self.send_response(self.refuses_with)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
        return bool(self.refuses_with)

    def log_message(self, format: str, *args: object) -> None:
        pass


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Until there is no more; the other side is told."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
