"""Whose a key is: what the job makes and deletes beside the keys of others, on the server and in its outputs."""

import threading
from signal import SIGKILL

import pytest

from tests.faults.conftest import Worlds
from tests.faults.ledger import record, require
from tests.faults.proxy import Exchange, Fault
from tests.faults.world import APIS, NAME, Api, World, key_id


def judge(world: World, code: int, expected: int, kept: set[str], log: str, row: str) -> None:
    require(code == expected, "wrong exit code", log)
    everything = world.server.keys()
    require(kept <= {key.id for key in everything}, "another key deleted", log)
    record("keys of others", row, f"exit {code}, they stay")


def settled(world: World) -> str:
    """The id of the job's own key, in the outputs and in its memory."""
    first = world.run()
    assert first.code == 0, first.log
    return key_id(world.tokens()[0])


def cut_before_the_delete(world: World, command: str, **variables: str) -> None:
    """The new key is in the outputs, and the old one is still there."""
    world.proxy.plan(lambda exchange: Exchange.hang_up if exchange.is_delete else None)
    assert world.run(None, (command,), WAIT_TIMEOUT="0", **variables).code == 3
    assert len(world.ids()) == 2
    world.proxy.plan(None)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("patience", ["0", "30s"])
def test_a_key_that_somebody_makes_while_the_create_cannot_be_sent_stays(
    api: Api, patience: str, worlds: Worlds
) -> None:
    with worlds(api) as world:
        creates: list[int] = []
        world.proxy.plan(lambda exchange: creates.append(exchange.number) if exchange.is_create else None)
        settled(world)
        assert world.run(None, ("revoke",)).code == 0
        rivals: list[str] = []

        def answer_and_go(exchange: Exchange) -> None:
            answer = exchange.forward()
            exchange.proxy.refuse(0.3)
            rivals.append(world.server.add_key(NAME)[0])
            exchange.send(answer.head[:-2] + b"Connection: close\r\n\r\n" + answer.body)
            exchange.hang_up()

        def plan(exchange: Exchange) -> Fault | None:
            return answer_and_go if exchange.number == creates[0] - 1 else None

        world.proxy.plan(plan)
        result = world.run(WAIT_TIMEOUT=patience)
        judge(world, result.code, 3 if patience == "0" else 5, set(rivals), result.log, "made while ours is not sent")
        world.proxy.wait_until_idle()
        again = world.run()
        judge(world, again.code, 5, set(rivals), again.log, "made while ours is not sent")
        require(world.ids() == rivals, "a key without its token", again.log)


