"""Files that are whole at every moment: the old content or the new, whatever fails or is killed on the way.

A file is replaced: temporary file beside it, owner, mode and attributes, write, fsync, rename, fsync of the folder.
Where that cannot be (the file is a mount point, has a second name, carries what a new file cannot be given, or its
folder is closed) it is rewritten in place. Every OSError becomes an OutputError that says what was seen and what to do.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import replace

from init_job import log
from init_job.errors import OutputError
from init_job.outputs import disk, paths
from init_job.outputs.explain import explained
from init_job.outputs.paths import Entry, Swapped, reach
from init_job.outputs.place import Edit, Place

_LOCK_PATIENCE = 10.0  # seconds; jobs hold the lock of a `.env` for one write
_IN_PLACE_INSTEAD = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)


class File(Place):
    def __init__(self, path: str, variable: str, default_mode: int, mode: int = -1, part: str = "") -> None:
        """The modes are for a new file; `mode` is what the user asks for, if anything. `part`: the rest of the file is
        the user's. So it may be a link, and it is locked while it is read and changed, because others change it too."""
        self._path = path
        self._variable = variable
        self._mode = default_mode if mode < 0 else mode
        self._is_mode_asked = mode >= 0
        self._is_users_own = bool(part)
        folder, name = os.path.split(path)
        # Whatever other files are called, no two memories have one name.
        self.memory = os.path.join(folder, f".{name}.{part}.env-state" if part else f".{name}.state")
        self._has_warned = False

    def __str__(self) -> str:
        return self._path

    def read(self, anyones: bool = False) -> bytes:
        with self._explained("read"):
            while True:
                with contextlib.suppress(Swapped), reach(self._variable, self._path, self._is_users_own) as entry:
                    if not anyones:
                        entry.need_no_doubt()
                    if entry.info is None:
                        return b""
                    self._need_plain_file(entry.info)
                    fd = entry.open(os.O_RDONLY)
                    try:
                        return self._content(fd)
                    finally:
                        paths.close(fd)

    def change(self, edit: Edit, only_try: bool = False) -> bool:
        # Something to lock: another job may be about to make the same file.
        makes = self._is_users_own and not only_try and bool(edit(b""))
        with self._explained("written"), self._held(makes) as (entry, fd, refused):
            if only_try:
                self._warn_if_fleeting(entry)
            content = self._content(fd) if fd >= 0 else b""
            wanted = edit(content)
            if fd >= 0 or not self._is_users_own:  # otherwise nothing is locked, and another job may be at it
                disk.tidy(entry.folder, entry.name)
            if wanted == content or (wanted is None and fd < 0):
                return False
            try:
                if fd >= 0 and (entry.is_mounted or os.fstat(fd).st_nlink > 1 or _is_immutable(refused)):
                    is_done = False  # it cannot be renamed over, or a second name would keep the old content
                elif wanted is None:
                    is_done = only_try or self._remove(entry)
                else:
                    is_done = self._replace(entry, fd, wanted, only_try)
            except OSError as error:
                if fd < 0 or error.errno not in _IN_PLACE_INSTEAD:
                    raise
                is_done = False
            if not is_done and refused:
                raise refused
            if not is_done and not only_try:
                disk.write_in_place(fd, content, wanted or b"")
            return True

    @contextlib.contextmanager
    def _held(self, makes: bool) -> Iterator[tuple[Entry, int, OSError | None]]:
        """The file, open (-1: there is none), and why it may not be written in place; a user's own is locked."""
        while True:
            with reach(self._variable, self._path, self._is_users_own) as entry:
                entry.need_no_doubt()
                if entry.info is None and makes:
                    with contextlib.suppress(FileExistsError):
                        paths.close(self._made(entry, self._mode))
                        disk.sync_folder(entry.folder)
                    continue
                if entry.info is None:
                    yield entry, -1, None
                    return
                self._need_plain_file(entry.info)
                try:
                    fd, refused = _open(entry)
                except Swapped:
                    continue
                try:
                    if self._is_users_own:
                        self._lock(fd)
                        if not entry.is_still_there():
                            continue
                    yield entry, fd, refused
                    return
                finally:
                    paths.close(fd)

    def _lock(self, fd: int) -> None:
        try:
            is_locked = paths.lock(fd, self._path, _LOCK_PATIENCE)
        except OSError:
            return  # a file system without locks, which the state file has told
        if not is_locked:
            raise OutputError(
                f"{self._variable}: another program keeps {self._path} locked", "end it, or run the job again later"
            )

    def _made(self, entry: Entry, mode: int) -> int:
        """A new file of this name, open for writing. Where the file system has no modes it does without, but for one
        that the user has asked for."""
        fd = os.open(entry.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=entry.folder)
        try:
            disk.set_mode(fd, mode)
            came_out = stat.S_IMODE(os.fstat(fd).st_mode)
            if self._is_mode_asked and came_out & ~mode:
                raise OutputError(
                    f"{self._variable}: {self._path} would get mode {came_out:04o}, not {mode:04o}: its file system "
                    "has no other",
                    "ask for no mode if everybody there may read the token, or use another volume",
                )
        except BaseException:
            paths.close(fd)
            disk.discard(entry.folder, entry.name)
            raise
        return fd

    def _replace(self, entry: Entry, old: int, content: bytes, only_try: bool) -> bool:
        """False when a new file cannot be given all that the old one carries."""
        name = disk.temporary(entry.name)
        staged = replace(entry, name=name, fd=-1, info=None)
        fd = self._made(staged, self._mode) if old < 0 else staged.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            try:
                if old >= 0 and not disk.carries_the_same(fd, old):
                    disk.discard(entry.folder, name)
                    return False
                disk.overwrite(fd, content)
            finally:
                os.close(fd)
            if only_try:
                with contextlib.suppress(FileNotFoundError):  # another job has tidied up
                    os.unlink(name, dir_fd=entry.folder)
                return True
            if not entry.is_still_there():
                raise paths.changed(self._variable, entry.path)
            os.rename(name, entry.name, src_dir_fd=entry.folder, dst_dir_fd=entry.folder)
        except BaseException:
            disk.discard(entry.folder, name)
            raise
        disk.sync_folder(entry.folder)
        return True

    def _remove(self, entry: Entry) -> bool:
        os.unlink(entry.name, dir_fd=entry.folder)
        disk.sync_folder(entry.folder)
        return True

    def _content(self, fd: int) -> bytes:
        content = disk.read_whole(fd)
        if len(content) > disk.LIMIT:
            raise OutputError(
                f"{self._variable}: {self._path} is larger than 1 MiB, so it is no file of this job's",
                "name another file",
            )
        return content

    def _need_plain_file(self, info: os.stat_result) -> None:
        if stat.S_ISREG(info.st_mode):
            return
        if stat.S_ISDIR(info.st_mode):
            raise OutputError(
                f"{self._variable}: {self._path} is a folder",
                "Docker makes one where a bind-mounted file is missing: remove it, create the file on the host (touch) "
                "or mount its folder instead; if the folder is meant, add a file name to the path",
            )
        what = "a symbolic link" if stat.S_ISLNK(info.st_mode) else "no plain file"
        raise OutputError(f"{self._variable}: {self._path} is {what}", "name the file itself; - is standard output")

    def _warn_if_fleeting(self, entry: Entry) -> None:
        """Exit 0 promises a token that the next service finds."""
        if not self._has_warned and (home := paths.lives_in(entry.folder if entry.fd < 0 else entry.fd)):
            self._has_warned = True
            log.warning(
                "fleeting",
                f"{self._variable}: {self._path} is in {home}: the token ends with the container (or its pod), and a "
                "later run finds it lost; mount a volume there",
                path=self._path,
            )

    @contextlib.contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explained(self._path, self._variable, action, error) from error


def _is_immutable(refused: OSError | None) -> bool:
    """Where owner and mode are in the way, the answer is EACCES."""
    return refused is not None and refused.errno == errno.EPERM


def _open(entry: Entry) -> tuple[int, OSError | None]:
    """For reading and writing, or for reading and why not for writing."""
    try:
        return entry.open(os.O_RDWR), None
    except OSError as error:
        if error.errno not in _IN_PLACE_INSTEAD:
            raise
        return entry.open(os.O_RDONLY), error
