"""The limits of the HTTP layer, against sockets that do what no server should."""

import gzip
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from init_job import log, signals
from init_job.errors import NotThere, Unavailable
from init_job.servers import explain, http
from init_job.servers.answer import Answer
from init_job.servers.http import MAX_ANSWER, Http
from init_job.servers.interface import ResolvedScope
from init_job.servers.v3 import V3
from init_job.servers.v4 import V4
from init_job.wait import Once
from tests.faults.world import Api
from tests.secured.forward_proxy import ForwardProxy, pump
from tests.simulator import Request, Response, Simulator
from tests.support import PASSWORD, environment, run_job, settings_for, started_job

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
ENDLESS = range(100_000)  # lines; a job that reads on gets to its end
LIMIT = 0.3  # seconds, of a request to a server that is too slow


class Peer:
    """A port whose connections are each handled by `serve`, in a thread of its own, until the test ends."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self.connections: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                thread = threading.Thread(target=self._handle, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _handle(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client has gone
            self._serve(connection)

    def __enter__(self) -> "Peer":
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self.connections:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()


def requests_of(connection: socket.socket) -> Iterator[bytes]:
    """The heads of the requests that come in; they have no bodies."""
    with connection.makefile("rb") as stream:
        head = b""
        while line := stream.readline():
            head += line
            if line == b"\r\n":
                yield head
                head = b""


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    """The same answers on every connection, one a request; after the last one it is closed."""

    def serve(connection: socket.socket) -> None:
        for answer, _ in zip(answers, requests_of(connection), strict=False):
            connection.sendall(answer)

    return serve


def asked(peer: Peer, path: str = "/", timeout: float = 10) -> Answer:
    return Http(settings_for(peer.url, REQUEST_TIMEOUT=f"{timeout * 1000:.0f}ms")).get(path)


# How much


def with_body(body: bytes, chunked: bool) -> bytes:
    if chunked:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_of_eight_mebibytes_is_taken_and_one_byte_more_is_not(chunked: bool) -> None:
    with Peer(answering(with_body(b"x" * MAX_ANSWER, chunked))) as peer:
        assert len(asked(peer).body) == 8 * 1024 * 1024
    with Peer(answering(with_body(b"x" * (MAX_ANSWER + 1), chunked))) as peer:
        with pytest.raises(Unavailable, match="answered more than 8 MiB") as caught:
            asked(peer)
        assert "CHIRPSTACK_URL" in caught.value.hint


def endless_body(connection: socket.socket) -> None:
    next(requests_of(connection))
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x" * 65536)


def endless_header(connection: socket.socket) -> None:
    next(requests_of(connection))
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in ENDLESS:
        connection.sendall(b"X-More: and more\r\n")


def endless_line(connection: socket.socket) -> None:
    next(requests_of(connection))
    for _ in ENDLESS:
        connection.sendall(b"HTTP/1.1 ")


@pytest.mark.parametrize("serve", [endless_body, endless_header, endless_line])
def test_an_endless_answer_is_hung_up_on(serve: Callable[[socket.socket], None]) -> None:
    with Peer(serve) as peer, pytest.raises(Unavailable):
        asked(peer)


def test_what_comes_compressed_without_being_asked_for_counts_as_it_is_unpacked() -> None:
    def compressed(size: int) -> bytes:
        body = gzip.compress(b"x" * size)
        return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    with Peer(answering(compressed(1000), compressed(MAX_ANSWER * 4))) as peer:
        http = Http(settings_for(peer.url))
        assert http.get("/").body == b"x" * 1000
        with pytest.raises(Unavailable, match="answered more than 8 MiB"):
            http.get("/")


# How long


def dribbling(head: bytes) -> Callable[[socket.socket], None]:
    """After `head` a byte now and then: each comes in time, the whole never does."""

    def serve(connection: socket.socket) -> None:
        next(requests_of(connection))
        connection.sendall(head)
        connection.settimeout(LIMIT / 10)
        for _ in range(100):
            connection.sendall(b"x")
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return

    return serve


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 200 OK\r\nX-Name: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["status line", "header", "body of a known length", "chunk", "body without a length"],
)
def test_the_time_limit_is_for_the_whole_answer(head: bytes) -> None:
    with Peer(dribbling(head)) as peer:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
            asked(peer, timeout=LIMIT)
        assert time.monotonic() - begun >= LIMIT


def test_the_time_limit_is_for_the_connect_as_well() -> None:
    with swallowing() as port, pytest.raises(Unavailable):
        Http(settings_for(f"http://127.0.0.1:{port}", REQUEST_TIMEOUT=f"{LIMIT}s")).get("/")


@contextmanager
def swallowing(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that swallows what is sent to it, as a network does that is not routed."""
    with socket.socket() as full, ExitStack() as waiting:
        full.bind((host, port))
        full.listen(0)
        for _ in range(4):  # Linux takes one more than it is told to, and is deaf to the others
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(full.getsockname())
        yield full.getsockname()[1]


