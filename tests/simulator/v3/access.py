"""Tokens, and what their owners may do."""

import random
import re
from collections.abc import Callable
from email.message import Message

from tests.simulator import jwt
from tests.simulator.state import ApiKey, Owner, State, User
from tests.simulator.v3.gateway import Call, Failure

DATABASE_DOWN = "dial tcp 127.0.0.1:5432: connect: connection refused"


def anyone(_: User | ApiKey) -> bool:
    return True


def nobody(_: User | ApiKey) -> bool:
    return False


def global_admin(user: User) -> bool:
    return user.is_admin


def admin_key(key: ApiKey) -> bool:
    return key.owner.is_admin


def authorize(
    state: State,
    call: Call,
    *,
    user: Callable[[User], bool] = nobody,
    key: Callable[[ApiKey], bool] = nobody,
) -> User | ApiKey:
    """The active user or the key that the token belongs to, if it may do this."""
    try:
        claims = jwt.parse_go(_token(call.headers), state.secret, state.clock())
    except jwt.TokenError as error:
        raise Failure(16, f"authentication failed: jwt parse error: {error}") from None
    if state.version >= (3, 13) and claims.get("aud") != "as":
        raise _not_authorized()
    if state.database_down:
        raise Failure(16, f"authentication failed: validator func error: select error: {DATABASE_DOWN}")
    if claims.get("sub") == "user":
        account = state.user_by_email(claims.get("username", ""))
        if account and account.is_active and user(account):
            return account
    elif claims.get("sub") == "api_key":
        api_key = state.key(claims.get("api_key_id", ""))
        if api_key and key(api_key):
            return api_key
    raise _not_authorized()


def _not_authorized() -> Failure:
    return Failure(16, "authentication failed: not authorized")


def _token(headers: "Message[str, str]") -> str:
    values = [headers[name] for name in ("Authorization", "Grpc-Metadata-Authorization") if name in headers]
    if not values:
        raise Failure(16, "authentication failed: get token from context error: no authorization-data in metadata")
    # Of both headers the first one counts, and Go walks a map, which the headers are, in random order.
    value = random.choice(values)
    match = re.fullmatch("(?i)bearer (.*)", value)
    return match.group(1) if match else value


def administers(state: State, user: User, owner: Owner) -> bool:
    """Global admins everything, organization admins their organization or one of its applications."""
    if user.is_admin:
        return True
    group_id = owner.organization_id
    if owner.application_id:
        application = state.applications.get(owner.application_id)
        group_id = application.group_id if application and not group_id else ""
    member = state.member(user.id, group_id)
    return member is not None and member.is_admin


def is_member(state: State, user: User, group_id: str) -> bool:
    return user.is_admin or state.member(user.id, group_id) is not None


def login_token(state: State, user: User) -> str:
    now = int(state.clock())
    issuer = "as" if state.version >= (3, 13) else "chirpstack-application-server"
    claims = {
        "iss": issuer,
        "aud": issuer,
        "nbf": now,
        "exp": now + 86400,
        "sub": "user",
        "username": user.email,
    }
    if state.version >= (3, 11):
        claims["id"] = int(user.id)
    return jwt.sign_go(claims, state.secret)


def key_token(state: State, key: ApiKey) -> str:
    claims = {"iss": "as", "aud": "as", "nbf": int(state.clock()), "sub": "api_key", "api_key_id": key.id}
    return jwt.sign_go(claims, state.secret)


def token_works(state: State, token: str) -> bool:
    headers: Message[str, str] = Message()
    headers["Authorization"] = f"Bearer {token}"
    try:
        authorize(state, Call(headers), user=anyone, key=anyone)
    except Failure:
        return False
    return True
