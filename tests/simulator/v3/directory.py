"""OrganizationService, ApplicationService, UserService, and GatewayProfileService, which tells a dead key."""

import re
from collections.abc import Iterable

from tests.simulator.state import ApiKey, Application, Group, State, User
from tests.simulator.v3 import access
from tests.simulator.v3.gateway import Call, Failure, Json, path_id, query_id, routes, string_field
from tests.simulator.v3.storage import ilike, page, times, unknown

_SERVICE_PROFILE = "11111111-1111-4111-8111-111111111111"
_EMAIL = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)


@routes("GET", "/api/gateway-profiles", paged=True)
def list_gateway_profiles(state: State, call: Call) -> Json:
    key = access.anyone if state.version >= (3, 12) else access.nobody
    access.authorize(state, call, user=access.anyone, key=key)
    return {"totalCount": "0", "result": page([], call)}


@routes("GET", "/api/organizations", paged=True)
def list_organizations(state: State, call: Call) -> Json:
    organization_keys_may = state.version < (3, 13, 2)
    caller = access.authorize(
        state,
        call,
        user=access.anyone,
        key=lambda key: key.owner.is_admin or (organization_keys_may and key.owner.organization_id != ""),
    )
    groups: Iterable[Group] = state.groups.values()
    if isinstance(caller, User):
        groups = state.groups_of(caller)
    found = sorted((g for g in groups if ilike(g.display_name, call)), key=lambda group: group.display_name)
    return {
        "totalCount": str(len(found)),
        "result": [{**_organization(group), **times(group.created_at)} for group in page(found, call)],
    }


@routes("GET", "/api/organizations/{id}")
def get_organization(state: State, call: Call) -> Json:
    group_id = path_id("id", call.id)
    access.authorize(
        state,
        call,
        user=lambda user: access.is_member(state, user, group_id),
        key=lambda key: key.owner.is_admin or key.owner.organization_id == group_id,
    )
    group = state.groups.get(group_id)
    if group is None:
        raise unknown()
    limits = {"maxGatewayCount": 0, "maxDeviceCount": 0} if state.version >= (3, 11) else {}
    return {"organization": {**_organization(group), **limits}, **times(group.created_at)}


def _organization(group: Group) -> Json:
    return {
        "id": group.id,
        "name": group.name,
        "displayName": group.display_name,
        "canHaveGateways": True,
    }


@routes("GET", "/api/applications", paged=True)
def list_applications(state: State, call: Call) -> Json:
    group_id = query_id(call, "organizationID", "organization_id")
    caller = access.authorize(
        state,
        call,
        user=lambda user: not group_id or access.is_member(state, user, group_id),
        key=lambda key: key.owner.is_admin or (group_id != "" and key.owner.organization_id == group_id),
    )
    applications: Iterable[Application] = state.applications.values()
    if group_id:
        applications = [a for a in applications if a.group_id == group_id]
    elif isinstance(caller, User):
        own = {group.id for group in state.groups_of(caller)}
        applications = [a for a in applications if a.group_id in own]
    found = sorted((a for a in applications if ilike(a.name, call)), key=lambda application: application.name)
    return {
        "totalCount": str(len(found)),
        "result": [{**_application(a), "serviceProfileName": "sp"} for a in page(found, call)],
    }


@routes("GET", "/api/applications/{id}")
def get_application(state: State, call: Call) -> Json:
    application = state.applications.get(path_id("id", call.id))

    def reads(key: ApiKey) -> bool:
        own = key.owner
        return own.is_admin or (
            application is not None
            and (own.application_id == application.id or own.organization_id == application.group_id)
        )

    group_id = application.group_id if application else ""
    access.authorize(state, call, user=lambda user: access.is_member(state, user, group_id), key=reads)
    if application is None:
        raise unknown()
    codec = {"payloadCodec": "", "payloadEncoderScript": "", "payloadDecoderScript": ""}
    return {"application": {**_application(application), **codec}}


def _application(application: Application) -> Json:
    return {
        "id": application.id,
        "name": application.name,
        "description": "",
        "organizationID": application.group_id,
        "serviceProfileID": _SERVICE_PROFILE,
    }


@routes("GET", "/api/users", paged=True)
def list_users(state: State, call: Call) -> Json:
    access.authorize(state, call, user=access.global_admin, key=access.admin_key)
    users = sorted(state.users.values(), key=lambda user: user.email)
    name = "username" if state.version < (3, 11) else "email"
    return {
        "totalCount": str(len(users)),
        "result": [
            {
                "id": user.id,
                name: user.email,
                "sessionTTL": 0,
                "isAdmin": user.is_admin,
                "isActive": user.is_active,
                **times(user.created_at),
            }
            for user in page(users, call)
        ],
    }


@routes("PUT", "/api/users/{user_id}/password")
def set_password(state: State, call: Call) -> Json:
    password = string_field(call.body, "password")
    user_id = path_id("user_id", call.id)
    access.authorize(state, call, user=lambda user: user.is_admin or user.id == user_id, key=access.admin_key)
    user = state.users.get(user_id)
    old = state.version < (3, 11)
    if user is None and not old:
        raise unknown()
    if not re.fullmatch(".{6,}", password):
        raise Failure(3, "passwords must be at least 6 characters long")
    if user is None:
        return {}  # v3.10 changes no row, and does not look
    # v3.10 saves the password only. Later the whole user is validated again; v3.13.0 excepts the default one.
    exempt = old or (state.version >= (3, 13) and user.email == "admin")
    if not exempt and not _EMAIL.fullmatch(user.email):
        raise Failure(3, "invalid e-mail")
    user.password = password
    return {}
