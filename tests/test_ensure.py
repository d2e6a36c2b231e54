"""Design §4 row by row: what is decided for which keys and tokens. Pure, so no server is needed."""

import pytest

from init_job.ensure import Create, Decision, Stop, UpToDate, decide
from init_job.errors import TokenError
from init_job.servers.interface import Key, ResolvedScope
from init_job.state import Intent
from init_job.survey import Saved, leftovers
from init_job.values import OnLostToken

NAME = "grafana"
ADMIN = ResolvedScope("admin")
FAIL, REPLACE, ADD = OnLostToken.FAIL, OnLostToken.REPLACE, OnLostToken.ADD


def keys(*ids: str, read_only: bool = False) -> list[Key]:
    return [Key(key_id, NAME, ADMIN, read_only) for key_id in ids]


def works(key_id: str, made_here: bool = False) -> Saved:
    return Saved(key_id, True, made_here=made_here)


def dead(key_id: str) -> Saved:
    return Saved(key_id, False, reason="signed with another secret")


def decided(there: list[Key], *saved: Saved, on_lost: OnLostToken = FAIL, read_only: bool = False) -> Decision:
    return decide(NAME, there, list(saved), on_lost, read_only)


def expect_stop(decision: Decision, *words: str) -> None:
    assert isinstance(decision, Stop)
    assert isinstance(decision.error, TokenError)
    text = f"{decision.error} {decision.error.hint}"
    assert all(word in text for word in words), text


@pytest.mark.parametrize("on_lost", OnLostToken)
@pytest.mark.parametrize("saved", [[], [dead("a")]])
def test_no_key_and_no_token_that_works_means_create(saved: list[Saved], on_lost: OnLostToken) -> None:
    decision = decided([], *saved, on_lost=on_lost)
    assert isinstance(decision, Create)
    assert (decision.delete, decision.left) == ((), ())


@pytest.mark.parametrize("on_lost", OnLostToken)
def test_no_key_and_another_keys_token_that_works_means_stop(on_lost: OnLostToken) -> None:
    expect_stop(decided([], works("x"), on_lost=on_lost), "x", "somebody else's")


def test_no_key_and_a_token_made_here_under_another_name_means_create_and_leave_the_old_key() -> None:
    decision = decided([], works("x", made_here=True))
    assert isinstance(decision, Create)
    assert (decision.delete, decision.left) == ((), ("x",))


def test_one_key_and_its_token_works_means_up_to_date() -> None:
    assert decided(keys("a"), works("a")) == UpToDate(works("a"))


@pytest.mark.parametrize("on_lost", OnLostToken)
def test_one_key_and_its_token_is_dead_means_create_and_delete_it(on_lost: OnLostToken) -> None:
    decision = decided(keys("a"), dead("a"), on_lost=on_lost)
    assert isinstance(decision, Create)
    assert decision.delete == ("a",)
    assert "another secret" in decision.because


@pytest.mark.parametrize("saved", [[], [dead("x")]])
def test_one_key_whose_token_is_lost_means_what_on_lost_token_says(saved: list[Saved]) -> None:
    expect_stop(decided(keys("a"), *saved), "a", "ON_LOST_TOKEN=replace", "ON_LOST_TOKEN=add")
    replace, add = (decided(keys("a"), *saved, on_lost=choice) for choice in (REPLACE, ADD))
    assert isinstance(replace, Create)
    assert replace.delete == ("a",)
    assert isinstance(add, Create)
    assert add.delete == ()


@pytest.mark.parametrize("on_lost", OnLostToken)
@pytest.mark.parametrize("made_here", [False, True])
def test_one_key_and_another_keys_token_that_works_means_stop(on_lost: OnLostToken, made_here: bool) -> None:
    expect_stop(decided(keys("a"), works("x", made_here), on_lost=on_lost), "x")


def test_several_keys_and_the_token_of_one_works_means_up_to_date_and_the_others_are_named() -> None:
    assert decided(keys("a", "b", "c"), works("b")) == UpToDate(works("b"), ("a", "c"))


@pytest.mark.parametrize("saved", [[], [dead("x")], [dead("a")], [dead("a"), dead("b")]])
def test_several_keys_and_no_token_that_works_means_what_on_lost_token_says(saved: list[Saved]) -> None:
    expect_stop(decided(keys("a", "b"), *saved), "a, b", "ON_LOST_TOKEN=replace")
    replace, add = (decided(keys("a", "b"), *saved, on_lost=choice) for choice in (REPLACE, ADD))
    assert isinstance(replace, Create)
    assert replace.delete == ("a", "b")
    assert isinstance(add, Create)
    assert add.delete == ()


def test_of_different_tokens_the_named_keys_counts() -> None:
    assert decided(keys("a"), dead("x"), works("a")) == UpToDate(works("a"))


def test_of_different_tokens_one_that_works_and_is_another_keys_means_stop() -> None:
    expect_stop(decided(keys("a"), works("a"), works("x")), "x")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_key_that_is_not_read_only_as_asked_is_like_one_whose_token_is_lost(read_only: bool) -> None:
    there = keys("a", read_only=not read_only)
    expect_stop(decided(there, works("a"), read_only=read_only), "read-only", "ON_LOST_TOKEN=replace")
    replace = decided(there, works("a"), on_lost=REPLACE, read_only=read_only)
    assert isinstance(replace, Create)
    assert replace.delete == ("a",)


INTENT = Intent(NAME, "admin", "http://chirpstack:8080", known=("old",), doomed=("old",))


def test_without_an_interrupted_run_nothing_is_left_over() -> None:
    assert leftovers(keys("a"), [], None) == ((), ())


def test_a_key_that_was_not_known_before_a_crash_is_ours_and_unread() -> None:
    assert leftovers(keys("old", "new"), [dead("old")], INTENT) == (("new",), ())


def test_a_new_key_whose_token_was_saved_before_the_crash_is_kept_and_the_old_one_goes() -> None:
    assert leftovers(keys("old", "new"), [works("new")], INTENT) == ((), ("old",))


def test_an_old_key_stays_while_no_new_token_is_in_place() -> None:
    assert leftovers(keys("old"), [works("old")], INTENT) == ((), ())
