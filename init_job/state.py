"""The state file: which key this job made, what it was about to do when it was killed, and the lock.

`.NAME.state` beside the first output file (`.NAME.VAR.env-state` for a variable in a `.env`), without any secret in it:
`{"format": 2, "key": {…} or null, "left": [{…}, …], "intent": {…} or null}` on one line.
"""

import contextlib
import errno
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar, get_origin

from init_job import log
from init_job.errors import NotReady, OutputError
from init_job.outputs import disk
from init_job.outputs.paths import Swapped, close, lock, reach

_FORMAT = 2
_NAME = "the state file"
_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class MadeKey:
    """The key whose token is in the outputs."""

    id: str
    name: str
    scope: str
    """As the settings said it, for a comparison without a question to the server."""
    scope_id: str
    """Of the tenant, organization or application; empty for admin."""
    read_only: bool
    server: str
    api: str
    version: str
    created: str
    """RFC 3339, by this machine's clock."""

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.server, self.name, self.scope


@dataclass(frozen=True)
class Intent:
    """Written before a create: any key of that name which is not `known` was made by us, and nobody has its token."""

    name: str
    scope: str
    server: str
    known: tuple[str, ...]
    doomed: tuple[str, ...]
    """Known keys to delete once the new token is in place."""


@dataclass(frozen=True)
class State:
    key: MadeKey | None = None
    left: tuple[MadeKey, ...] = ()
    """Keys that this job made before, under other settings, and that it left."""
    intent: Intent | None = None

    @property
    def made(self) -> tuple[MadeKey, ...]:
        return (*((self.key,) if self.key else ()), *self.left)


class Memory:
    """What is remembered of one key while a run works on it; as it is here, it ends with the run."""

    def __init__(self, state: State = State()) -> None:
        self.state = state

    def save(self, state: State) -> None:
        """Raises OutputError, or Overtaken when another run has taken the key over."""
        self.state = state

    def save_if_possible(self, state: State) -> None:
        """Where the token is in its place, or nothing has happened: there it is no reason to fail. Raises Overtaken."""
        if state == self.state:
            return
        try:
            self.save(state)
        except OutputError as error:
            log.warning("no-state", str(error))

    @contextlib.contextmanager
    def saving(self, state: State) -> Iterator[None]:
        """This is remembered with what the block writes into outputs, in one step where that can be, or behind it."""
        yield
        self.save_if_possible(state)

    def claim(self) -> None:
        """From here on it is this run's, or it is another one's. Raises OutputError, Overtaken."""

    def renew(self) -> None:
        """Says in time that this run is still at work on what it intends. Raises OutputError, Overtaken."""


class StateFile(Memory):
    """Open and locked."""

    def __init__(self, state: State, fd: int) -> None:
        super().__init__(state)
        self._fd = fd

    def save(self, state: State) -> None:
        """In place: the lock is on this file, and it must stay the same one."""
        super().save(state)
        # An empty file is removed in the end.
        text = json.dumps(content(state)) + "\n" if state != State() else ""
        try:
            disk.overwrite(self._fd, text.encode())
        except OSError as error:
            raise OutputError(
                f"the state file cannot be written: {error.strerror}",
                "free some space on the volume, or check its file system",
            ) from error


def content(state: State) -> dict[str, object]:
    """As JSON."""
    return {"format": _FORMAT, **asdict(state)}


def peek(path: str) -> State:
    """What is remembered, without lock or trace."""
    try:
        with reach(_NAME, path) as entry:
            if entry.info is None or not stat.S_ISREG(entry.info.st_mode):
                return State()
            if entry.is_in_doubt(wherever=True):
                log.warning("foreign-state", f"{path} belongs to uid {entry.info.st_uid}, not to this job: ignored")
                return State()
            fd = entry.open(os.O_RDONLY)
    except (OSError, OutputError):
        return State()
    try:
        return _read(fd, path)
    finally:
        close(fd)


