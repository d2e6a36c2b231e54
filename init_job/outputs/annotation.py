"""A Secret as it was read, and what is to be changed in it. All of it pure.

What jobs remember stands in one annotation: a JSON object with a record for each variable, which is what a state file
has, and `run` while a run is at work on what it intends. Nobody's clock is in it: that a run is still at work shows in
a record that changes, and what keeps two runs apart is the resourceVersion that goes with every patch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from init_job import state
from init_job.state import State

NAME = "chirpstack-init-job/state"
_RUN = "run"

Record = Mapping[str, Any] | None


@dataclass(frozen=True)
class Seen:
    """A Secret at one moment."""

    uid: str
    version: str
    data: Mapping[str, str]
    """In base64."""
    records: Mapping[str, Any]
    """By variable."""

    def content(self, names: tuple[str, ...]) -> bytes:
        """What stands under these names, as one JSON object."""
        return json.dumps({name: self.data[name] for name in names if name in self.data}).encode()

    def patch(self, data: Mapping[str, str | None], variable: str, record: Record) -> dict[str, Any] | None:
        """A merge patch that brings these to it and nothing else, if nobody has changed it meanwhile; None: it has them
        already."""
        metadata: dict[str, Any] = {"uid": self.uid, "resourceVersion": self.version}
        if is_other := record != self.records.get(variable):
            records = {name: one for name, one in self.records.items() if name != variable}
            if record is not None:
                records[variable] = record
            text = json.dumps(records, sort_keys=True) if records else None
            metadata["annotations"] = {NAME: text}
        if not data and not is_other:
            return None
        return {"metadata": metadata, **({"data": data} if data else {})}


def seen(secret: Mapping[str, Any]) -> Seen:
    """Never raises: what another program has put into the annotation is no record."""
    metadata = secret.get("metadata") or {}
    try:
        records = json.loads((metadata.get("annotations") or {}).get(NAME) or "{}")
    except (ValueError, RecursionError):
        records = {}
    if not isinstance(records, dict):
        records = {}
    return Seen(metadata.get("uid", ""), metadata.get("resourceVersion", ""), secret.get("data") or {}, records)


def differences(before: bytes, after: bytes) -> dict[str, str | None]:
    """Of two contents, as the data of a merge patch: a name that is gone is null."""
    old, new = json.loads(before), json.loads(after)
    return {name: new.get(name) for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)}


def record(remembered: State, run: str) -> Record:
    """`run` is any text that this run has not used before; it is in the record while there is something it intends."""
    if remembered == State():
        return None
    # As it comes back: JSON knows no tuples.
    plain: dict[str, Any] = json.loads(json.dumps(state.content(remembered)))
    return {**plain, _RUN: run} if remembered.intent else plain


def released(one: Record) -> Record:
    """The same when the run has ended: what is intended is the next one's to look at."""
    return None if one is None else {name: value for name, value in one.items() if name != _RUN}


def is_claimed(one: Record) -> bool:
    return isinstance(one, Mapping) and _RUN in one
