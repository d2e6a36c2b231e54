"""JSON_FILE: the token and where it belongs, for a program."""

import codecs
import json
from dataclasses import asdict, fields

from init_job.outputs.interface import Format, IssuedKey

_OURS = {field.name for field in fields(IssuedKey)}


class JsonFile(Format):
    variable = "JSON_FILE"
    default_mode = 0o644

    def token(self, content: bytes) -> str:
        if not content.removeprefix(codecs.BOM_UTF8).strip():
            return ""
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            raise ValueError("it holds no JSON") from None
        token = found.get("token") if isinstance(found, dict) else None
        if not isinstance(token, str):
            raise ValueError('it holds no JSON object with a "token"')
        if others := found.keys() - _OURS:  # which would be lost with the next write
            raise ValueError(f"it holds {json.dumps(min(others))}, which this job does not write")
        return token.strip()

    def render(self, content: bytes, key: IssuedKey) -> bytes:
        values = asdict(key) | {"scope_id": key.scope_id or None}
        return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")

    def erase(self, content: bytes) -> bytes | None:
        return None