# As the real one: until it returns no signal is handled, in the thread that called it.
DEAF_LOOKUP = """
import signal, socket, sys, threading

def getaddrinfo(*arguments, **options):
    print("looking up", file=sys.stderr, flush=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    threading.Event().wait()

socket.getaddrinfo = getaddrinfo
"""


def test_the_time_limit_is_for_the_name_server_as_well(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEAF_LOOKUP)
    run = run_job(tmp_path, variables={**looking_up(tmp_path), "REQUEST_TIMEOUT": f"{LIMIT}s", "WAIT_TIMEOUT": "0"})
    assert run.code == 3
    assert "http://chirpstack:8080/api.InternalService/Login did not answer within 0.3 s" in run.error


def test_termination_does_not_wait_for_the_name_server(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEAF_LOOKUP)
    with started_job(tmp_path, **looking_up(tmp_path)) as job:
        assert job.stderr is not None
        assert any(line == "looking up\n" for line in iter(job.stderr.readline, ""))
        job.send_signal(signal.SIGTERM)
        job.communicate(timeout=10)
    assert job.returncode == 143


def looking_up(folder: Path) -> dict[str, str | Path]:
    return {
        "PYTHONPATH": f"{folder}:{environment()['PYTHONPATH']}",
        "CHIRPSTACK_URL": "http://chirpstack:8080",
        "CHIRPSTACK_PASSWORD": PASSWORD,
        "TOKEN_FILE": folder / "token",
        "REQUEST_TIMEOUT": "60s",
    }


# A name with several addresses

# In the place of a name server.
SEVERAL_ADDRESSES = """
import socket

real = socket.getaddrinfo

def getaddrinfo(host, port, *arguments, **options):
    if host != "several":
        return real(host, port, *arguments, **options)
    return [one for address in ("127.0.0.2", "127.0.0.1") for one in real(address, port, *arguments, **options)]

socket.getaddrinfo = getaddrinfo
"""


@contextmanager
def closing_each_connection(server: Simulator) -> Iterator[str]:
    def close(request: Request, response: Response) -> Response:
        return Response(response.status, [*response.headers, ("Connection", "close")], response.body)

    server.after = close
    yield f"http://several:{urlsplit(server.url).port}"


@pytest.mark.parametrize("through", ["directly", "directly, a connection a request", "a proxy"])
def test_an_address_that_swallows_packets_does_not_hide_one_that_answers(
    chirpstack: Simulator, tmp_path: Path, through: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SEVERAL_ADDRESSES)
    with ExitStack() as stack:
        port = urlsplit(chirpstack.url).port or 0
        given = looking_up(tmp_path) | {"CHIRPSTACK_URL": f"http://several:{port}", "REQUEST_TIMEOUT": "2s"}
        if through == "a proxy":
            proxy = stack.enter_context(ForwardProxy(port))
            port = urlsplit(proxy.url).port or 0
            given |= {"CHIRPSTACK_URL": "http://chirpstack.invalid", "HTTP_PROXY": f"http://several:{port}"}
        elif "a request" in through:
            stack.enter_context(closing_each_connection(chirpstack))
        stack.enter_context(swallowing("127.0.0.2", port))
        run = run_job(tmp_path, variables={**given, "WAIT_TIMEOUT": "0"})
    assert run.code == 0, run.err


