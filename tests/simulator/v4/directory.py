"""TenantService, ApplicationService, UserService, and of DeviceProfileService what tells a dead key."""

import re
from collections.abc import Sequence
from typing import TypeVar

from tests.simulator.state import State, User
from tests.simulator.v4 import access, uuids
from tests.simulator.v4.calls import Caller, Logged, Message, methods
from tests.simulator.v4.grpc_web import Failure
from tests.simulator.v4.messages import pb

Item = TypeVar("Item")

_ADR_ALGORITHMS = (
    ("default", "Default ADR algorithm (LoRa only)"),
    ("lr_fhss", "LR-FHSS only ADR algorithm"),
    ("lora_lr_fhss", "LoRa & LR-FHSS ADR algorithm"),
)


@methods("TenantService/List", "ListTenantsRequest")
def list_tenants(state: State, caller: Caller, request: Message) -> Message:
    asking = access.authorize(state, caller, user=access.anyone, key=access.admin_key)
    tenants = list(state.groups.values())
    if isinstance(asking, User):
        tenants = state.groups_of(asking)
    elif request.user_id:
        member_id = uuids.argument(state.version, request.user_id)
        tenants = [tenant for tenant in tenants if state.member(member_id, tenant.id)]
    found = sorted((t for t in tenants if _like(t.name, request)), key=lambda tenant: tenant.name)
    result = [
        pb.TenantListItem(id=tenant.id, name=tenant.name, can_have_gateways=True, **times(tenant.created_at))
        for tenant in page(found, request)
    ]
    return pb.ListTenantsResponse(total_count=len(found), result=result)


@methods("TenantService/Get", "GetTenantRequest")
def get_tenant(state: State, caller: Caller, request: Message) -> Message | Logged:
    tenant_id = uuids.argument(state.version, request.id)
    access.authorize(
        state,
        caller,
        user=lambda user: access.is_member(state, user, tenant_id),
        key=lambda key: key.owner.is_admin or key.owner.tenant_id == tenant_id,
    )
    tenant = state.groups.get(tenant_id)
    if tenant is None:
        raise unknown(tenant_id)
    shown = pb.Tenant(id=tenant.id, name=tenant.name, can_have_gateways=True)
    return Logged(pb.GetTenantResponse(tenant=shown, **times(tenant.created_at)), {"tenant_id": request.id})


@methods("ApplicationService/List", "ListApplicationsRequest")
def list_applications(state: State, caller: Caller, request: Message) -> Message | Logged:
    tenant_id = uuids.argument(state.version, request.tenant_id)
    asking = access.authorize(
        state,
        caller,
        user=lambda user: access.is_member(state, user, tenant_id),
        key=lambda key: key.owner.is_admin or key.owner.tenant_id == tenant_id,
    )
    applications = (a for a in state.applications.values() if a.group_id == tenant_id)
    found = sorted((a for a in applications if _like(a.name, request)), key=lambda a: a.name)
    # From v4.20 on a member sees what has been granted to him: here nothing.
    if state.version >= (4, 20) and isinstance(asking, User) and not access.administers(state, asking, tenant_id):
        found = []
    result = [
        pb.ApplicationListItem(id=application.id, name=application.name, **times(application.created_at))
        for application in page(found, request)
    ]
    answer = pb.ListApplicationsResponse(total_count=len(found), result=result)
    return Logged(answer, {"tenant_id": request.tenant_id})


@methods("UserService/List", "ListUsersRequest")
def list_users(state: State, caller: Caller, request: Message) -> Message:
    access.authorize(state, caller, user=access.global_admin, key=access.admin_key)
    users = sorted(state.users.values(), key=lambda user: user.email)
    result = [
        pb.UserListItem(
            id=user.id,
            email=user.email,
            is_admin=user.is_admin,
            is_active=user.is_active,
            **times(user.created_at),
        )
        for user in page(users, request)
    ]
    return pb.ListUsersResponse(total_count=len(users), result=result)


@methods("UserService/UpdatePassword", "UpdateUserPasswordRequest")
def set_password(state: State, caller: Caller, request: Message) -> Message | Logged:
    user_id = uuids.argument(state.version, request.user_id)
    access.authorize(
        state,
        caller,
        user=lambda user: user.is_admin or user.id == user_id,
        key=lambda key: key.owner.is_admin and not key.is_read_only,
    )
    user = state.users.get(user_id)
    if user is None:
        raise unknown(user_id)
    if state.version >= (4, 17):
        length = len(request.password.encode())
        if length < 8:
            raise Failure(3, "Password must be at least 8 characters")
        if length > 128:
            raise Failure(3, "Password must not exceed 128 characters")
    user.password = request.password
    return Logged(None, {"user_id": request.user_id})


@methods("DeviceProfileService/ListAdrAlgorithms")
def list_adr_algorithms(state: State, caller: Caller, request: Message) -> Message:
    key = access.anyone if state.version >= (4, 3) else access.nobody
    access.authorize(state, caller, user=access.anyone, key=key)
    result = [pb.AdrAlgorithmListItem(id=short, name=name) for short, name in _ADR_ALGORITHMS]
    return pb.ListDeviceProfileAdrAlgorithmsResponse(total_count=len(result), result=result)


@methods("DeviceProfileService/ListVendors", since=(4, 16))
@methods("DeviceProfileTemplateService/List", until=(4, 16))
def list_none(state: State, caller: Caller, request: Message) -> Message:
    """Nothing has been imported: an empty list, to every user and key."""
    access.authorize(state, caller, user=access.anyone, key=access.anyone)
    return None


def page(items: Sequence[Item], request: Message) -> Sequence[Item]:
    return items[request.offset : request.offset + request.limit]


def times(created_at: float) -> dict[str, Message]:
    seconds, microseconds = divmod(round(created_at * 1_000_000), 1_000_000)
    stamp = pb.Timestamp(seconds=seconds, nanos=microseconds * 1000)
    return {"created_at": stamp, "updated_at": stamp}


def unknown(object_id: str) -> Failure:
    return Failure(5, f"Object does not exist (id: {object_id})")


def _like(text: str, request: Message) -> bool:
    """`like '%…%'` without regard to case: % and _ in what is searched for are not escaped."""
    pattern = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in request.search)
    return re.search(pattern, text, re.IGNORECASE | re.DOTALL) is not None
