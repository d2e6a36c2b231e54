"""Termination is noticed in one place, whatever the run is waiting for, and ends it once."""

import subprocess
import sys
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest

from tests.faults.conftest import Worlds
from tests.faults.proxy import Exchange, Fault
from tests.faults.world import APIS, Api, Handle

_ROOT = Path(__file__).parent.parent.parent
_BEGIN = """
import os, signal, socket, threading, time
from init_job import signals
signals.install()
def later(seconds, function):
    threading.Timer(seconds, function).start()
def terminate(signum=signal.SIGTERM):
    os.kill(os.getpid(), signum)
"""
_FOR_EVER = "threading.Event().wait()"


def python(program: str) -> str:
    """What it prints, within a few seconds."""
    run = subprocess.run(
        [sys.executable, "-c", _BEGIN + program], cwd=_ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    return run.stdout.strip() or run.stderr


@pytest.mark.parametrize("wait", [f"signals.call(lambda: {_FOR_EVER})", "signals.sleep(15)"])
@pytest.mark.parametrize("thread", ["main_thread()", "current_thread()"])
def test_a_termination_ends_a_wait_whichever_thread_it_meets(wait: str, thread: str) -> None:
    """Met by another thread it interrupts no system call of the main one, as one that comes just before the call."""
    assert "ended True" in python(f"""
ended_at = []
def terminate_there():
    ended_at.append(time.monotonic())
    signal.pthread_kill(threading.{thread}.ident, signal.SIGTERM)
later(0.1, terminate_there)
try:
    {wait}
except signals.Terminated:
    print("ended", time.monotonic() - ended_at[0] < 1, flush=True)
os._exit(0)
""")


@pytest.mark.parametrize("begin", ["signals.call(print)", "signals.sleep(0)", "signals.shield().__enter__()"])
def test_nothing_begins_after_a_termination(begin: str) -> None:
    assert (
        python(f"""
terminate()
try:
    {begin}
    print("begun")
except signals.Terminated as terminated:
    print(terminated.exit_code)
""")
        == "143"
    )


def test_a_call_that_takes_too_long_is_left_alone_and_has_no_say_in_what_follows() -> None:
    assert python("""
free = threading.Event()
def slow():
    free.wait()
    return "slow"
try:
    signals.call(slow, 0.05)
except signals.Overdue:
    print("overdue")
free.set()
for number in range(100):
    assert signals.call(lambda: number) == number
print("served")
""").split() == ["overdue", "served"]


def test_what_a_call_raises_is_raised() -> None:
    assert "ZeroDivisionError" in python("signals.call(lambda: 1 / 0)")


def test_a_call_is_made_where_no_thread_can_be_started_too() -> None:
    assert python("""
threading.stack_size(1 << 60)  # more than there can be: as with a limit to the processes
try:
    threading.Thread(target=print).start()
except RuntimeError as error:
    print(error)
print(signals.call(lambda: "served"))
try:
    signals.call(lambda: 1 / 0)
except ZeroDivisionError:
    print("raised")
terminate()
try:
    signals.call(print)
except signals.Terminated:
    print("ended")
""").splitlines() == ["can't start new thread", "served", "raised", "ended"]


@pytest.mark.parametrize("seconds", ["1e14", "1e300", "float('inf')"])
def test_a_wait_of_any_length_is_one(seconds: str) -> None:
    assert (
        python(f"""
later(0.1, terminate)
try:
    signals.sleep({seconds})
except signals.Terminated:
    print("ended")
""")
        == "ended"
    )


def test_a_shield_puts_every_signal_off_and_the_first_one_counts() -> None:
    assert python("""
try:
    with signals.shield():
        terminate(signal.SIGINT)
        signals.sleep(0.05)
        for _ in range(100_000):  # more than the pipe holds
            terminate()
        print(signals.call(lambda: "done"))
    print("lost")
except signals.Terminated as terminated:
    print(terminated.exit_code)
""").split() == ["done", "130"]


def test_a_wait_for_trouble_to_pass_is_not_shielded() -> None:
    assert (
        python("""
later(0.1, terminate)
try:
    with signals.shield():
        signals.sleep(15, for_trouble=True)
except signals.Terminated:
    print("ended")
""")
        == "ended"
    )


@pytest.mark.parametrize("api", APIS)
def test_a_termination_when_the_server_goes_after_a_create_ends_the_run_and_the_next_one_heals(
    api: Api, worlds: Worlds
) -> None:
    with worlds(api) as world:
        world.settle()
        handle = Handle()
        created: list[int] = []

        def gone(exchange: Exchange) -> None:
            handle.get().signal(SIGTERM)
            exchange.hang_up()

        def plan(exchange: Exchange) -> Fault | None:
            created.extend([exchange.number] * exchange.is_create)
            return gone if created and exchange.number > created[0] else None

        world.proxy.plan(plan)
        handle.set(world.start())
        result = handle.get().wait()
        assert result.code == 143, result.log
        assert result.seconds < 5, result.log  # its WAIT_TIMEOUT is 30
        world.expect_healed(result.log)


def test_a_termination_during_a_create_without_an_answer_is_not_followed_by_another_try(worlds: Worlds) -> None:
    with worlds("v4") as world:
        world.settle()
        handle = Handle()

        def lost(exchange: Exchange) -> None:
            exchange.forward()
            handle.get().signal(SIGINT)
            exchange.wait_for_hang_up(0.3)
            exchange.hang_up()

        creates: list[int] = []

        def plan(exchange: Exchange) -> Fault | None:
            creates.extend([exchange.number] * exchange.is_create)
            return lost if exchange.is_create else None

        world.proxy.plan(plan)
        handle.set(world.start())
        result = handle.get().wait()
        assert result.code == 130, result.log
        assert len(creates) == 1
        world.expect_healed(result.log)


def test_a_signal_after_the_end_is_decided_changes_nothing() -> None:
    """Neither while the result is printed nor afterwards."""
    assert python("""
import sys
from init_job import cli
class Stream:
    def write(self, text):
        if "exit " in text:
            terminate()
            print(text.strip().partition("exit ")[2][:1])
    def flush(self):
        pass
    def isatty(self):
        return False
sys.stderr = Stream()
os.environ["CHIRPSTACK_URL"] = "http://127.0.0.1:1"
code = cli.main(["check", "--token-file", "/nowhere/token"])
terminate()
print(code)
""").split() == ["6", "6"]


def test_a_storm_of_signals_ends_a_run_once(worlds: Worlds) -> None:
    with worlds("v4") as world:
        run = world.start(CHIRPSTACK_URL="http://127.0.0.1:1")
        run.wait_for("connection refused")
        for _ in range(50):
            run.signal(SIGTERM)
        result = run.wait()
        assert result.code == 143, result.log
        assert result.err.splitlines()[-1].endswith("exit 143: ended by SIGTERM")
        assert result.err.count("ended by") == 1
