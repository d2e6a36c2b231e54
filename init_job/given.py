"""What the user gave: the environment, completed from a `.env` file, and values that stand in files of their own."""

import os
from collections.abc import Mapping

from init_job import texts
from init_job.errors import OutputError


class Given:
    """Values by name, and what there is to tell of them."""

    def __init__(self, environ: Mapping[str, str], env_file: str = "") -> None:
        self.problems: list[str] = []
        self.tidied: list[str] = []
        """What was taken off, of which variable."""
        self.unset: dict[str, tuple[str, ...]] = {}
        """By the name of a value in the file: variables in it that are set nowhere."""
        self.ignored: dict[str, str] = {}
        """Why a variable does not count, by its name."""
        self.values = {name: value for name, value in environ.items() if value}
        self.is_whole = True
        """Whether nothing that the file may set is missing."""
        path = env_file or ".env"
        if env_file or os.path.isfile(path):
            try:
                # Other services' values may be in any encoding; ours are looked at one by one.
                content = texts.read_bytes(path) if env_file else _found_here(path)
                self._add(path, texts.decoded(content, path, "surrogateescape"), environ)
            except ValueError as error:
                self.problems.append(str(error))
                self.is_whole = False

    def _add(self, path: str, text: str, environ: Mapping[str, str]) -> None:
        from init_job import settings_file  # a run without such a file does not pay for it

        try:
            found = settings_file.read(text, environ)
        except ValueError as error:
            raise ValueError(f"{path}, {error}") from None
        for name, value in found.items():
            if name in self.values:
                continue
            if value.text:
                self.values[name] = value.text
            if value.unset:
                self.unset[name] = value.unset

    def text(self, name: str, from_file: str, is_secret: bool) -> str:
        """The value, from the variable or from the file that `from_file` names; a secret as it is, anything else
        without what cannot be meant in it. Raises ValueError."""
        text, path = self.values.get(name, ""), self.values.get(from_file, "")
        if text and path:
            raise ValueError(f"{name} and {from_file} are both set")
        try:
            text = self._content(from_file, path) if path else text
            texts.expect_utf8(text)
            return text if is_secret else self.tidy(name, text)
        except ValueError as error:
            raise type(error)(f"{from_file}: {error}" if path else str(error)) from None

    def _content(self, name: str, path: str) -> str:
        path = self.tidy(name, path)
        text = texts.read_file(path).removesuffix("\n").removesuffix("\r")
        if not text:
            raise ValueError(f"{path} is empty")
        return text

    def tidy(self, name: str, text: str) -> str:
        """The text without what cannot be meant round it, which is taken note of. Raises ValueError."""
        texts.expect_utf8(text)
        rest, found = texts.tidied(text)
        if text and not text.strip():
            raise ValueError("it is blank")
        texts.expect_sense(rest)
        if found:
            self.tidied.append(f"{name} ({' and '.join(found)})")
        return rest


def _found_here(path: str) -> bytes:
    """Of a file that nobody has named: in a folder that others may write, one of them may have put it there, to have
    the password sent to him. Raises ValueError."""
    from init_job.outputs.paths import reach  # a run without such a file does not pay for it

    try:
        with reach(path, path, follow=True) as entry:
            entry.need_no_doubt()
            return texts.read_bytes(path, lambda _, flags: entry.open(flags))
    except (OSError, OutputError) as error:
        theirs = "it is somebody else's, in a folder that others may write"
        reason = error.strerror if isinstance(error, OSError) else theirs
        raise ValueError(f"{path} is not read: {reason}; remove it, or name it with --env-file") from None
