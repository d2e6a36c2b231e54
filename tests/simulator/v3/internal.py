"""InternalService: settings, login, profile, API keys."""

import uuid

from tests.simulator.state import ApiKey, Owner, State, User
from tests.simulator.v3 import access
from tests.simulator.v3.gateway import (
    Call,
    Failure,
    Json,
    bool_field,
    id_field,
    object_field,
    query_bool,
    query_id,
    routes,
    string_field,
)
from tests.simulator.v3.storage import page, times, unknown

_MAX_MESSAGE = 4 * 1024 * 1024  # what the gateway takes from the gRPC service behind it


@routes("GET", "/api/internal/settings", since=(3, 11))
def settings(state: State, call: Call) -> Json:
    connect = {"enabled": False, "loginURL": "/auth/oidc/login", "loginLabel": ""}
    if state.version >= (3, 12):
        connect["logoutURL"] = ""
    return {"branding": {"registration": "", "footer": ""}, "openidConnect": connect}


@routes("GET", "/api/internal/branding", until=(3, 11))
def branding(state: State, call: Call) -> Json:
    return {"logo": "", "registration": "", "footer": ""}


@routes("POST", "/api/internal/login")
def login(state: State, call: Call) -> Json:
    email = string_field(call.body, "username" if state.version < (3, 11) else "email")
    password = string_field(call.body, "password")
    if state.database_down:
        raise Failure(2, access.DATABASE_DOWN)
    user = state.user_by_email(email)
    if user is None or user.password != password:
        raise Failure(16, "invalid username or password")
    return {"jwt": access.login_token(state, user)}


@routes("GET", "/api/internal/profile")
def profile(state: State, call: Call) -> Json:
    user = access.authorize(state, call, user=access.anyone)
    assert isinstance(user, User)
    organizations = [
        {
            "organizationID": member.group_id,
            "organizationName": state.groups[member.group_id].name,
            "isAdmin": member.is_admin,
            "isDeviceAdmin": False,
            "isGatewayAdmin": False,
            **times(member.created_at),
        }
        for member in state.members
        if member.user_id == user.id
    ]
    rights = {"sessionTTL": 0, "isAdmin": user.is_admin, "isActive": user.is_active}
    if state.version < (3, 11):
        return {
            "user": {"id": user.id, "username": user.email, **rights, "email": "", "note": ""},
            "organizations": organizations,
            "settings": {"disableAssignExistingUsers": False},
        }
    return {
        "user": {"id": user.id, **rights, "email": user.email, "note": ""},
        "organizations": organizations,
    }


@routes("GET", "/api/internal/api-keys", paged=True)
def list_keys(state: State, call: Call) -> Json:
    asked = Owner(
        query_bool(call, "isAdmin", "is_admin"),
        organization_id=query_id(call, "organizationID", "organization_id"),
        application_id=query_id(call, "applicationID", "application_id"),
    )
    access.authorize(state, call, user=lambda user: access.administers(state, user, asked))
    _check_owner(asked)
    keys = state.keys(
        lambda owner: (
            owner.is_admin == asked.is_admin
            and asked.organization_id in ("", owner.organization_id)
            and asked.application_id in ("", owner.application_id)
        )
    )
    shown = page(keys, call)
    _check_size(shown, len(keys))
    return {
        "totalCount": str(len(keys)),
        "result": [
            {
                "id": key.id,
                "name": key.name,
                "isAdmin": key.owner.is_admin,
                "organizationID": key.owner.organization_id or "0",
                "applicationID": key.owner.application_id or "0",
            }
            for key in shown
        ],
    }


@routes("POST", "/api/internal/api-keys")
def create_key(state: State, call: Call) -> Json:
    wanted = object_field(call.body, "apiKey", "api_key")
    name = string_field(wanted, "name")
    owner = Owner(
        bool_field(wanted, "isAdmin", "is_admin"),
        organization_id=id_field(wanted, "organizationID", "organization_id"),
        application_id=id_field(wanted, "applicationID", "application_id"),
    )
    access.authorize(state, call, user=lambda user: access.administers(state, user, owner))
    _check_owner(owner)
    if owner == Owner() and state.version >= (3, 11):
        raise Failure(3, "the api key must be either of type admin, organization or application")
    _check_name(state, name)
    if (owner.organization_id and owner.organization_id not in state.groups) or (
        owner.application_id and owner.application_id not in state.applications
    ):
        raise unknown()
    key = state.add_key(name, owner)
    return {"id": key.id, "jwtToken": access.key_token(state, key)}


@routes("DELETE", "/api/internal/api-keys/{id}")
def delete_key(state: State, call: Call) -> Json:
    try:
        key_id = str(uuid.UUID(call.id))
    except ValueError:
        raise Failure(3, f"api_key: uuid: incorrect UUID length: {call.id}") from None
    key = state.key(key_id)
    owner = key.owner if key else Owner()
    access.authorize(state, call, user=lambda user: access.administers(state, user, owner))
    if not state.delete_key(key_id):
        raise unknown()
    return {}


def _check_owner(owner: Owner) -> None:
    if owner.is_admin and (owner.organization_id or owner.application_id):
        raise Failure(3, "when is_admin is true, organization_id and application_id must be left blank")


def _check_name(state: State, name: str) -> None:
    if state.version < (3, 13):
        if len(name) > 100:
            raise Failure(2, "pq: value too long for type character varying(100)")
    elif not name.strip() or len(name.encode()) > 100:
        raise Failure(3, "invalid API Key name")


def _check_size(keys: list[ApiKey], total: int) -> None:
    """Of the ListAPIKeysResponse. Nothing else here grows that large."""
    size = 1 + _varint(total) if total else 0
    for key in keys:
        content = 38 + 2 * key.owner.is_admin
        if key.name:
            content += 1 + _varint(len(key.name.encode())) + len(key.name.encode())
        for number in (key.owner.organization_id, key.owner.application_id):
            content += 1 + _varint(int(number)) if number else 0
        size += 1 + _varint(content) + content
    if size > _MAX_MESSAGE:
        raise Failure(8, f"grpc: received message larger than max ({size} vs. {_MAX_MESSAGE})")


def _varint(number: int) -> int:
    return -(-number.bit_length() // 7)
