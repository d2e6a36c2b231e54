import time

import pytest

from init_job import wait
from init_job.errors import NotReady, NotThere, ServerRefusal, Unavailable
from init_job.wait import Patience, pause


def test_a_call_is_tried_again_until_it_succeeds() -> None:
    reasons = iter(["refused", "starting"])
    calls = []

    def call() -> str:
        calls.append(time.monotonic())
        if reason := next(reasons, ""):
            raise Unavailable(reason)
        return "ready"

    assert Patience(5).call(call) == "ready"
    assert len(calls) == 3
    assert calls[1] - calls[0] >= 0.1


def test_no_patience_is_one_try() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise Unavailable("refused", "is it running?")

    with pytest.raises(NotReady, match=r"\(1 try\): refused") as error:
        Patience(0).call(call)
    assert error.value.hint == "is it running?"
    assert len(calls) == 1


def test_at_the_deadline_the_last_reason_and_the_tries_are_told() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise Unavailable(f"reason {len(calls)}")

    with pytest.raises(NotReady) as error:
        Patience(0.25).call(call)
    assert f"({len(calls)} tries): reason {len(calls)}" in str(error.value)
    assert len(calls) >= 2


def test_the_deadline_is_one_for_all_calls() -> None:
    patience = Patience(0.1)
    calls: list[int] = []

    def never() -> None:
        calls.append(1)
        raise Unavailable("never")

    with pytest.raises(NotReady):
        patience.call(never)
    tries = len(calls)
    with pytest.raises(NotReady):
        patience.call(never)
    assert len(calls) == tries + 1


class Gate(Unavailable):
    lasting = True


def test_what_does_not_pass_by_waiting_is_given_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "_LASTING", 0.2)
    begun = time.monotonic()

    def call() -> None:
        raise Gate("a redirect", "go round it")

    with pytest.raises(NotReady, match=r"not ready within \d+ s \(\d+ tries\): a redirect") as error:
        Patience(60).call(call)
    assert error.value.hint == "go round it"
    assert 0.2 <= time.monotonic() - begun < 50


def test_a_call_within_a_call_that_has_no_trouble_says_nothing_of_the_outer_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a server is looked for: each answer has come, and what it says is the trouble."""
    patience, in_a_row = Patience(60), []

    def at_once(error: Unavailable, waited: float, troubles: int) -> float:
        in_a_row.append(troubles)
        return 0.0

    monkeypatch.setattr(wait, "_LASTING", 0.1)
    monkeypatch.setattr(wait, "pause", at_once)

    def call() -> None:
        patience.call(time.monotonic)
        raise Gate("a redirect")

    with pytest.raises(NotReady, match=r"not ready within \d s"):
        patience.call(call)
    assert in_a_row == list(range(1, len(in_a_row) + 1))


def test_a_wait_without_an_end_is_given_up_early_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "_LASTING", 0.0)

    def call() -> None:
        raise Gate("a redirect")

    with pytest.raises(NotReady, match=r"not ready within 0 s"):
        Patience(float("inf")).call(call)


def test_a_server_that_comes_up_behind_a_gate_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = iter([Gate("a redirect"), Unavailable("502"), Gate("a redirect"), Unavailable("502")])

    def call() -> str:
        if reason := next(reasons, None):
            raise reason
        return "ready"

    # Counted anew each time that something else is said.
    monkeypatch.setattr(wait, "_LASTING", 5.0)
    assert Patience(60).call(call) == "ready"


def test_what_is_final_is_not_tried_again() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise ServerRefusal("no", "do not ask")

    with pytest.raises(ServerRefusal):
        Patience(5).call(call)
    assert len(calls) == 1


def test_each_reason_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    reasons = iter(["refused", "refused", "starting", "refused"])

    def call() -> None:
        if reason := next(reasons, ""):
            raise NotThere(reason)

    with caplog.at_level("INFO"):
        Patience(60).call(call)
    assert [record.message.split(" (")[0] for record in caplog.records] == ["waiting: refused", "waiting: starting"]


def pauses(error: Unavailable, waited: float = 0.0, troubles: int = 0) -> list[float]:
    return sorted(pause(error, waited, troubles) for _ in range(1000))


def test_a_server_that_is_not_there_yet_is_asked_often_for_a_minute_and_then_ever_more_rarely() -> None:
    for waited in (0, 30, 60):
        assert 0.05 <= pauses(NotThere("refused"), waited)[0] <= pauses(NotThere("refused"), waited)[-1] <= 0.15
    middle = [pauses(NotThere("refused"), waited)[500] for waited in (60, 90, 120, 180)]
    assert middle == sorted(middle)
    assert pauses(NotThere("refused"), 10**6)[-1] <= 3


def test_a_server_in_trouble_is_asked_more_slowly_from_the_first_on() -> None:
    trouble = [pauses(Unavailable("500"), troubles=troubles)[0] for troubles in range(1, 5)]
    assert trouble == sorted(trouble)
    assert trouble[0] > 0.1
    assert pauses(Unavailable("500"), troubles=10**6)[-1] <= 3


def test_machines_that_began_together_do_not_go_on_in_step() -> None:
    for error in (NotThere("refused"), Unavailable("500"), Unavailable("429", retry_after=10)):
        found = pauses(error)
        assert found[-1] - found[0] > found[0] / 10
        assert len(set(found)) > 900


def test_a_server_is_left_alone_for_as_long_as_it_asks() -> None:
    assert pauses(Unavailable("429", retry_after=10))[0] >= 10


def test_a_wait_that_was_asked_for_ends_at_the_deadline() -> None:
    begun = time.monotonic()

    def call() -> None:
        raise Unavailable("429", retry_after=60)

    with pytest.raises(NotReady):
        Patience(0.2).call(call)
    assert time.monotonic() - begun < 30
