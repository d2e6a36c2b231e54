"""Tokens: signed as the servers sign them, and refused in the words of the libraries that the servers use."""

import base64
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.simulator import go_json

Claims = dict[str, Any]

_GO_HEADER = b'{"alg":"HS256","typ":"JWT"}'
_RUST_HEADER = b'{"typ":"JWT","alg":"HS256"}'
_ALGORITHMS = {"none", *(f"{kind}{bits}" for kind in ("HS", "RS", "ES", "PS") for bits in (256, 384, 512))}
_EXPIRY_LEEWAY = 60  # jsonwebtoken's default; golang-jwt has none


class TokenError(Exception):
    """The library's own text."""


def sign_go(claims: Mapping[str, Any], secret: str) -> str:
    """Go writes a map's keys in alphabetical order."""
    return _sign(_GO_HEADER, dict(sorted(claims.items())), secret)


def sign_rust(claims: Mapping[str, Any], secret: str) -> str:
    return _sign(_RUST_HEADER, claims, secret)


def _sign(header: bytes, claims: Mapping[str, Any], secret: str) -> str:
    message = f"{_encode(header)}.{_encode(json.dumps(claims, separators=(',', ':')).encode())}"
    return f"{message}.{_encode(_hmac(message, secret))}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _hmac(message: str, secret: str) -> bytes:
    return hmac.digest(secret.encode(), message.encode("latin-1", errors="replace"), "sha256")


def parse_go(token: str, secret: str, now: float) -> Claims:
    """golang-jwt's ParseWithClaims with the key function of v3's internal/api/external/auth/auth.go."""
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenError("token contains an invalid number of segments")
    try:
        header = go_json.loads(_go_base64(parts[0]))
        claims = go_json.loads(_go_base64(parts[1]))
    except go_json.GoJSONError as error:
        raise TokenError(str(error)) from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise TokenError("json: cannot unmarshal value into Go value of type auth.Claims")
    algorithm = header.get("alg")
    if algorithm not in _ALGORITHMS:
        raise TokenError(f"signing method (alg) is {'unavailable' if isinstance(algorithm, str) else 'unspecified'}.")
    if algorithm != "HS256":
        raise TokenError("invalid algorithm")
    # The signature's complaint replaces that of the claims, and nbf's that of exp.
    if not hmac.compare_digest(_go_base64(parts[2]), _hmac(f"{parts[0]}.{parts[1]}", secret)):
        raise TokenError("signature is invalid")
    second = int(now)
    if second < claims.get("nbf", 0):
        raise TokenError("token is not valid yet")
    if claims.get("exp") and second > claims["exp"]:
        raise TokenError(f"token is expired by {_go_duration(second - claims['exp'])}")
    return claims


def _go_base64(part: str) -> bytes:
    if wrong := re.search(r"[^A-Za-z0-9_-]", part):
        raise TokenError(f"illegal base64 data at input byte {wrong.start()}")
    if len(part) % 4 == 1:
        raise TokenError(f"illegal base64 data at input byte {len(part)}")
    return _decode(part)


def _go_duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def parse_rust(token: str, secret: str, now: float, audience: str | None) -> Claims:
    """jsonwebtoken's decode into v4's AuthClaim (chirpstack/src/api/auth/claims.rs)."""
    parts = token.rsplit(".", 2)
    if len(parts) != 3:
        raise TokenError("InvalidToken")
    header = _rust_object(parts[0])
    if header.get("alg") != "HS256":
        raise TokenError("InvalidAlgorithm")
    expected = _encode(_hmac(f"{parts[0]}.{parts[1]}", secret))
    if not hmac.compare_digest(parts[2].encode(), expected.encode()):
        raise TokenError("InvalidSignature")
    claims = _rust_object(parts[1])
    for field in ("aud", "iss", "sub", "typ"):
        if field not in claims:
            column = len(_decode(parts[1]).decode())
            raise TokenError(f"JSON error: missing field `{field}` at line 1 column {column}")
    if claims.get("exp") is not None and claims["exp"] < int(now) - _EXPIRY_LEEWAY:
        raise TokenError("ExpiredSignature")
    if audience is not None and claims["aud"] != audience:
        raise TokenError("InvalidAudience")
    return claims


def _rust_object(part: str) -> Claims:
    if wrong := re.search(r"[^A-Za-z0-9_-]", part):
        raise TokenError(f"Base64 error: Invalid symbol {ord(wrong.group())}, offset {wrong.start()}.")
    if len(part) % 4 == 1:
        raise TokenError(f"Base64 error: Invalid input length: {len(part)}")
    try:
        value = json.loads(_decode(part))
    except ValueError:
        raise TokenError("JSON error: expected value at line 1 column 1") from None
    if not isinstance(value, dict):
        raise TokenError("JSON error: invalid type, expected struct AuthClaim at line 1 column 1")
    return value
