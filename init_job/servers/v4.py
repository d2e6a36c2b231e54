"""ChirpStack v4: gRPC-Web on the port of the web interface."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from init_job import log
from init_job.errors import ServerRefusal, Unavailable
from init_job.servers import grpc_web
from init_job.servers.generation import Code, Generation, Group, Refused, an_id, keys_of_name, only_match, patiently
from init_job.servers.interface import KEY_DELETED, SIGNED_OTHERWISE, Key, NewKey, ResolvedScope
from init_job.values import Scope, unsupported

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from init_job.servers import chirpstack_pb2 as pb

    M = TypeVar("M", bound=Message)
else:

    class _Messages:
        """Imported at the first use: protobuf takes as long as all of a run that has nothing to do and needs none."""

        def __getattr__(self, name: str) -> Any:
            from init_job.servers import chirpstack_pb2

            return getattr(chirpstack_pb2, name)

    pb = _Messages()

_LOGIN = "InternalService/Login"
_TRANSIENT = {
    1: "cancelled",
    2: "unknown error",
    4: "deadline exceeded",
    8: "resource exhausted",
    13: "internal error",
    14: "unavailable",
}
_READ_ONLY_SINCE = (4, 17)


class V4(Generation):
    api = "v4"
    sees_every_token = True
    _login_refused = "Invalid username or password"
    _dead = {"InvalidSignature": SIGNED_OTHERWISE, "": KEY_DELETED}  # noqa: RUF012
    _groups = "tenant"
    _token_header = "Authorization"  # noqa: S105
    _before_4_8 = False

    def _log_in_as_nobody(self) -> None:
        self._send(_LOGIN)

    def log_in(self, email: str, password: str) -> bool:
        accepted = super().log_in(email, password)
        if accepted:
            self._ask_for_version()
        return accepted

    def _answer_to_login(self, email: str, password: str) -> object:
        request = pb.LoginRequest(email=email, password=password)
        return _parse(pb.LoginResponse, self._send(_LOGIN, request, confidential=True)).jwt

    @patiently
    def _ask_for_version(self) -> None:
        try:
            self.version = _parse(pb.GetVersionResponse, self._call("InternalService/GetVersion")).version
        except Refused as refused:
            # Unknown to servers before v4.8; told to admins only (contract §3.2).
            self._before_4_8 = refused.code == Code.UNIMPLEMENTED

    @patiently
    def set_password(self, password: str) -> None:
        user = _parse(pb.ProfileResponse, self._call("InternalService/Profile")).user
        request = pb.UpdateUserPasswordRequest(user_id=user.id, password=password)
        self._call("UserService/UpdatePassword", request, confidential=True)

    @patiently
    def resolve(self, scope: Scope) -> ResolvedScope:
        if unsupported(self.api, scope):
            raise ServerRefusal(unsupported(self.api, scope), "correct the scope")
        if scope.kind == "admin":
            return ResolvedScope("admin")
        if tenant_id := _uuid(scope.ref):
            try:
                self._call("TenantService/Get", pb.GetTenantRequest(id=tenant_id))
                return ResolvedScope("tenant", tenant_id)
            except Refused as refused:
                if refused.code not in (Code.NOT_FOUND, Code.UNAUTHENTICATED):
                    raise
                # A name may look like an id.
        # Neither is the name unique nor does the search tell case (contract §3.9).
        return ResolvedScope("tenant", only_match("tenant", scope.ref, self._all(self._tenants_at)))

    def _tenants_at(self, limit: int, offset: int) -> tuple[int, list[Group]]:
        request = pb.ListTenantsRequest(limit=limit, offset=offset)
        page = _parse(pb.ListTenantsResponse, self._call("TenantService/List", request))
        return page.total_count, [Group(one.id, one.name) for one in page.result]

    @patiently
    def list_keys(self, scope: ResolvedScope, name: str) -> list[Key]:
        return keys_of_name(self._keys(scope), name)

    def _keys(self, scope: ResolvedScope) -> Iterator[Key]:
        def page_at(limit: int, offset: int) -> tuple[int, list[Key]]:
            is_admin = scope.kind == "admin"
            request = pb.ListApiKeysRequest(limit=limit, offset=offset, is_admin=is_admin, tenant_id=scope.id)
            page = _parse(pb.ListApiKeysResponse, self._call("InternalService/ListApiKeys", request))
            return page.total_count, [Key(one.id, one.name, scope, one.is_read_only) for one in page.result]

        return self._all(page_at)

    @patiently
    def find_key(self, key_id: str) -> Key | None:
        # There is no list of all keys (contract §3.5).
        tenants = (ResolvedScope("tenant", an_id(tenant.id)) for tenant in self._all(self._tenants_at))
        for scope in (ResolvedScope("admin"), *tenants):
            for key in self._keys(scope):
                if key.id == key_id:
                    return key
        return None

    def create_key(self, scope: ResolvedScope, name: str, read_only: bool) -> NewKey:
        if read_only and (self._before_4_8 or _version(self.version) < _READ_ONLY_SINCE):
            raise ServerRefusal(
                f"ChirpStack {log.masked(self.version) or 'before v4.8'} has no read-only keys: "
                "it would make a full one",
                "upgrade the server to v4.17 or later, or ask for a key that is not read-only",
            )
        key = pb.ApiKey(name=name, is_admin=scope.kind == "admin", tenant_id=scope.id, is_read_only=read_only)
        request = pb.CreateApiKeyRequest(api_key=key)
        try:
            answer = self._as_account(lambda session: self._send("InternalService/CreateApiKey", request, session))
        except Refused as refused:
            raise self._refusal(refused) from None
        created = _parse(pb.CreateApiKeyResponse, answer)
        return NewKey(an_id(created.id), created.token)

    @patiently
    def delete_key(self, key_id: str) -> None:
        try:
            self._call("InternalService/DeleteApiKey", pb.DeleteApiKeyRequest(id=key_id))
        except Refused as refused:
            if refused.code != Code.NOT_FOUND:
                raise

    def _questions(self, scope: ResolvedScope | None) -> Iterable[Callable[[str], object]]:
        # The first is for any key since v4.3, the second until v4.15.
        for method in ("DeviceProfileService/ListAdrAlgorithms", "DeviceProfileTemplateService/List"):
            yield lambda token, method=method: self._send(method, token=token)  # type: ignore[misc]

    def _call(self, method: str, request: "Message | None" = None, confidential: bool = False) -> bytes:
        """With the session of the login. Raises Refused."""
        return self._patience.call(
            lambda: self._as_account(lambda session: self._send(method, request, session, confidential))
        )

    def _send(
        self, method: str, request: "Message | None" = None, token: str = "", confidential: bool = False
    ) -> bytes:
        """The answer's message, undecoded, in one try. Raises Refused, NotThisApi or Unavailable."""
        # No header without a token: v4 reads it even where it asks for none (contract §0.4).
        headers = {**grpc_web.HEADERS, **({self._token_header: f"Bearer {token}"} if token else {})}
        body = grpc_web.frame(request.SerializeToString() if request else b"")
        answer = self._http.send("POST", f"/api.{method}", headers, body, confidential)
        reply = grpc_web.read(answer)
        if reply.status in _TRANSIENT:
            raise Unavailable(
                f"the server has trouble: {answer.quoted(reply.message) or _TRANSIENT[reply.status]}",
                "look at the server's log: is its database reachable?",
                answer.retry_after,
            )
        if reply.status:
            raise self._judged(Refused(reply.status, reply.message, answer), token)
        return reply.payload


def _parse(kind: "type[M]", payload: bytes) -> "M":
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(payload)
    except DecodeError:
        raise Unavailable("the server's answer is no message of ChirpStack v4") from None


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
