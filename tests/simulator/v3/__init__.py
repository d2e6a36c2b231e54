"""ChirpStack Application Server: REST on /api, the UI on /.

What its services do is in the server's internal/api/external (internal.go, organization.go, application.go,
user.go), who may do it in auth/validators.go there, and what they say in internal/storage.
"""

import re

from tests.simulator.state import State
from tests.simulator.v3 import access, directory, internal
from tests.simulator.v3.gateway import plain, routes
from tests.simulator.wire import Request, Response

__all__ = ["V3", "directory", "internal"]  # imported for the routes that they add

_HTML = ("Content-Type", "text/html; charset=utf-8")
_UI = b"""<!doctype html><html lang="en"><head><meta charset="utf-8"/>\
<link rel="manifest" href="/manifest.json"/><title>ChirpStack Application Server</title></head>\
<body><noscript>You need to enable JavaScript to run this app.</noscript><div id="root"></div></body></html>
"""
_SWAGGER = b"""<!DOCTYPE html><html><head><title>ChirpStack Application Server REST API</title></head>\
<body class="swagger-section"><div id="swagger-ui-container" class="swagger-ui-wrap"></div></body></html>
"""


class V3:
    def __init__(self, state: State, *, ui: bool | bytes) -> None:
        self.state = state
        self.ui = ui

    def answer(self, request: Request) -> Response:
        path = request.route
        if "//" in path:
            return Response(301, [("Location", re.sub("/+", "/", path) + request.path[len(path) :])])
        if path == "/api" and request.method == "GET":
            return Response(200, [_HTML], _SWAGGER)
        if path.startswith("/api"):
            return routes.answer(self.state, request)
        if path == "/" and self.ui:
            return Response(200, [("Accept-Ranges", "bytes"), _HTML], _UI)
        return plain(404, "404 page not found")

    login_token = staticmethod(access.login_token)
    key_token = staticmethod(access.key_token)
    token_works = staticmethod(access.token_works)
