"""Lists that do not end, or do not go on: no total that a server says keeps the job busy for ever."""

import itertools
import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest
from chirpstack_api import api as pb

from tests.faults.conftest import Worlds
from tests.faults.ledger import record
from tests.faults.sweep import some_of
from tests.faults.world import APIS, Api
from tests.simulator import Request, Response

PAGE = 5000
TOTAL = 1_000_000_000
Entries = Callable[[int], list[tuple[str, str]]]
"""Ids and names from an offset on."""


def same(offset: int) -> list[tuple[str, str]]:
    """The offset is ignored."""
    return [(f"id-{number}", "somebody's") for number in range(PAGE)]


numbers = itertools.count()


def new(offset: int) -> list[tuple[str, str]]:
    return [(f"id-{next(numbers)}", "somebody's") for _ in range(PAGE)]


def one(offset: int) -> list[tuple[str, str]]:
    return [("id", "somebody's")]


def none(offset: int) -> list[tuple[str, str]]:
    return []


def answering(api: Api, entries: Entries, what: str) -> Callable[[Request, Response], Response | None]:
    def after(request: Request, response: Response) -> Response | None:
        is_list = request.method == "GET" and re.fullmatch(f"/api/.*{what}", request.route)
        if api == "v3" and is_list:
            listed = entries(int(parse_qs(request.query)["offset"][0]))
            answer = {"totalCount": str(TOTAL), "result": [{"id": key_id, "name": name} for key_id, name in listed]}
            return Response(200, [("Content-Type", "application/json")], json.dumps(answer).encode())
        if api == "v4" and request.route in ("/api.InternalService/ListApiKeys", "/api.TenantService/List"):
            if what not in ("api-keys" if "ApiKeys" in request.route else "organizations"):
                return None
            listed = entries(0)
            kind = pb.ListApiKeysResponse if "ApiKeys" in request.route else pb.ListTenantsResponse
            message = kind(total_count=TOTAL, result=[{"id": key_id, "name": name} for key_id, name in listed])
            data = message.SerializeToString()
            body = b"\0" + len(data).to_bytes(4, "big") + data + b"\x80\0\0\0\x0fgrpc-status:0\r\n"
            return Response(200, [("Content-Type", "application/grpc-web+proto")], body)
        return None

    return after


@pytest.mark.parametrize(
    ("entries", "api", "what"), some_of([same, new, one, none], APIS, ["api-keys", "organizations"])
)
def test_a_list_without_an_end_is_given_up(entries: Entries, api: Api, what: str, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        world.server.after = answering(api, entries, what)
        scope = {"v3": "organization:unknown", "v4": "tenant:unknown"}[api] if what == "organizations" else "admin"
        for patience in ("0", "1s"):
            result = world.run(WAIT_TIMEOUT=patience, REQUEST_TIMEOUT="700ms", API_KEY_SCOPE=scope)
            assert result.code == 3, result.log
            assert "the server's list" in result.err
            assert result.seconds < 20
        if entries is not new:
            assert len(world.server.requests) < 60
        world.server.after = None
        world.expect_healed(result.log)
        record("load and time", "a list without an end", "exit 3")
