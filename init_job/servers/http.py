"""HTTP with limits, and every failure of it as an Unavailable that says what may be wrong."""

import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_to_bytes, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy

from init_job import log, signals
from init_job.errors import Unavailable
from init_job.servers import explain
from init_job.servers.answer import Answer
from init_job.servers.tls import TlsAdapter, tls_context
from init_job.settings import Settings

MAX_ANSWER = 8 * 1024 * 1024  # bytes
_LONGEST_SHARE = 2.0  # seconds
_PACES = (0.25, 16.0)  # seconds between two requests, at least and at most, where too many are refused
_LONG_PACE = 4.0  # seconds for which a run that is told to end may still be waited for
_CHUNK = 64 * 1024


class _Body:
    """The content of a request, which leaves the machine only if it has not been called off."""

    def __init__(self, content: bytes) -> None:
        self._length = len(content)
        self._content = [content]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        # Asked for once there is a connection, after the headers. Popping is atomic: one of the two threads gets it.
        yield self._content.pop()

    def call_off(self) -> bool:
        """Whether nothing of it has left; from now on nothing will."""
        try:
            self._content.pop()
        except IndexError:
            return False
        return True


class Http:
    """Requests with a limit in time, over one session for as long as it is good."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.url
        self.timeout = settings.request_timeout
        # For what stands before the server, and for nobody else.
        self._headers = dict(settings.headers)
        is_tls = "https:" in (settings.url[:6].lower(), settings.health_url[:6].lower())
        self._tls = tls_context(settings) if is_tls else None
        self._session = _Session(self.timeout, self._tls)
        self._pace = 0.0
        """Seconds from one answer to the next request."""
        self._was_let_through = False
        self._turns = 0
        """How often one was let through and the next was not."""
        self._answered = 0.0

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("GET", path, headers)

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        confidential: bool = False,
    ) -> Answer:
        """The answer, whatever it is; redirects are not followed. `path` begins with a slash, or is a whole address.

        `confidential`: the content has a password, and nothing of what comes back may be told.
        Raises Unavailable: unreachable, broken off, too late, too long; Terminated.
        """
        url = path if "://" in path else self._root + path
        body = None if content is None else _Body(content)
        more = self._headers if _origin(url) == _origin(self._root) else {}
        proxies = get_environ_proxies(url)
        proxy = select_proxy(url, proxies) or ""
        address = proxy.replace("%40", "@")  # some encode the one behind the password as well
        named = address.rpartition("@")[2].rpartition("://")[2].rstrip("/")
        log.hide_user_info(address)
        if self._pace:
            left = self._answered + self._pace - time.monotonic()
            signals.sleep(left, for_trouble=self._pace > _LONG_PACE)
        session = self._session
        error: Unavailable
        cause: Exception | None = None
        try:
            status, received, text = signals.call(
                lambda: session.send(method, url, {**more, **(headers or {})}, body, proxies), self.timeout
            )
        except signals.Overdue:
            error = explain.overdue(url, self.timeout, named)
        except (requests.RequestException, OSError) as failure:
            error, cause = explain.failure(url, failure, named), failure
        except Unavailable as too_long:
            error = too_long
        else:
            log.debug("request", f"{method} {url}: {status}, {len(text)} bytes", status=status)
            answer = Answer(url, status, received, text, named, confidential)
            self._learn_pace(explain.is_let_through(answer), explain.is_limit(answer))
            return answer
        self._learn_pace(False)
        # A connection with half an answer in it must not serve the next request; one that was given up may go on.
        self._session = _Session(self.timeout, self._tls)
        if body and body.call_off():
            error.in_doubt = False
        log.debug("request-failed", str(error))
        raise error from cause

    def _learn_pace(self, is_let_through: bool, is_limit: bool = False) -> None:
        """Of a limit to the rate. Were each request sent at once, every other one would be refused, and a create that
        comes after a list never be let through. Not every limit says that it is one, but each shows it: again and again
        something is let through and the next is not. A server that only starts has let nothing through before. One that
        counts what it refuses lets nothing through before the pace is slow enough: it doubles until then, as long as a
        run of eight requests still fits into WAIT_TIMEOUT."""
        is_turn = self._was_let_through and not is_let_through
        self._turns += is_turn
        if is_limit or (is_turn and self._turns > 1):
            self._pace = min(max(_PACES[0], 2 * self._pace), _PACES[1])
        self._was_let_through, self._answered = is_let_through, time.monotonic()


class _Unfollowing(requests.Session):
    """Even if it is not to follow a redirect, requests reads the whole of its body, without our limit, and takes its
    target to pieces, which fails with errors of Python's own."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        pass


class _Adapter(HTTPAdapter):
    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """As curl sends them: in UTF-8, or the octets that are percent-encoded. requests knows Latin-1 only."""
        user_info = urlsplit(proxy).netloc.rpartition("@")[0]
        if ":" not in user_info:
            return {}
        login = f"Basic {b64encode(unquote_to_bytes(user_info)).decode()}"
        log.hide_header(login)  # octets that are no text come back in no spelling of the address
        return {"Proxy-Authorization": login}


class _TlsAdapter(_Adapter, TlsAdapter):
    pass


class _Session:
    """What may block, in a thread of its own: keep-alive, no `.netrc`, no redirects, no certificates but those asked
    for."""

    def __init__(self, timeout: float, tls: ssl.SSLContext | None) -> None:
        self._timeout = timeout
        self._requests = _Unfollowing()
        # Otherwise requests would put a password from .netrc in the place of our bearer token.
        self._requests.trust_env = False
        self._requests.headers = {"User-Agent": "chirpstack-init-job", "Accept-Encoding": "identity"}
        self._requests.mount("http://", _Adapter())
        if tls:
            self._requests.mount("https://", _TlsAdapter(tls))
        self._shares: dict[str, float] = {}
        """Seconds for a connect, by the address that is connected to."""

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: _Body | None, proxies: dict[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the answer."""
        proxy = select_proxy(url, proxies) or ""
        peer = proxy or urlsplit(url).netloc
        if peer not in self._shares:
            self._shares[peer] = _share_of_an_address(self._timeout, url, proxy)
        with self._requests.request(
            method, url, headers=dict(headers), data=body, proxies=proxies,
            timeout=(self._shares[peer], self._timeout), allow_redirects=False, stream=True,
        ) as response:  # fmt: skip
            content = bytearray()
            for chunk in response.iter_content(_CHUNK):
                content += chunk
                if len(content) > MAX_ANSWER:
                    raise Unavailable(f"{url} answered more than {MAX_ANSWER >> 20} MiB", explain.NOT_CHIRPSTACK)
            return response.status_code, response.headers, bytes(content)


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


def _share_of_an_address(timeout: float, url: str, proxy: str) -> float:
    """Seconds for the connect to one of the addresses that the name has: one that swallows packets (IPv6 that is not
    routed) must not hide the next one. Raises OSError when the name is not known."""
    address = proxy or url
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise requests.exceptions.ProxyError(error) if proxy else error from None
    except ValueError:
        unknown = socket.gaierror(socket.EAI_NONAME, "not the name of a host")
        raise requests.exceptions.ProxyError(unknown) if proxy else unknown from None
    # With as much left for the answer.
    return timeout if len(found) == 1 else min(timeout / (len(found) + 1), _LONGEST_SHARE)
