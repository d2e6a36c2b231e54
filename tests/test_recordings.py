"""The simulator gives the answers that real servers gave.

Each file in `recordings` is one conversation with a real server. It is held again with a simulator of
that version, and compared are: the status, every header (name, case, order and value; `Date` was not
recorded), and every byte of the body. What differs from run to run is translated first: an id or a time
of the recording always stands for the same one of the simulator's, and a token for one with the same
header and the same claims, signed with the secret. The simulator's clock shows the time of the
recording.
"""

import base64
import hashlib
import hmac
import http.client
import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.simulator import Simulator

RECORDINGS = {path.stem: path for path in (Path(__file__).parent / "recordings").glob("*.json")}

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")

# Chosen by whoever recorded, so they stand for themselves.
_CONSTANT_IDS = {"11111111-1111-4111-8111-111111111111"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: str


@dataclass(frozen=True)
class Outcome:
    recorded: Answer
    simulated: Answer


class Replay:
    def __init__(self, version: str, recording: dict[str, Any]) -> None:
        self.version = version
        self.recording = recording
        self.secret = recording["jwt_secret"]
        self.ids = {constant: constant for constant in _CONSTANT_IDS}
        self.times: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.now = _created_at(recording)

    def run(self) -> list[Outcome]:
        api = self.recording["server"]
        # The recordings' README: v4 was built without its UI or with a stub, v3 had one application.
        ui = api == "v3" or self._page()
        with Simulator(api, self.version, secret=self.secret, ui=ui, clock=lambda: self.now) as simulator:
            if api == "v3":
                simulator.add_application("1", "app1")
            address = urlsplit(simulator.url)
            assert address.hostname
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
            try:
                return [self._exchange(connection, exchange) for exchange in self.recording["exchanges"]]
            finally:
                connection.close()

    def _page(self) -> bytes:
        (root,) = (one["response"] for one in self.recording["exchanges"] if one["request"]["path"] == "/")
        return _body(root).encode("latin-1")

    def _exchange(self, connection: http.client.HTTPConnection, exchange: dict[str, Any]) -> Outcome:
        recorded = exchange["response"]
        recorded_body = _body(recorded)
        self._set_clock(recorded_body)

        request = exchange["request"]
        connection.putrequest(request["method"], self._own(request["path"]), skip_accept_encoding=True)
        for name, value in request["headers"].items():
            connection.putheader(name, self._own(value))
        body = self._own(_body(request)).encode("latin-1")
        if request["method"] != "GET":
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        simulated_body = response.read().decode("latin-1")

        self._learn(recorded_body, simulated_body)
        return Outcome(
            Answer(
                recorded["status"],
                [(name, _anonymous(name, self._own(value))) for name, value in recorded["headers"]],
                self._own(_TOKEN.sub(lambda match: _told(match.group(), self.secret), recorded_body)),
            ),
            Answer(
                response.status,
                [(name, _anonymous(name, value)) for name, value in response.getheaders() if name != "Date"],
                _TOKEN.sub(lambda match: _told(match.group(), self.secret), simulated_body),
            ),
        )

    def _set_clock(self, body: str) -> None:
        """The second in which the real server made a token is in the token."""
        for token in _TOKEN.findall(body):
            claims = json.loads(_part(token, 1))
            if "nbf" in claims:
                self.now = claims["nbf"]
            elif "exp" in claims:
                self.now = claims["exp"] - 86400

    def _learn(self, recorded: str, simulated: str) -> None:
        """What stands at the same place means the same; a wrong guess shows in the comparison."""
        for pattern, known in ((_ID, self.ids), (_TIME, self.times), (_TOKEN, self.tokens)):
            found = zip(pattern.findall(recorded), pattern.findall(simulated), strict=False)
            for theirs, ours in found:
                if theirs not in known and (pattern is not _ID or ours not in known.values()):
                    known[theirs] = ours

    def _own(self, text: str) -> str:
        """The recording's text with the simulator's ids, times and tokens."""
        text = _TOKEN.sub(lambda match: self.tokens.get(match.group()) or self._forged(match.group()), text)
        text = _ID.sub(lambda match: self.ids.get(match.group(), match.group()), text)
        return _TIME.sub(lambda match: self.times.get(match.group(), match.group()), text)

    def _forged(self, token: str) -> str:
        """A token that no server gave: made for the recording, with the servers' secret or with another."""
        header, claims = token.split(".")[:2]
        own_claims = _encode(self._own_ids(_part(token, 1)))
        secret = self.secret if _is_signed(token, self.secret) else "another secret"
        return f"{header}.{own_claims}.{_signature(f'{header}.{own_claims}', secret)}" if claims else token

    def _own_ids(self, text: str) -> str:
        return _ID.sub(lambda match: self.ids.get(match.group(), match.group()), text)


def _created_at(recording: dict[str, Any]) -> float:
    """When the recorded server's database was made."""
    times: list[str] = re.findall(r'"(?:createdAt|created_at)\\?": ?\\?"([^"\\]+)', json.dumps(recording))
    return datetime.fromisoformat(times[0]).timestamp()


def _body(message: dict[str, Any]) -> str:
    """As Latin-1, so that each byte is one character, of text and of gRPC-Web frames alike."""
    if "body_hex" in message:
        return bytes.fromhex(message["body_hex"]).decode("latin-1")
    return str(message.get("body", "")).encode().decode("latin-1")


def _anonymous(header: str, value: str) -> str:
    """A call's own id is new every time."""
    return "AN ID" if header == "Grpc-Metadata-Ctx-Id" and _ID.fullmatch(value) else value


def _part(token: str, index: int) -> str:
    part = token.split(".")[index]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()


def _encode(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(message: str, secret: str) -> str:
    return _encode(hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest())


def _is_signed(token: str, secret: str) -> bool:
    message, _, signature = token.rpartition(".")
    return hmac.compare_digest(signature, _signature(message, secret))


def _told(token: str, secret: str) -> str:
    """What can be compared of a token: all of it but the signature's value."""
    signed = "signed" if _is_signed(token, secret) else "NOT SIGNED WITH THE SECRET"
    return f"<{_part(token, 0)} {_part(token, 1)} {signed}>"


def _load(version: str) -> dict[str, Any]:
    recording: dict[str, Any] = json.loads(RECORDINGS[version].read_text())
    return recording


@cache
def _replay(version: str) -> list[Outcome]:
    return Replay(version, _load(version)).run()


def _exchanges() -> list[Any]:
    return [
        pytest.param(version, index, id=f"{version}-{index:02}-{exchange['name'].replace(' ', '_')}")
        for version in sorted(RECORDINGS)
        for index, exchange in enumerate(_load(version)["exchanges"])
    ]


@pytest.mark.parametrize(("version", "index"), _exchanges())
def test_the_simulator_answers_as_the_real_server_did(version: str, index: int) -> None:
    outcome = _replay(version)[index]
    assert outcome.simulated == outcome.recorded


def test_all_six_recordings_are_there() -> None:
    assert sorted(RECORDINGS) == ["v3.10.0", "v3.11.0", "v3.17.9", "v4.0.5", "v4.19.0", "v4.20.0-test.1"]
