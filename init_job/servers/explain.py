"""What a failure, or an answer that is not ChirpStack's, means for a user, and what to do about it."""

import http.client
import os
import re
import socket
import ssl
from urllib.parse import urlsplit

import requests

from init_job import log
from init_job.errors import NotThere, Unavailable
from init_job.servers.answer import Answer
from init_job.servers.tls import tls_reason

CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
_SAYS_TLS = (
    b"HTTP request was sent to HTTPS port",  # nginx
    b"HTTP request to an HTTPS server",  # Go: Caddy, Traefik, ChirpStack v3
    b"plain HTTP to an SSL-enabled server port",  # Apache
)
_SIGN_IN_PAGE = re.compile(  # bounded, as the title of an answer
    rb"<title[^>]{0,200}>[^<]{0,300}(sign.?in|log.?in|single.sign)|type=[\"']?password", re.IGNORECASE
)
_SIGN_IN_PATH = re.compile(r"log.?in|sign.?in|auth|sso|saml", re.IGNORECASE)
_CERTIFICATE_NAMES = "set CHIRPSTACK_URL to a host name that the certificate was made for"
_VERIFY_HINTS = {  # by OpenSSL's X509_V_ERR_…
    9: "set the clocks of both machines",
    10: "renew the server's certificate, or set this machine's clock",
    62: _CERTIFICATE_NAMES,
    64: _CERTIFICATE_NAMES,
}
_CLIENT_CERTIFICATE = "the server may ask for a client certificate, or another one: set CHIRPSTACK_CLIENT_CERT_FILE"
_PROXY_LOGIN = (
    "the proxy asks for a login: http://USER:PASSWORD@HOST:PORT in HTTP_PROXY or HTTPS_PROXY, or go round it with "
    "NO_PROXY"
)
_GATE = (
    "something before the server does not let the job through, as a single sign-on gate does: give it the headers that "
    "it wants of machines with CHIRPSTACK_HEADERS_FILE, or set CHIRPSTACK_URL to the server behind it"
)
_LIMITED = (420, 429)  # not carried out: there were too many requests
_NO_ANSWER = "look at the server's log, or raise REQUEST_TIMEOUT"
NOT_CHIRPSTACK = "check that CHIRPSTACK_URL is the address under which the web interface opens"


class BrokenOff(NotThere):
    """The connection broke."""


def is_trouble(answer: Answer) -> bool:
    """Whether it says "not now", whoever gave it. v3 answers everything with 501 while it starts."""
    if answer.status in (408, *_LIMITED) or (answer.status >= 500 and answer.status != 501):
        return True
    return answer.status >= 400 and answer.retry_after > 0


def is_limit(answer: Answer) -> bool:
    """Whether it says that there were too many requests; Envoy translates that for gRPC, as 8 (exhausted)."""
    return answer.status in _LIMITED or answer.headers.get("grpc-status") == "8"


def is_let_through(answer: Answer) -> bool:
    """Whether a limit to the rate, of whatever kind, has let the request through."""
    refusals = ("8", "14")  # exhausted, unavailable
    return not (is_trouble(answer) or answer.status == 403 or answer.headers.get("grpc-status") in refusals)


def trouble(answer: Answer) -> Unavailable:
    hint = _through(answer.proxy, answer.url)
    if not hint and (answer.status in _LIMITED or answer.retry_after):
        hint = "the server, or a proxy before it, limits how often it may be asked: raise WAIT_TIMEOUT or the limit"
    error = Unavailable(str(answer), hint, answer.retry_after)
    error.in_doubt = answer.status not in _LIMITED
    return error


def is_gate(answer: Answer) -> bool:
    """Whether somebody wants to know first who asks. That does not pass while a server starts."""
    if answer.is_redirect:
        here, there = urlsplit(answer.url), urlsplit(answer.target)
        if there.hostname is None or there.path.endswith(here.path):
            return False  # the same under another name
        return there.hostname != here.hostname or _SIGN_IN_PATH.search(there.path) is not None
    return answer.status in (401, 403) or _SIGN_IN_PAGE.search(answer.begin) is not None


def hint_of(answer: Answer) -> str:
    """For an answer that is not ChirpStack's."""
    if answer.status == 400 and any(text in answer.body for text in _SAYS_TLS):
        return "the port speaks TLS: use https:// in CHIRPSTACK_URL"
    if answer.status == 400 and b"SSL certificate" in answer.body:  # nginx
        return _CLIENT_CERTIFICATE
    if answer.status == 407:
        return _PROXY_LOGIN
    if hint := _through(answer.proxy, answer.url):
        return hint
    if answer.headers.get("www-authenticate", "").lower().startswith(("basic", "digest")):
        return "a proxy in front of the server asks for a login of its own: let the job reach the server without it"
    if is_gate(answer):
        return f"redirects are not followed; {_GATE}" if answer.is_redirect else _GATE
    if answer.is_redirect:
        return "redirects are not followed: set CHIRPSTACK_URL to the address behind them"
    return NOT_CHIRPSTACK


def overdue(url: str, seconds: float, proxy: str) -> Unavailable:
    return Unavailable(f"{url} did not answer within {seconds:g} s", _on_the_way(proxy, url, _NO_ANSWER))


