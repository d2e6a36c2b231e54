"""What is done to files that are open, and to names in folders that are open."""

import contextlib
import errno
import hashlib
import os
import re
import stat

LIMIT = 1 << 20
"""Bytes. No file of this job's is larger, and a neighbour's may be endless."""


def read_whole(fd: int) -> bytes:
    """Of a file that is larger than LIMIT, a little more than LIMIT."""
    content = b""
    while len(content) <= LIMIT and (part := os.pread(fd, LIMIT + 1 - len(content), len(content))):
        content += part
    return content


def overwrite(fd: int, content: bytes) -> None:
    """The content of an open file, in place: at every moment it is the old or the new, perhaps with NULs behind it.
    The space is taken before the first old byte goes. Raises OSError."""
    size = os.fstat(fd).st_size
    if size > 2 * LIMIT:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))  # it has grown since it was read
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


def write_in_place(fd: int, old: bytes, content: bytes) -> None:
    try:
        overwrite(fd, content)
    except OSError:
        with contextlib.suppress(OSError):
            overwrite(fd, old)
        raise


def set_mode(fd: int, mode: int) -> None:
    """SMB, exFAT and some of FUSE have no modes, and say so in their own ways."""
    try:
        os.fchmod(fd, mode)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise


def carries_the_same(new: int, old: int) -> bool:
    """Give the new file the old one's owner, mode, ACL and other extended attributes; whether it has them all."""
    with contextlib.suppress(OSError):
        info, wanted = os.fstat(old), _attributes(old)
        with contextlib.suppress(OSError):
            os.fchown(new, info.st_uid, info.st_gid)
        # A folder's default ACL may have given it more than the old one has.
        for name in _attributes(new).keys() - wanted.keys():
            os.removexattr(new, name)
        for name, value in wanted.items():
            if _attributes(new).get(name) != value:
                os.setxattr(new, name, value)
        with contextlib.suppress(OSError):
            os.fchmod(new, stat.S_IMODE(info.st_mode))
        has = os.fstat(new)
        same = (has.st_mode, has.st_uid, has.st_gid) == (info.st_mode, info.st_uid, info.st_gid)
        return same and _attributes(new) == wanted
    return False


def _attributes(fd: int) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(fd, name) for name in os.listxattr(fd)}
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
            return {}
        raise


def temporary(file: str) -> str:
    """What to call a new file beside it: no neighbour can know the name and have put something there."""
    return f"{_stem(file)}{os.urandom(4).hex()}.tmp"


def tidy(folder: int, file: str) -> None:
    """Remove what a killed run has left beside the file."""
    left = re.compile(rf"{re.escape(_stem(file))}[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            names = os.listdir(fd)
        finally:
            os.close(fd)
        for name in filter(left.fullmatch, names):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)


def _stem(file: str) -> str:
    """What temporary names begin with, so that it shows whose they are. A name has 255 bytes at most."""
    name = os.fsencode(file)
    return f".{file if len(name) <= 255 - len('..01234567.tmp') else hashlib.sha256(name).hexdigest()}."


def discard(folder: int, name: str) -> None:
    """Remove a file of one's own. Where that is refused, as in a folder that only takes more (`chattr +a`), nothing of
    its content stays."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError:
        with contextlib.suppress(OSError):
            os.close(os.open(name, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder))


def sync_folder(folder: int) -> None:
    try:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except PermissionError:
        return  # it may be written and not read: nothing can sync it
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without it
            raise
    finally:
        os.close(fd)
