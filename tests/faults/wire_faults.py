"""What can happen to a request and its answer."""

from tests.faults.proxy import Exchange, Fault, Proxy, Raw

REQUEST_TIMEOUT = 1.0
"""Of the runs whose requests hang."""
REFUSED_FOR = 0.15
ACTS_LATE = "the server acts when the job has gone on"
_HTML = "text/html; charset=utf-8"
_SIGN_IN = b"<!doctype html><html><head><title>Sign in</title></head><body><form></form></body></html>"
_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"


def _reset_before(exchange: Exchange) -> None:
    exchange.hang_up(reset=True)


def _closed_before(exchange: Exchange) -> None:
    exchange.hang_up()


def _reset_after(exchange: Exchange) -> None:
    exchange.forward()
    exchange.hang_up(reset=True)


def _closed_after(exchange: Exchange) -> None:
    exchange.forward()
    exchange.hang_up()


def refuse_the_next(exchange: Exchange) -> None:
    """The connection ends with this answer, and for a while nobody listens."""
    answer = exchange.forward()
    exchange.proxy.refuse(REFUSED_FOR)
    exchange.send(Raw(answer.head[:-2] + b"Connection: close\r\n\r\n", answer.body).whole)
    exchange.hang_up()


def hurt_at(proxy: Proxy, number: int, fault: Fault | None, mode: str) -> None:
    """This request, or it and all `from then on`; without a fault nobody listens for it."""
    if fault is None:
        if number == 1:
            proxy.refuse(REFUSED_FOR)
        proxy.plan(lambda exchange: refuse_the_next if exchange.number == number - 1 else None)
        return

    def hurt(exchange: Exchange) -> Fault | None:
        hit = exchange.number >= number if mode == "from then on" else exchange.number == number
        return fault if hit else None

    proxy.plan(hurt)


def _refused(exchange: Exchange) -> None:
    """This connection breaks, and the next ones are refused for a while."""
    exchange.proxy.refuse(REFUSED_FOR)
    exchange.hang_up(reset=True)


