"""One place where the token goes: a format (pure) at a path (effects)."""

import os
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass

from init_job import log, tokens
from init_job.errors import OutputError
from init_job.outputs import files


@dataclass(frozen=True)
class IssuedKey:
    """A key with its token, and where it belongs: what a JSON file holds."""

    token: str
    id: str
    name: str
    scope: str
    read_only: bool
    server: str
    api: str
    version: str


class Format(ABC):
    """What stands in a file. All methods are pure functions of the content."""

    variable: str
    """The setting that names the file."""
    default_mode: int
    is_users_own = False
    """A file that belongs to the user and may be a symbolic link; only the token in it is ours."""

    @abstractmethod
    def token(self, content: bytes) -> str:
        """The text in the token's place, stripped; empty when there is none. Raises ValueError: not such a file."""

    @abstractmethod
    def render(self, content: bytes, key: IssuedKey) -> bytes:
        """The content with this key's token in it."""

    @abstractmethod
    def erase(self, content: bytes) -> bytes | None:
        """The content without the token; None: nothing is left that is worth a file."""


class Output:
    """A format at a path, or on standard output (`-`)."""

    def __init__(self, form: Format, path: str, mode: int = -1) -> None:
        self.form = form
        self.path = path
        self._mode = form.default_mode if mode < 0 else mode

    def __str__(self) -> str:
        return "standard output" if self.is_stdout else self.path

    @property
    def is_stdout(self) -> bool:
        return self.path == "-"

    def text(self) -> str:
        """Whatever stands in the token's place; nothing on standard output. Raises OutputError."""
        try:
            text = self.form.token(b"" if self.is_stdout else files.without_padding(self._content()))
        except ValueError as error:
            raise self._foreign(str(error)) from None
        log.hide(text)
        return text

    def read(self) -> str:
        """The saved API token, or nothing. Raises OutputError when something else is in its place."""
        token = self.text()
        if not token:
            return ""
        kind = tokens.read_claims(token).kind
        if kind is tokens.Kind.API_KEY:
            return token
        if kind is tokens.Kind.LOGIN:
            log.warning(
                "login-token",
                f"{self.form.variable}: {self} holds a login token (it is for the web interface and ends after 24 "
                "hours), not an API token; it counts as none",
            )
            return ""
        what = "a JWT that ChirpStack did not make" if kind is tokens.Kind.OTHER_JWT else (
            "no token (three parts joined by dots); is it the server's signing secret?"
        )  # fmt: skip
        raise self._foreign(f"it holds {what}")

    def prove_writable(self, key: IssuedKey) -> None:
        """Try everything that `write` needs for a key of this size. Raises OutputError."""
        if not self.is_stdout:
            files.prove_writable(self._target(), self._rendered(self._content(), key), self._mode)

    def write(self, key: IssuedKey) -> bool:
        """Whether anything had to change. Raises OutputError; the old content is then whole."""
        if self.is_stdout:
            try:
                sys.stdout.write(self.form.render(b"", key).decode())
                sys.stdout.flush()
            except OSError as error:
                # What is left in the buffer would fail once more at the end, and Python would exit with 120.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise OutputError(
                    f"{self.form.variable}: standard output cannot be written: {error.strerror}",
                    "whoever reads it must read to the end",
                ) from error
            return True
        content = self._content()
        wanted = self._rendered(content, key)
        if wanted == content:
            files.tidy(self._target())
            return False
        files.write(self._target(), wanted, self._mode)
        return True

    def remove(self) -> bool:
        """Take the token away; whether there was anything to take. Raises OutputError."""
        if self.is_stdout or not (content := self._content()):
            return False
        rest = self.form.erase(files.without_padding(content))
        if rest == content:
            return False
        if rest is None:
            files.remove(self._target())
        else:
            files.write(self._target(), rest, self._mode)
        return True

    def _rendered(self, content: bytes, key: IssuedKey) -> bytes:
        rendered = self.form.render(files.without_padding(content), key)
        if self.form.token(rendered) != key.token:
            raise self._foreign("the token would not be read back from it")
        return rendered

    def _content(self) -> bytes:
        return files.read(self._target(), self.form.variable)

    def _target(self) -> str:
        # A user may keep the `.env` elsewhere; a token file is ours, and a link in its place is none of our making.
        return os.path.realpath(self.path) if self.form.is_users_own else self.path

    def _foreign(self, reason: str) -> OutputError:
        return OutputError(
            f"{self.form.variable}: {self} is not ours to overwrite: {reason}",
            "move it away, or empty it if it is of no use",
        )
