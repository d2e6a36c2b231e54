"""JSON_FILE: the token and where it belongs, for a program."""

import json
from dataclasses import asdict

from init_job.outputs.interface import Format, IssuedKey


class JsonFile(Format):
    variable = "JSON_FILE"
    default_mode = 0o644

    def token(self, content: bytes) -> str:
        if not content.strip():
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
        return (json.dumps(asdict(key), indent=2, ensure_ascii=False) + "\n").encode()

    def erase(self, content: bytes) -> bytes | None:
        return None
