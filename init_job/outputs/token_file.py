"""TOKEN_FILE: the bare token and a newline."""

from init_job.outputs.interface import Format, IssuedKey


class TokenFile(Format):
    variable = "TOKEN_FILE"
    default_mode = 0o644

    def token(self, content: bytes) -> str:
        return content.decode("utf-8", "surrogateescape").strip()

    def render(self, content: bytes, key: IssuedKey) -> bytes:
        # A file with the same token and, say, no newline is what somebody wanted it to be.
        return content if self.token(content) == key.token else f"{key.token}\n".encode()

    def erase(self, content: bytes) -> bytes | None:
        return None
