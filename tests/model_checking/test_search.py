"""The explorer itself: it finds planted faults, and distinguishes places only by what matters."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields, replace

import pytest

from conferral.statemachine.parts import Attempt, PendingCommand, Recording, TransferState
from conferral.statemachine.session import Party, Session
from conferral.worker.executor.verification import Verdict, Verification
from tests.model_checking import entry_points
from tests.model_checking.canonical_values import MOMENTS, digest, flat
from tests.model_checking.clock_steps import next_due_ms
from tests.model_checking.configuration import Left, Move, Place
from tests.model_checking.decision import BrokenLawError
from tests.model_checking.flows import FLOWS, Flow
from tests.model_checking.idle_reduction import IdleReduction
from tests.model_checking.invariants import is_at_rest
from tests.model_checking.search import Bounds, Exploration, Finding
from tests.model_checking.silent_log import quietly
from tests.model_checking.traces import describe, replay


@pytest.fixture(autouse=True)
def quiet() -> None:
    quietly()


Begin = Callable[..., Exploration]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begins explorations, which are closed in the end."""
    with ExitStack() as stack:
        yield lambda flow, **given: stack.enter_context(Exploration(flow, Bounds(**given)))


def found(begin: Begin, flow: Flow, left: Left, faults: tuple[str, ...]) -> tuple[Exploration, Finding]:
    """The first law that is broken in a flow."""
    exploration = begin(flow, left=left, faults=faults, places_max=20_000, seconds_max=50)
    seen = exploration.explore()
    assert seen.findings
    return exploration, seen.findings[0]


# ---- what is planted is found ------------------------------------------------------------------------------------


def test_model_check_finds_a_dial_repeated_without_verification(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_found(*_args: object, **_kwargs: object) -> Verification:
        return Verification(Verdict.NOT_HAPPENED)

    monkeypatch.setattr(entry_points, "verify", nothing_found)
    exploration, finding = found(begin, FLOWS["warm-room"], Left(1, 0, 0, 1), ("unknown",))
    assert finding.broken.law == "no one is dialed twice for one intent"
    story = "\n".join(describe(exploration, finding))
    assert "the order create_participant target is sent, and its answer is lost after it has happened" in story
    assert len(finding.moves) < 10


def test_missing_lone_rule_is_found(begin: Begin) -> None:
    flow = FLOWS["remove"]
    flow = replace(flow, first="", policy=replace(flow.policy, lone_grace_ms=3_600_000))
    _, finding = found(begin, flow, Left(0, 0, 2, 2), ())
    assert finding.broken.law == "no one is stranded"
    assert [move.how for move in finding.moves if move.kind == "person"] == ["hang up", "hang up"]


def test_error_while_deciding_is_found(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    exploration = begin(FLOWS["inbound"], left=Left())
    real = exploration.system.sessions.decide_uncached

    def fails(number: int, event: object, was_taken: bool) -> object:
        if getattr(event, "status", "") == "in-progress":
            raise LookupError("planted")
        return real(number, event, was_taken)  # type: ignore[arg-type]

    monkeypatch.setattr(exploration.system.sessions, "decide_uncached", fails)
    seen = exploration.explore()
    assert [finding.broken.law for finding in seen.findings] == ["nothing raises"]


# ---- stories -----------------------------------------------------------------------------------------------------


def test_reported_flow_leads_to_the_same_states_again(begin: Begin) -> None:
    flow = FLOWS["remove"]
    flow = replace(flow, first="", policy=replace(flow.policy, lone_grace_ms=3_600_000))
    exploration, finding = found(begin, flow, Left(0, 0, 2, 2), ())
    story = describe(exploration, finding)
    places, broken = replay(exploration, story)
    assert places == exploration.follow(exploration.full(finding.moves))[0]
    assert isinstance(broken, BrokenLawError)
    assert (broken.law, broken.reason) == (finding.broken.law, finding.broken.reason)


# ---- places ------------------------------------------------------------------------------------------------------


def test_every_moment_of_a_session_is_moved_when_time_passes() -> None:
    for kind in (Session, Party, PendingCommand, Recording, TransferState, Attempt):
        moments = {field.name for field in fields(kind) if field.name.endswith("_ms")}
        assert moments == set(MOMENTS.get(kind, ())), kind


# ---- callbacks that change nothing -------------------------------------------------------------------------------


def test_callbacks_that_change_nothing_may_come_first(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the shortcut and without it the same ends are reached."""
    short, shorter = ends(begin, "inbound")
    monkeypatch.setattr(IdleReduction, "takes", lambda *_: False)
    long, longer = ends(begin, "inbound")
    assert short == long
    assert shorter < longer


def test_every_place_is_reached_step_by_step_too(begin: Begin) -> None:
    """However much is learnt meanwhile of what must not be decided early."""
    exploration = begin(FLOWS["blind-room"], left=Left(1, 1, 1, 2), faults=("crash",))
    ways: dict[Place, tuple[Move, ...]] = {exploration.start: ()}
    open_ = deque(ways)
    while len(ways) < 300:
        place = open_.popleft()
        for move, after in exploration.moves.of(place):
            if isinstance(after, Place) and after not in ways:
                ways[after] = (*ways[place], move)
                open_.append(after)
    for place, way in list(ways.items())[::20]:
        places, broken = exploration.follow(exploration.full(way))
        assert (places[-1], broken) == (place, None)


def ends(begin: Begin, name: str) -> tuple[set[bytes], int]:
    """Where nothing happens any more, and how many places were seen."""
    exploration = begin(FLOWS[name], left=Left(0, 0, 1, 1), seconds_max=50)
    exploration.explore()  # by which it is known where the shortcut is none
    system, places = exploration.system, [exploration.start]
    known, at_rest = {exploration.start}, set()
    for place in places:
        if next_due_ms(system, place) is None and is_at_rest(system, place):
            at_rest.add(
                digest((flat(system.sessions.known[place.session]), flat(system.exchanges.legs[place.exchange])))
            )
        for _, after in exploration.moves.of(place):
            assert isinstance(after, Place)
            if after not in known:
                known.add(after)
                places.append(after)
    return at_rest, len(places)
