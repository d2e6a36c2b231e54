"""Many cases of one kind at once: the runs mostly wait, for a backoff or for a time limit."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from os import environ
from typing import Any, TypeVar

from tests.faults.ledger import record, require
from tests.faults.runner import Result
from tests.faults.world import FULL, World

C = TypeVar("C")
SHARE = 150
"""`make test` tries one of so many cases of a sweep."""
_AT_ONCE = 4


def each(cases: Iterable[C], check: Callable[[C], None], one_of: int = 1) -> None:
    """Of so many cases one is tried, in a full sweep each, and at least one. Raises what the first failed case has
    raised, with the case named."""

    def named(case: C) -> None:
        try:
            check(case)
        except Exception as error:
            error.add_note(f"in the case {case}")
            raise

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(named, _sample(list(cases), 1 if FULL else one_of)))


def some_of(*dimensions: Sequence[Any]) -> list[tuple[Any, ...]]:
    """For `parametrize`: all combinations in a full sweep, otherwise so many that each value of each comes."""
    if FULL:
        return list(product(*dimensions))
    longest, found = max(dimensions, key=len), []
    for number in range(len(longest)):
        one, divisor = [], 1
        for values in dimensions:
            if values is longest:
                one.append(values[number])
            else:
                one.append(values[number // divisor % len(values)])
                divisor *= len(values)
        found.append(tuple(one))
    return found


def _sample(cases: list[C], one_of: int) -> list[C]:
    """Always the same ones, and others in each test: together they meet nearly every scenario at every request."""
    test = environ["PYTEST_CURRENT_TEST"]
    ranked = sorted(cases, key=lambda case: zlib.crc32(f"{test} {case!r}".encode()))
    return ranked[: -(-len(cases) // one_of)]


def judge(table: str, row: str, world: World, result: Result, codes: Iterable[int], outcome: str) -> None:
    """After a run that something hurt: it has ended with one of these codes, and one more run gets there. `outcome` is
    what the table says of it."""
    require(result.code in codes, "wrong exit code", f"none of {sorted(codes)}: {result.log}")
    world.expect_promise_kept(result)
    world.expect_healed(result.log)
    record(table, row, outcome)
