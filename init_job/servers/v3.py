"""ChirpStack Application Server v3.10 to v3.17: REST, which its grpc-gateway makes from gRPC."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from init_job.errors import AccountError, NotThere, ServerRefusal, Unavailable
from init_job.servers.http import Answer, BrokenOff, Http
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

_UNAUTHENTICATED = 16  # gRPC status codes, as they stand in the answers' `code`
_NOT_FOUND = 5
_INVALID_ARGUMENT = 3
_LOGIN_REFUSED = "invalid username or password"
_NOT_AUTHORIZED = "authentication failed: not authorized"
_LOST_LOGINS = 3


class _Refused(Exception):
    """An answer with a gRPC status that is no trouble of the moment."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class V3(Server):
    api = "v3"
    sees_every_token = False

    def __init__(self, http: Http, patience: Patience) -> None:
        super().__init__(http, patience)
        self._session = ""
        self._lost_logins = 0

    @patiently
    def probe(self) -> NotThisApi | None:
        """A login without e-mail: it asks the database and matches no user (contract §3.1)."""
        try:
            self._send("POST", "/api/internal/login", {})
        except NotThisApi as refusal:
            return refusal
        except _Refused as refused:
            if refused.code == _UNAUTHENTICATED and str(refused) == _LOGIN_REFUSED:
                return None
            return NotThisApi(f"the login answers {str(refused)!r}, as no ChirpStack v3 does")
        return NotThisApi("the login lets anybody in, as no ChirpStack v3 does")

    def accepts(self, email: str, password: str) -> bool:
        return bool(self._token_of_login(email, password))

    def log_in(self, email: str, password: str) -> bool:
        self._session = self._token_of_login(email, password)
        return bool(self._session)

    @patiently
    def _token_of_login(self, email: str, password: str) -> str:
        """Empty when it is refused."""
        # v3.10 reads `username`, later ones `email`; an unknown field is ignored (contract §6).
        body = {"email": email, "username": email, "password": password}
        try:
            token = self._send("POST", "/api/internal/login", body).get("jwt")
        except _Refused as refused:
            if refused.code == _UNAUTHENTICATED:
                return ""
            raise _refusal(refused) from None
        except BrokenOff:
            self._lost_logins += 1
            if self._lost_logins < _LOST_LOGINS:
                raise
            # The server crashes on an account that has no password (contract §0.8): do not go on killing it.
            raise AccountError(
                f"the server broke off each of {_LOST_LOGINS} logins of {email}",
                "ChirpStack v3 crashes when an account that signs in with OpenID Connect only logs in with a "
                "password: use an account that has one; see the server's log",
            ) from None
        if not isinstance(token, str) or not is_jwt(token):
            raise Unavailable("the server answered the login with something that is no token")
        return token

    @patiently
    def set_password(self, password: str) -> None:
        user = self._ask("GET", "/api/internal/profile").get("user")
        user_id = _string(user if isinstance(user, dict) else {}, "id")
        try:
            self._call("PUT", f"/api/users/{user_id}/password", {"password": password}, self._session)
        except _Refused as refused:
            if str(refused) != "invalid e-mail":
                raise _refusal(refused) from None
            # Contract §7: they check the address again, and `admin` is none.
            raise ServerRefusal(
                "this ChirpStack (v3.11 or v3.12) cannot change the password of an account whose name is no e-mail "
                "address, such as admin",
                "upgrade it to v3.13 or later, or make an admin account with an e-mail address and use that one",
            ) from None

    @patiently
    def resolve(self, scope: Scope) -> ResolvedScope:
        if unsupported(self.api, scope):
            raise ServerRefusal(unsupported(self.api, scope), "correct API_KEY_SCOPE")
        if scope.kind == "admin":
            return ResolvedScope("admin")
        path = {"organization": "/api/organizations", "application": "/api/applications"}[scope.kind]
        if scope.ref.isascii() and scope.ref.isdigit():
            try:
                self._call("GET", f"{path}/{int(scope.ref)}", token=self._session)
                return ResolvedScope(scope.kind, str(int(scope.ref)))
            except _Refused as refused:
                if refused.code not in (_NOT_FOUND, _UNAUTHENTICATED):
                    raise _refusal(refused) from None
                # A name may consist of digits.
        # The search matches another field than the name (contract §3.9).
        ids = [_string(one, "id") for one in every_page(self._pages(path, {})) if one.get("name") == scope.ref]
        return ResolvedScope(scope.kind, only_match(scope.kind, scope.ref, ids))

    @patiently
    def list_keys(self, scope: ResolvedScope, name: str) -> list[Key]:
        pages = self._pages("/api/internal/api-keys", _scope_fields(scope))
        return keys_of_name((Key(_string(one, "id"), _string(one, "name"), scope) for one in every_page(pages)), name)

    @patiently
    def find_key(self, key_id: str) -> Key | None:
        for fields in ({"isAdmin": True}, {}):  # without any: all keys that are no admin's (contract §3.5)
            for one in every_page(self._pages("/api/internal/api-keys", fields)):
                if one.get("id") == key_id:
                    return Key(key_id, _string(one, "name"), _scope_of(one))
        return None

    def create_key(self, scope: ResolvedScope, name: str, read_only: bool) -> NewKey:
        if read_only:
            raise ServerRefusal("ChirpStack v3 has no read-only keys", "unset API_KEY_READ_ONLY")
        try:
            body = {"apiKey": {"name": name, **_scope_fields(scope)}}
            answer = self._send("POST", "/api/internal/api-keys", body, self._session)
        except _Refused as refused:
            raise _refusal(refused) from None
        return NewKey(_string(answer, "id"), _string(answer, "jwtToken"))

    @patiently
    def delete_key(self, key_id: str) -> None:
        try:
            self._call("DELETE", f"/api/internal/api-keys/{quote(key_id, safe='')}", token=self._session)
        except _Refused as refused:
            if refused.code != _NOT_FOUND:
                raise _refusal(refused) from None

    @patiently
    def check_token(self, token: str, key_id: str, scope: ResolvedScope | None = None) -> TokenStatus:
        """One call that any key may make since v3.12; before it depends on the kind of key (contract §3.8)."""
        reason = ""
        for path in ("/api/gateway-profiles?limit=0", "/api/organizations?limit=0"):
            try:
                self._call("GET", path, token=token)
                return TokenStatus(True)
            except _Refused as refused:
                if refused.code != _UNAUTHENTICATED:
                    raise Unavailable(f"the server answered {str(refused)!r} when it was asked about a token") from None
                reason = str(refused)
            if reason != _NOT_AUTHORIZED:
                break
        # An application's key may do neither before v3.12. The signature was good: it works if it is there.
        if reason == _NOT_AUTHORIZED and self._session:
            key = self.find_key(key_id)
            if key and key.scope.kind == "application":
                return TokenStatus(True)
        if "signature is invalid" in reason:
            reason = SIGNED_OTHERWISE
        return TokenStatus(False, KEY_DELETED if reason == _NOT_AUTHORIZED else reason)

    def _pages(self, path: str, fields: dict[str, Any]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        offset = 0
        while True:
            query = {**fields, "limit": PAGE, "offset": offset}
            answer = self._ask("GET", f"{path}?{urlencode({k: _query_value(v) for k, v in query.items()})}")
            entries, total = answer.get("result"), answer.get("totalCount")
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise Unavailable(f"the server's list at {path} cannot be read")
            if not isinstance(total, str) or not total.isdecimal() or len(total) > 18:
                raise Unavailable(f"the server's list at {path} has no total")
            yield int(total), entries
            offset += PAGE

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A call with the session of the login."""
        try:
            return self._call(method, path, body, self._session)
        except _Refused as refused:
            raise _refusal(refused) from None

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
        """The answer's JSON object. Raises _Refused."""
        return self._patience.call(lambda: self._send(method, path, body, token))

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
        """The same in one try. Raises _Refused, NotThisApi or Unavailable."""
        # Exactly one of the two authorization headers that v3 knows (contract §0.3), and the one that a proxy with
        # basic authentication leaves alone.
        headers = {"Grpc-Metadata-Authorization": f"Bearer {token}"} if token else {}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        return _read(self._http.send(method, path, headers, data))


def _read(answer: Answer) -> dict[str, Any]:
    """v3's answer, or what it says instead (contract §1, §1.2)."""
    if answer.status == 501 and not answer.body:
        raise NotThere(f"{answer.url} answered 501 without a body: ChirpStack v3 is starting")
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        content = None
    if answer.content_type != "application/json" or not isinstance(content, dict):
        raise NotThisApi(str(answer), "check that CHIRPSTACK_URL is the address under which the web interface opens")
    if answer.status == 200:
        return content
    message, code = content.get("error"), content.get("code")
    if not isinstance(message, str) or not isinstance(code, int):
        if answer.status == 404 and code == _NOT_FOUND:
            raise NotThisApi(
                f"{answer} as ChirpStack's REST proxy does, which has no login",
                "set CHIRPSTACK_URL to the server itself: its port is 8080, not the REST proxy's 8090",
            )
        raise NotThisApi(str(answer))
    if answer.status >= 500 or answer.status in (408, 429) or "validator func error" in message:
        raise Unavailable(f"the server has trouble: {message}", "look at the server's log: is its database reachable?")
    raise _Refused(code, message)


def _refusal(refused: _Refused) -> AccountError | ServerRefusal:
    if "jwt parse error" in str(refused):
        # The login's own token is good: of two authorization headers v3 takes any (contract §0.3).
        return AccountError(
            f"the server read another token than the one of its own login: {refused}",
            "a proxy on the way adds an Authorization header of its own: it must not for ChirpStack",
        )
    if refused.code == _UNAUTHENTICATED:
        return AccountError(
            f"the account may not do this: {refused}",
            "use an active account with global admin rights, or one that is admin of the organization asked for",
        )
    return ServerRefusal(f"the server refused: {refused}", "correct the setting that the server names")


def _scope_fields(scope: ResolvedScope) -> dict[str, Any]:
    """`ID` in capitals: v3 silently ignores `organizationId` (contract §0.2)."""
    return {"isAdmin": True} if scope.kind == "admin" else {f"{scope.kind}ID": scope.id}


def _scope_of(entry: dict[str, Any]) -> ResolvedScope:
    for kind in ("application", "organization"):
        if entry.get(f"{kind}ID", "0") != "0":
            return ResolvedScope(kind, _string(entry, f"{kind}ID"))
    return ResolvedScope("admin")


def _query_value(value: object) -> object:
    return "true" if value is True else value


def _string(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise Unavailable(f"the server's answer has no text in {name!r}")
    return value