def failure(url: str, error: Exception, proxy: str) -> Unavailable:
    """Of a request that got no answer. `proxy` is HOST:PORT, if there is one."""
    chain = _chain(error)
    host = urlsplit(url).hostname or ""
    scheme, port = urlsplit(url).scheme, urlsplit(url).port

    def has(*types: type[BaseException]) -> BaseException | None:
        return next((one for one in chain if isinstance(one, types)), None)

    check_proxy = f"check HTTP_PROXY, HTTPS_PROXY and NO_PROXY: is {proxy} the right one?"
    if has(requests.exceptions.ProxyError):
        inner = [one for one in chain if isinstance(one, OSError) and not isinstance(one, requests.RequestException)]
        reason = log.masked(str((inner or chain)[-1]))[:200]
        return Unavailable(
            f"{url}: the proxy cannot be used ({reason})", _PROXY_LOGIN if " 407 " in reason else check_proxy
        )
    if has(requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):  # ours is good: settings looked at it
        return Unavailable(f"{url}: the proxy's address is malformed, or of a kind that cannot be used", check_proxy)
    if verify := has(ssl.SSLCertVerificationError):
        return Unavailable(
            f"{url}: the server's certificate is not trusted: {tls_reason(verify)}",
            _VERIFY_HINTS.get(getattr(verify, "verify_code", 0), "set CHIRPSTACK_CA_FILE to the CA that signed it"),
        )
    tls = has(ssl.SSLError)
    if tls and not has(ssl.SSLEOFError):
        return _no_tls(url, tls_reason(tls))
    if has(socket.gaierror):
        return NotThere(
            f"{url}: the name {host} is not known (yet)",
            "in compose the host is the service's name, and both must be on one network" if _in_a_container()
            else "a service's name is known in its own network only: set CHIRPSTACK_URL to a host and a published port",
        )  # fmt: skip
    if has(ConnectionRefusedError):
        local = host in ("localhost", "::1") or host.startswith("127.")
        return NotThere(
            f"{url}: connection refused",
            "inside a container localhost is the container itself: use the service's name"
            if local and _in_a_container()
            else f"is the server running, and is {port or scheme} its port?",
        )
    if has(requests.exceptions.ConnectTimeout):
        return NotThere(f"{url}: no connection: nothing answers there", "is the host reachable from here?")
    if has(requests.exceptions.Timeout, TimeoutError):
        return Unavailable(f"{url} did not answer in time", _on_the_way(proxy, url, _NO_ANSWER))
    no_status = has(http.client.BadStatusLine)
    if no_status and _is_http2(str(no_status)):
        return Unavailable(
            f"{url}: the port speaks HTTP/2 only, as one for gRPC does",
            "set CHIRPSTACK_URL to the port of the web interface (8080), or let the proxy speak HTTP/1.1 there as well",
        )
    if has(requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError, OSError):
        hint = "the port may speak TLS: try https:// in CHIRPSTACK_URL" if scheme == "http" else _CLIENT_CERTIFICATE
        what = f"{url}: the connection broke off ({type(chain[-1]).__name__})"
        if no_status and not isinstance(no_status, http.client.RemoteDisconnected) and "\x15\x03" not in str(no_status):
            what, hint = f"{url}: what answers there does not speak HTTP", NOT_CHIRPSTACK
        return BrokenOff(what, _on_the_way(proxy, url, hint))
    return Unavailable(f"{url}: no HTTP answer ({type(error).__name__})", _on_the_way(proxy, url, NOT_CHIRPSTACK))


def _no_tls(url: str, reason: str) -> Unavailable:
    plain = "wrong version number" in reason or "http request" in reason or "record layer failure" in reason
    error = Unavailable(
        f"{url}: no TLS connection: {reason}",
        "the port seems to speak plain HTTP: use http:// in CHIRPSTACK_URL" if plain else _CLIENT_CERTIFICATE,
    )
    # TLS 1.3 refuses a client's certificate when the request is on its way already, and before anybody reads it.
    error.in_doubt = not ("alert" in reason and ("certificate" in reason or "unknown ca" in reason))
    return error


def _through(proxy: str, url: str) -> str:
    """Of an answer. TLS goes through a tunnel: what comes out of it is the server's."""
    if not proxy or not url.startswith("http:"):
        return ""
    host = urlsplit(url).hostname
    return f"it came through the proxy {proxy} of HTTP_PROXY: if {host} can be reached without, add it to NO_PROXY"


def _on_the_way(proxy: str, url: str, otherwise: str) -> str:
    """Of a failure. What a tunnel swallows or breaks off may be the proxy's doing, or the server's."""
    if not proxy or url.startswith("http:"):
        return _through(proxy, url) or otherwise
    host = urlsplit(url).hostname
    return f"if {host} can be reached without the proxy {proxy} of HTTPS_PROXY, add it to NO_PROXY; else {otherwise}"


def _in_a_container() -> bool:
    return os.getpid() == 1 or any(os.path.exists(mark) for mark in CONTAINER_MARKS)


def _is_http2(line: str) -> bool:
    """A SETTINGS or GOAWAY frame of the connection itself (RFC 9113 §4.1), with which such a server greets."""
    frame = line.encode("latin-1", "replace")
    return len(frame) >= 9 and frame[3] in (0x04, 0x07) and frame[5:9] == bytes(4)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was made of: requests and urllib3 wrap the operating system's reason several times."""
    found = [error]
    for one in found:  # grows while it is walked
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        found += [part for part in inner if isinstance(part, BaseException) and part not in found]
    return found
