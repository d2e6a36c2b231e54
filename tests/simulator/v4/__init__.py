"""ChirpStack v4: gRPC-Web and the UI on one port.

What its services do is in the server's chirpstack/src/api (internal.rs, tenant.rs, application.rs, user.rs),
who may do it in api/auth/validator.rs, what they say in storage/error.rs, what goes where in api/mod.rs.
"""

from tests.simulator.state import State, Version
from tests.simulator.v4 import access, directory, grpc_web, internal
from tests.simulator.v4.calls import UnknownMethodError, methods
from tests.simulator.v4.grpc_web import Failure
from tests.simulator.v4.messages import pb
from tests.simulator.wire import Headers, Request, Response

__all__ = ["V4", "directory", "internal"]  # imported for the methods that they add

_UI = b"""<!doctype html>
<html lang="en">
  <head>
    <meta charset="UTF-8" />
    <link rel="icon" href="/icon.png" />
    <meta name="viewport" content="width=device-width, initial-scale=1.0" />
    <title>ChirpStack LoRaWAN&reg; Network-Server</title>
    <script type="module" crossorigin src="/assets/index.js"></script>
  </head>
  <body>
    <div id="root"></div>
  </body>
</html>
"""

_SERVICES: dict[str, tuple[Version, Version]] = {
    **dict.fromkeys(("Internal", "Tenant", "Application", "User", "DeviceProfile"), ((4,), (5,))),
    **dict.fromkeys(("Device", "Gateway", "MulticastGroup"), ((4,), (5,))),
    "DeviceProfileTemplate": ((4,), (4, 16)),
    "Relay": ((4, 3), (5,)),
    "Fuota": ((4, 12), (5,)),
}


class V4:
    def __init__(self, state: State, *, ui: bool | bytes) -> None:
        self.state = state
        self.page = _UI if ui is True else ui or b""
        pb.load()

    def answer(self, request: Request) -> Response:
        response = self._dispatch(request)
        if response.header("transfer-encoding") is None:
            response.headers.append(("content-length", str(len(response.body))))
        return response

    def _dispatch(self, request: Request) -> Response:
        version = self.state.version
        content_type = request.headers.get("Content-Type", "")
        # Up to v4.8 the UI had every GET, then everything that does not call itself gRPC.
        is_get, is_grpc = request.method == "GET", content_type.startswith("application/grpc")
        if is_get if version < (4, 9) else not is_grpc:
            return self._page(request)
        name = request.route[1:].partition("/")[0].removeprefix("api.").removesuffix("Service")
        since, until = _SERVICES.get(name, ((), ()))
        known = since <= version < until
        if not known and version < (4, 2):
            # gRPC-Web was a layer around each service then, not around what belongs to none.
            return Response(200, [("grpc-status", "12"), ("content-type", "application/grpc")])
        if content_type not in grpc_web.CONTENT_TYPES:
            return Response(400)
        if request.method != "POST":
            return Response(405)
        if not known:
            return grpc_web.answer(request, [("grpc-status", "12")])
        return self._call(request)

    def _page(self, request: Request) -> Response:
        if self.page and request.route == "/":
            return Response(200, [("content-type", "text/html")], self.page)
        headers: Headers = []
        if self.state.version >= (4, 9):
            headers.append(("content-type", "application/octet-stream"))
        return Response(404, headers)

    def _call(self, request: Request) -> Response:
        try:
            caller = access.caller(self.state, request)  # an interceptor: before every method, also Login
            message, log = methods.call(self.state, caller, request)
        except UnknownMethodError:
            return grpc_web.answer(request, [("grpc-status", "12")], type_first=False)
        except Failure as failure:
            return grpc_web.answer(request, grpc_web.status_headers(failure.code, failure.message))
        headers = [(f"x-log-{name}", value) for name, value in log.items()]
        return grpc_web.answer(request, headers if self.state.version >= (4, 1) else [], message)

    login_token = staticmethod(access.login_token)
    key_token = staticmethod(access.key_token)
    token_works = staticmethod(access.token_works)
