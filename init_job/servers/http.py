"""HTTP with limits, and every failure of it as an Unavailable that says what may be wrong."""

import re
import socket
import ssl
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import InsecureRequestWarning

from init_job import log, signals
from init_job.errors import ConfigurationError, NotThere, Unavailable
from init_job.settings import Settings

MAX_ANSWER = 8 * 1024 * 1024  # bytes
_LONGEST_SHARE = 2.0  # seconds
_CHUNK = 64 * 1024


class BrokenOff(NotThere):
    """The connection broke."""


@dataclass(frozen=True)
class Answer:
    url: str
    status: int
    headers: Mapping[str, str]
    """Names are case-insensitive."""
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    @property
    def retry_after(self) -> float:
        """Seconds that the server, or a proxy, asks to be left alone; 0 when it does not say."""
        text = self.headers.get("retry-after", "")
        if text.isascii() and text.isdecimal():
            return float(text)
        if not text:
            return 0.0
        from email.utils import parsedate_to_datetime

        try:
            # Both by the server's clock.
            until, now = (parsedate_to_datetime(date) for date in (text, self.headers.get("date", "")))
            return max(0.0, (until - now).total_seconds())
        except (ValueError, TypeError):
            return 0.0

    def __str__(self) -> str:
        """For a message: `answered 404 (text/html: Sign in)`."""
        title = re.search(rb"<title[^>]*>(.*?)</title", self.body[:_CHUNK], re.IGNORECASE | re.DOTALL)
        text = (title[1] if title else self.body[:80]).decode("utf-8", "replace").strip()
        what = ": ".join(part for part in (self.content_type, text) if part) or "empty"
        return f"{self.url} answered {self.status} ({what})"


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
        self._timeout = settings.request_timeout
        is_tls = "https:" in (settings.url[:6].lower(), settings.health_url[:6].lower())
        self._tls = _tls_context(settings) if is_tls else None
        self._session = _Session(self._timeout, self._tls)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("GET", path, headers)

    def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> Answer:
        """The answer, whatever its status, but for a redirect. `path` begins with a slash, or is a whole address.

        Raises Unavailable: unreachable, broken off, too late, too long, redirected; Terminated.
        """
        url = path if "://" in path else self._root + path
        body = None if content is None else _Body(content)
        session = self._session
        error: Unavailable
        cause: Exception | None = None
        try:
            answer = signals.call(lambda: session.send(method, url, headers or {}, body), self._timeout)
        except signals.Overdue:
            error = Unavailable(
                f"{url} did not answer within {self._timeout:g} s", "look at the server's log, or raise REQUEST_TIMEOUT"
            )
        except (requests.RequestException, OSError) as failure:
            error, cause = _explain(url, failure), failure
        except Unavailable as unusable:
            error = unusable
        else:
            log.debug("request", f"{method} {url}: {answer.status}, {len(answer.body)} bytes", status=answer.status)
            return answer
        # A connection with half an answer in it must not serve the next request; one that was given up may go on.
        self._session = _Session(self._timeout, self._tls)
        if body and body.call_off():
            error.in_doubt = False
        log.debug("request-failed", str(error))
        raise error from cause


