"""Callbacks about calls that are not the session's: they change nothing, in any state."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from conferral.statemachine.parts import SeenEvents
from conferral.statemachine.session import Session
from tests.statemachine.call_legs import CONFERENCE, GUEST_CALL
from tests.statemachine.command_scenarios import added
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import conferenced, talking
from tests.support.each import each

NEW_CALL = "CA" + "8" * 32
STATES = {
    "bridged": lambda: Scenario().answered(),
    "converting": lambda: Scenario().answered().convert(),
    "conferenced": conferenced,
    "transferring": lambda: talking("warm"),
}
CALLBACKS: dict[str, Callable[[Scenario], Scenario]] = {
    "status": lambda story: story.call("guest", "ringing"),
    "dial-ended": lambda story: story.dial_ends("completed", party="guest"),
    "join": lambda story: story.joins("guest"),
    "leave": lambda story: story.leaves("guest"),
    "change": lambda story: story.changes("guest"),
}


def without_bookkeeping(session: Session) -> Session:
    """Return the session without what every event changes."""
    return replace(session, version=0, seen=SeenEvents())


@each("state, callback", [
    ("bridged", "status"), ("bridged", "join"),
    ("converting", "status"), ("converting", "dial-ended"), ("converting", "change"),
    ("conferenced", "status"), ("conferenced", "change"),
    ("transferring", "status"), ("transferring", "dial-ended"), ("transferring", "change"),
])  # fmt: skip
def test_callback_about_an_unknown_call_changes_nothing(state: str, callback: str):
    story = STATES[state]()
    before = without_bookkeeping(story.session)
    CALLBACKS[callback](story).expect(state, outcome="unexpected")
    assert without_bookkeeping(story.session) == before


@pytest.mark.parametrize("state", ["conferenced", "transferring"])
def test_unknown_caller_who_has_left_is_not_brought_back_by_an_older_read(state: str):
    story = STATES[state]()
    parties = story.session.parties
    CALLBACKS["leave"](story).expect(state, outcome="unexpected")
    assert story.session.former_calls[-1] == GUEST_CALL
    statuses = dict.fromkeys(parties, "in-progress")
    story.reads(conference=CONFERENCE, inside=(*parties, "guest"), **statuses).expect(state)
    assert story.session.parties.keys() == parties.keys()


@pytest.mark.parametrize(
    ("kind", "leg"),
    [
        ("create_participant", ""),  # the response names no call
        ("create_participant", "lawyer"),  # a party that has left
        ("create_participant", "guest"),  # a former call
        ("create_participant", "agent"),
    ],
)
def test_success_that_shows_no_new_dialed_call_hangs_up_no_one(kind: str, leg: str):
    story = added().leaves("guest").call("lawyer", "completed").leaves("lawyer")
    call_sid = story.legs[leg].call_sid if leg in ("agent", "lawyer", "guest") else leg
    story.succeeds(kind, "lawyer", "earlier-dial", call_sid=call_sid).expect("conferenced")


def test_call_of_a_replaced_dial_is_hung_up():
    story = added().succeeds("create_participant", "lawyer", "earlier-dial", call_sid=NEW_CALL)
    story.expect("conferenced", "hang up a call")
