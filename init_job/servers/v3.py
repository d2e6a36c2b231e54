"""ChirpStack Application Server v3.10 to v3.17: REST, which its grpc-gateway makes from gRPC."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlencode

from init_job.errors import AccountError, NotThere, ServerRefusal, Unavailable
from init_job.servers import explain
from init_job.servers.answer import Answer
from init_job.servers.explain import BrokenOff
from init_job.servers.generation import Code, Generation, Group, L, Refused, an_id, keys_of_name, only_match, patiently
from init_job.servers.interface import KEY_DELETED, SIGNED_OTHERWISE, Key, NewKey, NotThisApi, ResolvedScope
from init_job.values import Scope, unsupported

_LOGIN = "/api/internal/login"
_KEYS = "/api/internal/api-keys"
_LOST_LOGINS = 3
_LONGEST_ID = 18  # digits that 64 bits hold, whichever they are


class V3(Generation):
    api = "v3"
    sees_every_token = False
    _login_refused = "invalid username or password"
    _dead = {  # noqa: RUF012
        "authentication failed: jwt parse error: signature is invalid": SIGNED_OTHERWISE,
        "authentication failed: not authorized": KEY_DELETED,
    }
    _groups = "organization"
    _token_header = "Grpc-Metadata-Authorization"  # noqa: S105
    _lost_logins = 0

    def _log_in_as_nobody(self) -> None:
        self._send("POST", _LOGIN, {})

    def _answer_to_login(self, email: str, password: str) -> object:
        # v3.10 reads `username`, later ones `email`; an unknown field is ignored (contract §6).
        body = {"email": email, "username": email, "password": password}
        try:
            return self._send("POST", _LOGIN, body, confidential=True).get("jwt")
        except BrokenOff as broken:
            self._lost_logins += broken.in_doubt
            if self._lost_logins < _LOST_LOGINS:
                # So that a limit to the rate that closes connections does not look like what comes next.
                broken.retry_after = float(self._lost_logins)
                raise
            # The server crashes on an account that has no password (contract §0.8): do not go on killing it.
            raise AccountError(
                f"the server broke off each of {_LOST_LOGINS} logins of {email}",
                "ChirpStack v3 crashes when an account that signs in with OpenID Connect only logs in with a "
                "password: use an account that has one; see the server's log",
            ) from None

    @patiently
    def set_password(self, password: str) -> None:
        user = self._call("GET", "/api/internal/profile").get("user")
        path = f"/api/users/{_number(user if isinstance(user, dict) else {}, 'id')}/password"
        try:
            _expect_nothing(self._call("PUT", path, {"password": password}, confidential=True))
        except Refused as refused:
            if refused.said != "invalid e-mail":
                raise
            # Contract §7: they check the address again, and `admin` is none.
            raise ServerRefusal(
                "this ChirpStack (v3.11 or v3.12) cannot change the password of an account whose name is no e-mail "
                "address, such as admin",
                "upgrade it to v3.13 or later, or make an admin account with an e-mail address and use that one",
            ) from None

    @patiently
    def resolve(self, scope: Scope) -> ResolvedScope:
        if unsupported(self.api, scope):
            raise ServerRefusal(unsupported(self.api, scope), "correct the scope")
        if scope.kind == "admin":
            return ResolvedScope("admin")
        path = {"organization": "/api/organizations", "application": "/api/applications"}[scope.kind]
        if scope.ref.isascii() and scope.ref.isdigit() and len(scope.ref) <= _LONGEST_ID:
            try:
                self._call("GET", f"{path}/{int(scope.ref)}")
                return ResolvedScope(scope.kind, str(int(scope.ref)))
            except Refused as refused:
                if refused.code not in (Code.NOT_FOUND, Code.UNAUTHENTICATED):
                    raise
                # A name may consist of digits.
        # The search matches another field than the name (contract §3.9).
        groups = self._all(self._pages(path, {}, lambda one: Group(_string(one, "id"), _string(one, "name"))))
        return ResolvedScope(scope.kind, only_match(scope.kind, scope.ref, groups))

    @patiently
    def list_keys(self, scope: ResolvedScope, name: str) -> list[Key]:
        pages = self._pages(
            _KEYS, _scope_fields(scope), lambda one: Key(_string(one, "id"), _string(one, "name"), scope)
        )
        return keys_of_name(self._all(pages), name)

    @patiently
    def find_key(self, key_id: str) -> Key | None:
        for fields in ({"isAdmin": True}, {}):  # without any: all keys that are no admin's (contract §3.5)
            for key in self._all(self._pages(_KEYS, fields, _key)):
                if key.id == key_id:
                    return key
        return None

    def create_key(self, scope: ResolvedScope, name: str, read_only: bool) -> NewKey:
        if read_only:
            raise ServerRefusal("ChirpStack v3 has no read-only keys", "ask for a key that is not read-only")
        body = {"apiKey": {"name": name, **_scope_fields(scope)}}
        try:
            answer = self._as_account(lambda session: self._send("POST", _KEYS, body, session))
        except Refused as refused:
            raise self._refusal(refused) from None
        return NewKey(an_id(_string(answer, "id")), _string(answer, "jwtToken"))

    @patiently
    def delete_key(self, key_id: str) -> None:
        try:
            _expect_nothing(self._call("DELETE", f"{_KEYS}/{quote(key_id, safe='')}"))
        except Refused as refused:
            if refused.code != Code.NOT_FOUND:
                raise

    def _questions(self, scope: ResolvedScope | None) -> Iterable[Callable[[str], object]]:
        # The first is for any key since v3.12, the others for an admin's or organization's and an application's before.
        paths = ["/api/gateway-profiles?limit=0", "/api/organizations?limit=0"]
        if scope and scope.kind == "application" and scope.id:
            paths.append(f"/api/applications/{scope.id}")
        for path in paths:
            yield lambda token, path=path: self._send("GET", path, token=token)  # type: ignore[misc]

    def _pages(
        self, path: str, fields: dict[str, Any], entry: Callable[[dict[str, Any]], L]
    ) -> Callable[[int, int], tuple[int, list[L]]]:
        def page_at(limit: int, offset: int) -> tuple[int, list[L]]:
            query = {name: "true" if value is True else value for name, value in fields.items()}
            answer = self._call("GET", f"{path}?{urlencode({**query, 'limit': limit, 'offset': offset})}")
            entries, total = answer.get("result"), answer.get("totalCount")
            if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
                raise Unavailable(f"the server's list at {path} cannot be read")
            if not isinstance(total, str) or not total.isdecimal() or len(total) > _LONGEST_ID:
                raise Unavailable(f"the server's list at {path} has no total")
            return int(total), [entry(one) for one in entries]

        return page_at

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, confidential: bool = False
    ) -> dict[str, Any]:
        """With the session of the login. Raises Refused."""
        return self._patience.call(
            lambda: self._as_account(lambda session: self._send(method, path, body, session, confidential))
        )

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, token: str = "", confidential: bool = False
    ) -> dict[str, Any]:
        """The answer's JSON object, in one try. Raises Refused, NotThisApi or Unavailable."""
        # Exactly one of the two authorization headers that v3 knows (contract §0.3), and the one that a proxy with
        # basic authentication leaves alone.
        headers = {self._token_header: f"Bearer {token}"} if token else {}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        try:
            return _read(self._http.send(method, path, headers, data, confidential))
        except Refused as refused:
            raise self._judged(refused, token) from None


