"""One place where the token goes: a format (pure) at a place (effects)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from init_job import log, texts, tokens
from init_job.errors import OutputError
from init_job.outputs.disk import LIMIT
from init_job.outputs.files import File
from init_job.outputs.paths import changed
from init_job.outputs.place import Place, StandardOutput
from init_job.settings import Called, as_variable


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
    scope_id: str = ""
    """Of the tenant, organization or application; empty for admin."""


class Format(ABC):
    """What stands in a file. All methods are pure functions of the content."""

    variable: str
    """The setting that names the file."""
    default_mode: int
    part = ""
    """What of the file is ours, when the rest is the user's: a variable's name. Other jobs may have other parts."""

    @abstractmethod
    def token(self, content: bytes) -> str:
        """The text in the token's place, stripped; empty when there is none. Raises ValueError: not such a file."""

    @abstractmethod
    def render(self, content: bytes, key: IssuedKey) -> bytes:
        """The content with this key's token in it. Raises ValueError: it would not be read back."""

    @abstractmethod
    def erase(self, content: bytes) -> bytes | None:
        """The content without the token; None: nothing is left that is worth a file."""


class Output:
    """A format at a place: a path, standard output (`-`), or another one."""

    def __init__(self, form: Format, where: str | Place, mode: int = -1, called: Called = as_variable) -> None:
        self.form = form
        self._variable = called(form.variable)
        if isinstance(where, str):
            name = self._variable
            where = StandardOutput(name) if where == "-" else File(where, name, form.default_mode, mode, form.part)
        self.place = where
        self._seen: str | None = None
        """What stood in the token's place when somebody decided what to do about it."""

    def __str__(self) -> str:
        return str(self.place)

    def text(self) -> str:
        """Whatever stands in the token's place, whoever wrote it. Raises OutputError."""
        return self._text(self._clean(self.place.read(anyones=True)))

    def read(self) -> str:
        """The saved API token, or nothing. Raises OutputError when something else is in its place, or somebody else
        may have put it there."""
        text = self._text(self._clean(self.place.read()))
        token = self._judged(text)
        self._seen = text
        return token

    def holds(self, token: str) -> bool:
        """Whether this token is there, or may be. Never raises."""
        try:
            return bool(token) and self._text(self._clean(self.place.read())) == token
        except OutputError:
            return self.place.is_in_doubt

    def prove_writable(self, key: IssuedKey) -> None:
        """Try everything that `write` needs for a key of this size. Raises OutputError."""
        self.place.change(lambda content: self._rendered(content, key), only_try=True)

    def write(self, key: IssuedKey) -> bool:
        """Whether anything had to change. Raises OutputError; the old content is then whole."""
        if not self.place.change(lambda content: self._rendered(content, key)):
            return False
        if self.place.is_kept and self._text(self._clean(self.place.read())) != key.token:
            raise changed(self._variable, str(self))
        self._seen = key.token
        return True

    def remove(self) -> bool:
        """Take the token away; whether there was anything to take. Raises OutputError."""
        return self.place.change(self._erased)

    def _rendered(self, raw: bytes, key: IssuedKey) -> bytes:
        content = self._as_seen(raw, key.token)
        try:
            rendered = self.form.render(content, key)
            if self.form.token(rendered) != key.token or len(rendered) > LIMIT:
                raise ValueError("the token would not be read back from it")
        except ValueError as error:
            raise self._foreign(str(error)) from None
        return rendered

    def _erased(self, raw: bytes) -> bytes | None:
        return self.form.erase(self._as_seen(raw))

    def _as_seen(self, raw: bytes, token: str = "") -> bytes:
        """The content, if nobody has put something else in the token's place since it was looked at."""
        content = self._clean(raw)
        text = self._text(content)
        if self._seen is None:
            self._judged(text)
        elif text not in ("", token, self._seen):
            raise changed(self._variable, str(self))
        return content

    def _judged(self, text: str) -> str:
        if not text:
            return ""
        kind = tokens.read_claims(text).kind
        if kind is tokens.Kind.API_KEY:
            return text
        if kind is tokens.Kind.LOGIN:
            log.warning(
                "login-token",
                f"{self._variable}: {self} holds a login token (it is for the web interface and ends after 24 "
                "hours), not an API token; it counts as none",
            )
            return ""
        if kind is tokens.Kind.OTHER_JWT:
            raise self._foreign("it holds a JWT that ChirpStack did not make")
        if texts.stands_for_a_token(text):
            raise self._foreign(
                "it holds no token but a placeholder",
                "remove the placeholder, so that nothing is there, and run it again",
            )
        if tokens.is_wrapped(text):
            raise self._foreign(
                f"it holds {tokens.WRAPPED}",
                "leave nothing there but the token, or nothing at all, and run it again",
            )
        raise self._foreign("it holds no token (three parts joined by dots); is it the server's signing secret?")

    def _text(self, content: bytes) -> str:
        try:
            text = self.form.token(content)
        except ValueError as error:
            raise self._foreign(str(error)) from None
        log.hide(text)
        return text

    def _clean(self, raw: bytes) -> bytes:
        """Without the NULs that a killed rewrite in place has left at the end: no text ends with them, and none in
        UTF-8 has any."""
        content = raw.rstrip(b"\0")
        if b"\0" in content or content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise self._foreign(
                "it holds no text in UTF-8, so no token either; is it UTF-16?",
                "save it as UTF-8 (PowerShell: Set-Content -Encoding utf8, not >), or move it away",
            )
        return content

    def _foreign(self, reason: str, hint: str = "move it away, or empty it if it is of no use") -> OutputError:
        return OutputError(f"{self._variable}: {self} is not ours to overwrite: {reason}", hint)
