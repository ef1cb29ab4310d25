import pytest

from conferral.statemachine.events import DialEnded
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.statemachine.states import Phase, State, WaitAudio
from conferral.telephony.addresses import Address, AddressKind
from conferral.telephony.callback_urls import DialKind
from conferral.webhooks.call_routing import NextAgent
from conferral.webhooks.dial_action_decision import (
    DialActionAnswer,
    DialResult,
    decide,
    decide_by_child,
    decide_without_redis,
    party_of,
)
from tests.support.each import each
from tests.webhooks.webhook_helpers import AGENT, CALLER, a_party, facts

BRIDGE, CONF = DialKind.BRIDGE, DialKind.CONFERENCE
JOIN, BY_NAME, HANG_UP, ASK = (
    DialActionAnswer.JOIN,
    DialActionAnswer.JOIN_BY_NAME,
    DialActionAnswer.HANG_UP,
    DialActionAnswer.READ_CHILD_CALL,
)
IN_ANOTHER, NO_WAIT_AUDIO = DialActionAnswer.WAIT_IN_NEW_CONFERENCE, DialActionAnswer.WAIT_WITH_TWILIO_MUSIC
NEXT, WAIT, CONTINUE = DialActionAnswer.DIAL_NEXT_AGENT, DialActionAnswer.WAIT, DialActionAnswer.CONTINUE
SURVEY, NOWHERE = ConferenceAttributes(after_url="https://example.com/survey"), ConferenceAttributes()
BUSY, SILENT, UNREACHABLE = DialActionAnswer.SAY_BUSY, DialActionAnswer.SAY_NO_ANSWER, DialActionAnswer.SAY_UNREACHABLE


def outcome(
    dial=BRIDGE, status="completed", *, call="in-progress", attempt=1, asked=1, sid=CALLER, party="customer", more=False
):
    event = DialEnded(
        session_id=CALLER, party=party, call_sid=sid, dial_kind=dial, dial_call_status=status, call_status=call
    )
    following = NextAgent(1, Address(AddressKind.CLIENT, "bob")) if more else None
    return DialResult(event, attempt, asked, False, False, False, following)


def customer(**known):
    return a_party(call_sid=CALLER, label="customer-1", **known)


def agent(**known):
    return a_party(call_sid=AGENT, label="agent-1", **known)


@each(
    "state, dial, status, attempt, expected",
    [
        ("bridged",      BRIDGE, "completed",   1, HANG_UP),      # the agent has hung up
        ("bridged",      BRIDGE, "answered",    1, HANG_UP),
        ("bridged",      BRIDGE, "busy",        1, BUSY),
        ("bridged",      BRIDGE, "no-answer",   1, SILENT),
        ("bridged",      BRIDGE, "failed",      1, UNREACHABLE),
        ("bridged",      BRIDGE, "canceled",    1, UNREACHABLE),
        ("bridged",      BRIDGE, "",            1, HANG_UP),
        ("bridged",      BRIDGE, "a-new-word",  1, HANG_UP),
        ("bridged",      CONF,   "answered",    1, HANG_UP),
        ("converting",   BRIDGE, "completed",   1, JOIN),         # the agent was moved: follow
        ("converting",   BRIDGE, "busy",        1, JOIN),
        ("converting",   CONF,   "answered",    1, BY_NAME),      # refused by the conference: once more
        ("converting",   CONF,   "failed",      1, BY_NAME),
        ("converting",   CONF,   "answered",    2, HANG_UP),
        ("conferenced",  BRIDGE, "completed",   1, JOIN),         # a late parent
        ("conferenced",  CONF,   "answered",    1, HANG_UP),      # the conference is over
        ("transferring", BRIDGE, "completed",   1, JOIN),
        ("transferring", BRIDGE, "busy",        1, JOIN),
        ("transferring", CONF,   "answered",    1, IN_ANOTHER),   # the agent's leave has ended the conference
        ("transferring", CONF,   "failed",      1, IN_ANOTHER),   # refused by the conference
        ("transferring", CONF,   "answered",    2, NO_WAIT_AUDIO),   # its music can't be had
        ("transferring", CONF,   "answered",    3, HANG_UP),
        ("transferring", CONF,   "answered",    9, HANG_UP),
        ("ended",        BRIDGE, "completed",   1, HANG_UP),
        ("ended",        BRIDGE, "busy",        1, HANG_UP),
        ("ended",        CONF,   "answered",    1, HANG_UP),
        ("of-tomorrow",  BRIDGE, "completed",   1, HANG_UP),
    ],
)  # fmt: skip
def test_the_state_decides_and_else_the_dial_call_status(state, dial, status, attempt, expected):
    assert decide(outcome(dial, status, attempt=attempt), facts(state)) is expected


