"""An exception that a signal raises may come at any place: what must not come of it."""

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
import os, queue, signal, threading, time
from init_job import signals
signals.install()
def later(seconds, function):
    threading.Timer(seconds, function).start()
def terminate():
    os.kill(os.getpid(), signal.SIGTERM)
"""


def python(program: str) -> str:
    """What it prints, within a few seconds."""
    run = subprocess.run(
        [sys.executable, "-c", _BEGIN + program], cwd=_ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    return run.stdout.strip() or run.stderr


def test_a_termination_that_a_destructor_swallows_comes_again() -> None:
    assert "ended" in python("""
class Slow:
    def __del__(self):
        terminate()
        time.sleep(0.05)
try:
    slow = Slow()
    del slow
    time.sleep(5)
    print("lost")
except signals.Terminated:
    print("ended")
""")


@pytest.mark.parametrize("what", ["terminate()", "None"])
def test_nothing_is_raised_while_a_queue_is_locked(what: str) -> None:
    """urllib3's pool is one: a lock that stays held would stop whoever uses the pool next."""
    assert (
        python(f"""
pool = queue.Queue()
later(0.1, lambda: {what})
later(0.4, lambda: pool.put("free"))
try:
    with signals.time_limit(0.2):
        got = pool.get()
        time.sleep(5)
except (signals.Terminated, signals.Overdue):
    print("got", got, pool.mutex.acquire(blocking=False))
""")
        == "got free True"
    )


def test_a_time_limit_that_a_destructor_swallows_comes_again() -> None:
    assert "overdue" in python("""
class Slow:
    def __del__(self):
        time.sleep(0.3)
try:
    with signals.time_limit(0.1):
        slow = Slow()
        del slow
        time.sleep(5)
    print("lost")
except signals.Overdue:
    print("overdue")
time.sleep(0.5)  # no alarm comes when the limit is gone
""")


@pytest.mark.parametrize("wait", ["with signals.time_limit(10): ours.recv(1)", "signals.sleep(10)"])
def test_a_termination_that_interrupts_no_system_call_is_seen_within_a_second(wait: str) -> None:
    """As one that comes just before the call. Here it meets another thread, so that the main one's call goes on."""
    assert "ended True" in python(f"""
import socket
ours, theirs = socket.socketpair()
def terminate_from_here():
    ended_at.append(time.monotonic())
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
ended_at = []
later(0.1, terminate_from_here)
try:
    {wait}
except signals.Terminated:
    print("ended", time.monotonic() - ended_at[0] < 1)
""")


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
sys.stderr = Stream()
os.environ["CHIRPSTACK_URL"] = "http://127.0.0.1:1"
code = cli.main(["check", "--token-file", "/nowhere/token"])
terminate()
time.sleep(0.5)
print(code)
""").split() == ["6", "6"]


def test_a_second_exception_never_takes_the_place_of_the_result() -> None:
    """Whenever the alarm rings again after the first one."""
    assert (
        python("""
import logging
from init_job import cli, log
log.configure = lambda *_: logging.disable()
signals._TICK = 0.00005
def outcome(options):
    with signals.shield():
        terminate()
        signals._ring_within(0.001)
        time.sleep(0.002)
cli._outcome = outcome
codes = set()
for _ in range(500):
    codes.add(cli.main([]))
    signal.setitimer(signal.ITIMER_REAL, 0)
    signals._pending = None
print(codes)
""")
        == "{143}"
    )