def _read(answer: Answer) -> dict[str, Any]:
    """v3's answer, or what it says instead (contract §1, §1.2)."""
    if answer.status == 501 and not answer.body:
        starting = NotThere(f"{answer.url} answered 501 without a body: ChirpStack v3 is starting")
        starting.in_doubt = False
        raise starting
    try:
        content = json.loads(answer.body) if answer.content_type == "application/json" else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        if answer.status == 200:
            return content
        said, code = content.get("error"), content.get("code")
        if isinstance(said, str) and isinstance(code, int):
            if explain.is_trouble(answer) or "validator func error" in said:
                raise Unavailable(
                    f"the server has trouble: {answer.quoted(said) or f'it answered {answer.status}'}",
                    "look at the server's log: is its database reachable?",
                    answer.retry_after,
                )
            raise Refused(code, said, answer)
        if answer.status == 404 and code == Code.NOT_FOUND:
            raise NotThisApi(
                f"{answer} as ChirpStack's REST proxy does, which has no login",
                "set CHIRPSTACK_URL to the server itself: its port is 8080, not the REST proxy's 8090",
            )
    if answer.status == 501 or explain.is_trouble(answer):
        raise explain.trouble(answer)
    raise NotThisApi.because_of(answer)


def _expect_nothing(answer: dict[str, Any]) -> None:
    """Whatever else came, it was not the server that says it is done."""
    if answer:
        raise Unavailable("the server answered a change with something, where ChirpStack v3 says nothing")


def _key(entry: dict[str, Any]) -> Key:
    scope = ResolvedScope("admin")
    for kind in ("organization", "application"):
        if entry.get(f"{kind}ID", "0") != "0":
            scope = ResolvedScope(kind, _number(entry, f"{kind}ID"))
    return Key(_string(entry, "id"), _string(entry, "name"), scope)


def _scope_fields(scope: ResolvedScope) -> dict[str, Any]:
    """`ID` in capitals: v3 silently ignores `organizationId` (contract §0.2)."""
    return {"isAdmin": True} if scope.kind == "admin" else {f"{scope.kind}ID": scope.id}


def _string(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise Unavailable(f"the server's answer has no text in {name!r}")
    return value


def _number(entry: dict[str, Any], name: str) -> str:
    """Such an id is told as it is, and is a part of addresses."""
    value = _string(entry, name)
    if not (value.isascii() and value.isdecimal()):
        raise Unavailable(f"the server's answer has no number in {name!r}")
    return value
