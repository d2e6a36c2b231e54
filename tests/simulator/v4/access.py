"""Tokens, and what their owners may do."""

import uuid
from collections.abc import Callable

from tests.simulator import jwt
from tests.simulator.state import ApiKey, State, User
from tests.simulator.v4 import uuids
from tests.simulator.v4.calls import Caller
from tests.simulator.v4.grpc_web import Failure
from tests.simulator.wire import Request


def anyone(_: User | ApiKey) -> bool:
    return True


def nobody(_: User | ApiKey) -> bool:
    return False


def global_admin(user: User) -> bool:
    return user.is_admin


def admin_key(key: ApiKey) -> bool:
    return key.owner.is_admin


def caller(state: State, request: Request) -> Caller:
    """By the token; without one, nobody yet. Whether there is such a user or key is not looked up here."""
    value = request.headers.get("Authorization")
    if value is None:
        return Caller()
    if not value.startswith("Bearer "):
        be = "be " if state.version >= (4, 8) else ""
        raise Failure(16, f"authorization metadata must {be}in format 'Bearer <TOKEN>")
    return _decode(state, value.removeprefix("Bearer "))


def _decode(state: State, token: str) -> Caller:
    audience = "chirpstack" if state.version >= (4, 7) else None
    try:
        claims = jwt.parse_rust(token, state.secret, state.clock(), audience)
    except jwt.TokenError as error:
        raise Failure(16, str(error)) from None
    if wrong := uuids.error(state.version, claims["sub"]):
        raise Failure(16, wrong)
    if claims["typ"] not in ("user", "key"):
        raise Failure(16, f"invalid token typ: {claims['typ']}")
    return Caller(claims["typ"], str(uuid.UUID(claims["sub"])))


def authorize(
    state: State,
    caller: Caller,
    *,
    user: Callable[[User], bool] = nobody,
    key: Callable[[ApiKey], bool] = nobody,
) -> User | ApiKey:
    """The active user or the key, if it may do this."""
    if not caller.kind:
        raise Failure(16, "no authorization provided")
    if state.database_down:
        raise Failure(13)
    if caller.kind == "user":
        account = state.users.get(caller.id)
        if account and account.is_active and user(account):
            return account
    else:
        api_key = state.key(caller.id)
        if api_key and key(api_key):
            return api_key
    raise Failure(16)


def is_member(state: State, user: User, tenant_id: str) -> bool:
    return user.is_admin or state.member(user.id, tenant_id) is not None


def administers(state: State, user: User, tenant_id: str) -> bool:
    member = state.member(user.id, tenant_id)
    return user.is_admin or (member is not None and member.is_admin)


def login_token(state: State, user: User) -> str:
    expiry = int(state.clock()) + 86400
    claims = {"aud": "chirpstack", "exp": expiry, "iss": "chirpstack", "sub": user.id, "typ": "user"}
    return jwt.sign_rust(claims, state.secret)


def key_token(state: State, key: ApiKey) -> str:
    claims = {"aud": "chirpstack", "iss": "chirpstack", "sub": key.id, "typ": "key"}
    return jwt.sign_rust(claims, state.secret)


def token_works(state: State, token: str) -> bool:
    try:
        authorize(state, _decode(state, token), user=anyone, key=anyone)
    except Failure:
        return False
    return True
