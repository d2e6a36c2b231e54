"""Who else may write to the volume: other containers' users, other jobs, whoever changes a file while the job runs.

`/shared` in the image has mode 1777. A neighbour's file, link, folder, FIFO, state or temporary file is never obeyed
and never given a token.
"""

import contextlib
import fcntl
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Worlds
from tests.faults.ledger import record, require
from tests.faults.proxy import Exchange
from tests.faults.runner import Result
from tests.faults.sweep import some_of
from tests.faults.users import needs_root, run_as, run_mounted, run_onto
from tests.faults.world import APIS, ENV_BEFORE, FULL, Api, World, key_id
from tests.support import jwt, needs_mounts

NEIGHBOUR = 1000
USERS = [0, 65532]
OUTPUTS = ["token_file", "env_file", "json_file"]
STRANGERS_TOKEN = jwt({"typ": "key", "sub": "6ad5b0ef-3b3d-4a0a-b8a4-2d0d6b8bb9b2"})
HELD = {
    "token_file": f"{STRANGERS_TOKEN}\n",
    "env_file": f"CHIRPSTACK_API_TOKEN={STRANGERS_TOKEN}\n",
    "json_file": f'{{"token": "{STRANGERS_TOKEN}"}}\n',
}
"""What an output with that token looks like."""


def share(world: World, mode: int = 0o1777, owner: int = 65532) -> None:
    """The volume as the image has it, with a user's own `.env` of nobody in particular."""
    world.settle()
    world.env_file.unlink()
    world.volume.chmod(mode)
    os.chown(world.volume, owner, owner)