class _Session:
    """What may block, in a thread of its own: keep-alive, no `.netrc`, no redirects, no certificates but those asked
    for."""

    def __init__(self, timeout: float, tls: ssl.SSLContext | None) -> None:
        self._timeout = timeout
        self._requests = requests.Session()
        # Otherwise requests would put a password from .netrc in the place of our bearer token.
        self._requests.trust_env = False
        self._requests.headers = {"User-Agent": "chirpstack-init-job", "Accept-Encoding": "identity"}
        if tls:
            self._requests.mount("https://", _TlsAdapter(tls))
        self._connected = ""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: _Body | None) -> Answer:
        proxies = get_environ_proxies(url)
        proxy = select_proxy(url, proxies)
        origin = urlsplit(url).netloc
        if proxy and "@" in proxy:
            log.hide(proxy)
        connect_timeout = self._timeout
        if origin != self._connected:
            connect_timeout = _share_of_an_address(self._timeout, url, proxy)
        with self._requests.request(
            method, url, headers=dict(headers), data=body, proxies=proxies,
            timeout=(connect_timeout, self._timeout), allow_redirects=False, stream=True,
        ) as response:  # fmt: skip
            content = bytearray()
            for chunk in response.iter_content(_CHUNK):
                content += chunk
                if len(content) > MAX_ANSWER:
                    raise Unavailable(f"{url} answered more than {MAX_ANSWER >> 20} MiB", _NOT_CHIRPSTACK)
            if response.is_redirect or 300 <= response.status_code < 400:
                target = response.headers.get("location", "somewhere else")
                raise Unavailable(
                    f"{url} answered {response.status_code}, a redirect to {target}",
                    "redirects are not followed: set CHIRPSTACK_URL to the address behind them",
                )
            answer = Answer(url, response.status_code, response.headers, bytes(content))
        if hint := _hint_of_an_intermediary(answer, proxy):
            raise Unavailable(str(answer), hint, answer.retry_after)
        self._connected = origin
        return answer


class _TlsAdapter(HTTPAdapter):
    """requests with an SSLContext of our own: it would add certifi's certificates to the ones asked for."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        # urllib3 sets the context's verify_mode to cert_reqs, and requests asks for certificates by default.
        return host, {**pool, "ssl_context": self._context, "cert_reqs": self._context.verify_mode}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        pass


def _tls_context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"CHIRPSTACK_CA_FILE: {settings.ca_file} holds no certificates ({_tls_reason(error)})",
            "it must be a PEM file with the CA's certificate",
        ) from error
    if settings.ca_file:
        # Python 3.13 refuses CA certificates without key usage, which many home-made ones lack; curl and Go take them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        # The same for a file with an intermediate CA only; before 3.13 Python does not.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not settings.tls_verify:
        log.warning(
            "tls-unverified", "CHIRPSTACK_TLS_VERIFY=false: whoever is on the way can read the password and the token"
        )
        warnings.simplefilter("ignore", InsecureRequestWarning)  # urllib3's own, at every connection
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert_file:
        try:
            context.load_cert_chain(settings.client_cert_file, settings.client_key_file or None, password="")
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"CHIRPSTACK_CLIENT_CERT_FILE: {settings.client_cert_file} cannot be used ({_tls_reason(error)})",
                "it must be a PEM certificate, and CHIRPSTACK_CLIENT_KEY_FILE its key without a passphrase",
            ) from error
    return context


def _tls_reason(error: Exception) -> str:
    reason = str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)
    return re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", reason).replace("_", " ").lower()


def _share_of_an_address(timeout: float, url: str, proxy: str | None) -> float:
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
    return timeout if len(found) == 1 else min(timeout / len(found), _LONGEST_SHARE)


_SAYS_TLS = (
    b"HTTP request was sent to HTTPS port",  # nginx
    b"HTTP request to an HTTPS server",  # Go: Caddy, Traefik, ChirpStack v3
    b"plain HTTP to an SSL-enabled server port",  # Apache
)
_CHECK_PROXY = "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"


def _hint_of_an_intermediary(answer: Answer, proxy: str | None) -> str:
    """What to do when the answer is not the server's but something's on the way to it; empty if nothing says so."""
    if answer.status == 400 and any(text in answer.body for text in _SAYS_TLS):
        return "the port speaks TLS: use https:// in CHIRPSTACK_URL"
    if answer.status == 400 and b"SSL certificate" in answer.body:  # nginx
        return _CLIENT_CERTIFICATE
    if answer.status == 401 and "www-authenticate" in answer.headers:
        return "a proxy in front of the server asks for a login of its own: let the job reach the server without it"
    if answer.status == 407:
        return "the proxy asks for a login: http://USER:PASSWORD@HOST:PORT in HTTP_PROXY, or go round it with NO_PROXY"
    if answer.status in (502, 503, 504) and proxy and answer.url.startswith("http:"):
        host = urlsplit(answer.url).hostname
        return f"it came through the proxy of HTTP_PROXY: if {host} can be reached without, add it to NO_PROXY"
    return ""


_CERTIFICATE_NAMES = "set CHIRPSTACK_URL to a host name that the certificate was made for"
_VERIFY_HINTS = {  # by OpenSSL's X509_V_ERR_…
    9: "set the clocks of both machines",
    10: "renew the server's certificate, or set this machine's clock",
    62: _CERTIFICATE_NAMES,
    64: _CERTIFICATE_NAMES,
}
_CLIENT_CERTIFICATE = "the server may ask for a client certificate, or another one: set CHIRPSTACK_CLIENT_CERT_FILE"
_NOT_CHIRPSTACK = "check that CHIRPSTACK_URL is the address under which the web interface opens"


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was made of: requests and urllib3 wrap the operating system's reason several times."""
    found = [error]
    for one in found:  # grows while it is walked
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        found += [part for part in inner if isinstance(part, BaseException) and part not in found]
    return found


