"""InternalService: settings, version, login, profile, API keys."""

from tests.simulator.state import Owner, State, User
from tests.simulator.v4 import access, uuids
from tests.simulator.v4.calls import Caller, Message, methods
from tests.simulator.v4.directory import page, times, unknown
from tests.simulator.v4.grpc_web import Failure
from tests.simulator.v4.messages import pb

_DATABASE_DOWN = "Error occurred while creating a new object: db error: FATAL: the database system is starting up"


@methods("InternalService/Settings")
def settings(state: State, caller: Caller, request: Message) -> Message:
    answer = pb.SettingsResponse(openid_connect=pb.OpenIdConnect(login_url="/auth/oidc/login"))
    if state.version >= (4, 7):
        answer.oauth2.login_url = "/auth/oauth2/login"
    if state.version >= (4, 9):
        link = '<a href="http://osm.org/copyright">OpenStreetMap</a>'
        answer.tileserver_url = "https://{s}.tile.openstreetmap.org/{z}/{x}/{y}.png"
        answer.map_attribution = f"&copy; {link} contributors"
    return answer


@methods("InternalService/GetVersion", since=(4, 8))
def get_version(state: State, caller: Caller, request: Message) -> Message:
    access.authorize(state, caller, user=access.global_admin)
    return pb.GetVersionResponse(version=state.version_text)


@methods("InternalService/Login", "LoginRequest")
def login(state: State, caller: Caller, request: Message) -> Message:
    if state.database_down:
        raise Failure(13, _DATABASE_DOWN)
    user = state.user_by_email(request.email)
    if user is None or user.password != request.password:
        raise Failure(16, "Invalid username or password")
    return pb.LoginResponse(jwt=access.login_token(state, user))


@methods("InternalService/Profile")
def profile(state: State, caller: Caller, request: Message) -> Message:
    user = access.authorize(state, caller, user=access.anyone)
    assert isinstance(user, User)
    tenants = [
        pb.UserTenantLink(tenant_id=member.group_id, is_admin=member.is_admin, **times(member.created_at))
        for member in state.members
        if member.user_id == user.id
    ]
    account = pb.User(id=user.id, is_admin=user.is_admin, is_active=user.is_active, email=user.email)
    return pb.ProfileResponse(user=account, tenants=tenants)


@methods("InternalService/ListApiKeys", "ListApiKeysRequest")
def list_keys(state: State, caller: Caller, request: Message) -> Message:
    asked = _owner(state, request)
    access.authorize(state, caller, user=lambda user: access.is_member(state, user, asked.tenant_id))
    keys = state.keys(lambda owner: owner == asked)
    result = [
        pb.ApiKey(
            id=key.id,
            name=key.name,
            is_admin=key.owner.is_admin,
            tenant_id=key.owner.tenant_id,
            is_read_only=key.is_read_only,
        )
        for key in page(keys, request)
    ]
    return pb.ListApiKeysResponse(total_count=len(keys), result=result)


@methods("InternalService/CreateApiKey", "CreateApiKeyRequest")
def create_key(state: State, caller: Caller, request: Message) -> Message:
    if not request.HasField("api_key"):
        raise Failure(3, "api_key is missing")
    wanted = request.api_key
    owner = _owner(state, wanted)
    access.authorize(state, caller, user=lambda user: access.administers(state, user, owner.tenant_id))
    if not wanted.name:
        raise Failure(3, "Validation error: name is not set")
    if state.postgres and len(wanted.name) > 100:
        raise Failure(13, "value too long for type character varying(100)")
    if owner.tenant_id and owner.tenant_id not in state.groups:
        constraint = 'table "api_key" violates foreign key constraint "api_key_tenant_id_fkey"'
        raise Failure(13, f"insert or update on {constraint}" if state.postgres else "FOREIGN KEY constraint failed")
    # Before v4.17 the field is unknown, and skipped.
    is_read_only = wanted.is_read_only and state.version >= (4, 17)
    key = state.add_key(wanted.name, owner, is_read_only=is_read_only)
    return pb.CreateApiKeyResponse(id=key.id, token=access.key_token(state, key))


@methods("InternalService/DeleteApiKey", "DeleteApiKeyRequest")
def delete_key(state: State, caller: Caller, request: Message) -> Message:
    key_id = uuids.argument(state.version, request.id)
    key = state.key(key_id)
    tenant_id = key.owner.tenant_id if key else ""
    access.authorize(state, caller, user=lambda user: access.administers(state, user, tenant_id))
    if not state.delete_key(key_id):
        raise unknown(key_id)
    return None


def _owner(state: State, message: Message) -> Owner:
    """Of an ApiKey or a ListApiKeysRequest."""
    tenant_id = uuids.argument(state.version, message.tenant_id) if message.tenant_id else ""
    if message.is_admin and tenant_id:
        raise Failure(3, "tenant_id can not be set with is_admin set to true")
    if not message.is_admin and not tenant_id:
        raise Failure(3, "either is_admin or tenant_id must be set")
    return Owner(message.is_admin, tenant_id)
