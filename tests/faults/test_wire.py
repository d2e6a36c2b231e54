"""Every request of every run is hurt in every way, and the next run gets there."""

from collections.abc import Iterator

import pytest

from tests.faults.conftest import Surveys, Worlds
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.sweep import SHARE, each, judge
from tests.faults.wire_faults import ACTS_LATE, OF_HTTP, SLOW, faults, hurt_at
from tests.faults.world import APIS, FULL, Api, pick

REFUSED = "refused"
TURNS = (True, False, False)
PATIENCE = {"once": "30s", "once, without patience": "0", "from then on": "0"}
"""WAIT_TIMEOUT in each mode."""


Case = tuple[Scenario, int, str]


def cases(api: Api, name: str, surveys: Surveys) -> Iterator[Case]:
    """Every request of every scenario; the first run's in each mode, the others' in one, now this and now that. What
    knows nothing of the servers is tried with one of them. Until it changes something one run is like another: the
    scenarios take turns."""
    modes = list(PATIENCE)
    other: Api = "v4" if api == "v3" else "v3"
    if name == REFUSED:
        modes.remove("from then on")  # a server that is gone: `wait` has its tests
    for scenario in SCENARIOS:
        if name == ACTS_LATE and not scenario.has_state:
            continue  # known limit: the next run cannot know whose key that is
        shared = surveys(other, scenario).requests if name in (REFUSED, *OF_HTTP) else 0
        found = surveys(api, scenario)
        for number in range(1, found.requests + 1):
            if number <= shared and pick(APIS, scenario.name, name, number) != api:
                continue
            if scenario.name == "first run":
                yield from ((scenario, number, mode) for mode in modes)
            elif number >= found.first_change or pick(TURNS, name, scenario.name, number):
                yield scenario, number, pick(modes, api, scenario.name, name, number)


FAULTS = [
    (api, name)
    for api in APIS
    for name in (REFUSED, *faults(api))
    if FULL or name not in OF_HTTP or api == pick(APIS, name)
]


@pytest.mark.parametrize(("api", "name"), FAULTS)
def test_a_request_that_is_hurt_costs_at_most_one_more_run(
    api: Api, name: str, worlds: Worlds, surveys: Surveys
) -> None:
    def check(case: Case) -> None:
        scenario, number, mode = case
        with worlds(api) as one:
            scenario.set_up(one)
            hurt_at(one.proxy, number, None if name == REFUSED else faults(api)[name], mode)
            limit = {"REQUEST_TIMEOUT": "1s"} if name in SLOW else {}
            result = one.run(WAIT_TIMEOUT=PATIENCE[mode], **limit)
            one.proxy.wait_until_idle()
            codes = {one.expected.code} if mode == "once" else {one.expected.code, 3}
            how = "no patience" if PATIENCE[mode] == "0" else "waits"
            judge("wire", name, one, result, codes, f"{how}: exit {result.code}")

    each(cases(api, name, surveys), check, one_of=SHARE)
