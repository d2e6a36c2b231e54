"""Outputs that are no plain file of one's own: mounts, links, other owners, devices, folders, full disks."""

import fcntl
import os
import shlex
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import Worlds
from tests.faults.ledger import record, require
from tests.faults.users import needs_root, run_as, run_mounted, run_onto
from tests.faults.world import ENV_BEFORE
from tests.support import needs_mounts


@needs_mounts
def test_a_bind_mounted_env_file_is_rewritten_in_place(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        host = world.folder / "host.env"
        host.write_bytes(ENV_BEFORE)
        inode = host.stat().st_ino
        env = shlex.quote(str(world.env_file))
        mounts = f"mount --bind {shlex.quote(str(host))} {env}"
        only = {"TOKEN_FILE": "", "JSON_FILE": ""}
        for _ in range(2):
            run = run_mounted(world, mounts, **only)
            assert run.returncode == 0, run.stderr
        assert host.stat().st_ino == inode
        assert host.read_bytes().startswith(ENV_BEFORE)
        token = host.read_text().rpartition("=")[2].strip()
        assert world.server.token_works(token)
        assert len(world.keys()) == 1
        assert world.env_file.read_bytes() == ENV_BEFORE  # below the mount
        record("odd files", "a bind-mounted single file", "rewritten in place")


@needs_mounts
def test_a_bind_mounted_env_file_on_a_read_only_root_works_without_a_state(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        folder = world.folder / "read-only"
        folder.mkdir()
        (folder / "app.env").touch()
        host = world.folder / "host.env"
        host.write_bytes(ENV_BEFORE)
        mounts = f"""
            mount -t tmpfs none {folder}; touch {folder}/app.env; mount -o remount,ro {folder}
            mount --bind {host} {folder}/app.env"""
        for _ in range(2):
            run = run_mounted(world, mounts, TOKEN_FILE="", JSON_FILE="", ENV_FILE=str(folder / "app.env"))
            assert run.returncode == 0, run.stderr
            assert "nothing can be remembered" in run.stderr
        assert world.server.token_works(host.read_text().rpartition("=")[2].strip())
        assert len(world.keys()) == 1
        record("odd files", "a bind-mounted file beside which nothing can be made", "rewritten in place")


@needs_mounts
@pytest.mark.parametrize(
    ("mounts", "reason"),
    [
        ("mount -t tmpfs -o size=4k none {volume}; head -c 4096 /dev/zero > {volume}/big", "No space left on device"),
        ("mount -t tmpfs -o nr_inodes=1 none {volume}", "No space left on device"),
        ("mount -t tmpfs none {volume}; mount -o remount,ro {volume}", "Read-only file system"),
    ],
)
def test_a_volume_that_takes_nothing_ends_with_6_and_no_key_is_made(mounts: str, reason: str, worlds: Worlds) -> None:
    with worlds("v3") as world:
        world.settle()
        run = run_mounted(world, mounts.format(volume=shlex.quote(str(world.volume))))
        assert run.returncode == 6, run.stderr
        assert reason in run.stderr
        assert str(world.volume) in run.stderr
        require(world.keys() == [], "a key without its token", run.stderr)
        world.expect_healed(run.stderr)
        record("odd files", f"a volume: {reason}", "exit 6, no key")


def test_a_link_to_the_env_file_stays_and_its_target_is_changed(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        target = world.folder / "real.env"
        world.env_file.rename(target)
        target.chmod(0o640)
        world.env_file.symlink_to("../real.env")
        result = world.run()
        assert result.code == 0, result.log
        assert world.env_file.is_symlink()
        assert target.read_bytes().startswith(ENV_BEFORE)
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        world.expect_promise_kept(result)
        record("odd files", "a link to a .env", "followed")


def test_a_link_to_nowhere_gets_its_target(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        world.env_file.unlink()
        world.env_file.symlink_to("../not-there.env")
        result = world.run()
        assert result.code == 0, result.log
        assert world.env_file.is_symlink()
        assert len(set(world.tokens())) == 1
        record("odd files", "a link to nowhere", "its target is made")


@pytest.mark.parametrize("which", ["token_file", "json_file"])
def test_a_link_in_the_place_of_a_file_of_ours_is_not_followed(which: str, worlds: Worlds) -> None:
    with worlds("v3") as world:
        world.settle()
        victim = world.folder / "victim"
        victim.write_text("")
        getattr(world, which).symlink_to(victim)
        result = world.run()
        assert result.code == 6, result.log
        assert "a symbolic link" in result.err
        assert victim.read_text() == ""
        require(world.keys() == [], "a key without its token", result.log)
        record("odd files", "a link in the place of a token file", "exit 6, not followed")


def test_a_file_with_a_second_name_keeps_both(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        second = world.folder / "second.env"
        os.link(world.env_file, second)
        result = world.run()
        world.expect_promise_kept(result)
        assert os.path.samefile(world.env_file, second)
        record("odd files", "a hard link", "both names have the token")


@needs_root
def test_a_file_of_another_owner_keeps_owner_and_mode(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        world.env_file.chmod(0o640)
        os.chown(world.env_file, 1234, 4321)
        result = world.run()
        world.expect_promise_kept(result)
        info = world.env_file.stat()
        assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (1234, 4321, 0o640)
        record("odd files", "a file of another owner", "owner and mode stay")


@needs_root
def test_a_file_of_another_owner_in_a_sticky_folder_is_rewritten_in_place(open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        world.settle()
        world.volume.chmod(0o1777)
        world.env_file.chmod(0o666)
        inode = world.env_file.stat().st_ino
        run = run_as(4567, world)
        assert run.code == 0, run.err
        assert world.env_file.stat().st_ino == inode
        assert len(set(world.tokens())) == 1
        assert world.server.token_works(world.tokens()[0])
        record("odd files", "a file of another owner in a sticky folder", "rewritten in place")


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o000])
def test_a_folder_of_another_owner_ends_with_6_and_no_key_is_made(mode: int, open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        world.settle()
        world.variables["ENV_FILE"] = ""
        world.volume.chmod(mode)
        run = run_as(4567, world)
        world.volume.chmod(0o755)
        assert run.code == 6, run.err
        assert "chown 4567:4567" in run.err
        require(world.keys() == [], "a key without its token", run.err)
        record("odd files", "a folder of another owner", "exit 6, no key")


@needs_root
def test_a_folder_that_can_be_written_and_not_read_takes_the_token(open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        world.settle()
        world.env_file.chmod(0o666)
        world.volume.chmod(0o333)
        run = run_as(4567, world)
        world.volume.chmod(0o755)
        assert run.code == 0, run.err
        assert world.server.token_works(world.tokens()[0])
        record("odd files", "a folder that can be written and not read", "exit 0")


@pytest.mark.parametrize("which", ["TOKEN_FILE", "ENV_FILE", "JSON_FILE"])
@pytest.mark.parametrize("what", ["a FIFO", "/dev/null", "a folder"])
def test_what_is_no_plain_file_ends_with_6_and_no_key_is_made(what: str, which: str, worlds: Worlds) -> None:
    with worlds("v3") as world:
        world.settle()
        path = world.folder / "odd"
        if what == "a FIFO":
            os.mkfifo(path)
        elif what == "a folder":
            path.mkdir()
        else:
            path = Path(what)
        result = world.run(**{which: str(path)})
        assert result.code == 6, result.log
        assert str(path) in result.err
        assert which in result.err
        require(world.keys() == [], "a key without its token", result.log)
        record("odd files", what, "exit 6, no key")


def test_every_short_write_is_finished(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        result = world.run(world.hurt(short=True))
        assert result.code == 0, result.log
        world.expect_promise_kept(result)
        world.expect_healed(result.log)
        record("odd files", "writes that take half of it", "exit 0")


@pytest.mark.parametrize("variable", ["TOKEN_FILE", "JSON_FILE"])
@pytest.mark.parametrize("out", ["full", "closed"])
def test_a_standard_output_that_takes_nothing_ends_with_6_and_no_key_is_left(
    out: str, variable: str, worlds: Worlds
) -> None:
    with worlds("v4") as world:
        world.settle()
        with Path("/dev/full").open("w") as full:
            read_end, write_end = os.pipe()
            os.close(read_end)
            run = run_onto(full.fileno() if out == "full" else write_end, world, **{variable: "-"})
            os.close(write_end)
        assert run.returncode == 6, run.stderr
        require(world.keys() == [], "a key without its token", run.stderr)
        record("odd files", "standard output is full", "exit 6, no key left")


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (("fchown",), "EPERM"),
        (("fchmod", "fchown", "setxattr", "listxattr"), "EPERM"),
        *((("fchmod",), error) for error in ("EPERM", "EACCES", "EINVAL", "EOPNOTSUPP", "ENOSYS")),
    ],
)
@pytest.mark.parametrize("start", ["no file", "files of mine", "files of others"])
def test_a_file_system_that_has_no_modes_or_owners_is_written_all_the_same(
    start: str, refused: tuple[str, ...], error: str, worlds: Worlds
) -> None:
    with worlds("v4") as world:
        world.settle()
        paths = (world.token_file, world.env_file, world.json_file)
        for path in paths if start != "no file" else ():
            path.touch()
            if start == "files of others" and os.geteuid() == 0:
                os.chown(path, 1234, 1234)
        if start == "no file":
            world.env_file.unlink()
        before = [path.stat() for path in paths if path.exists()]
        result = world.run(world.hurt(refused=refused, refused_with=error))
        assert result.code == 0, result.log
        assert len(set(world.tokens())) == 1
        assert world.server.token_works(world.tokens()[0])
        after = [path.stat() for path in paths]
        for old, new in zip(before, after, strict=False):
            assert (old.st_mode, old.st_uid, old.st_gid) == (new.st_mode, new.st_uid, new.st_gid)
        assert not any(new.st_mode & 0o022 for new in after)
        record("odd files", f"{' and '.join(refused)}: {error} from this file system", "exit 0, nothing widened")


_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # ioctl_iflags(2)
IMMUTABLE, APPEND_ONLY = 0x10, 0x20


@contextmanager
def flagged(path: Path, flag: int) -> Iterator[None]:
    """What `chattr +i` and `chattr +a` do."""
    fd = os.open(path, os.O_RDONLY)
    try:
        try:
            before = fcntl.ioctl(fd, _GET_FLAGS, bytes(8))
            fcntl.ioctl(fd, _SET_FLAGS, (int.from_bytes(before, sys.byteorder) | flag).to_bytes(8, sys.byteorder))
        except OSError as error:
            pytest.skip(f"no such flag on this file system, or for this user: {error.strerror}")
        try:
            yield
        finally:
            fcntl.ioctl(fd, _SET_FLAGS, before)
    finally:
        os.close(fd)


@needs_root
def test_an_immutable_file_is_found_before_a_key_is_made(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        with flagged(world.env_file, IMMUTABLE):
            result = world.run()
        assert result.code == 6, result.log
        assert "immutable" in result.err
        assert "made key" not in result.err
        record("odd files", "an immutable file", "exit 6, no key")


@needs_root
def test_in_a_folder_that_only_takes_more_no_token_is_left_in_a_temporary_file(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        assert world.run().code == 0
        with flagged(world.volume, APPEND_ONLY):
            result = world.run(None, ("rotate",))
        world.expect_promise_kept(result)
        assert result.code == 0, result.log
        left = {name: content for name, content in world.files().items() if name.endswith(".tmp")}
        assert set(left.values()) <= {b""}
        record("odd files", "a folder that only takes more", "exit 0, nothing in what stays")


@pytest.mark.parametrize("error", ["EACCES", "EPERM"])
def test_a_refusal_that_owner_and_mode_do_not_explain_names_its_usual_causes(error: str, worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        # The folder is opened first for the state file, which is not there, and then for the token.
        result = world.run(world.hurt(at=2, error=error, calls=("open to read",)), ("check",))
        assert result.code == 6, result.log
        for cause in (":z", "lsattr", "rootless", "userns-remap"):
            assert cause in result.err
        assert f"{world.volume} belongs to uid {os.geteuid()}, gid {os.getegid()}, mode 0755" in result.err


@needs_root
def test_what_the_mode_takes_from_the_job_itself_gets_a_hint_that_says_so(open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        world.settle()
        inner = world.volume / "inner"
        inner.mkdir()
        os.chown(inner, 4567, 4567)
        for mode, path in ((0o500, inner / "token"), (0o200, inner / "token"), (0o000, inner / "deeper" / "token")):
            inner.chmod(mode)
            run = run_as(4567, world, ENV_FILE="", JSON_FILE="", TOKEN_FILE=str(path))
            assert run.code == 6, run.err
            assert f"{inner} belongs to uid 4567, gid 4567, mode {mode:04o}" in run.err
            assert f"chmod u+rwX {inner}" in run.err
            assert "chown" not in run.err


@needs_root
def test_a_closed_folder_on_the_way_is_named(open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        world.settle()
        inner = world.volume / "inner"
        (inner / "deeper").mkdir(parents=True)
        inner.chmod(0o700)
        run = run_as(4567, world, ENV_FILE="", JSON_FILE="", TOKEN_FILE=str(inner / "deeper" / "token"))
        assert run.code == 6, run.err
        assert f"{inner} belongs to uid 0, gid 0, mode 0700" in run.err
        assert f"chown 4567:4567 {inner}, or run the job as its owner" in run.err


@needs_mounts
def test_a_bind_mounted_file_of_another_owner_gets_a_hint_that_names_the_file(open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        world.settle()
        host = world.folder / "host.env"
        host.write_bytes(ENV_BEFORE)
        host.chmod(0o644)
        os.chown(host, 1000, 1000)
        mount = f"mount --bind {shlex.quote(str(host))} {shlex.quote(str(world.env_file))}"
        become = "setpriv --reuid=4567 --regid=4567 --clear-groups"
        run = run_mounted(world, mount, become, TOKEN_FILE="", JSON_FILE="")
        if run.returncode in (126, 127):  # nor to load its library
            pytest.skip("other users may not start this Python")
        assert run.returncode == 6, run.stderr
        assert f"chown 4567:4567 {world.env_file}, or run the job as its owner" in run.stderr
        assert 'user: "1000:1000"' in run.stderr
        assert "not its folder" in run.stderr
        require(world.keys() == [], "a key without its token", run.stderr)


@needs_root
def test_another_users_file_in_a_sticky_folder_gets_a_hint_that_says_so(open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        world.settle()
        world.volume.chmod(0o1777)
        world.token_file.touch(mode=0o644)  # root's, as a job of another user may have left it
        run = run_as(4567, world, ENV_FILE="", JSON_FILE="")
        assert run.code == 6, run.err
        assert "sticky" in run.err
        assert 'user: "0:0"' in run.err
        require(world.keys() == [], "a key without its token", run.err)
