import pytest

from conferral.statemachine.events import GateDecision
from conferral.statemachine.states import Opening, PartyStatus, State
from conferral.telephony.phrases import Phrase
from conferral.webhooks.gate import GateRoute, decide, refusal_phrase, released_dials, route_of
from tests.support.each import each
from tests.webhooks.webhook_helpers import AGENT, CALLER, DIAL, a_party, facts

ACCEPTED, REJECTED, SILENT = GateDecision.ACCEPTED, GateDecision.REJECTED, GateDecision.NO_CONFIRMATION
TAKEN, LATE = GateDecision.TAKEN, GateDecision.TOO_LATE
ASK = None
CONFERENCE, CUSTOMER, NOWHERE = GateRoute.CONFERENCE, GateRoute.CUSTOMER, GateRoute.NOWHERE
EMPTY = GateRoute.EMPTY_CONFERENCE


def dialed(**known):
    return a_party(dial_id=DIAL, **({"status": "ringing"} | known))


@each(
    "state, direction, party, expected",
    [
        ("bridged",      "inbound",  "target",   NOWHERE),
        ("bridged",      "inbound",  "agent",    NOWHERE),
        ("bridged",      "outbound", "target",   NOWHERE),
        ("bridged",      "outbound", "customer", NOWHERE),
        ("bridged",      "outbound", "agent",    CUSTOMER),     # of a `call`
        ("converting",   "inbound",  "target",   NOWHERE),
        ("converting",   "outbound", "agent",    NOWHERE),
        ("conferenced",  "inbound",  "target",   NOWHERE),      # someone else has taken it, or it was cancelled
        ("conferenced",  "outbound", "agent",    NOWHERE),
        ("transferring", "inbound",  "target",   CONFERENCE),
        ("transferring", "inbound",  "target_2", CONFERENCE),
        ("transferring", "inbound",  "agent",    CONFERENCE),   # rung again
        ("transferring", "outbound", "target",   CONFERENCE),
        ("transferring", "outbound", "agent",    CONFERENCE),
        ("ended",        "inbound",  "target",   NOWHERE),
        ("ended",        "outbound", "agent",    NOWHERE),
        ("of-tomorrow",  "inbound",  "target",   NOWHERE),
    ],
)  # fmt: skip
def test_a_dial_leads_where_the_session_waits_for_it(state, direction, party, expected):
    assert route_of(facts(state, direction=direction, **{party: dialed()}), DIAL) is expected