def _cut_in_head(exchange: Exchange) -> None:
    head = exchange.forward().head
    exchange.send(head[: len(head) // 2])
    exchange.hang_up()


def _cut_in_status_line(exchange: Exchange) -> None:
    exchange.send(exchange.forward().head[:9])
    exchange.hang_up()


def _cut_in_body(exchange: Exchange) -> None:
    answer = exchange.forward()
    exchange.send(answer.whole[: len(answer.head) + len(answer.body) // 2])
    exchange.hang_up()


def _without_last_bytes(exchange: Exchange) -> None:
    exchange.send(exchange.forward().whole[:-3])
    exchange.hang_up()


def _part_that_looks_whole(part: float) -> Fault:
    """Whoever cut it has corrected the Content-Length."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.send(answer.with_body(answer.plain_body[: int(len(answer.plain_body) * part)]).whole)

    return fault


def _without_last(count: int) -> Fault:
    """Of gRPC-Web 8 bytes are in the middle of the trailer frame, 20 are all of it. The Content-Length fits."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.send(answer.with_body(answer.plain_body[:-count]).whole)

    return fault


def _status(status: str, body: bytes = b"", content_type: str = _HTML, act: bool = False, *more: str) -> Fault:
    def fault(exchange: Exchange) -> None:
        if act:
            exchange.forward()
        exchange.send(Raw.of(status, body, content_type, *more).whole)

    return fault


def _garbage(exchange: Exchange) -> None:
    exchange.forward()
    exchange.send(bytes(range(256)) * 4)
    exchange.hang_up()


def _no_http_before(exchange: Exchange) -> None:
    exchange.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    exchange.hang_up()


def _endless(exchange: Exchange) -> None:
    exchange.forward()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    while True:  # until the job hangs up
        exchange.send(chunk)


def _huge(exchange: Exchange) -> None:
    exchange.forward()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n")
    for _ in range(100):
        exchange.send(b" " * 1_000_000)


def _endless_head(exchange: Exchange) -> None:
    exchange.forward()
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        exchange.send(b"X-More: and more\r\n" * 1000)


def _dribble(exchange: Exchange) -> None:
    for byte in exchange.forward().whole:
        exchange.send(bytes([byte]))
        if exchange.wait_for_hang_up(1.0):
            return


def _hang_before(exchange: Exchange) -> None:
    exchange.wait_for_hang_up(10 * REQUEST_TIMEOUT)
    exchange.hang_up()


def _hang_after(exchange: Exchange) -> None:
    exchange.forward()
    exchange.wait_for_hang_up(10 * REQUEST_TIMEOUT)
    exchange.hang_up()


def _acts_late(exchange: Exchange) -> None:
    """The server carries it out when the job has given it up and gone on."""
    exchange.wait_for_hang_up(10 * REQUEST_TIMEOUT)
    exchange.proxy.closed.wait(0.6)
    exchange.forward()
    exchange.hang_up()


def _chunks_stop(exchange: Exchange) -> None:
    answer = exchange.forward()
    head = answer.with_body(b"").head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    body = answer.plain_body
    exchange.send(head + b"%x\r\n" % (len(body) + 10) + body)
    exchange.hang_up()


def _length_off_by(count: int) -> Fault:
    """Too short: the rest stands on the connection where the next answer is expected."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.forward()
        body = answer.plain_body
        exchange.send(answer.with_body(body, max(0, len(body) + count)).whole)
        if count > 0:
            exchange.hang_up()

    return fault


def _length_is_no_number(exchange: Exchange) -> None:
    answer = exchange.forward()
    exchange.send(answer.with_body(answer.plain_body, "many").whole)
    exchange.hang_up()


def _grpc(status: int, message: str = "", act: bool = False) -> Fault:
    headers = [f"grpc-status: {status}"] + ([f"grpc-message: {message}"] if message else [])
    return _status("200 OK", b"", "application/grpc-web+proto", act, *headers)


def _json(status: str, code: int, message: str, act: bool = False) -> Fault:
    body = f'{{"error":"{message}","code":{code},"message":"{message}","details":[]}}'
    return _status(status, body.encode(), "application/json", act)


_VALIDATOR = "authentication failed: validator func error: select error: driver: bad connection"

BOTH: dict[str, Fault] = {
    "reset, then refused": _refused,
    "reset before it is forwarded": _reset_before,
    "closed before it is forwarded": _closed_before,
    "reset after the server acted": _reset_after,
    "answer lost after the server acted": _closed_after,
    "answer cut in the status line": _cut_in_status_line,
    "answer cut in the header": _cut_in_head,
    "answer cut in the body": _cut_in_body,
    "answer without its last bytes": _without_last_bytes,
    "half an answer that looks whole": _part_that_looks_whole(0.5),
    "an empty answer that looks whole": _part_that_looks_whole(0),
    "answer cut in the trailer": _without_last(8),
    "answer without its trailer": _without_last(20),
    "500": _status("500 Internal Server Error"),
    "502 and the server acted": _status("502 Bad Gateway", _BAD_GATEWAY, act=True),
    "503": _status("503 Service Unavailable", _BAD_GATEWAY),
    "504 and the server acted": _status("504 Gateway Timeout", _BAD_GATEWAY, act=True),
    "429": _status("429 Too Many Requests"),
    "a proxy's page with 200": _status("200 OK", _SIGN_IN),
    "a proxy's page with 200, and the server acted": _status("200 OK", _SIGN_IN, act=True),
    "a proxy's page with 404": _status("404 Not Found", _SIGN_IN),
    "bytes that are no answer": _garbage,
    "another protocol": _no_http_before,
    "an endless answer": _endless,
    "an endless header": _endless_head,
    "an answer of 100 MB": _huge,
    "one byte a second": _dribble,
    "hangs before it is forwarded": _hang_before,
    "hangs after the server acted": _hang_after,
    ACTS_LATE: _acts_late,
    "a redirect": _status("302 Found", b"", _HTML, False, "Location: https://login.example.com/"),
    "a redirect after the server acted": _status("307 Temporary Redirect", b"", _HTML, True, "Location: /elsewhere"),
    "a chunked body that stops": _chunks_stop,
    "a Content-Length that is too long": _length_off_by(7),
    "a Content-Length that is too short": _length_off_by(-5),
    "a Content-Length that is no number": _length_is_no_number,
}
V3: dict[str, Fault] = {
    "v3: 401 validator func error": _json("401 Unauthorized", 16, _VALIDATOR),
    "v3: 500 of the database": _json("500 Internal Server Error", 2, "dial tcp 127.0.0.1:5432: connect: refused"),
    "v3: 500 and the server acted": _json("500 Internal Server Error", 2, "driver: bad connection", act=True),
    "v3: 501 while it starts": _status("501 Not Implemented"),
    "v3: 503 of the gateway": _json("503 Service Unavailable", 14, "connection error"),
    "v3: JSON that is no object": _status("200 OK", b"[1]", "application/json", act=True),
}
V4: dict[str, Fault] = {
    "v4: 13 without a message": _grpc(13),
    "v4: 13 and the server acted": _grpc(13, "timeout", act=True),
    "v4: 14": _grpc(14, "connection%20refused"),
    "v4: 2 and the server acted": _grpc(2, act=True),
    "v4: 4 deadline exceeded": _grpc(4),
    "v4: a status that is no number": _status("200 OK", b"", "application/grpc-web+proto", False, "grpc-status: bad"),
    "v4: no frame at all": _status("200 OK", b"", "application/grpc-web+proto", act=True),
    "v4: a frame longer than the answer": _status(
        "200 OK", b"\0\xff\xff\xff\xff", "application/grpc-web+proto", act=True
    ),
}
SLOW = {
    "one byte a second", "hangs before it is forwarded", "hangs after the server acted", ACTS_LATE,
}  # fmt: skip
"""They last until REQUEST_TIMEOUT is over."""


def faults(api: str) -> dict[str, Fault]:
    return {**BOTH, **(V3 if api == "v3" else V4)}


OF_HTTP = {
    "reset, then refused", "reset before it is forwarded", "closed before it is forwarded",
    "reset after the server acted", "answer lost after the server acted", "answer cut in the status line",
    "answer cut in the header", "answer cut in the body", "answer without its last bytes", "bytes that are no answer",
    "another protocol", "an endless answer", "an endless header", "an answer of 100 MB", *SLOW,
    "a chunked body that stops", "a Content-Length that is too long", "a Content-Length that is no number",
}  # fmt: skip
"""There is no answer then whose content could matter: it is the same to both generations."""
