"""What a token says of itself: the claims of a JWT, read without trusting them.

API keys: v3 `{"sub": "api_key", "api_key_id": UUID}`, v4 `{"typ": "key", "sub": UUID}`, without expiry.
Logins:   v3 `{"sub": "user", "exp": …}`, v4 `{"typ": "user", "exp": …}`, valid for 24 hours by default.
"""

import base64
import json
import re
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

_MAX_LENGTH = 8192  # a real one has about 200 characters
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class Kind(Enum):
    API_KEY = "an API token"
    LOGIN = "a login token"
    OTHER_JWT = "a JWT that ChirpStack did not make"
    NO_JWT = "no token at all"


@dataclass(frozen=True)
class Claims:
    kind: Kind
    api: str = ""
    """`v3` or `v4`, for an API token."""
    key_id: str = ""
    """The key's UUID in lower case, for an API token."""
    expires: float = 0.0
    """POSIX time; 0 when the token says none, as an API token does."""


def is_jwt(text: str) -> bool:
    """Three dotted base64url parts: what may be sent in a header and written to any file."""
    return len(text) <= _MAX_LENGTH and _JWT.fullmatch(text) is not None


WRAPPED = "a token and more, such as quotes, the word Bearer or a line break"


def is_wrapped(text: str) -> bool:
    """Whether there is a token in it, and more: what is pasted often has a word or quotes round it, or line breaks."""
    if is_jwt(text) or len(text) > _MAX_LENGTH:
        return False
    return re.search(rf"eyJ{_JWT.pattern}", "".join(text.split()), re.ASCII) is not None


def read_claims(token: str) -> Claims:
    """Never raises: what cannot be read is NO_JWT or OTHER_JWT."""
    if not is_jwt(token):
        return Claims(Kind.NO_JWT)
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return Claims(Kind.NO_JWT)
    if not isinstance(claims, dict):
        return Claims(Kind.OTHER_JWT)
    if claims.get("typ") == "user" or claims.get("sub") == "user":
        expires = claims.get("exp")
        # A float does not hold every number.
        return Claims(
            Kind.LOGIN, expires=float(expires) if isinstance(expires, int) and abs(expires) < 1 << 40 else 0.0
        )
    for api, key_id in (
        ("v4", claims.get("sub") if claims.get("typ") == "key" else None),
        ("v3", claims.get("api_key_id") if claims.get("sub") == "api_key" else None),
    ):
        try:
            return Claims(Kind.API_KEY, api, str(UUID(key_id)))
        except (ValueError, TypeError, AttributeError):
            continue
    return Claims(Kind.OTHER_JWT)
