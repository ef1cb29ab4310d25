"""The explorer itself: it finds what is planted, and tells places apart by what counts alone."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields, replace

import pytest

from statemachine.order import Order, Recording
from statemachine.session import Party, Session
from statemachine.transfer import Attempt, TransferState
from telephony.look import Verdict
from tests.exploration import doors
from tests.exploration.configuration import Left, Place
from tests.exploration.deciding import BrokenLawError
from tests.exploration.flows import FLOWS, Flow
from tests.exploration.idle import Idle
from tests.exploration.laws import is_at_rest
from tests.exploration.passing import next_due_ms
from tests.exploration.plain import MOMENTS, digest, flat
from tests.exploration.quiet import quietly
from tests.exploration.search import Bounds, Exploration, Finding
from tests.exploration.stories import replay, tell
from worker.looking import Found


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


def test_dial_that_is_repeated_without_a_look_is_found(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_found(*_args: object) -> Found:
        return Found(Verdict.NOT_HAPPENED)

    monkeypatch.setattr(doors, "look", nothing_found)
    exploration, finding = found(begin, FLOWS["warm-room"], Left(1, 0, 0, 1), ("unknown",))
    assert finding.broken.law == "nobody is dialled twice for one intent"
    story = "\n".join(tell(exploration, finding))
    assert "the order create_participant target is sent, and its answer is lost after it has happened" in story
    assert len(finding.moves) < 10


def test_missing_lone_rule_is_found(begin: Begin) -> None:
    flow = FLOWS["remove"]
    flow = replace(flow, first="", policy=replace(flow.policy, lone_grace_ms=3_600_000))
    _, finding = found(begin, flow, Left(0, 0, 2, 2), ())
    assert finding.broken.law == "nobody is stranded"
    assert [move.how for move in finding.moves if move.kind == "person"] == ["hang up", "hang up"]


def test_error_while_deciding_is_found(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    exploration = begin(FLOWS["inbound"], left=Left())
    real = exploration.world.sessions._decide

    def fails(number: int, event: object, was_taken: bool) -> object:
        if getattr(event, "status", "") == "in-progress":
            raise LookupError("planted")
        return real(number, event, was_taken)  # type: ignore[arg-type]

    monkeypatch.setattr(exploration.world.sessions, "_decide", fails)
    seen = exploration.explore()
    assert [finding.broken.law for finding in seen.findings] == ["nothing raises"]


# ---- stories -----------------------------------------------------------------------------------------------------


def test_story_that_was_told_leads_to_the_same_places_again(begin: Begin) -> None:
    flow = FLOWS["remove"]
    flow = replace(flow, first="", policy=replace(flow.policy, lone_grace_ms=3_600_000))
    exploration, finding = found(begin, flow, Left(0, 0, 2, 2), ())
    story = tell(exploration, finding)
    places, broken = replay(exploration, story)
    assert places == exploration.follow(finding.moves)
    assert isinstance(broken, BrokenLawError)
    assert (broken.law, broken.reason) == (finding.broken.law, finding.broken.reason)


def test_story_that_can_not_be_played_says_what_can_happen_there(begin: Begin) -> None:
    exploration = begin(FLOWS["inbound"], left=Left())
    with pytest.raises(LookupError, match="program document /voice/inbound is answered"):
        replay(exploration, ["1. the sky falls"])


# ---- places ------------------------------------------------------------------------------------------------------


def test_two_orders_that_lead_to_the_same_place_meet_there(begin: Begin) -> None:
    exploration = begin(FLOWS["convert"], left=Left())
    sent = [after for move, after in exploration.moves.of(exploration.start) if move.kind == "send"]
    (moved,) = sent
    assert isinstance(moved, Place)
    one, other = two_ways(exploration, moved, "answer", "fetch"), two_ways(exploration, moved, "fetch", "answer")
    assert one == other


def two_ways(exploration: Exploration, place: Place, *kinds: str) -> Place:
    for kind in kinds:
        after = next(after for move, after in exploration.moves.of(place) if move.kind == kind)
        assert isinstance(after, Place)
        place = after
    return place


def test_every_moment_of_a_session_is_moved_when_time_passes() -> None:
    for kind in (Session, Party, Order, Recording, TransferState, Attempt):
        moments = {field.name for field in fields(kind) if field.name.endswith("_ms")}
        assert moments == set(MOMENTS.get(kind, ())), kind


def test_digest_does_not_depend_on_which_texts_are_the_same_object() -> None:
    one, other = "a" * 40, "".join(["a"] * 40)
    assert one is not other
    assert digest(flat((one, one))) == digest(flat((one, other)))


# ---- callbacks that change nothing -------------------------------------------------------------------------------


def test_callbacks_that_change_nothing_may_come_first(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the shortcut and without it the same ends are reached."""
    short, shorter = ends(begin, "inbound")
    monkeypatch.setattr(Idle, "takes", lambda *_: False)
    long, longer = ends(begin, "inbound")
    assert short == long
    assert shorter < longer


def ends(begin: Begin, name: str) -> tuple[set[bytes], int]:
    """Where nothing happens any more, and how many places were seen."""
    exploration = begin(FLOWS[name], left=Left(0, 0, 1, 1), seconds_max=50)
    exploration.explore()  # by which it is known where the shortcut is none
    world, places = exploration.world, [exploration.start]
    known, at_rest = {exploration.start}, set()
    for place in places:
        if next_due_ms(world, place) is None and is_at_rest(world, place):
            at_rest.add(digest((flat(world.sessions.known[place.session]), flat(world.exchanges.legs[place.exchange]))))
        for _, after in exploration.moves.of(place):
            assert isinstance(after, Place)
            if after not in known:
                known.add(after)
                places.append(after)
    return at_rest, len(places)
