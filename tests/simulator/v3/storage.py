"""What the lists have in common: PostgreSQL's pages and searches, and times as JSON shows them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from tests.simulator.v3.gateway import Call, Failure, Json

Item = TypeVar("Item")


def page(items: Sequence[Item], call: Call) -> list[Item]:
    for name, number in (("OFFSET", call.offset), ("LIMIT", call.limit)):
        if number < 0:
            raise Failure(2, f"pq: {name} must not be negative")
    return list(items[call.offset : call.offset + call.limit])


def ilike(text: str, call: Call) -> bool:
    """`ilike '%…%'`: % and _ in what is searched for are not escaped."""
    search = call.query.get("search", "")
    pattern = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in search)
    return re.search(pattern, text, re.IGNORECASE | re.DOTALL) is not None


def times(created_at: float) -> Json:
    """RFC 3339 with 0, 3 or 6 decimals; PostgreSQL keeps microseconds."""
    moment = datetime.fromtimestamp(round(created_at, 6), UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    if moment.microsecond:
        decimals = f"{moment.microsecond:06}"
        text += f".{decimals.removesuffix('000')}"
    return {"createdAt": f"{text}Z", "updatedAt": f"{text}Z"}


def unknown() -> Failure:
    return Failure(5, "object does not exist")