def test_where_every_address_swallows_packets_the_time_limit_holds(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SEVERAL_ADDRESSES)
    with swallowing() as port, swallowing("127.0.0.2", port):
        url = f"http://several:{port}"
        given = looking_up(tmp_path) | {"CHIRPSTACK_URL": url, "REQUEST_TIMEOUT": "1s", "WAIT_TIMEOUT": "0"}
        run = run_job(tmp_path, variables=given)
    assert run.code == 3
    assert f"{url}/api.InternalService/Login: no connection: nothing answers there" in run.error


# Names and ports


def test_a_name_is_looked_up_without_the_systems_list_of_services(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[object] = []

    def getaddrinfo(host: str, port: object, *arguments: object, **options: object) -> None:
        asked_for.append(port)
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(Unavailable):
        Http(settings_for("https://chirpstack")).get("/")
    assert not any(isinstance(port, str) for port in asked_for)  # an image may lack /etc/services


@pytest.mark.parametrize("host", ["chirpstack.invalid", "a..b", "x" * 70])
def test_a_name_that_is_not_known_is_told(host: str) -> None:
    with pytest.raises(Unavailable, match=f"the name {host} is not known") as caught:
        Http(settings_for(f"http://{host}:8080")).get("/")
    assert "service's name" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "inside", "hint"),
    [
        ("localhost", True, "the container itself"),
        ("127.0.0.2", True, "the container itself"),
        ("localhost", False, "is 1 its port?"),
    ],
)
def test_a_refused_connection_has_a_hint(
    host: str, inside: bool, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "CONTAINER_MARKS", (str(tmp_path if inside else tmp_path / "nothing"),))
    with pytest.raises(NotThere, match="connection refused") as caught:
        Http(settings_for(f"http://{host}:1")).send("POST", "/", content=b"x")
    assert hint in caught.value.hint


@pytest.mark.parametrize(("inside", "hint"), [(True, "the container itself"), (False, "is 1 its port?")])
def test_this_machine_has_an_address_of_ipv6_too(
    inside: bool, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "CONTAINER_MARKS", (str(tmp_path if inside else tmp_path / "nothing"),))
    error = explain.failure("http://[::1]:1/", ConnectionRefusedError(), "")
    assert "connection refused" in str(error)
    assert hint in error.hint


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_its_target_is_named_without_its_query(status: int) -> None:
    with Peer(answering(OK)) as target:
        redirect = f"HTTP/1.1 {status} Moved\r\nLocation: {target.url}/new?rd=x\r\nContent-Length: 0\r\n\r\n".encode()
        with Peer(answering(redirect)) as peer:
            assert str(asked(peer)) == f"{peer.url}/ answered {status}, a redirect to {target.url}/new"
        assert target.connections == []


def test_the_body_of_a_redirect_has_the_same_limit() -> None:
    sent = []

    def serve(connection: socket.socket) -> None:
        next(requests_of(connection))
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /new\r\n\r\n")
        for mebibytes in range(64):
            connection.sendall(bytes(1 << 20))
            sent.append(mebibytes)

    with Peer(serve) as peer, pytest.raises(Unavailable, match="answered more than 8 MiB"):
        asked(peer)
    assert len(sent) < 32  # with what is in the buffers between


@pytest.mark.parametrize("target", ["http://[bad", "https://[::1/x", "//[", "http://a:port/x", "/anmeldung/ger\xe4t"])
def test_a_redirect_to_what_is_no_address_is_told_as_one(target: str) -> None:
    redirect = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
    with Peer(answering(redirect)) as peer:
        answer = asked(peer)
    assert "answered 302, a redirect to " in str(answer)
    assert "redirects are not followed" in explain.hint_of(answer)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("sesam7open://x/", "somewhere else"),
        ("sesam7open:x/", "somewhere else"),
        ("//Sesam/Open7", "http://***"),
        ("https://Sesam/Open7.example.com/a", "https://***.example.com/a"),
        ("/login/Sesam/Open7?a=b", "http://server:8080/login/***"),
        ("/login?Sesam/Open7", "http://server:8080/login"),
        ("https://me:word@sso.example.com/start?rd=x", "https://sso.example.com/start"),
        ("ftp://sso.example.com/", "somewhere else"),
        ("javascript:alert(1)", "somewhere else"),
        ("", "somewhere else"),
    ],
)
def test_a_secret_in_a_redirect_is_masked_before_it_is_taken_apart(location: str, told: str) -> None:
    for secret in ("Sesam/Open7", "server:8080"):  # one's own address is none of the answer's words
        log.hide(secret)
    answer = Answer("http://server:8080/api", 302, {"location": location}, b"")
    assert str(answer) == f"http://server:8080/api answered 302, a redirect to {told}"


