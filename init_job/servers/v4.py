"""ChirpStack v4: gRPC-Web on the port of the web interface."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from init_job.errors import AccountError, ServerRefusal, Unavailable
from init_job.servers import grpc_web
from init_job.servers.http import Http
from init_job.servers.interface import (
    KEY_DELETED,
    PAGE,
    SIGNED_OTHERWISE,
    Key,
    NewKey,
    NotThisApi,
    ResolvedScope,
    Server,
    TokenStatus,
    every_page,
    keys_of_name,
    only_match,
    patiently,
)
from init_job.tokens import is_jwt
from init_job.values import Scope, unsupported
from init_job.wait import Patience

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from init_job.servers import chirpstack_pb2 as pb

    M = TypeVar("M", bound=Message)

_INVALID_ARGUMENT, _NOT_FOUND, _UNIMPLEMENTED, _UNAUTHENTICATED = 3, 5, 12, 16  # gRPC status codes
_TRANSIENT = {
    1: "cancelled",
    2: "unknown error",
    4: "deadline exceeded",
    8: "resource exhausted",
    13: "internal error",
    14: "unavailable",
}
_LOGIN_REFUSED = "Invalid username or password"
_READ_ONLY_SINCE = (4, 17)


class _Refused(Exception):
    """A gRPC status that is no trouble of the moment."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class V4(Server):
    api = "v4"
    sees_every_token = True

    def __init__(self, http: Http, patience: Patience) -> None:
        super().__init__(http, patience)
        self._session = ""
        self._before_4_8 = False

    @patiently
    def probe(self) -> NotThisApi | None:
        """A login without e-mail: it asks the database and matches no user (contract §3.1)."""
        try:
            self._send("InternalService/Login")
        except NotThisApi as refusal:
            return refusal
        except _Refused as refused:
            if refused.status == _UNAUTHENTICATED and str(refused) == _LOGIN_REFUSED:
                return None
            if refused.status == _UNAUTHENTICATED:
                # It refuses a token, and the job sends none there (contract §0.4). No v3 answers gRPC-Web.
                raise Unavailable(
                    f"the login answers {str(refused)!r}, as if a token had been sent with it",
                    "a proxy on the way adds an Authorization header of its own: it must not for ChirpStack",
                ) from None
            return NotThisApi(f"the login answers {str(refused)!r}, as no ChirpStack v4 does")
        return NotThisApi("the login lets anybody in, as no ChirpStack v4 does")

    def accepts(self, email: str, password: str) -> bool:
        return bool(self._token_of_login(email, password))

    def log_in(self, email: str, password: str) -> bool:
        self._session = self._token_of_login(email, password)
        if self._session:
            self._ask_for_version()
        return bool(self._session)

    @patiently
    def _token_of_login(self, email: str, password: str) -> str:
        """Empty when it is refused."""
        from init_job.servers import chirpstack_pb2 as pb  # 60 ms that a run with nothing to do does not spend

        request = pb.LoginRequest(email=email, password=password)
        try:
            token = _parse(pb.LoginResponse, self._send("InternalService/Login", request)).jwt
        except _Refused as refused:
            if refused.status == _UNAUTHENTICATED:
                return ""
            raise _refusal(refused) from None
        if not is_jwt(token):
            raise Unavailable("the server answered the login with something that is no token")
        return token

    @patiently
    def _ask_for_version(self) -> None:
        from init_job.servers import chirpstack_pb2 as pb

        try:
            answer = self._call("InternalService/GetVersion", token=self._session)
            self.version = _parse(pb.GetVersionResponse, answer).version
        except _Refused as refused:
            # Unknown to servers before v4.8; told to admins only (contract §3.2).
            self._before_4_8 = refused.status == _UNIMPLEMENTED

    @patiently
    def set_password(self, password: str) -> None:
        from init_job.servers import chirpstack_pb2 as pb

        user = _parse(pb.ProfileResponse, self._ask("InternalService/Profile")).user
        self._ask("UserService/UpdatePassword", pb.UpdateUserPasswordRequest(user_id=user.id, password=password))

    @patiently
    def resolve(self, scope: Scope) -> ResolvedScope:
        from init_job.servers import chirpstack_pb2 as pb

        if unsupported(self.api, scope):
            raise ServerRefusal(unsupported(self.api, scope), "correct API_KEY_SCOPE")
        if scope.kind == "admin":
            return ResolvedScope("admin")
        if tenant_id := _uuid(scope.ref):
            try:
                self._call("TenantService/Get", pb.GetTenantRequest(id=tenant_id), self._session)
                return ResolvedScope("tenant", tenant_id)
            except _Refused as refused:
                if refused.status not in (_NOT_FOUND, _UNAUTHENTICATED):
                    raise _refusal(refused) from None
                # A name may look like an id.
        # Neither is the name unique nor does the search tell case (contract §3.9).
        ids = [tenant.id for tenant in every_page(self._tenant_pages()) if tenant.name == scope.ref]
        return ResolvedScope("tenant", only_match("tenant", scope.ref, ids))

    def _tenant_pages(self) -> "Iterator[tuple[int, list[pb.TenantListItem]]]":
        from init_job.servers import chirpstack_pb2 as pb

        offset = 0
        while True:
            request = pb.ListTenantsRequest(limit=PAGE, offset=offset)
            page = _parse(pb.ListTenantsResponse, self._ask("TenantService/List", request))
            yield page.total_count, list(page.result)
            offset += PAGE

    @patiently
    def list_keys(self, scope: ResolvedScope, name: str) -> list[Key]:
        keys = every_page(self._key_pages(scope))
        return keys_of_name((Key(key.id, key.name, scope, key.is_read_only) for key in keys), name)

    def _key_pages(self, scope: ResolvedScope) -> "Iterator[tuple[int, list[pb.ApiKey]]]":
        from init_job.servers import chirpstack_pb2 as pb

        offset = 0
        while True:
            request = pb.ListApiKeysRequest(
                limit=PAGE, offset=offset, is_admin=scope.kind == "admin", tenant_id=scope.id
            )
            page = _parse(pb.ListApiKeysResponse, self._ask("InternalService/ListApiKeys", request))
            yield page.total_count, list(page.result)
            offset += PAGE

    @patiently
    def find_key(self, key_id: str) -> Key | None:
        for scope in self._every_scope():
            for key in every_page(self._key_pages(scope)):
                if key.id == key_id:
                    return Key(key.id, key.name, scope, key.is_read_only)
        return None

    def _every_scope(self) -> Iterator[ResolvedScope]:
        """There is no list of all keys (contract §3.5)."""
        yield ResolvedScope("admin")
        for tenant in every_page(self._tenant_pages()):
            yield ResolvedScope("tenant", tenant.id)

    def create_key(self, scope: ResolvedScope, name: str, read_only: bool) -> NewKey:
        from init_job.servers import chirpstack_pb2 as pb

        if read_only and (self._before_4_8 or _version(self.version) < _READ_ONLY_SINCE):
            raise ServerRefusal(
                f"ChirpStack {self.version or 'before v4.8'} has no read-only keys: it would make a full one",
                "upgrade the server to v4.17 or later, or unset API_KEY_READ_ONLY",
            )
        key = pb.ApiKey(name=name, is_admin=scope.kind == "admin", tenant_id=scope.id, is_read_only=read_only)
        try:
            answer = self._send("InternalService/CreateApiKey", pb.CreateApiKeyRequest(api_key=key), self._session)
        except _Refused as refused:
            raise _refusal(refused) from None
        created = _parse(pb.CreateApiKeyResponse, answer)
        return NewKey(created.id, created.token)

    @patiently
    def delete_key(self, key_id: str) -> None:
        from init_job.servers import chirpstack_pb2 as pb

        try:
            self._call("InternalService/DeleteApiKey", pb.DeleteApiKeyRequest(id=key_id), self._session)
        except _Refused as refused:
            if refused.status != _NOT_FOUND:
                raise _refusal(refused) from None

    @patiently
    def check_token(self, token: str, key_id: str, scope: ResolvedScope | None = None) -> TokenStatus:
        """Two calls that any key may make: the first since v4.3, the second until v4.15 (contract §3.8)."""
        reason = ""
        for method in ("DeviceProfileService/ListAdrAlgorithms", "DeviceProfileTemplateService/List"):
            try:
                self._call(method, token=token)
                return TokenStatus(True)
            except _Refused as refused:
                if refused.status == _UNAUTHENTICATED:
                    reason = str(refused) or KEY_DELETED
                elif refused.status != _UNIMPLEMENTED:
                    raise Unavailable(f"the server answered {str(refused)!r} when it was asked about a token") from None
            if reason not in ("", KEY_DELETED):
                break
        return TokenStatus(False, SIGNED_OTHERWISE if reason == "InvalidSignature" else reason)

    def _ask(self, method: str, request: "Message | None" = None) -> bytes:
        """A call with the session of the login."""
        try:
            return self._call(method, request, self._session)
        except _Refused as refused:
            raise _refusal(refused) from None

    def _call(self, method: str, request: "Message | None" = None, token: str = "") -> bytes:
        """The answer's message, undecoded. Raises _Refused."""
        return self._patience.call(lambda: self._send(method, request, token))

    def _send(self, method: str, request: "Message | None" = None, token: str = "") -> bytes:
        """The same in one try. Raises _Refused, NotThisApi or Unavailable."""
        # No header without a token: v4 reads it even where it asks for none (contract §0.4).
        headers = {**grpc_web.HEADERS, **({"Authorization": f"Bearer {token}"} if token else {})}
        body = grpc_web.frame(request.SerializeToString() if request else b"")
        reply = grpc_web.read(self._http.send("POST", f"/api.{method}", headers, body))
        if reply.status in _TRANSIENT:
            raise Unavailable(
                f"the server has trouble: {reply.message or _TRANSIENT[reply.status]}",
                "look at the server's log: is its database reachable?",
            )
        if reply.status:
            raise _Refused(reply.status, reply.message)
        return reply.payload


def _parse(kind: "type[M]", payload: bytes) -> "M":
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(payload)
    except DecodeError:
        raise Unavailable("the server's answer is no message of ChirpStack v4") from None


def _refusal(refused: _Refused) -> AccountError | ServerRefusal:
    if refused.status == _UNAUTHENTICATED:
        return AccountError(
            f"the account may not do this: {str(refused) or 'not permitted'}",
            "use an active account with global admin rights, or one that is admin of the tenant asked for",
        )
    return ServerRefusal(
        f"the server refused: {str(refused) or f'gRPC status {refused.status}'}",
        "correct the setting that the server names",
    )


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def _version(text: str) -> tuple[int, ...]:
    """`4.16.2-test.1` → (4, 16); what cannot be read counts as new, and the list afterwards shows what was made."""
    try:
        return tuple(int(part) for part in text.lstrip("v").split(".")[:2])
    except ValueError:
        return _READ_ONLY_SINCE