def give_away(path: Path, mode: int = 0o666) -> None:
    os.chown(path, NEIGHBOUR, NEIGHBOUR, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(mode)


def expect_refused(world: World, run: Result, *named: str) -> None:
    assert run.code == 6, run.err
    for name in (*named, f"uid {NEIGHBOUR}"):
        assert name in run.err
    require(world.keys() == [], "a key without its token", run.err)


@needs_root
@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("content", ["nothing", "a token"])
@pytest.mark.parametrize("which", OUTPUTS)
def test_a_neighbours_file_gets_no_token_and_its_owner_is_named(
    which: str, content: str, uid: int, open_worlds: Worlds
) -> None:
    with open_worlds("v4") as world:
        share(world)
        path = getattr(world, which)
        path.write_text(HELD[which] if content == "a token" else "")
        give_away(path)
        before = path.read_bytes()
        run = run_as(uid, world, FILE_MODE="0600")
        expect_refused(world, run, str(path))
        assert path.read_bytes() == before
        assert path.stat().st_uid == NEIGHBOUR
        record("neighbours", "a file in the place of an output", "exit 6, nothing written")


@needs_root
@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("which", OUTPUTS)
def test_a_neighbours_link_is_not_followed(which: str, uid: int, open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        share(world)
        victim = world.folder / "victim"
        victim.write_text("")
        os.chown(victim, uid, uid)
        path = getattr(world, which)
        path.symlink_to(victim)
        give_away(path)
        expect_refused(world, run_as(uid, world), str(path))
        assert victim.read_text() == ""
        record("neighbours", "a link in the place of an output", "exit 6, not followed")


@needs_root
@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("kind", ["a folder", "a link"])
def test_a_neighbours_step_on_the_way_is_not_taken(kind: str, uid: int, open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        share(world)
        theirs = world.folder / "theirs"
        theirs.mkdir()
        theirs.chmod(0o777)
        step = world.volume / "app"
        if kind == "a folder":
            step.mkdir()
        else:
            step.symlink_to(theirs)
        give_away(step, 0o777)
        run = run_as(uid, world, TOKEN_FILE=str(step / "token"))
        expect_refused(world, run, str(step))
        assert not list(theirs.iterdir())
        record("neighbours", f"{kind} on the way to an output", "exit 6, nothing written")


@needs_root
@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("command", ["ensure", "check", "revoke"])
@pytest.mark.parametrize("which", OUTPUTS)
def test_a_neighbours_fifo_keeps_nobody_waiting(which: str, command: str, uid: int, open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        share(world)
        path = getattr(world, which)
        os.mkfifo(path)
        give_away(path)
        run = run_as(uid, world, command)
        assert run.code == 6, run.err
        assert str(path) in run.err
        record("neighbours", "a FIFO in the place of an output", "exit 6 at once")


@pytest.mark.parametrize("command", ["ensure", "check", "revoke", "--dry-run"])
@pytest.mark.parametrize("which", OUTPUTS)
def test_a_file_of_any_size_is_no_bug(which: str, command: str, worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        path = getattr(world, which)
        with path.open("wb") as file:
            file.truncate(6 << 30)
        result = world.run(None, (command,))
        path.write_bytes(ENV_BEFORE)  # the world looks for it in the end
        assert result.code == 6, result.log
        assert str(path) in result.err
        assert "larger than 1 MiB" in result.err
        record("neighbours", "a file of 6 GB", "exit 6 at once")


def lock_for_ever(path: Path) -> int:
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


@needs_root
@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("kind", ["a file", "a link", "a folder", "a FIFO"])
def test_a_neighbours_state_file_ends_with_6_at_once_and_is_never_written(
    kind: str, uid: int, open_worlds: Worlds
) -> None:
    with open_worlds("v4") as world:
        share(world)
        planted, victim = world.volume / ".token.state", world.folder / "victim"
        victim.write_text("")
        if kind == "a file":
            planted.write_text('{"format": 1}\n')
        elif kind == "a link":
            planted.symlink_to(victim)
        elif kind == "a folder":
            planted.mkdir()
        else:
            os.mkfifo(planted)
        give_away(planted)
        fd = lock_for_ever(planted) if kind == "a file" else -1
        run = run_as(uid, world, WAIT_TIMEOUT="1h")
        expect_refused(world, run, str(planted))
        assert victim.read_text() == ""
        if fd >= 0:
            assert planted.read_text() == '{"format": 1}\n'
            os.close(fd)
        record("neighbours", f"{kind} in the place of the state file", "exit 6 at once")


@needs_root
@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("kind", ["a file", "a link", "a folder"])
def test_a_neighbours_temporary_file_is_in_nobodys_way(kind: str, uid: int, open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        share(world)
        victim = world.folder / "victim"
        victim.write_text("")
        for name in (".token.0123abcd.tmp", ".app.env.0123abcd.tmp"):
            planted = world.volume / name
            if kind == "a file":
                planted.touch()
            elif kind == "a link":
                planted.symlink_to(victim)
            else:
                planted.mkdir()
            give_away(planted)
        run = run_as(uid, world)
        assert run.code == 0, run.err
        assert world.server.token_works(world.tokens()[0])
        assert victim.read_text() == ""
        record("neighbours", "something of a temporary file's name", "exit 0")


@needs_root
def test_what_neighbours_do_is_no_reason_to_say_that_a_token_does_not_work(open_worlds: Worlds) -> None:
    """`check` writes nothing: another service may run it, as another user."""
    with open_worlds("v4") as world:
        share(world)
        only = {"ENV_FILE": "", "JSON_FILE": ""}
        assert run_as(65532, world, **only).code == 0
        run = run_as(NEIGHBOUR, world, "check", **only)
        assert run.code == 0, run.err
        world.token_file.chmod(0o600)
        run = run_as(NEIGHBOUR, world, "check", **only)
        assert run.code == 6, run.err
        assert f"{world.token_file} cannot be read: Permission denied" in run.err
        assert f"the job runs as uid {NEIGHBOUR}" in run.err
        assert f"{world.token_file} belongs to uid 65532, gid 65532, mode 0600" in run.err
        assert 'user: "65532:65532"' in run.err
        assert "write" not in run.err.splitlines()[-1]


@needs_root
@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("mode", [0o755, 0o775, 0o777])
def test_the_folder_of_a_user_is_his_and_so_is_the_file_in_it(mode: int, uid: int, open_worlds: Worlds) -> None:
    with open_worlds("v4") as world:
        share(world, mode, NEIGHBOUR)
        world.env_file.write_bytes(ENV_BEFORE)
        give_away(world.env_file)
        run = run_as(uid, world, TOKEN_FILE="", JSON_FILE="")
        assert run.code == 0, run.err
        assert world.env_file.read_bytes().startswith(ENV_BEFORE)
        info = world.env_file.stat()
        assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (NEIGHBOUR, NEIGHBOUR, 0o666)
        assert world.server.token_works(world.tokens()[1])
        record("neighbours", "a user's own file in his own folder", "exit 0, owner and mode stay")


@needs_mounts
def test_a_bind_mounted_file_is_what_its_mounter_made_it_even_among_neighbours(worlds: Worlds) -> None:
    with worlds("v4") as world:
        share(world)
        host = world.folder / "host.env"
        host.write_bytes(ENV_BEFORE)
        give_away(host)
        world.env_file.write_bytes(ENV_BEFORE)
        mount = f"mount --bind {shlex.quote(str(host))} {shlex.quote(str(world.env_file))}"
        run = run_mounted(world, mount, TOKEN_FILE="", JSON_FILE="")
        assert run.returncode == 0, run.stderr
        assert host.read_bytes().startswith(ENV_BEFORE)
        assert world.server.token_works(host.read_text().rpartition("=")[2].strip())
        record("neighbours", "a bind-mounted file of another owner", "exit 0")


# Changed while the job runs


def another_token(path: Path) -> None:
    which = {"token": "token_file", "app.env": "env_file", "key.json": "json_file"}[path.name]
    path.write_text(HELD[which])


def a_secret(path: Path) -> None:
    path.write_text(
        {"app.env": "CHIRPSTACK_API_TOKEN=precious\n", "key.json": '{"token": "precious"}'}.get(path.name, "x")
    )


def a_fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def a_huge_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(6 << 30)


def fingerprint(path: Path) -> object:
    info = path.stat()
    return info.st_ino, info.st_size, path.read_bytes() if path.is_file() and info.st_size < 1 << 20 else None


CHANGES = [another_token, a_secret, a_fifo, a_folder, a_huge_file]


@pytest.mark.parametrize(("change", "which", "when"), some_of(CHANGES, OUTPUTS, ["login", "create"]))
def test_what_appears_in_an_output_while_the_job_runs_is_not_overwritten(
    change: Callable[[Path], None], which: str, when: str, worlds: Worlds
) -> None:
    with worlds("v4") as world:
        world.settle()
        path: Path = getattr(world, which)
        seen: list[object] = []

        def meanwhile(exchange: Exchange) -> None:
            change(path)
            seen.append(fingerprint(path))
            exchange.pass_on()

        world.proxy.plan(lambda exchange: meanwhile if not seen and (when == "login" or exchange.is_create) else None)
        result = world.run()
        assert result.code == 6, result.log
        assert str(path) in result.err
        assert seen == [fingerprint(path)]
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
        if which == "env_file" or not world.env_file.exists():
            world.env_file.write_bytes(ENV_BEFORE)
        world.expect_healed(result.log)
        record("neighbours", f"while the job runs: {change.__name__.replace('_', ' ')}", "exit 6, nothing overwritten")


@pytest.mark.parametrize("which", OUTPUTS)
def test_what_appears_in_an_output_during_a_revocation_stays(which: str, worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        assert world.run().code == 0
        path: Path = getattr(world, which)
        seen: list[object] = []

        def meanwhile(exchange: Exchange) -> None:
            a_secret(path)
            seen.append(fingerprint(path))
            exchange.pass_on()

        world.proxy.plan(lambda exchange: None if seen else meanwhile)
        result = world.run(None, ("revoke",))
        assert result.code == 6, result.log
        assert seen == [fingerprint(path)]
        record("neighbours", "during a revocation: a secret", "exit 6, it stays")


def test_another_change_of_the_same_env_file_while_the_job_runs_stays(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()

        def meanwhile(exchange: Exchange) -> None:
            with world.env_file.open("ab") as file:
                file.write(b"NEW=1\n")
            exchange.pass_on()

        world.proxy.plan(lambda exchange: meanwhile if exchange.is_create else None)
        result = world.run()
        assert result.code == 0, result.log
        assert world.env_file.read_bytes().startswith(ENV_BEFORE + b"NEW=1\n")
        world.expect_promise_kept(result)


@pytest.mark.parametrize("api", APIS)
def test_a_volume_that_vanishes_after_the_create_leaves_no_key(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.settle()
        gone = world.folder / "gone"

        def unplug(exchange: Exchange) -> None:
            answer = exchange.forward()
            world.volume.rename(gone)
            exchange.send(answer.whole)

        world.proxy.plan(lambda exchange: unplug if exchange.is_create else None)
        result = world.run()
        gone.rename(world.volume)
        assert result.code == 6, result.log
        require(world.keys() == [], "a key without its token", result.log)
        world.expect_healed(result.log)
        record("neighbours", "the volume vanishes after the create", "exit 6, no key")


# Several jobs, one `.env`

VARIABLES = [f"TOKEN_OF_{name}" for name in ("A", "B", "C", "D")]


def value_of(world: World, variable: str) -> str:
    lines = world.env_file.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{variable}=")][-1]


@pytest.mark.parametrize("has_state", [True, False])
@pytest.mark.parametrize("exists", [True, False])
def test_jobs_with_a_variable_each_in_one_env_file_lose_no_token(exists: bool, has_state: bool, worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        if not has_state:
            for variable in VARIABLES:
                (world.volume / f".app.env.{variable}.env-state").mkdir()
        if not exists:
            world.env_file.unlink()
        before = ENV_BEFORE if exists else b""
        for _ in range(20 if FULL else 4):
            runs = [
                world.start(None, ("rotate",), TOKEN_FILE="", JSON_FILE="", ENV_VAR=variable, API_KEY_NAME=variable)
                for variable in VARIABLES
            ]
            for variable, run in zip(VARIABLES, runs, strict=True):
                result = run.wait()
                assert result.code == 0, result.log
                token = value_of(world, variable)
                (key,) = world.server.keys(variable, "admin")
                working = world.server.token_works(token) and key_id(token) == key.id
                require(working, "exit 0 without a working token", result.log)
            assert world.env_file.read_bytes().startswith(before)
            assert len(world.env_file.read_bytes().splitlines()) == len(before.splitlines()) + len(VARIABLES)
        record("neighbours", "jobs with a variable each in one .env", "all exit 0, each with its token")


def test_each_variable_of_an_env_file_has_a_memory_of_its_own(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        jobs = [{"TOKEN_FILE": "", "JSON_FILE": "", "ENV_VAR": name, "API_KEY_NAME": name} for name in VARIABLES]
        for job in jobs:
            assert world.run(**job).code == 0
        for job in jobs:
            result = world.run(**job, CHIRPSTACK_PASSWORD="")  # a job that remembers needs no login
            assert result.code == 0, result.log
            assert "up to date" in result.err


def test_a_program_that_keeps_an_env_file_locked_is_told_before_a_key_is_made(worlds: Worlds, tmp_path: Path) -> None:
    with worlds("v4") as world:
        world.settle()
        world.constants["init_job.outputs.files._LOCK_PATIENCE"] = 0.5
        fd = lock_for_ever(world.env_file)
        result = world.run(TOKEN_FILE="", JSON_FILE="")
        os.close(fd)
        assert result.code == 6, result.log
        assert "keeps" in result.err
        require(world.keys() == [], "a key without its token", result.log)


# Settings


@needs_root
@pytest.mark.parametrize("job", USERS)
@pytest.mark.parametrize("is_link", [True, False])
def test_a_neighbours_env_file_in_the_working_folder_is_not_obeyed(
    is_link: bool, job: int, open_worlds: Worlds
) -> None:
    """It would have the password sent to whomever it names."""
    with open_worlds("v4") as world:
        share(world, owner=job)
        world.folder.chmod(0o1777)
        server = world.variables.pop("CHIRPSTACK_URL")
        planted, theirs = world.folder / ".env", world.folder / "theirs"
        (theirs if is_link else planted).write_text(f"CHIRPSTACK_URL={server}\n")
        if is_link:
            planted.symlink_to(theirs)
        give_away(planted)
        run = run_as(job, world, ENV_FILE="", JSON_FILE="")
        assert run.code == 2, run.err
        assert ".env is not read: it is somebody else's" in run.err
        assert world.keys() == []
        os.chown(planted, 0, 0, follow_symlinks=False)
        run = run_as(job, world, ENV_FILE="", JSON_FILE="")
        assert run.code == 0, run.err


# Standard output


@pytest.mark.parametrize("variable", ["TOKEN_FILE", "JSON_FILE"])
@pytest.mark.parametrize("out", [">&-", "> /dev/full", "1< /dev/null", "a closed pipe"])
def test_a_standard_output_that_takes_nothing_is_found_before_a_key_is_made(
    out: str, variable: str, worlds: Worlds
) -> None:
    with worlds("v4") as world:
        world.settle()
        creates: list[Exchange] = []
        world.proxy.plan(lambda exchange: creates.append(exchange) if exchange.is_create else None)
        read_end, write_end = os.pipe()
        os.close(read_end)
        redirection = "" if out == "a closed pipe" else out
        run = run_onto(write_end, world, redirection=redirection, **{variable: "-"})
        os.close(write_end)
        assert run.returncode == 6, run.stderr
        assert f"{variable}: standard output cannot be written" in run.stderr
        assert not creates
        assert world.keys() == []
        record("odd files", f"standard output: {out}", "exit 6, no key made")


@pytest.mark.parametrize("variable", ["TOKEN_FILE", "ENV_FILE", "JSON_FILE"])
def test_a_standard_output_that_goes_into_another_output_is_told(variable: str, worlds: Worlds, tmp_path: Path) -> None:
    with worlds("v4") as world:
        world.settle()
        mine = "JSON_FILE" if variable == "TOKEN_FILE" else "TOKEN_FILE"
        out = tmp_path / "out"
        with out.open("wb") as file:
            done = run_onto(file.fileno(), world, **{mine: "-", variable: str(out)})
        assert done.returncode == 2, done.stderr
        assert "is named by two outputs" in done.stderr
        assert world.keys() == []


@needs_mounts
def test_a_file_that_is_not_there_yet_is_one_under_each_mount_of_its_folder(worlds: Worlds, tmp_path: Path) -> None:
    with worlds("v4") as world:
        world.settle()
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
        outputs = {"TOKEN_FILE": f"{tmp_path}/one/t", "ENV_FILE": f"{tmp_path}/other/t", "JSON_FILE": ""}
        run = run_mounted(world, f"mount --bind {tmp_path}/one {tmp_path}/other", **outputs)
        assert run.returncode == 2, run.stderr
        assert f"{tmp_path}/other/t is named by two outputs" in run.stderr
        assert world.keys() == []


@pytest.mark.parametrize("is_blocking", [True, False])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_is_full_and_nobody_reads_is_found_before_a_key_is_made(
    unbuffered: str, is_blocking: bool, worlds: Worlds
) -> None:
    with worlds("v4") as world:
        world.settle()
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(write_end, bytes(size))
        os.set_blocking(write_end, is_blocking)
        done = run_onto(write_end, world, TOKEN_FILE="-", PYTHONUNBUFFERED=unbuffered)
        os.close(read_end)
        os.close(write_end)
        assert done.returncode == 6, done.stderr
        assert "standard output cannot be written: nobody reads it" in done.stderr
        require(world.keys() == [], "a key without its token", done.stderr)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_file_that_takes_half_of_the_token_is_no_success(unbuffered: str, worlds: Worlds, tmp_path: Path) -> None:
    with worlds("v4") as world:
        world.settle()
        out = tmp_path / "out"
        out.write_bytes(bytes(1024 - 50))
        with out.open("ab") as file:
            done = run_onto(file.fileno(), world, "ulimit -f 1", TOKEN_FILE="-", PYTHONUNBUFFERED=unbuffered)
        assert done.returncode == 6, done.stderr
        require(world.keys() == [], "a key without its token", done.stderr)


# What ends with the container


@needs_mounts
def test_a_volume_in_memory_is_told_before_a_key_is_made_and_only_in_a_container(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        mount = f"mount -t tmpfs none {shlex.quote(str(world.volume))}"
        run = run_mounted(world, mount, KUBERNETES_SERVICE_HOST="10.0.0.1")
        assert run.returncode == 0, run.stderr
        told = [number for number, line in enumerate(run.stderr.splitlines()) if "a file system in memory" in line]
        made = next(number for number, line in enumerate(run.stderr.splitlines()) if "made key" in line)
        assert len(told) == 3, run.stderr  # once for each output
        assert max(told) < made


@needs_mounts
def test_a_containers_own_layer_is_told(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        root = world.folder / "root"
        root.mkdir()
        mounts = (
            f"mount -t tmpfs none {root}; mkdir {root}/upper {root}/work {root}/merged\n"
            f"mount -t overlay none -o lowerdir=/,upperdir={root}/upper,workdir={root}/work {root}/merged || exit 77\n"
            f"mount -t proc none {root}/merged/proc; mount --rbind /dev {root}/merged/dev"
        )
        run = run_mounted(world, mounts, f"chroot {root}/merged", KUBERNETES_SERVICE_HOST="10.0.0.1")
        if run.returncode == 77:
            pytest.skip("no overlay can be mounted here")
        assert run.returncode == 0, run.stderr
        assert "is in the container's own layer" in run.stderr
