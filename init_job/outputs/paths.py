"""What stands at a path: opened first and judged then, step by step, because a volume has neighbours.

Whoever may write a folder can put a file, a link or a FIFO there under any name. In such a folder an entry is believed
only if its owner is the job, root, or the owner of the folder. A mount point is what its mounter made it, and in a
folder that only its owner may write, the owner's word is enough.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass

from init_job import log, signals
from init_job.errors import OutputError

_MOST_LINKS = 40  # as Linux itself follows
_LAYERS = ("overlay", "aufs", "fuse.fuse-overlayfs")
_IN_MEMORY = ("tmpfs", "ramfs")


class Swapped(OSError):
    """Between the look and the opening something else has come in its place: look again."""


@dataclass(frozen=True)
class Entry:
    """A name in a folder that is open (so that nothing can be put in the folder's place), and what it stands for."""

    variable: str
    """Who asks for it: what messages begin with."""
    path: str
    """As a person would write it."""
    folder: int
    name: str
    fd: int
    """Neither for reading nor for writing; -1: there is nothing of that name."""
    info: os.stat_result | None

    @property
    def is_mounted(self) -> bool:
        """A bind-mounted single file, say. (A path would be no help: a mount has one in each place.)"""
        mount = _mount_id(self.fd)
        return bool(mount) and mount != _mount_id(self.folder)

    def is_in_doubt(self, wherever: bool = False) -> bool:
        """Somebody else may have put it there; or, `wherever` it is, may write it."""
        if self.info is None or self.name == "..":
            return False
        folder = os.fstat(self.folder)
        if self.info.st_uid in (os.geteuid(), 0, folder.st_uid):
            return False
        return (wherever or bool(folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH))) and not self.is_mounted

    def need_no_doubt(self) -> None:
        """Raises OutputError, which names the owner."""
        if self.info is not None and self.is_in_doubt():
            raise _somebody_elses(self, self.info)

    def open(self, flags: int, mode: int = 0) -> int:
        """Never follows a link, never waits for a FIFO. Raises OSError, of which Swapped is one."""
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            fd = os.open(self.name, flags, mode, dir_fd=self.folder)
        except OSError as error:
            if self.info is None or self.is_still_there():
                raise
            raise Swapped(error.errno, error.strerror) from error
        if self.info is not None and not os.path.samestat(self.info, os.fstat(fd)):
            close(fd)
            raise Swapped(errno.ESTALE, os.strerror(errno.ESTALE))
        return fd

    def is_still_there(self) -> bool:
        """Whether the name stands for the same file as before."""
        try:
            found = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return self.info is None
        return self.info is not None and os.path.samestat(self.info, found)


@contextlib.contextmanager
def reach(variable: str, path: str, follow: bool = False) -> Iterator[Entry]:
    """The entry at the end of the path; `follow`: a link there stands for its target. Raises OSError, and OutputError
    when a step on the way to it is somebody else's."""
    with contextlib.ExitStack() as stack:

        def opened(name: str, folder: int | None = None) -> int:
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            stack.callback(close, fd)
            return fd

        here = "/" if path.startswith("/") else ""
        folder, left, links = opened(here or "."), _steps(path), 0
        while True:
            name = left.pop()
            try:
                fd = opened(name, folder)
            except FileNotFoundError:
                if left:
                    raise
                yield Entry(variable, os.path.join(here, name), folder, name, -1, None)
                return
            entry = Entry(variable, os.path.join(here, name), folder, name, fd, info := os.fstat(fd))
            is_link = stat.S_ISLNK(info.st_mode)
            if not left and not (is_link and follow):
                yield entry
                return
            entry.need_no_doubt()
            if not is_link:
                folder, here = fd, entry.path
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = os.readlink("", dir_fd=fd)
            if target.startswith("/"):
                folder, here = opened("/"), "/"
            left += _steps(target)


def lives_in(folder: int) -> str:
    """What a folder ends with, if it ends with the container that the job runs in; empty: it stays."""
    if not (
        os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv") or "KUBERNETES_SERVICE_HOST" in os.environ
    ):
        return ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            mount = next(line.split(" ") for line in mounts if line.startswith(f"{_mount_id(folder)} "))
        # id, parent, device, root, mount point, options, optional fields, "-", type: proc_pid_mountinfo(5)
        kind = mount[mount.index("-") + 1]
    except (OSError, StopIteration, ValueError, IndexError):
        return ""
    if kind in _IN_MEMORY:
        return "a file system in memory"
    # Docker's and Podman's other storage drivers show a folder of the host's file system.
    return "the container's own layer" if mount[4] == "/" and (kind in _LAYERS or mount[3] != "/") else ""


def lock(fd: int, path: str, seconds: float) -> bool:
    """Whether the file is locked for this job now. Raises OSError where there are no locks."""
    end, is_told = time.monotonic() + seconds, False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
        if not is_told:
            log.info("locked", f"another job holds {path}: waiting for it")
            is_told = True
        signals.sleep(0.1)


def close(fd: int) -> None:
    """Nothing was written, or it is on the disk: what a close has to say comes too late."""
    with contextlib.suppress(OSError):
        os.close(fd)


def changed(variable: str, path: str) -> OutputError:
    return OutputError(f"{variable}: {path} has changed while the job was running", "run the job again")


def _steps(path: str) -> list[str]:
    """The last one first. What ends in a slash is meant to be a folder."""
    return [step for step in (path + "." if path.endswith("/") else path).split("/") if step][::-1]


def _mount_id(fd: int) -> str:
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
            return next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
    except (OSError, StopIteration):
        return ""


def _somebody_elses(entry: Entry, info: os.stat_result) -> OutputError:
    uid, gid = info.st_uid, info.st_gid
    kind = "a symbolic link" if stat.S_ISLNK(info.st_mode) else "a folder" if stat.S_ISDIR(info.st_mode) else "a file"
    return OutputError(
        f"{entry.variable}: {entry.path} ({kind}) belongs to uid {uid}, which is neither the job (uid {os.geteuid()}) "
        "nor root nor its folder's owner, and could read or replace what is written there",
        f'remove it if it is a leftover; if it is meant to be there, run the job as its owner (user: "{uid}:{gid}")',
    )