def test_a_confidential_answer_tells_of_a_redirect_only_the_host() -> None:
    headers = {"location": "https://sso.example.com/start/what-it-was-sent?rd=x", "content-type": "text/html"}
    answer = Answer("http://server/api", 302, headers, b"", confidential=True)
    assert str(answer) == "http://server/api answered 302, a redirect to https://sso.example.com"


# What may have been carried out


def in_doubt(url: str, **variables: str) -> bool:
    with pytest.raises(Unavailable) as caught:
        Http(settings_for(url, REQUEST_TIMEOUT=f"{LIMIT}s", **variables)).send("POST", "/", content=b"make a key")
    return caught.value.in_doubt


def test_a_request_that_did_not_leave_cannot_have_been_carried_out() -> None:
    with swallowing() as full, socket.socket() as bound, Peer(lambda connection: None) as closes_at_once:
        bound.bind(("127.0.0.1", 0))
        assert not in_doubt(f"http://127.0.0.1:{bound.getsockname()[1]}")  # refused
        assert not in_doubt(f"http://127.0.0.1:{full}")
        assert not in_doubt("http://chirpstack.invalid")
        assert not in_doubt(closes_at_once.url.replace("http:", "https:"))


def reading(connection: socket.socket) -> None:
    connection.recv(10_000)


@pytest.mark.parametrize("serve", [reading, answering(b"HTTP/1.1"), dribbling(b"HTTP/1.1 2"), dribbling(b"")])
def test_a_request_that_left_may_have_been_carried_out(serve: Callable[[socket.socket], None]) -> None:
    with Peer(serve) as peer:
        assert in_doubt(peer.url)


ADMIN = ResolvedScope("admin")


@pytest.mark.parametrize(
    ("api", "answer", "doubt"),
    [
        ("v3", Response(429), False),
        ("v4", Response(429), False),
        ("v3", Response(501), False),
        ("v3", Response(503), True),
        ("v4", Response(502), True),
        ("v3", Response(404), True),
        ("v4", Response(200, [("Content-Type", "application/grpc-web+proto"), ("grpc-status", "13")]), True),
        ("v3", Response(500, [("Content-Type", "application/json")], b'{"error":"pq: x","code":2}'), True),
    ],
)
def test_of_an_answer_it_is_told_whether_a_key_may_have_been_made(api: Api, answer: Response, doubt: bool) -> None:
    with Simulator(api, {"v3": "3.17.9", "v4": "4.19.0"}[api]) as simulator:
        server = {"v3": V3, "v4": V4}[api](Http(settings_for(simulator.url)), Once())
        assert server.log_in("admin", "admin")
        simulator.before = lambda request: answer
        with pytest.raises(Unavailable) as caught:
            server.create_key(ADMIN, "a key", read_only=False)
        assert caught.value.in_doubt == doubt


# Too many requests


