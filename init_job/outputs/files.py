"""Files that are whole at every moment: the old content or the new, whatever fails or is killed on the way.

A file is replaced: temporary file beside it, mode and owner, write, fsync, rename, fsync of the folder. Where that
cannot be (the file is a mount point, has a second name, belongs to somebody else, or its folder is closed) it is
rewritten in place. Every OSError becomes an OutputError that names the path, the reason and the fix.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from init_job.errors import OutputError

_IN_PLACE_INSTEAD = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)


def read(path: str, variable: str) -> bytes:
    """The content; nothing when there is no such file. Raises OutputError: no plain file, no permission, no folder."""
    with _explained(path):
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            _need_folder(path)
            return b""
        _need_plain_file(path, info, variable)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read()


def prove_writable(path: str, content: bytes, mode: int) -> None:
    """Do all that `write` does but the last step, and undo it."""
    with _explained(path):
        info = _stat(path)
        try:
            if info and _only_in_place(path, info):
                _prove_in_place(path)
                return
            os.unlink(_stage(path, content, mode, info))
        except OSError as error:
            if info is None or error.errno not in _IN_PLACE_INSTEAD:
                raise
            _prove_in_place(path)


def write(path: str, content: bytes, mode: int) -> None:
    """`mode` is for a new file; a file that exists keeps its own, and its owner."""
    with _explained(path):
        info = _stat(path)
        try:
            if info and _only_in_place(path, info):
                _write_in_place(path, content)
                return
            _replace(path, _stage(path, content, mode, info))
        except OSError as error:
            if info is None or error.errno not in _IN_PLACE_INSTEAD:
                raise
            _write_in_place(path, content)


def remove(path: str) -> None:
    with _explained(path):
        try:
            os.unlink(path)
            _sync_folder(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in _IN_PLACE_INSTEAD:
                raise
            _write_in_place(path, b"")


def overwrite(fd: int, content: bytes) -> None:
    """The content of an open file, in place: at every moment it is the old or the new, perhaps with NULs behind it.
    The space is taken before the first old byte goes. Raises OSError."""
    size = os.fstat(fd).st_size
    if len(content) > size:
        try:
            os.posix_fallocate(fd, 0, len(content))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                # A file system may have grown the file before it noticed.
                os.ftruncate(fd, size)
                raise
    padded = content.ljust(size, b"\0") if content else b""
    done = 0
    while done < len(padded):
        done += os.pwrite(fd, padded[done:], done)
    os.ftruncate(fd, len(content))
    os.fsync(fd)


def without_padding(content: bytes) -> bytes:
    """Without what a killed `overwrite` leaves at the end: no text ends with NULs."""
    return content.rstrip(b"\0")


def tidy(path: str) -> None:
    """Remove what a killed run has left beside a file that needs no change."""
    with contextlib.suppress(OSError):
        os.unlink(_temporary(path))


def _temporary(path: str) -> str:
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.tmp")


def _stage(path: str, content: bytes, mode: int, info: os.stat_result | None) -> str:
    """The temporary file, complete and on disk. Its name is fixed, so that a killed run's is found and removed."""
    temporary = _temporary(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            if info and (info.st_uid, info.st_gid) != (os.geteuid(), os.fstat(fd).st_gid):
                os.fchown(fd, info.st_uid, info.st_gid)
            os.fchmod(fd, stat.S_IMODE(info.st_mode) if info else mode)
            overwrite(fd, content)
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return temporary


def _replace(path: str, temporary: str) -> None:
    try:
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(path)


def _sync_folder(path: str) -> None:
    try:
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # it may be written and not read: nothing can sync it
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without it
            raise
    finally:
        os.close(fd)


def _prove_in_place(path: str) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))


def _write_in_place(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        old = os.pread(fd, os.fstat(fd).st_size, 0)
        try:
            overwrite(fd, content)
        except OSError:
            with contextlib.suppress(OSError):
                overwrite(fd, old)
            raise
    finally:
        os.close(fd)


def _only_in_place(path: str, info: os.stat_result) -> bool:
    """A second name would keep the old content, and a mount point cannot be renamed over."""
    if info.st_nlink > 1:
        return True
    real = os.fsencode(os.path.realpath(path))
    for character in b"\\ \t\n":
        real = real.replace(bytes([character]), b"\\%03o" % character)
    try:
        with open("/proc/self/mountinfo", "rb") as mounts:
            return any(line.split(b" ", 5)[4] == real for line in mounts)
    except (OSError, IndexError):
        return False


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _need_folder(path: str) -> None:
    folder = os.path.dirname(path) or "."
    try:
        os.stat(folder)
    except FileNotFoundError:
        raise OutputError(
            f"{path} cannot be written: there is no folder {folder}",
            f"mount a volume at {folder}, or correct the path",
        ) from None


def _need_plain_file(path: str, info: os.stat_result, variable: str) -> None:
    if stat.S_ISREG(info.st_mode):
        return
    if stat.S_ISDIR(info.st_mode):
        raise OutputError(
            f"{variable}: {path} is a folder",
            "Docker makes one where a bind-mounted file is missing: remove it, create the file on the host (touch) or "
            "mount its folder instead; if the folder is meant, add a file name to the path",
        )
    what = "a symbolic link" if stat.S_ISLNK(info.st_mode) else "no plain file"
    raise OutputError(f"{variable}: {path} is {what}", "name the file itself; - is standard output")


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        uid, gid = os.geteuid(), os.getegid()
        folder = os.path.dirname(path) or "."
        hints = {
            errno.EACCES: f"let the job's user write there: chown {uid}:{gid} {folder}, or set `user:` to its owner",
            errno.EROFS: "the volume is mounted read-only: remove `:ro`, or mount a volume there",
            errno.ENOSPC: "free some space on the volume",
            errno.EDQUOT: "free some space on the volume",
        }
        hints[errno.EPERM] = hints[errno.EACCES]
        raise OutputError(
            f"{path} cannot be used: {error.strerror or error} (the job runs as uid {uid}, gid {gid})",
            hints.get(error.errno or 0, f"check {folder} and its file system"),
        ) from error
