"""What the tests of the simulator talk to it with, and what they read in its answers."""

import base64
import hashlib
import hmac
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import requests

from tests.simulator import Simulator

V3, V4 = "3.17.9", "4.19.0"
GRPC_WEB = "application/grpc-web+proto"


def rest(simulator: Simulator, method: str, path: str, token: str = "", body: object = None) -> requests.Response:
    headers = {"Grpc-Metadata-Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body)
    return requests.request(method, simulator.url + path, headers=headers, data=data, timeout=10)


@dataclass(frozen=True)
class Answer:
    code: int
    text: str = ""
    message: bytes = b""


def frame(message: Any) -> bytes:
    data = message.SerializeToString() if message is not None else b""
    return struct.pack(">BI", 0, len(data)) + data


def call(simulator: Simulator, method: str, message: Any = None, token: str = "") -> Answer:
    headers = {"Content-Type": GRPC_WEB}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    response = requests.post(f"{simulator.url}/api.{method}", data=frame(message), headers=headers, timeout=10)
    if "grpc-status" in response.headers:
        text = unquote(response.headers.get("grpc-message", ""))
        return Answer(int(response.headers["grpc-status"]), text)
    length = int.from_bytes(response.content[1:5], "big")
    assert response.content[5 + length :] == b"\x80\0\0\0\x0fgrpc-status:0\r\n"
    return Answer(0, "", response.content[5 : 5 + length])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def connects(url: str) -> bool:
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname or "", address.port or 0), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def claims(token: str) -> tuple[str, str]:
    """The header and the claims, as they stand in the token."""
    header, payload = (base64.urlsafe_b64decode(part + "==").decode() for part in token.split(".")[:2])
    return header, payload


def sign(header: str, payload: str, secret: str) -> str:
    message = f"{_encode(header.encode())}.{_encode(payload.encode())}"
    return f"{message}.{_encode(hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest())}"


def signed(token: str, secret: str) -> bool:
    return token == sign(*claims(token), secret)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