def test_a_rate_limit_that_counts_what_it_refuses_is_got_through_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests in any 20 s, by a clock that only the job's own waiting moves."""
    clock, came = [0.0], list[float]()

    def sleep(seconds: float, for_trouble: bool = False) -> None:
        clock[0] += max(0.0, seconds)

    def serve(connection: socket.socket) -> None:
        for _ in requests_of(connection):
            is_let_through = sum(clock[0] - 20 < before for before in came) < 2
            came.append(clock[0])
            connection.sendall(OK if is_let_through else b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n")

    with Peer(serve) as peer:
        client = Http(settings_for(peer.url))
        monkeypatch.setattr(http, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        monkeypatch.setattr(signals, "sleep", sleep)
        answers = [client.get("/").status for _ in range(16)]
    assert answers[-7:] == [200] * 7  # all that a run needs, one after the other
    assert clock[0] < 300


# Headers for what stands before the server


def test_the_users_headers_go_to_the_server_and_to_nobody_else(tmp_path: Path) -> None:
    heads: dict[str, bytes] = {}

    def noting(name: str) -> Callable[[socket.socket], None]:
        def serve(connection: socket.socket) -> None:
            for head in requests_of(connection):
                heads[name] = head
                connection.sendall(OK)

        return serve

    with Peer(noting("server")) as peer, Peer(noting("other")) as other:
        file = tmp_path / "headers"
        file.write_text("CF-Access-Client-Secret: open\nuser-agent: me\n")
        http = Http(settings_for(peer.url, CHIRPSTACK_HEADERS_FILE=str(file)))
        http.get("/", {"User-Agent": "ours"})
        http.get(f"{other.url}/health")
    assert b"CF-Access-Client-Secret: open\r\n" in heads["server"]
    assert [line for line in heads["server"].lower().split(b"\r\n") if line.startswith(b"user-agent:")] == [
        b"user-agent: ours"
    ]
    assert b"CF-Access" not in heads["other"]


# Connections


def test_requests_share_a_connection() -> None:
    with Peer(answering(OK, OK, OK)) as peer:
        http = Http(settings_for(peer.url))
        assert [http.get(path).body for path in ("/", "/a", f"{peer.url}/b")] == [b"OK"] * 3
        assert len(peer.connections) == 1


def test_a_connection_that_the_server_closed_in_the_meantime_is_made_again() -> None:
    with Peer(answering(OK)) as peer:
        http = Http(settings_for(peer.url))
        for _ in range(3):
            assert http.get("/").body == b"OK"
            wait_until_closed(peer.connections[-1])
        assert len(peer.connections) == 3


def wait_until_closed(connection: socket.socket) -> None:
    deadline = time.monotonic() + 10
    while connection.fileno() != -1:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("rest", [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"HTTP/1.1 302 Found\r\n"])
def test_a_connection_with_half_an_answer_in_it_serves_no_other_request(rest: bytes) -> None:
    """The rest of the answer comes when it was given up."""
    given_up = threading.Event()

    def serve(connection: socket.socket) -> None:
        requests = requests_of(connection)
        next(requests)
        if len(peer.connections) == 1:
            connection.sendall(rest)
            given_up.wait(10)
        connection.sendall(OK)
        next(requests, b"")  # leave it open

    with Peer(serve) as peer:
        http = Http(settings_for(peer.url, REQUEST_TIMEOUT="1s"))  # enough for the second one on any machine
        with pytest.raises(Unavailable):
            http.get("/")
        given_up.set()
        assert http.get("/").body == b"OK"
        assert len(peer.connections) == 2


@pytest.mark.parametrize("command", ["ensure", "rotate", "revoke"])
def test_a_run_needs_one_connection(chirpstack: Simulator, tmp_path: Path, command: str) -> None:
    def relay(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", urlsplit(chirpstack.url).port or 0)) as server:
            back = threading.Thread(target=pump, args=(server, connection), daemon=True)
            back.start()
            pump(connection, server)
            back.join()

    with Peer(relay) as peer:
        given: dict[str, str | Path] = {
            "CHIRPSTACK_URL": peer.url,
            "CHIRPSTACK_PASSWORD": PASSWORD,
            "TOKEN_FILE": tmp_path / "token",
        }
        if command != "ensure":
            assert run_job(tmp_path, variables=given).code == 0
        peer.connections.clear()
        chirpstack.clear_requests()
        run = run_job(tmp_path, command, variables=given)
        assert run.code == 0, run.err
        assert len(chirpstack.requests) > 3
        assert len(peer.connections) == 1


def test_a_request_says_who_asks_and_wants_nothing_compressed() -> None:
    heads: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        for head in requests_of(connection):
            heads.append(head.lower())
            connection.sendall(OK)

    with Peer(serve) as peer:
        asked(peer, "/a/path")
    [head] = heads
    assert head.startswith(b"get /a/path http/1.1\r\n")
    assert b"user-agent: chirpstack-init-job\r\n" in head
    assert b"accept-encoding: identity\r\n" in head
    assert b"authorization" not in head


# Messages


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 29\r\n\r\n"
         b"<html><title>Oops</title></p>", "answered 404 (text/html: Oops)"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answered 204 (empty)"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 2\r\n\r\n\xff\xfe",
         "answered 200 (text/plain: \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER})"),
    ],
)  # fmt: skip
def test_an_answer_is_described_in_a_line(answer: bytes, told: str) -> None:
    with Peer(answering(answer)) as peer:
        assert str(asked(peer)) == f"{peer.url}/ {told}"


