"""Every flow, explored: in every run as far as so many places lead, the whole of it in `make explore`."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.model_checking.configuration import Left
from tests.model_checking.flows import FLOWS
from tests.model_checking.search import Bounds, Exploration, Explored
from tests.model_checking.silent_log import quietly
from tests.model_checking.traces import describe

#: Flows that come to an end within seconds, whatever goes wrong once: all of it is seen in every run.
WHOLE = ("inbound",)
#: Those of which in every run only the beginning is seen: the usual order of things, with one disturbance.
BEGUN = (
    "three", "convert", "warm", "consulting", "blind", "park", "waiting", "inbound-return", "waiting-return", "moved",
    "call-moved", "browser", "hold-limit", "consult-limit", "waiting-observed", "blind-room-observed",
    "lost", "lost-room", "lost-consult", "queue", "queue-retrieved",
)  # fmt: skip
#: Places that are searched then (count). `make soak` searches each for 30 s of processor time, and no fewer places.
PLACES = 150
#: Moves of flows that have fewer places (count): about half of what there are, so that a row more or less passes.
MOVES_MIN = {"moved": 80, "call-moved": 40}
#: Those in which the start of a conference is reported before the join of who has started it; someone may hang up.
START_FIRST = tuple(name for name in FLOWS if name.endswith("-start-first"))
#: Those in which a request that might take someone off hold has no answer, and is carried out at any moment later.
LATE = ("consult", "consult-early")
#: Those in which Redis loses writes at any moment of the usual order, by up to four changes of the session.
WITH_LOSS = ("inbound",)


def explored(name: str, left: Left, *, seconds: float = math.inf, **bounds: Any) -> Explored:
    """What was seen of a flow; fails with the story of the first law that was broken, or if too little was seen."""
    quietly()
    within = Bounds(left=left, seconds_max=seconds, places_min=PLACES, **bounds)
    with Exploration(FLOWS[name], within) as exploration:
        seen = exploration.explore()
        stories = ["\n".join(describe(exploration, finding)) for finding in seen.findings]
    assert not stories, "\n\n" + "\n\n".join(stories)
    assert seen.is_exhausted or seen.places > PLACES
    assert seen.moves >= MOVES_MIN.get(name, PLACES)
    return seen


@pytest.mark.parametrize("name", WHOLE)
def test_flow_with_one_disturbance(name: str) -> None:
    assert explored(name, Left(1, 1, 1, 1)).is_exhausted


@pytest.mark.parametrize("name", BEGUN)
def test_flow_at_its_beginning(name: str) -> None:
    explored(name, Left(1, 1, 1, 1), places_max=PLACES)


@pytest.mark.parametrize("name", START_FIRST)
def test_flow_whose_start_is_reported_first(name: str) -> None:
    """One who is heard is not put on hold as if they still waited."""
    explored(name, Left(0, 0, 1, 1), places_max=PLACES)


@pytest.mark.parametrize("name", LATE)
def test_flow_with_an_update_that_is_given_up_and_carried_out_later(name: str) -> None:
    """Before the hold of a consult or a swap, or after it: no one overhears what follows."""
    explored(name, Left(1, 1, 0, 2), faults=("late",), places_max=12 * PLACES)


@pytest.mark.parametrize("name", WITH_LOSS)
def test_flow_with_a_loss(name: str) -> None:
    assert explored(name, Left(1, 0, 0, 1), faults=("loss",)).is_exhausted


def test_flow_with_a_loss_at_its_beginning() -> None:
    """The whole of it takes seconds."""
    explored("hold", Left(1, 0, 0, 1), faults=("loss",), places_max=PLACES)


@pytest.mark.parametrize("name", ["convert", "convert-all-listed"])
def test_conversion_whose_callbacks_are_lost(name: str) -> None:
    """Whichever are lost, and whatever lists show: no one who talks is hung up."""
    explored(name, Left(4, 0, 0, 4), faults=("lose",), places_max=PLACES)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", FLOWS)
def test_flow_with_a_loss_for_a_quarter_of_a_minute(name: str) -> None:
    explored(name, Left(1, 1, 1, 2), faults=("loss",), seconds=15)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", FLOWS)
def test_flow_for_half_a_minute(name: str, report_figure: Callable[[str], None]) -> None:
    seen = explored(name, Left(1, 1, 1, 2), seconds=30)
    how_far = "to its end" if seen.is_exhausted else f"all with fewer than {seen.unusual} unusual things"
    report_figure(f"{seen.places:,} places, {seen.moves:,} moves, {how_far}")


def test_no_flow_is_missing() -> None:
    assert {*WHOLE, *BEGUN, *WITH_LOSS} <= set(FLOWS)
