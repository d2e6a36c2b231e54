"""UUIDs as the uuid crate reads them, and what it says of others (its src/error.rs)."""

import re
import uuid

from tests.simulator.state import Version
from tests.simulator.v4.grpc_web import Failure

_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")


def argument(version: Version, text: str) -> str:
    """An argument of a call. Arguments are read before anybody asks who is calling."""
    if wrong := error(version, text):
        raise Failure(3, wrong)
    return str(uuid.UUID(text))


def error(version: Version, text: str) -> str:
    """Empty for a UUID. The words changed with the crate that came with v4.18, and again with v4.19."""
    inner, offset = text, 0
    if text.startswith("urn:uuid:"):
        inner, offset = text[9:], 9
    elif text.startswith("{") and text.endswith("}"):
        inner, offset = text[1:-1], 1
    if _UUID.fullmatch(inner):
        return ""
    if wrong := re.search("[^0-9a-fA-F-]", inner):
        expected = "expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], "
        if version >= (4, 18):
            expected = ""
        return f"invalid character: {expected}found `{wrong.group()}` at {wrong.start() + offset + 1}"
    groups = inner.split("-")
    if len(groups) == 1 and not offset:
        expected = "" if version >= (4, 19) else "expected length 32 for simple format, "
        return f"invalid length: {expected}found {len(text)}"
    if len(groups) != 5:
        return f"invalid group count: expected 5, found {len(groups)}"
    number, length = next((i, n) for i, n in enumerate((8, 4, 4, 4, 12)) if len(groups[i]) != n)
    return f"invalid group length in group {number}: expected {length}, found {len(groups[number])}"
