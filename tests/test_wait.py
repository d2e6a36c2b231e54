import time

import pytest

from init_job.errors import NotReady, ServerRefusal, Unavailable
from init_job.wait import Patience


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
            raise Unavailable(reason)

    with caplog.at_level("INFO"):
        Patience(60).call(call)
    assert [record.message.split(" (")[0] for record in caplog.records] == ["waiting: refused", "waiting: starting"]