@pytest.mark.parametrize("api", APIS)
def test_a_key_that_somebody_makes_after_a_run_that_gave_up_before_its_create_stays(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        world.proxy.plan(lambda exchange: Exchange.hang_up if exchange.number == 3 else None)
        assert world.run(WAIT_TIMEOUT="0").code == 3
        world.proxy.plan(None)
        rival = world.server.add_key(NAME)[0]
        result = world.run()
        judge(world, result.code, 5, {rival}, result.log, "made after a run that gave up")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("command", ["ensure", "rotate"])
def test_a_key_whose_secret_changed_is_replaced_and_another_of_its_name_stays(
    api: Api, command: str, worlds: Worlds
) -> None:
    with worlds(api) as world:
        own, other = settled(world), world.server.add_key(NAME)[0]
        world.server.set_secret("another")
        result = world.run(None, (command,))
        judge(world, result.code, 0, {other}, result.log, "the server's secret changed")
        require(own not in world.ids() and len(world.ids()) == 2, "two keys", result.log)


@pytest.mark.parametrize("since", ["the secret changed", "the token was lost", "revoked"])
@pytest.mark.parametrize("api", APIS)
def test_the_old_key_of_a_rotation_that_was_cut_short_goes_whatever_happened_since(
    api: Api, since: str, worlds: Worlds
) -> None:
    with worlds(api) as world:
        world.settle()
        settled(world)
        cut_before_the_delete(world, "rotate")
        command: tuple[str, ...] = ()
        if since == "the token was lost":
            for path in (world.token_file, world.json_file):
                path.unlink()
            world.env_file.write_bytes(b"# mine\nOTHER='a # b'\n")
        else:
            world.server.set_secret("another")
        if since == "revoked":
            command = ("revoke",)
        result = world.run(None, command, ON_LOST_TOKEN="replace" if since == "the token was lost" else "fail")
        assert result.code == 0, result.log
        require(len(world.ids()) == (0 if command else 1), "two keys", result.log)
        record("keys of others", f"a rotation was cut short, and {since}", "exit 0, its old key is gone")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("where", ["every output", "one output"])
def test_a_token_that_came_back_while_its_key_was_to_be_deleted_still_works_or_gives_way(
    where: str, api: Api, worlds: Worlds
) -> None:
    """A rotation was cut short before its last step, and somebody restored the files, or one of them."""
    with worlds(api) as world:
        settled(world)
        before = [path.read_bytes() for path in (world.token_file, world.json_file, world.env_file)]
        cut_before_the_delete(world, "rotate")
        for path, content in zip((world.token_file, world.json_file, world.env_file), before, strict=True):
            if where == "every output" or path == world.token_file:
                path.write_bytes(content)
        for _ in range(2):
            result = world.run()
            require(result.code == 0, "wrong exit code", result.log)
            require(all(map(world.server.token_works, world.tokens())), "exit 0 without a working token", result.log)
        record("keys of others", f"a rotation was cut short, the old token is back in {where}", "exit 0, it works")


def test_a_run_between_two_outputs_that_was_killed_and_settings_that_came_back(worlds: Worlds) -> None:
    """The new key is read-only and no longer asked for, the old one is to be deleted and asked for again."""
    with worlds("v4") as world:
        settled(world)
        old = world.json_file.read_bytes()
        cut_before_the_delete(world, "ensure", API_KEY_READ_ONLY="true", ON_LOST_TOKEN="replace")
        world.json_file.write_bytes(old)
        for _ in range(2):
            result = world.run()
            require(result.code == 0, "wrong exit code", result.log)
            require(all(map(world.server.token_works, world.tokens())), "exit 0 without a working token", result.log)


@pytest.mark.parametrize("command", ["ensure", "rotate", "revoke"])
@pytest.mark.parametrize("api", APIS)
def test_a_key_that_somebody_makes_after_a_lost_answer_was_made_good_stays(
    api: Api, command: str, worlds: Worlds
) -> None:
    """The run has found what its first create made, and ended with 0: nothing is left to look for."""
    with worlds(api) as world:
        lost: list[int] = []

        def unheard(exchange: Exchange) -> None:
            exchange.forward()
            exchange.hang_up()

        def plan(exchange: Exchange) -> Fault | None:
            if not exchange.is_create or lost:
                return None
            lost.append(exchange.number)
            return unheard

        world.proxy.plan(plan)
        settled(world)
        assert lost
        rival = world.server.add_key(NAME)[0]
        result = world.run(None, (command,))
        judge(world, result.code, 0, {rival}, result.log, "made after a lost answer was made good")


@pytest.mark.parametrize("api", APIS)
def test_the_old_key_of_a_rotation_that_was_cut_short_is_known_after_other_settings(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        old = settled(world)
        cut_before_the_delete(world, "rotate")
        renamed = world.run(API_KEY_NAME="renamed")
        assert renamed.code == 0, renamed.log
        result = world.run(None, ("revoke",))
        require(old not in world.ids(), "two keys", result.log)


@pytest.mark.parametrize("api", APIS)
def test_a_key_that_was_deleted_is_not_said_to_exist(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        old = settled(world)
        result = world.run(None, ("rotate",), CHIRPSTACK_URL=world.proxy.url.replace("127.0.0.1", "localhost"))
        assert result.code == 0, result.log
        assert old not in world.ids()
        assert "still exists" not in result.err
        assert old not in world.files()[".token.state"].decode()


@pytest.mark.parametrize("command", ["ensure", "rotate", "revoke"])
@pytest.mark.parametrize("api", APIS)
def test_a_token_that_was_never_accepted_says_nothing_of_a_key_where_the_own_one_is_known(
    api: Api, command: str, worlds: Worlds
) -> None:
    with worlds(api) as world:
        settled(world)
        other, token = world.server.add_key(NAME)
        damaged = token[:-4] + ("aaaa" if token[-4:] != "aaaa" else "bbbb")
        for path in (world.json_file, world.env_file):
            path.unlink()
        world.token_file.write_text(damaged)
        result = world.run(None, (command,), ENV_FILE="", JSON_FILE="")
        judge(world, result.code, 0 if command == "revoke" else 5, {other}, result.log, "a damaged token of theirs")


@pytest.mark.parametrize("api", APIS)
def test_a_key_that_somebody_makes_after_a_kill_while_nothing_was_made_stays(api: Api, worlds: Worlds) -> None:
    """The server has said that it did nothing, and the job waits to ask again."""
    with worlds(api) as world:
        world.settle()
        limited = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"
        world.proxy.plan(lambda exchange: (lambda one: one.send(limited)) if exchange.is_create else None)
        run = world.start()
        run.wait_for("waiting: ")
        run.signal(SIGKILL)
        run.wait()
        world.proxy.plan(None)
        rival = world.server.add_key(NAME)[0]
        result = world.run()
        judge(world, result.code, 5, {rival}, result.log, "made after a kill while nothing was made")


@pytest.mark.parametrize("api", APIS)
def test_replace_means_a_lost_token_and_no_other_key_of_the_name(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world:
        own, other = settled(world), world.server.add_key(NAME)[0]
        for path in (world.token_file, world.json_file, world.env_file):
            path.unlink()
        world.env_file.write_bytes(b"# mine\nOTHER='a # b'\n")
        lost = world.run()
        judge(world, lost.code, 5, {own, other}, lost.log, "own token lost")
        result = world.run(ON_LOST_TOKEN="replace")
        judge(world, result.code, 0, {other}, result.log, "own token lost, replace")
        require(own not in world.ids() and len(world.ids()) == 2, "two keys", result.log)


def test_replace_of_a_full_key_by_a_read_only_one_leaves_another_of_the_name(worlds: Worlds) -> None:
    with worlds("v4") as world:
        own, other = settled(world), world.server.add_key(NAME)[0]
        result = world.run(API_KEY_READ_ONLY="true", ON_LOST_TOKEN="replace")
        judge(world, result.code, 0, {other}, result.log, "own key is not as asked, replace")
        assert "is lost" not in result.err
        require(own not in world.ids(), "two keys", result.log)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("setting", ["API_KEY_NAME", "API_KEY_SCOPE"])
def test_a_key_that_is_renamed_back_is_still_known(api: Api, setting: str, worlds: Worlds) -> None:
    with worlds(api) as world:
        other = {"API_KEY_NAME": "renamed", "API_KEY_SCOPE": world.group_scope}[setting]
        first = settled(world)
        renamed = world.run(**{setting: other})
        assert renamed.code == 0, renamed.log
        second = key_id(world.tokens()[0])
        assert f"id {first}" in renamed.err
        back = world.run()
        judge(world, back.code, 5, {first, second}, back.log, "renamed back")
        assert "which this job made" in back.err
        replaced = world.run(ON_LOST_TOKEN="replace")
        judge(world, replaced.code, 0, {second}, replaced.log, "renamed back, replace")
        require(first not in world.ids() and len(world.ids()) == 1, "two keys", replaced.log)
        # And from there it is known as before: the second one can be revoked by its name.
        revoked = world.run(None, ("revoke",), **{setting: other})
        judge(world, revoked.code, 0, set(world.ids()), revoked.log, "revoked by its other name")
        everything = world.server.keys()
        require(second not in {key.id for key in everything}, "two keys", revoked.log)
        require(world.server.token_works(world.tokens()[0]), "exit 0 without a working token", revoked.log)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("every", [(), ("--all",)])
def test_revoke_leaves_a_key_that_is_not_the_saved_tokens(api: Api, every: tuple[str, ...], worlds: Worlds) -> None:
    with worlds(api) as world:
        own, other = settled(world), world.server.add_key(NAME)[0]
        world.server.delete_key(own)
        result = world.run(None, ("revoke", *every))
        if every:
            assert result.code == 0, result.log
            assert world.ids() == []
        else:
            judge(world, result.code, 5, {other}, result.log, "revoke, own key is gone")


@pytest.mark.parametrize("api", APIS)
def test_a_key_that_was_made_at_another_server_is_left_and_told(api: Api, worlds: Worlds) -> None:
    with worlds(api) as world, worlds(api) as elsewhere:
        own = settled(world)
        result = world.run(CHIRPSTACK_URL=elsewhere.proxy.url)
        judge(world, result.code, 0, {own}, result.log, "made at another server")
        assert f"id {own}" in result.err
        assert "still exists" in result.err
        assert elsewhere.server.token_works(world.tokens()[0])


@pytest.mark.parametrize("api", APIS)
def test_of_several_jobs_on_a_first_boot_none_is_refused(api: Api, worlds: Worlds) -> None:
    """Whichever of them sets the password, and whenever the others ask: here just between two of one's logins."""
    with worlds(api) as world:
        given = {"CHIRPSTACK_PASSWORD": "a better one", "CHIRPSTACK_INITIAL_PASSWORD": "admin"}
        done = threading.Event()

        def late(exchange: Exchange) -> None:
            if b"a better one" in exchange.request and not done.is_set():
                done.set()
                answer = exchange.forward()
                world.server.set_password("admin", "a better one")  # as the other job does
                exchange.send(answer.whole)
            else:
                exchange.pass_on()

        world.proxy.plan(lambda exchange: late)
        result = world.run(**given)
        require(result.code == 0, "lost", result.log)
        assert done.is_set()
        record("together", "first boot, another job sets the password", "exit 0")


@pytest.mark.parametrize("api", APIS)
def test_an_account_with_fewer_rights_keeps_the_key_of_its_group(api: Api, worlds: Worlds) -> None:
    """An organization's or a tenant's admin: it sees no other keys, and needs to see none."""
    with worlds(api) as world:
        account = "group@example.com"
        world.server.add_user(account, "a password", admin=False)
        world.server.add_member(account, world.group_scope.partition(":")[2], admin=True)
        world.scope = world.group_scope
        world.variables |= {
            "CHIRPSTACK_EMAIL": account, "CHIRPSTACK_PASSWORD": "a password", "API_KEY_SCOPE": world.group_scope,
        }  # fmt: skip
        for command in ("ensure", "rotate", "ensure", "revoke"):
            if world.keys():
                world.server.delete_key(world.ids()[0])
            result = world.run(None, (command,))
            require(result.code == 0, "wrong exit code", f"{command}: {result.log}")
            assert len(world.keys()) == (command != "revoke")
        _, foreign = world.server.add_key("other", world.group_scope)
        world.token_file.write_text(foreign)
        check = world.run(None, ("check",), ENV_FILE="", JSON_FILE="")
        require(check.code == 5, "wrong exit code", check.log)
        record("keys of others", "a group's admin, its key deleted", "exit 0, made again")
