"""JSON_FILE: the token and where it belongs, for a program."""

import codecs
import json
from dataclasses import asdict

from init_job.outputs.interface import Format, IssuedKey


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
        return token.strip()

    def render(self, content: bytes, key: IssuedKey) -> bytes:
        fields = asdict(key) | {"scope_id": key.scope_id or None}
        return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")

    def erase(self, content: bytes) -> bytes | None:
        return None