@pytest.mark.parametrize(
    ("content_type", "body", "told"),
    [
        ("text/Sesam7Open", b"x", "text/***: x"),
        ("Sesam7Open", b"", "***"),
        ("text/html; charset=Sesam7Open", b"", "text/html"),
        ("", b" " * 65_528 + b"Sesam7Open", "***"),
        ("", b"\0" * 65_528 + b"Sesam7Open", "***"),
        ("", "\xa0".encode() * 32_764 + b"Sesam7Open", "***"),
        ("", "no Sesam7Open".encode("utf-16-le"), "no ***"),
        ("", "no Sesam7Open".encode("utf-32-be"), "no ***"),
        ("", "<title>no Sesam7Open</title>".encode("utf-16"), "\ufffd\ufffd<title>no ***</title>"),
    ],
)
def test_of_a_secret_in_an_answer_nothing_is_told_whatever_is_done_with_it(
    content_type: str, body: bytes, told: str
) -> None:
    log.hide("Sesam7Open")
    assert str(Answer("http://s", 400, {"content-type": content_type}, body)) == f"http://s answered 400 ({told})"


@pytest.mark.parametrize("content_type", ["text/html", "text/Sesam7Open", "Sesam7"])
def test_of_a_confidential_answer_not_even_its_type_is_told(content_type: str) -> None:
    answer = Answer("http://s", 400, {"content-type": content_type}, b"x", confidential=True)
    assert str(answer) == "http://s answered 400 (something)"


@pytest.mark.parametrize(
    "frames",
    [
        bytes.fromhex("000006 04 00 00000000 0005 00004000"),  # Go's gRPC
        bytes.fromhex("000012 04 00 00000000 0003 00000080 0004 00010000 0005 00ffffff"),  # nginx
        bytes.fromhex("000008 07 00 00000000 00000000 00000001"),  # GOAWAY
        bytes.fromhex("000000 04 00 00000000"),
    ],
)
def test_a_port_that_speaks_http_2_only_is_told(frames: bytes) -> None:
    with Peer(answering(frames)) as peer:
        with pytest.raises(Unavailable, match="speaks HTTP/2 only") as caught:
            asked(peer)
        assert "HTTP/1.1" in caught.value.hint


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno",
        bytes(range(256)) * 16,
    ],
)
def test_what_is_no_answer_is_unavailable_and_the_next_request_is_served(answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        next(requests_of(connection))
        connection.sendall(answer if len(peer.connections) == 1 else OK)

    with Peer(serve) as peer:
        http = Http(settings_for(peer.url))
        with pytest.raises(Unavailable, match=peer.url):
            http.get("/")
        assert http.get("/").body == b"OK"


@pytest.mark.parametrize("page", [b"<title" * 5_000 + b">" + b"s" * 34_000, b"<title>" * 9_000, b"<title>log" * 6_000])
def test_a_hostile_page_is_told_without_being_read_a_thousand_times(page: bytes) -> None:
    answer = Answer("http://s", 200, {"content-type": "text/html"}, page)
    begun = time.process_time()
    explain.is_gate(answer)
    assert str(answer)
    assert time.process_time() - begun < 2


def test_a_header_that_a_proxy_spoils_costs_a_line_in_the_log(chirpstack: Simulator, tmp_path: Path) -> None:
    def relay(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", urlsplit(chirpstack.url).port or 0)) as server:
            back = threading.Thread(target=pump, args=(connection, server), daemon=True)
            back.start()
            while part := server.recv(65536):
                spoilt = part.replace(b"\r\n\r\n", b"\r\nno colon\r\n\r\n", 1)
                connection.sendall(spoilt if part.startswith(b"HTTP/") else part)

    with Peer(relay) as peer:
        given: dict[str, str | Path] = {
            "CHIRPSTACK_URL": peer.url,
            "CHIRPSTACK_PASSWORD": PASSWORD,
            "TOKEN_FILE": tmp_path / "token",
            "LOG_LEVEL": "info",
        }
        run = run_job(tmp_path, variables=given)
    assert run.code == 0, run.err
    assert "Failed to parse headers" in run.err
    assert "Traceback" not in run.err
    assert all(line[:2] == "20" for line in run.err.splitlines())