@contextlib.contextmanager
def locked(path: str, patience: float) -> Iterator[Memory]:
    """The state file, for this job alone. Waits up to `patience` seconds for another job; raises NotReady then, and
    OutputError when a neighbour may have put it there.

    Where no file can be made, or there are no locks, one line says so and the run goes on without.
    """
    try:
        fd = _open_locked(path, patience)
    except OSError as error:
        # A missing folder is the output's own error, and comes next.
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            log.warning(
                "no-state",
                f"nothing can be remembered in {path} ({error.strerror}): every run logs in, and a token "
                "whose writing is interrupted is lost",
            )
        yield Memory(peek(path))
        return
    try:
        yield StateFile(_read(fd, path), fd)
    finally:
        # A run that came to nothing leaves nothing.
        with contextlib.suppress(OSError):
            if os.fstat(fd).st_size == 0:
                os.unlink(path)
        close(fd)


def _open_locked(path: str, patience: float) -> int:
    deadline = time.monotonic() + patience
    while True:
        with reach(_NAME, path) as entry:
            entry.need_no_doubt()
            if entry.info and entry.is_in_doubt(wherever=True):
                raise OSError(errno.EPERM, f"it belongs to uid {entry.info.st_uid}")
            if entry.info is None:
                with contextlib.suppress(FileExistsError):
                    close(entry.open(os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
                continue
            if not stat.S_ISREG(entry.info.st_mode):
                raise OSError(errno.EINVAL, "it is no plain file")
            try:
                fd = entry.open(os.O_RDWR)
            except Swapped:
                continue
            try:
                _lock(fd, path, deadline - time.monotonic())
                # The job before us may have removed the file while we waited for it.
                if entry.is_still_there():
                    return fd
            except BaseException:
                close(fd)
                raise
            close(fd)


def _lock(fd: int, path: str, patience: float) -> None:
    try:
        is_locked = lock(fd, path, patience)
    except OSError as error:
        log.warning(
            "no-lock", f"{path} cannot be locked ({error.strerror}): do not run two jobs at once on this volume"
        )
        return
    if not is_locked:
        raise NotReady(
            f"another job has held {path} for all of WAIT_TIMEOUT",
            "look at that job's log, or give each job an output of its own",
        )


def _read(fd: int, path: str) -> State:
    """Never raises: a state that cannot be read is none, and the server is asked for everything."""
    try:
        line = disk.read_whole(fd).partition(b"\n")[0]
        found = json.loads(line) if line else None
    except (OSError, ValueError, RecursionError):
        found = {}
    return parsed(found, path)


def parsed(found: Any, where: str) -> State:
    """From JSON, where there is any. Never raises: see above."""
    if found is None:
        return State()
    try:
        if found["format"] != _FORMAT or not isinstance(found["left"], list):
            raise ValueError
        left = tuple(made for one in found["left"] if (made := _record(MadeKey, one)))
        return State(_record(MadeKey, found["key"]), left, _record(Intent, found["intent"]))
    except (ValueError, TypeError, KeyError):
        log.warning("bad-state", f"{where} cannot be read (damaged, or made by a later version): ignored")
        return State()


R = TypeVar("R", MadeKey, Intent)


def _record(kind: type[R], found: object) -> R | None:
    if found is None:
        return None
    if not isinstance(found, dict) or found.get("api", "v4") not in ("v3", "v4"):
        raise TypeError
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    for field in fields(kind):
        value = values[field.name]
        # str, bool, or a tuple of str
        expected = get_origin(field.type) or field.type
        texts = value if expected is tuple else (value,) if expected is str else ()
        if not isinstance(value, expected) or not all(_is_text(text) for text in texts):  # type: ignore[arg-type]
            raise TypeError
    return kind(**values)  # type: ignore[arg-type]


def _is_text(value: object) -> bool:
    """What the job writes itself, names of tenants among it: nothing longer or stranger comes out of it."""
    return isinstance(value, str) and len(value) <= 4096 and not _UNREADABLE.search(value)
