"""Every call that the writer makes to the operating system fails in every way that it can."""

from collections.abc import Iterator

import pytest

from tests.faults.conftest import Surveys, Worlds
from tests.faults.ledger import require
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.shim import ALL
from tests.faults.sweep import SHARE, each, judge, some_of
from tests.faults.world import APIS, ENV_BEFORE, Api, key_id, pick

ERRORS = {
    "EACCES": "Permission denied",
    "EROFS": "Read-only file system",
    "ENOSPC": "No space left on device",
    "EIO": "Input/output error",
    "EBUSY": "Device or resource busy",
    "EXDEV": "Invalid cross-device link",
    "EMFILE": "Too many open files",
}
_NAMES = {"open", "rename", "replace", "unlink", "link", "mkdir"}
_ATTRIBUTES = {"chmod", "chown", "fchmod", "fchown", "setxattr", "removexattr"}
CALLS = {
    "EACCES": {*_NAMES, *_ATTRIBUTES, "open to read", "stat", "lstat", "readlink", "listdir"},
    "EROFS": {*_NAMES, *_ATTRIBUTES, "fsync", "ftruncate"},
    "ENOSPC": {*_NAMES - {"unlink"}, "write", "pwrite", "fsync", "ftruncate", "posix_fallocate", "setxattr"},
    "EIO": {*ALL},
    "EBUSY": {"open", "rename", "replace", "unlink"},
    "EXDEV": {"rename", "replace", "link"},
    "EMFILE": {"open", "open to read", "listdir"},
}
"""Those that can end so, by their manual pages."""
# One of each kind of run that does something with files; the others make the same calls.
KINDS = (
    "first run",
    "up to date, state file gone",
    "up to date, an output lacks the token",
    "no key, settings changed",
    "one key, its token dead",
    "one key, lost: replace",
    "rotation",
    "killed after the create",
    "revocation",
    "check",
    "check, state file gone",
    "dry run of a rotation",
    "first run, files rewritten in place",
    "token dead, files rewritten in place",
    "first run without a state file, lost: replace",
)


@pytest.mark.parametrize(
    ("scenario", "error"),
    some_of([scenario for scenario in SCENARIOS if scenario.name in KINDS], list(ERRORS)),
    ids=str,
)
def test_a_file_call_that_fails_leaves_the_old_content_whole_and_no_key_behind(
    scenario: Scenario, error: str, worlds: Worlds, surveys: Surveys
) -> None:
    def cases() -> Iterator[tuple[Api, int]]:
        for number, call in enumerate(surveys("v4", scenario).calls):
            if call in CALLS[error]:
                yield pick(APIS, scenario.name, error, number), number

    def check(case: tuple[Api, int]) -> None:
        api, number = case
        with worlds(api) as world:
            scenario.set_up(world)
            files, keys = world.files(), set(world.ids())
            result = world.run(world.hurt(at=number, error=error, calls=ALL))
            call, _, file = world.trace()[number].partition(": ")
            # A job that cannot read what it made takes its own token for a stranger's.
            codes = {0, 6, 5} if file == ".token.state" else {0, 6}
            if result.code == 6:
                paths = (str(world.token_file), str(world.env_file), str(world.json_file), "the state file")
                named = any(path in result.err for path in paths) and ERRORS[error] in result.err
                require(named, "path or reason not named", result.log)
                for name, content in world.files().items():
                    if name.endswith(".tmp"):
                        continue
                    old = name.endswith(".state") or content == files.get(name, b"")
                    new = any(token.encode() in content for token in world.tokens() if world.server.token_works(token))
                    revoked = not world.expected.keys and content == ENV_BEFORE
                    require(old or new or revoked, "the old content damaged", f"{name} {result.log}")
            if result.code:
                made = set(world.ids()) - keys
                on_disk = {key_id(token) for token in world.tokens() if token}
                require(made <= on_disk, "a key without its token", result.log)
            left = [name for name in world.files() if name.endswith(".tmp") and call != "unlink"]
            require(not left, "a temporary file left", f"{left} {result.log}")
            judge("OS faults", call, world, result, codes, f"{error} exit {result.code}")

    each(cases(), check, one_of=SHARE)