@each(
    "status, phase, changes, expected",
    [
        ("completed", Phase.CONNECTED, {},                   DialActionAnswer.WAIT_IN_CONFERENCE),
        ("",          Phase.CONNECTED, {},                   DialActionAnswer.WAIT_IN_CONFERENCE),
        ("completed", Phase.CONNECTED, {"has_desk": False},  HANG_UP),
        ("completed", Phase.CONNECTED, {"is_leaving": True}, HANG_UP),  # a command has let the agent go
        ("completed", Phase.RINGING,   {},                   HANG_UP),
    ],
)  # fmt: skip
def test_caller_waits_for_an_agent_with_a_desk_whose_leg_was_lost(status, phase, changes, expected):
    given = facts("bridged", phase=phase, customer=customer(), agent=agent(**{"has_desk": True, **changes}))
    assert decide(outcome(status=status), given) is expected
    assert decide_by_child("completed", outcome(status=status), given, NOWHERE) is expected


TARGET = a_party(call_sid="CA7", label="target-1", dial_id="d")


@each(
    "direction, state, phase, party, dial, expected",
    [
        ("inbound",  "transferring", Phase.NONE,   agent(), CONF, HANG_UP),
        ("outbound", "transferring", Phase.NONE,   agent(wait_audio=WaitAudio.MUSIC), BRIDGE, JOIN),
        ("inbound",  "transferring", Phase.NONE,   TARGET, CONF, HANG_UP),
        ("inbound",  "conferenced",  Phase.PARKED, TARGET, CONF, HANG_UP),
    ],
)  # fmt: skip
def test_only_a_customer_is_made_to_wait(direction, state, phase, party, dial, expected):
    name = party.label.rpartition("-")[0]
    given = facts(state, direction=direction, phase=phase, **{name: party})

    assert decide(outcome(dial, sid=party.call_sid, party=name), given) is expected


@each("state", State)
@each("dial", DialKind)
@each("status", ["completed", "busy", ""])
@each("wait_audio", [WaitAudio.NONE, WaitAudio.MUSIC])
@each("attributes", [NOWHERE, SURVEY])
def test_party_that_is_to_leave_is_hung_up_in_every_state(state, dial, status, wait_audio, attributes):
    given = facts(state, attributes=attributes, customer=customer(is_leaving=True, wait_audio=wait_audio))

    assert decide(outcome(dial, status, more=True), given) is HANG_UP