def _explain(url: str, error: Exception) -> Unavailable:
    """What a user can do something about."""
    chain = _chain(error)
    host = urlsplit(url).hostname or ""
    scheme, port = urlsplit(url).scheme, urlsplit(url).port

    def has(*types: type[BaseException]) -> BaseException | None:
        return next((one for one in chain if isinstance(one, types)), None)

    if has(requests.exceptions.ProxyError):
        return Unavailable(f"{url}: the proxy cannot be used ({chain[-1]})", _CHECK_PROXY)
    if has(requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):  # ours is good: settings looked at it
        return Unavailable(f"{url}: the proxy's address is malformed, or of a kind that cannot be used", _CHECK_PROXY)
    if verify := has(ssl.SSLCertVerificationError):
        return Unavailable(
            f"{url}: the server's certificate is not trusted: {_tls_reason(verify)}",  # type: ignore[arg-type]
            _VERIFY_HINTS.get(getattr(verify, "verify_code", 0), "set CHIRPSTACK_CA_FILE to the CA that signed it"),
        )
    tls = has(ssl.SSLError)
    if tls and not has(ssl.SSLEOFError):
        reason = _tls_reason(tls)  # type: ignore[arg-type]
        plain = "wrong version number" in reason or "http request" in reason or "record layer failure" in reason
        return Unavailable(
            f"{url}: no TLS connection: {reason}",
            "the port seems to speak plain HTTP: use http:// in CHIRPSTACK_URL" if plain
            else _CLIENT_CERTIFICATE,
        )  # fmt: skip
    if has(socket.gaierror):
        return NotThere(
            f"{url}: the name {host} is not known (yet)",
            "in compose the host is the service's name, and both must be on one network",
        )
    if has(ConnectionRefusedError):
        local = host in ("localhost", "127.0.0.1", "::1")
        return NotThere(
            f"{url}: connection refused",
            "inside a container localhost is the container itself: use the service's name" if local
            else f"is the server running, and is {port or scheme} its port?",
        )  # fmt: skip
    if has(requests.exceptions.ConnectTimeout):
        return NotThere(f"{url}: no connection: nothing answers there", "is the host reachable from here?")
    if has(requests.exceptions.Timeout, TimeoutError):
        return Unavailable(f"{url} did not answer in time", "look at the server's log, or raise REQUEST_TIMEOUT")
    if has(requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError, OSError):
        hint = "the port may speak TLS: try https:// in CHIRPSTACK_URL" if scheme == "http" else _CLIENT_CERTIFICATE
        return BrokenOff(f"{url}: the connection broke off ({type(chain[-1]).__name__})", hint)
    return Unavailable(f"{url}: no HTTP answer ({type(error).__name__})", _NOT_CHIRPSTACK)
