"""What to say when the operating system refuses a file: what was seen there, and what usually helps."""

import errno
import os
import stat

from init_job.errors import OutputError
from init_job.outputs.paths import reach

_READ, _WRITE, _ENTER = 4, 2, 1
_CAP_DAC_OVERRIDE = 1  # capabilities(7)


def explained(path: str, variable: str, action: str, error: OSError) -> OutputError:
    """`action` is what cannot be done: "read" or "written"."""
    folder = os.path.dirname(path) or "."
    if error.errno == errno.ENOENT and not _look(folder):
        return OutputError(
            f"{variable}: {path} cannot be {action}: there is no folder {folder}",
            f"mount a volume at {folder}, or correct the path",
        )
    folder = _nearest(folder)
    seen = [f"{one} belongs to {_owner(info)}" for one, info in ((path, _look(path)), (folder, _look(folder))) if info]
    job = f"the job runs as uid {os.geteuid()}, gid {os.getegid()}"
    hints = {
        errno.EROFS: "the volume is mounted read-only: remove `:ro`, or mount a volume there",
        errno.ENOSPC: "free some space on the volume",
        errno.EDQUOT: "free some space on the volume",
    }
    is_permission = error.errno in (errno.EACCES, errno.EPERM)
    hint = _permission_hint(path, folder, action) if is_permission else hints.get(error.errno or 0)
    return OutputError(
        f"{variable}: {path} cannot be {action}: {error.strerror or error} ({'; '.join([job, *seen])})",
        hint or f"check {folder} and its file system",
    )


def _permission_hint(path: str, folder: str, action: str) -> str:
    file, around = _look(path), _look(folder)
    if around and not _may(around, _ENTER):
        return _hand_over(folder, around)
    if file and not _may(file, _READ if action == "read" else _WRITE):
        if _is_mounted(path):
            return _hand_over(path, file) + "; the file on the host is meant, not its folder"
        if action == "read" and file.st_uid != os.geteuid():
            return f"{_as_owner(file)}, or let others read it: chmod o+r {path}"
        if action == "read":
            return _hand_over(path, file)
        if around and around.st_mode & stat.S_ISVTX and os.geteuid() not in (file.st_uid, around.st_uid):
            return f"{path} can be replaced by its owner only (its folder is sticky): {_as_owner(file)}, or remove it"
    if action == "written" and around and not _may(around, _WRITE):
        return _hand_over(folder, around)
    return (
        "owner and mode allow it, so something else does not: SELinux (mount with `:z`), an immutable file (lsattr), "
        "or users who have other numbers on the host (rootless engines, userns-remap: chown it to those)"
    )


def _nearest(folder: str) -> str:
    """The folder; or, where a closed one is on the way to it, that one."""
    while not _look(folder) and (above := os.path.dirname(folder) or ".") != folder:
        folder = above
    return folder


def _hand_over(what: str, info: os.stat_result) -> str:
    if info.st_uid == os.geteuid():
        return f"the job is its owner, and its mode does not let it: chmod u+rwX {what}"
    return f"let the job's user write there: chown {os.geteuid()}:{os.getegid()} {what}, or {_as_owner(info)}"


def _as_owner(info: os.stat_result) -> str:
    return f'run the job as its owner (user: "{info.st_uid}:{info.st_gid}")'


def _owner(info: os.stat_result) -> str:
    return f"uid {info.st_uid}, gid {info.st_gid}, mode {stat.S_IMODE(info.st_mode):04o}"


def _may(info: os.stat_result, what: int) -> bool:
    """By owner and mode alone, which is what a user can see."""
    if _overrides():
        return True
    if info.st_uid == os.geteuid():
        return bool(info.st_mode >> 6 & what)
    if info.st_gid in (os.getegid(), *os.getgroups()):
        return bool(info.st_mode >> 3 & what)
    return bool(info.st_mode & what)


def _overrides() -> bool:
    """Root may write everywhere, unless its capabilities were taken away (`cap_drop`)."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return os.geteuid() == 0
    return bool(int(effective, 16) >> _CAP_DAC_OVERRIDE & 1)


def _look(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _is_mounted(path: str) -> bool:
    try:
        with reach("", path, follow=True) as entry:
            return entry.is_mounted
    except (OSError, OutputError):
        return False