@each("state", State)
@each("dial", DialKind)
@each("status", ["completed", "busy"])
@each("call", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_a_party_that_is_gone_is_never_answered_with_more_than_a_hangup(state, dial, status, call):
    gone = outcome(dial, status, call=call, more=True)

    assert decide(gone, facts(state)) is HANG_UP
    assert decide_without_redis(gone) is HANG_UP


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("dial", DialKind)
def test_a_call_that_is_not_the_partys_is_hung_up(state, dial):
    stranger = outcome(dial, "busy", sid="CA" + "9" * 32, more=True)

    assert decide(stranger, facts(state)) is HANG_UP


@each(
    "known, dial, status, expected",
    [
        (None,             BRIDGE, "completed", ASK),
        (None,             BRIDGE, "",          ASK),
        (None,             BRIDGE, "busy",      WAIT),     # it may have a fallback
        (None,             BRIDGE, "canceled",  UNREACHABLE),  # never answered, so never moved
        (None,             CONF,   "answered",  WAIT),     # it may not have been decided upon yet
        ("bridged",        BRIDGE, "completed", HANG_UP),
        ("bridged",        BRIDGE, "busy",      BUSY),
        ("converting",     BRIDGE, "completed", JOIN),     # the intent was committed: not to be forgotten
        ("converting",     CONF,   "answered",  BY_NAME),
        ("conferenced",    BRIDGE, "completed", JOIN),
        ("conferenced",    CONF,   "answered",  HANG_UP),
        ("transferring",   BRIDGE, "completed", JOIN),
        ("transferring",   CONF,   "answered",  IN_ANOTHER),
        ("ended",          BRIDGE, "completed", HANG_UP),
        ("of-tomorrow",    BRIDGE, "completed", HANG_UP),
    ],
)  # fmt: skip
def test_twilio_is_queried_when_the_session_is_unknown(known, dial, status, expected):
    given = facts(known) if known else None

    assert decide(outcome(dial, status), given) is expected


@each("given", [{"moved_at_ms": 1}, {"lost_at_ms": 1}])
def test_twilio_is_queried_when_a_redirect_that_was_given_up_or_lost_may_have_moved_the_child(given):
    assert decide(outcome(BRIDGE, "completed"), facts("bridged", **given)) is ASK
    assert decide(outcome(BRIDGE, "busy"), facts("bridged", **given)) is BUSY


@each("status, expected", [("busy", BUSY), ("no-answer", SILENT), ("failed", UNREACHABLE)])
def test_an_unknown_session_is_awaited_for_its_fallback_only_so_long(status, expected):
    for asked in range(1, 6):
        assert decide(outcome(BRIDGE, status, asked=asked), None) is WAIT
    assert decide(outcome(BRIDGE, status, asked=6), None) is expected
    assert decide(outcome(BRIDGE, status, party="agent", sid=AGENT), None) is expected
    assert decide(outcome(BRIDGE, status, more=True), None) is NEXT


@each("opening, direction, party, attempt, expected", [
    ("arriving", "inbound",  "customer", 1, NO_WAIT_AUDIO), ("arriving", "inbound",  "customer", 2, HANG_UP),
    ("arriving", "outbound", "agent",    1, NO_WAIT_AUDIO), ("arriving", "outbound", "customer", 1, HANG_UP),
    ("",         "inbound",  "customer", 1, HANG_UP),
])  # fmt: skip
def test_who_waits_from_the_start_goes_on_once_with_twilios_music(opening, direction, party, attempt, expected):
    given = facts("conferenced", opening=opening, direction=direction)

    left = outcome(CONF, sid=CALLER if party == "customer" else AGENT, party=party, attempt=attempt)
    assert decide(left, given) is expected


# ---- after the others have left ----------------------------------------------------------------------------------


@each(
    "sid, party, state, known, expected",
    [
        (CALLER, "customer", "converting",   {"customer": customer()}, "customer"),
        (AGENT,  "customer", "converting",   {"customer": customer(), "agent": agent()}, "agent"),  # the call decides
        (AGENT,  "target",   "conferenced",  {"agent": agent()}, "agent"),             # the target has become the agent
        (AGENT,  "agent",    "conferenced",  {"agent": a_party("CA7"), "agent-1": agent()}, "agent-1"),
        (AGENT,  "agent",    "converting",   {"customer": customer()}, "agent"),       # not heard of yet
        (AGENT,  "agent",    "converting",   {"agent": a_party("")}, "agent"),
        (AGENT,  "agent",    "converting",   {"agent": a_party(CALLER)}, ""),
        (AGENT,  "target",   "transferring", {"customer": customer()}, ""),  # there is no such party
        (AGENT,  "agent",    "bridged",      {"agent": a_party("", dial_id="d")}, "agent"),  # the agent of a `call`
        (AGENT,  "agent",    "transferring", {"agent": a_party("", dial_id="d")}, ""),       # another agent is rung
    ],
)  # fmt: skip
def test_party_is_taken_from_the_call_or_else_from_the_url(sid, party, state, known, expected):
    parties = {name: replace(one, name=name) for name, one in known.items()}
    given = Session(CALLER, State(state), parties=parties)

    assert party_of(outcome(sid=sid, party=party), given) == expected
    assert party_of(outcome(sid=sid, party=party), None) == party


@each("reason, dial, status, expected", [
    ("agent-busy", BRIDGE, "busy", BUSY), ("agent-no-answer", BRIDGE, "no-answer", SILENT),
    ("customer-failed", BRIDGE, "failed", UNREACHABLE), ("agent-busy", CONF, "failed", HANG_UP),
    ("command", BRIDGE, "busy", HANG_UP), ("moved", BRIDGE, "canceled", HANG_UP),
])  # fmt: skip
def test_repeated_action_still_says_why_no_one_answered_if_that_ended_the_session(reason, dial, status, expected):
    given = facts("ended", end_reason=EndReason(reason))

    assert decide(outcome(dial, status, asked=2), given) is expected


@each("state, reason, dial, status, attempt, expected", [
    ("bridged", "", BRIDGE, "completed", 1, CONTINUE), ("bridged", "", BRIDGE, "answered", 1, CONTINUE),
    ("bridged", "", BRIDGE, "", 1, HANG_UP),  # no one has talked
    ("conferenced", "", CONF, "", 1, CONTINUE), ("converting", "", CONF, "answered", 2, HANG_UP),
    ("ended", "agent-left", BRIDGE, "", 1, CONTINUE), ("ended", "agent-busy", BRIDGE, "completed", 1, HANG_UP),
])  # fmt: skip
def test_only_a_customer_left_alone_after_talking_continues_elsewhere(state, reason, dial, status, attempt, expected):
    given = facts(state, end_reason=EndReason(reason) if reason else None, attributes=SURVEY)

    assert decide(outcome(dial, status, attempt=attempt), given) is expected
    assert decide(outcome(dial, status, sid=AGENT, attempt=attempt), given) is HANG_UP
    given = replace(given, attributes=NOWHERE)
    assert decide(outcome(dial, status, attempt=attempt), given) is HANG_UP
