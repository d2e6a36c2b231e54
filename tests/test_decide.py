"""Design §4 row by row: what is decided for which keys and tokens. Pure, so no server is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from init_job.decide import Create, Saved, There, UpToDate, decide, listed, to_revoke
from init_job.errors import TokenError
from init_job.servers.interface import Key, ResolvedScope
from init_job.state import Intent, MadeKey
from init_job.survey import leftovers
from init_job.values import OnLostToken
from tests.support import settings_for

NAME = "grafana"
ADMIN = ResolvedScope("admin")
ASKED = settings_for("http://s", API_KEY_NAME=NAME).keys[0]
FAIL, REPLACE, ADD = OnLostToken.FAIL, OnLostToken.REPLACE, OnLostToken.ADD


def keys(*ids: str, read_only: bool = False) -> list[Key]:
    return [Key(key_id, NAME, ADMIN, read_only) for key_id in ids]


def works(key_id: str) -> Saved:
    return Saved(key_id, True)


def dead(key_id: str) -> Saved:
    return Saved(key_id, False, reason="signed with another secret")


def decided(
    there: list[Key], *saved: Saved, on_lost: OnLostToken = FAIL, read_only: bool = False, made: str = "",
    doomed: tuple[str, ...] = (), renew: bool = False,
) -> UpToDate | Create:  # fmt: skip
    """`made` are the one-letter ids that the job's memory holds."""
    asked = replace(ASKED, read_only=read_only, on_lost_token=on_lost)
    return decide(asked, There(tuple(there), saved, frozenset(made), doomed), renew)


def revoked(there: list[Key], *saved: Saved, made: str = "", every: bool = False) -> tuple[str, ...]:
    return to_revoke(ASKED, There(tuple(there), saved, frozenset(made)), every)


@contextmanager
def stops(*words: str) -> Iterator[None]:
    with pytest.raises(TokenError) as found:
        yield
    text = f"{found.value} {found.value.hint}"
    assert all(word in text for word in words), text


@pytest.mark.parametrize("on_lost", OnLostToken)
@pytest.mark.parametrize("saved", [[], [dead("a")]])
def test_no_key_and_no_token_that_works_means_create(saved: list[Saved], on_lost: OnLostToken) -> None:
    decision = decided([], *saved, on_lost=on_lost)
    assert isinstance(decision, Create)
    assert decision.delete == ()
    assert all(f"key {token.key_id} no longer works: {token.reason}" in decision.because for token in saved)


@pytest.mark.parametrize("on_lost", OnLostToken)
def test_no_key_and_another_keys_token_that_works_means_stop(on_lost: OnLostToken) -> None:
    with stops("x", "somebody else's"):
        decided([], works("x"), on_lost=on_lost)


def test_whose_the_token_is_is_told_where_it_is_known() -> None:
    stranger = Saved("x", True, key=Key("x", "nagios", ResolvedScope("tenant", "t")))
    with stops("'nagios' in scope tenant:t"):
        decided([], stranger)


def test_no_key_and_a_token_made_here_under_another_name_means_create() -> None:
    assert decided([], works("x"), made="x") == Create("the settings were changed")


def test_one_key_and_its_token_works_means_up_to_date() -> None:
    assert decided(keys("a"), works("a")) == UpToDate(works("a"))


@pytest.mark.parametrize("on_lost", OnLostToken)
def test_a_dead_token_of_the_key_means_create_and_delete_it(on_lost: OnLostToken) -> None:
    decision = decided(keys("a"), dead("a"), on_lost=on_lost)
    assert isinstance(decision, Create)
    assert decision.delete == ("a",)
    assert "another secret" in decision.because


@pytest.mark.parametrize("on_lost", OnLostToken)
@pytest.mark.parametrize("made", ["", "b"])
def test_a_dead_token_of_one_of_several_keys_means_replace_that_one_and_leave_the_others(
    on_lost: OnLostToken, made: str
) -> None:
    decision = decided(keys("a", "b", "c"), dead("b"), on_lost=on_lost, made=made)
    assert isinstance(decision, Create)
    assert (decision.delete, decision.others) == (("b",), ("a", "c"))


@pytest.mark.parametrize("saved", [[], [dead("x")]])
@pytest.mark.parametrize("made", ["", "a"])
def test_one_key_whose_token_is_lost_means_what_on_lost_token_says(saved: list[Saved], made: str) -> None:
    with stops("id a", "another API_KEY_NAME", "ON_LOST_TOKEN=replace", "ON_LOST_TOKEN=add"):
        decided(keys("a"), *saved, made=made)
    replace, add = (decided(keys("a"), *saved, on_lost=choice, made=made) for choice in (REPLACE, ADD))
    assert isinstance(replace, Create)
    assert (replace.delete, replace.others) == (("a",), ())
    assert isinstance(add, Create)
    assert (add.delete, add.others) == ((), ("a",))


@pytest.mark.parametrize("on_lost", OnLostToken)
@pytest.mark.parametrize("made", ["", "x"])
def test_somebodys_key_and_another_keys_token_that_works_means_stop(on_lost: OnLostToken, made: str) -> None:
    with stops("x"):
        decided(keys("a"), works("x"), on_lost=on_lost, made=made)