@pytest.mark.parametrize(
    ("state",        "party",      "expected"),
    [
        ("bridged",      "supervisor", NOWHERE),         # it converts first, and dials then
        ("converting",   "supervisor", NOWHERE),
        ("conferenced",  "supervisor", CONFERENCE),
        ("transferring", "supervisor", CONFERENCE),
        ("ended",        "supervisor", NOWHERE),
        ("converting",   "expert",     NOWHERE),
        ("conferenced",  "expert",     CONFERENCE),      # of an `add`
        ("transferring", "expert",     CONFERENCE),
        ("conferenced",  "target_2",   NOWHERE),
        ("conferenced",  "target",     NOWHERE),
        ("conferenced",  "customer",   NOWHERE),
        ("ended",        "expert",     NOWHERE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_conference_lets_in_who_was_added_and_who_supervises(state, party, direction, expected):
    assert route_of(facts(state, direction=direction, **{party: dialed()}), DIAL) is expected


@each(
    "direction, party, opening, expected",
    [
        ("outbound",  "agent",    Opening.CALLING,    EMPTY),       # of a `call` with mode `conference`
        ("outbound",  "agent",    Opening.ARRIVING,   EMPTY),       # the same request once more
        ("outbound",  "agent",    Opening.DIALING,    EMPTY),
        ("outbound",  "agent",    Opening.OVER,       NOWHERE),
        ("outbound",  "customer", Opening.DIALING,    CONFERENCE),  # every phone must press 1
        ("inbound",   "agent",    Opening.DIALING,    CONFERENCE),
        ("inbound",   "agent",    Opening.OVER,       NOWHERE),
    ],
)  # fmt: skip
def test_conference_from_the_start_admits_the_expected_party(direction, party, opening, expected):
    given = {"mode": "conference", "opening": opening.value, "direction": direction, party: dialed()}

    assert route_of(facts("conferenced", **given), DIAL) is expected
    assert route_of(facts("ended", **given), DIAL) is NOWHERE


@pytest.mark.parametrize("status", PartyStatus)
@pytest.mark.parametrize("is_leaving", [True, False])
def test_target_that_left_or_is_leaving_is_not_waited_for(status, is_leaving):
    target = dialed(status=status.value, is_leaving=is_leaving)
    lost = is_leaving or status is PartyStatus.LEFT

    assert route_of(facts("transferring", target=target), DIAL) is (NOWHERE if lost else CONFERENCE)
    assert route_of(facts("bridged", direction="outbound", agent=target), DIAL) is (NOWHERE if lost else CUSTOMER)


@each(
    "rival, is_gone",
    [
        (a_party(dial_id="e1", ring_group="word", status="left"),                          True),
        (a_party(dial_id="e1", ring_group="word", status="ringing", is_leaving=True),      True),
        (a_party(dial_id="e1", ring_group="word", status="ringing"),                       False),
        (a_party(dial_id="e1", ring_group="word", status="connected"),                     False),
        (a_party(dial_id="e1", ring_group="another", status="left"),                       False),
        (a_party(dial_id="",   ring_group="word", status="left"),                          False),
        (a_party(call_sid=AGENT, status="left"),                                        False),
    ],
)  # fmt: skip
def test_released_targets_are_ring_group_rivals_that_have_left(rival, is_gone):
    given = facts("transferring", target_1=dialed(ring_group="word"), target_2=rival)

    assert released_dials(given, DIAL) == (("e1",) if is_gone else ())


@pytest.mark.parametrize("state", State)
def test_gate_rejects_a_dial_of_no_party(state):
    assert route_of(facts(state, target=a_party(dial_id="e" * 20)), DIAL) is NOWHERE
    assert route_of(facts(state), DIAL) is NOWHERE
    assert route_of(None, DIAL) is NOWHERE


@each("state, direction, party", [("transferring", "inbound", "target"), ("bridged", "outbound", "agent")])
@each(
    "waited_for, confirm, asked, pressed, expected",
    [
        (True,  False, 1, "",      ACCEPTED),
        (True,  False, 1, "5",     ACCEPTED),    # no one has asked for a key yet
        (True,  True,  1, "",      ASK),
        (True,  True,  1, "1",     ASK),
        (True,  True,  2, "1",     ACCEPTED),
        (True,  True,  2, "2",     REJECTED),
        (True,  True,  2, "#",     REJECTED),
        (True,  True,  2, "other", REJECTED),
        (True,  True,  2, "11",    REJECTED),
        (True,  True,  2, "",      ASK),         # once more
        (True,  True,  3, "1",     ACCEPTED),
        (True,  True,  3, "2",     REJECTED),
        (True,  True,  3, "",      SILENT),
        (True,  False, 2, "1",     ACCEPTED),    # who was asked has to answer, whatever is said of the dial by now
        (True,  False, 2, "",      ASK),
        (True,  False, 3, "",      SILENT),
        (False, False, 1, "",      LATE),
        (False, True,  1, "",      LATE),
        (False, True,  2, "1",     LATE),
        (False, True,  2, "",      LATE),
        (False, True,  2, "2",     REJECTED),    # the same as before the session had heard of it
        (False, True,  3, "1",     LATE),
        (False, True,  3, "2",     REJECTED),
        (False, True,  3, "",      SILENT),
    ],
)  # fmt: skip
def test_key_decides_where_one_was_requested(state, direction, party, waited_for, confirm, asked, pressed, expected):
    given = facts(state if waited_for else "ended", direction=direction, **{party: dialed(confirm=confirm)})

    assert decide(given, DIAL, question=asked, pressed=pressed) is expected


@pytest.mark.parametrize("pressed", ["", "1"])
def test_gate_of_an_unknown_session_decides_too_late(pressed):
    assert decide(None, DIAL, question=1, pressed=pressed) is LATE
    assert decide(None, DIAL, question=2, pressed=pressed) is LATE


@each(
    "decision, customer, direction, expected",
    [
        (REJECTED, a_party(CALLER, status="left"), "inbound", Phrase.DECLINED),
        (SILENT,   a_party(CALLER, status="left"), "inbound", Phrase.NO_KEY),
        (TAKEN,    a_party(CALLER, status="left"), "inbound", Phrase.TAKEN),
        (LATE,     a_party(CALLER, status="left"), "inbound", Phrase.CALLER_HUNG_UP),
        (LATE,     a_party(CALLER, status="left", is_leaving=True), "inbound", Phrase.TOO_LATE),  # hung up by us
        (LATE,     a_party(CALLER, status="connected"), "inbound", Phrase.TOO_LATE),
        (LATE,     a_party(CALLER, status="left"), "outbound", Phrase.TOO_LATE),                  # is no caller
    ],
)  # fmt: skip
def test_rejected_target_hears_why(decision, customer, direction, expected):
    given = facts("ended", direction=direction, customer=customer, agent=a_party(AGENT, status="left"))

    assert refusal_phrase(decision, given) is expected
    assert refusal_phrase(decision, None) is (Phrase.TOO_LATE if decision is LATE else expected)
