"""Many cases of one kind at once: the runs mostly wait, for a backoff or for a time limit."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.faults.ledger import record, require
from tests.faults.runner import Result
from tests.faults.world import World

C = TypeVar("C")
_AT_ONCE = 8


def each(cases: Iterable[C], check: Callable[[C], None]) -> None:
    """Raises what the first failed case has raised, with the case named."""

    def named(case: C) -> None:
        try:
            check(case)
        except Exception as error:
            error.add_note(f"in the case {case}")
            raise

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(named, cases))


def judge(table: str, row: str, world: World, result: Result, codes: Iterable[int], outcome: str) -> None:
    """After a run that something hurt: it has ended with one of these codes, and one more run gets there. `outcome` is
    what the table says of it."""
    require(result.code in codes, "wrong exit code", f"none of {sorted(codes)}: {result.log}")
    world.expect_promise_kept(result)
    world.expect_healed(result.log)
    record(table, row, outcome)