def test_a_key_that_is_renamed_back_is_this_jobs_own_and_the_newer_one_stays() -> None:
    with stops("id a", "its token is lost", "replace", "a, which this job made"):
        decided(keys("a"), works("x"), made="ax")
    decision = decided(keys("a", "b"), works("x"), made="ax", on_lost=REPLACE)
    assert isinstance(decision, Create)
    assert (decision.delete, decision.others) == (("a",), ("b",))


def test_several_keys_and_the_token_of_one_works_means_up_to_date_and_the_others_are_named() -> None:
    assert decided(keys("a", "b", "c"), works("b")) == UpToDate(works("b"), others=("a", "c"))


@pytest.mark.parametrize("saved", [[], [dead("x")]])
def test_several_keys_and_none_known_to_be_ours_means_what_on_lost_token_says(saved: list[Saved]) -> None:
    with stops("a, b", "replace makes a new key and deletes all of them"):
        decided(keys("a", "b"), *saved)
    replace, add = (decided(keys("a", "b"), *saved, on_lost=choice) for choice in (REPLACE, ADD))
    assert isinstance(replace, Create)
    assert replace.delete == ("a", "b")
    assert isinstance(add, Create)
    assert add.delete == ()


def test_replace_deletes_no_other_key_when_the_lost_one_is_known_to_be_ours() -> None:
    with stops("deletes b, which this job made (the others stay)"):
        decided(keys("a", "b"), made="b")
    decision = decided(keys("a", "b"), made="b", on_lost=REPLACE)
    assert isinstance(decision, Create)
    assert (decision.delete, decision.others) == (("b",), ("a",))


def test_of_different_tokens_the_named_keys_counts() -> None:
    assert decided(keys("a"), dead("x"), works("a")) == UpToDate(works("a"))


def test_of_different_tokens_one_that_works_and_is_another_keys_means_stop() -> None:
    with stops("x"):
        decided(keys("a"), works("a"), works("x"))


def test_a_run_under_new_settings_that_was_killed_between_two_outputs_is_completed() -> None:
    assert decided(keys("a"), works("a"), works("x"), made="x") == UpToDate(works("a"))


@pytest.mark.parametrize("read_only", [False, True])
def test_a_key_that_is_not_read_only_as_asked_is_replaced_when_asked_for_and_no_other_is(read_only: bool) -> None:
    there = keys("a", "b", read_only=not read_only)
    with stops("read-only", "ON_LOST_TOKEN=replace makes a new key and deletes a,"):
        decided(there, works("a"), read_only=read_only)
    for decision in (
        decided(there, works("a"), on_lost=REPLACE, read_only=read_only),
        decided(there, works("a"), renew=True, read_only=read_only),
    ):
        assert isinstance(decision, Create)
        assert (decision.delete, decision.others) == (("a",), ("b",))
        assert "lost" not in decision.because


def test_a_key_to_be_renewed_is_replaced_and_the_others_stay() -> None:
    assert decided(keys("a", "b", "c"), works("b"), doomed=("c",), renew=True) == Create(
        "it is to be replaced", ("b", "c"), ("a",)
    )


def test_revoke_deletes_its_own_key_and_no_other() -> None:
    assert revoked(keys("a", "b"), works("a")) == ("a",)
    assert revoked(keys("a", "b"), dead("a")) == ("a",)
    assert revoked(keys("a", "b"), made="b") == ("b",)
    assert revoked(keys("a"), works("x"), made="ax") == ("a",)
    assert revoked([], dead("a")) == ()


@pytest.mark.parametrize("saved", [[], [dead("x")], [works("x")]])
def test_revoke_of_a_key_that_is_not_known_to_be_ours_wants_to_be_told_so(saved: list[Saved]) -> None:
    with stops("a", "--all"):
        revoked(keys("a"), *saved, made="x")
    assert revoked(keys("a", "b"), *saved, made="x", every=True) == ("a", "b")


@pytest.mark.parametrize("every", [False, True])
def test_revoke_leaves_somebody_elses_token_alone(every: bool) -> None:
    with stops("x", "somebody else's"):
        revoked(keys("a"), works("x"), every=every)


def test_of_hundreds_of_keys_a_few_are_named() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(str(number) for number in range(300)) == "0, 1, 2, 3, 4 and 295 more"


INTENT = Intent(NAME, "admin", "http://chirpstack:8080", known=("old",), doomed=("old",))


def test_without_an_interrupted_run_nothing_is_left_over() -> None:
    assert leftovers(keys("a"), [], None) == ((), ())


def test_a_key_that_was_not_known_before_a_crash_is_ours_and_unread() -> None:
    assert leftovers(keys("old", "new"), [dead("old")], INTENT) == (("new",), ())


def test_a_new_key_whose_token_was_saved_before_the_crash_is_kept_and_the_old_one_goes() -> None:
    assert leftovers(keys("old", "new"), [works("new")], INTENT) == ((), ("old",))


def test_a_new_token_that_has_died_or_got_lost_since_was_in_place_all_the_same() -> None:
    made = MadeKey("new", NAME, "admin", "", False, "http://chirpstack:8080", "v4", "4.19.0", "")
    assert leftovers(keys("old", "new"), [dead("new")], INTENT) == ((), ("old",))
    assert leftovers(keys("old", "new"), [], INTENT, made) == ((), ("old",))
    assert leftovers(keys("old", "new"), [], INTENT, replace(made, id="old")) == (("new",), ())


def test_an_old_key_stays_while_no_new_token_is_in_place() -> None:
    assert leftovers(keys("old"), [works("old")], INTENT) == ((), ())
