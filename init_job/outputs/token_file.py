"""TOKEN_FILE: the bare token and a newline."""

import codecs

from init_job.outputs.interface import Format, IssuedKey


class TokenFile(Format):
    variable = "TOKEN_FILE"
    default_mode = 0o644

    def token(self, content: bytes) -> str:
        # An editor may have put a byte order mark before it.
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape").strip()

    def render(self, content: bytes, key: IssuedKey) -> bytes:
        # A file with the same token and, say, no newline is what somebody wanted it to be; a mark is part of no token.
        bare = content.decode("utf-8", "surrogateescape").strip()
        return content if bare == key.token else f"{key.token}\n".encode()

    def erase(self, content: bytes) -> bytes | None:
        return None
