import pytest

from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.events import DialEnded
from conferral.statemachine.session import Session
from conferral.statemachine.states import Opening, Phase, State, WaitAudio
from conferral.telephony.callback_urls import DialKind
from conferral.webhooks.dial_action import (
    REDIS_READS_MAX,
    REQUESTS_MAX,
    DialActionAnswer,
    DialOutcome,
    decide,
    decide_by_child,
    decide_by_conference,
    decide_without_redis,
    first_waiting_party,
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
ASK_FOR_CONFERENCE = DialActionAnswer.READ_CONFERENCE
IN_CONFERENCE, IN_ANOTHER, NO_WAIT_AUDIO = (
    DialActionAnswer.WAIT_IN_CONFERENCE,
    DialActionAnswer.WAIT_IN_NEW_CONFERENCE,
    DialActionAnswer.WAIT_WITH_TWILIO_MUSIC,
)
NEXT, GO_ON, WAIT = DialActionAnswer.DIAL_NEXT_AGENT, DialActionAnswer.CONTINUE, DialActionAnswer.WAIT
SURVEY, NOWHERE = ConferenceAttributes(after_url="https://example.com/survey"), ConferenceAttributes()
BUSY, SILENT, UNREACHABLE = DialActionAnswer.SAY_BUSY, DialActionAnswer.SAY_NO_ANSWER, DialActionAnswer.SAY_UNREACHABLE


def outcome(
    dial=BRIDGE, status="completed", *, call="in-progress", attempt=1, asked=1, sid=CALLER, party="customer", more=False
):
    event = DialEnded(
        session_id=CALLER, party=party, call_sid=sid, dial=dial, dial_call_status=status, call_status=call
    )
    return DialOutcome(event, attempt, asked, has_next_agent=more)


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
    assert decide(outcome(dial, status, attempt=attempt), facts(state), may_be_old=False) is expected


@each(
    "direction, state, party, dial, expected",
    [
        # Inbound, the customer is the parent and the agent the child.
        ("inbound",  "bridged",      agent(), BRIDGE, HANG_UP),
        ("inbound",  "converting",   agent(), CONF,   BY_NAME),
        ("inbound",  "conferenced",  agent(), CONF,   HANG_UP),
        ("inbound",  "transferring", agent(), CONF,   HANG_UP),    # left, or EndConferenceOnExit ended the conference
        ("inbound",  "transferring", customer(wait_audio=WaitAudio.RINGBACK), BRIDGE, IN_CONFERENCE),   # blind, bridged
        ("inbound",  "transferring", customer(wait_audio=WaitAudio.MUSIC),    BRIDGE, IN_CONFERENCE),
        ("inbound",  "transferring", customer(wait_audio=WaitAudio.MUSIC),    CONF,   IN_ANOTHER),
        ("inbound",  "converting",   customer(wait_audio=WaitAudio.RINGBACK), BRIDGE, JOIN),
        ("inbound",  "conferenced",  customer(wait_audio=WaitAudio.RINGBACK), BRIDGE, JOIN),
        ("inbound",  "bridged",      customer(wait_audio=WaitAudio.RINGBACK), BRIDGE, HANG_UP),
        # Outbound, the agent is.
        ("outbound", "bridged",      agent(), BRIDGE, HANG_UP),    # the customer has hung up
        ("outbound", "converting",   agent(), BRIDGE, JOIN),
        ("outbound", "conferenced",  agent(), BRIDGE, JOIN),
        ("outbound", "transferring", agent(), BRIDGE, JOIN),
        ("outbound", "transferring", agent(wait_audio=WaitAudio.MUSIC), BRIDGE, JOIN),   # only a customer waits
        ("outbound", "transferring", agent(is_leaving=True), BRIDGE, HANG_UP),      # blind: the customer was moved
        ("outbound", "ended",        agent(), BRIDGE, HANG_UP),
        ("outbound", "transferring", customer(), CONF, IN_ANOTHER),
        ("outbound", "transferring", customer(wait_audio=WaitAudio.RINGBACK), CONF, IN_ANOTHER),
        # Other participants hang up when the conference is over.
        ("inbound",  "transferring", a_party(call_sid="CA7", label="target-1", dial_id="d"), CONF, HANG_UP),
        ("inbound",  "conferenced",  a_party(call_sid="CA7", label="target-1", dial_id="d"), CONF, HANG_UP),
    ],
)  # fmt: skip
def test_parent_or_child_customer_or_agent_the_party_decides_too(direction, state, party, dial, expected):
    name = party.label.rpartition("-")[0]
    given = facts(state, direction=direction, **{name: party})

    assert decide(outcome(dial, sid=party.call_sid, party=name), given, may_be_old=False) is expected


@each("state", State)
@each("dial", DialKind)
@each("status", ["completed", "busy", ""])
@each("wait_audio", [WaitAudio.NONE, WaitAudio.MUSIC])
@each("old", [True, False])
@each("attributes", [NOWHERE, SURVEY])
def test_party_that_is_to_leave_is_hung_up_in_every_state(state, dial, status, wait_audio, old, attributes):
    given = facts(state, attributes=attributes, customer=customer(is_leaving=True, wait_audio=wait_audio))

    assert decide(outcome(dial, status, more=True), given, may_be_old=old) is HANG_UP


@each("state", State)
@each("dial", DialKind)
@each("status", ["completed", "busy"])
@each("call", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_a_party_that_is_gone_is_never_answered_with_more_than_a_hangup(state, dial, status, call):
    gone = outcome(dial, status, call=call, more=True)

    assert decide(gone, facts(state), may_be_old=True) is HANG_UP
    assert decide_without_redis(gone) is HANG_UP


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("dial", DialKind)
def test_a_call_that_is_not_the_partys_is_hung_up(state, dial):
    stranger = outcome(dial, "busy", sid="CA" + "9" * 32, more=True)

    assert decide(stranger, facts(state), may_be_old=False) is HANG_UP


@each(
    "known, dial, status, expected",
    [
        (None,             BRIDGE, "completed", ASK),
        (None,             BRIDGE, "",          ASK),
        (None,             BRIDGE, "busy",      BUSY),     # never answered, so never moved
        (None,             CONF,   "answered",  WAIT),     # it may not have been decided upon yet
        ("bridged",        BRIDGE, "completed", ASK),
        ("bridged",        BRIDGE, "busy",      BUSY),
        ("converting",     BRIDGE, "completed", JOIN),     # the intent was committed: not to be forgotten
        ("converting",     CONF,   "answered",  BY_NAME),
        ("conferenced",    BRIDGE, "completed", JOIN),
        ("conferenced",    CONF,   "answered",  HANG_UP),
        ("transferring",   BRIDGE, "completed", JOIN),
        ("transferring",   CONF,   "answered",  IN_ANOTHER),
        ("ended",          BRIDGE, "completed", HANG_UP),  # final, however old
        ("of-tomorrow",    BRIDGE, "completed", ASK),
    ],
)  # fmt: skip
def test_twilio_is_queried_when_redis_data_is_missing_or_outdated(known, dial, status, expected):
    given = facts(known) if known else None

    assert decide(outcome(dial, status), given, may_be_old=known is not None) is expected


@each(
    "given, expected",
    [
        ({"asked": 1}, WAIT),
        ({"asked": REDIS_READS_MAX - 1}, WAIT),
        ({"asked": REDIS_READS_MAX}, ASK),
        ({"asked": 9}, ASK),
        ({"status": ""}, WAIT),
        ({"status": "busy"}, BUSY),
        ({"status": "no-answer"}, SILENT),
        ({"dial": CONF, "status": "answered"}, WAIT),
        ({"dial": CONF, "status": "answered", "asked": REDIS_READS_MAX}, HANG_UP),
        # The next agent is rung without Redis too.
        ({"status": "busy", "more": True}, NEXT),
        ({"status": "no-answer", "more": True, "call": "ringing"}, NEXT),
        ({"status": "busy", "more": True, "call": "completed"}, HANG_UP),
        ({"status": "canceled", "more": True}, UNREACHABLE),
    ],
)
def test_without_redis_it_waits_a_little_and_then_asks_twilio(given, expected):
    assert decide_without_redis(outcome(**given)) is expected


@pytest.mark.parametrize(
    ("child", "expected"),
    [("in-progress", JOIN), ("completed", HANG_UP), ("busy", HANG_UP), ("ringing", HANG_UP), (None, WAIT)],
)
def test_an_other_side_that_lives_was_moved(child, expected):
    assert decide_by_child(child, outcome(), facts("bridged"), NOWHERE) is expected
    assert decide_by_child(child, outcome(), None, NOWHERE) is expected


@each("asked, expected", [(REQUESTS_MAX - 1, WAIT), (REQUESTS_MAX, HANG_UP)])
def test_twilio_is_asked_again_before_a_party_counts_as_left_alone(asked, expected):
    assert decide_by_child(None, outcome(asked=asked), facts("bridged"), NOWHERE) is expected


# ---- the next agent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known",        "status",    "more",  "expected"),
    [
        ("bridged",      "busy",      True,  NEXT),
        ("bridged",      "no-answer", True,  NEXT),
        ("bridged",      "failed",    True,  NEXT),
        ("bridged",      "canceled",  True,  UNREACHABLE),   # that was wanted
        ("bridged",      "completed", True,  HANG_UP),
        ("bridged",      "",          True,  HANG_UP),
        ("bridged",      "busy",      False, BUSY),
        (None,           "busy",      True,  NEXT),          # the worker need not be waited for
        (None,           "busy",      False, BUSY),
        ("ended",        "busy",      True,  HANG_UP),
        ("converting",   "busy",      True,  JOIN),
    ],
)  # fmt: skip
@pytest.mark.parametrize("old", [True, False])
def test_when_an_agent_could_not_be_had_the_next_is_rung(known, status, more, expected, old):
    given = facts(known) if known else None
    if old and status in ("completed", ""):
        expected = ASK

    assert decide(outcome(BRIDGE, status, more=more), given, may_be_old=old) is expected


# ---- a conference from the start ---------------------------------------------------------------------------------


@pytest.mark.parametrize("opening", [Opening.ARRIVING, Opening.DIALING])
@pytest.mark.parametrize(
    ("direction", "sid", "party", "attempt", "expected"),
    [
        ("inbound",  CALLER, "customer", 1, NO_WAIT_AUDIO),   # the greeting or the music could not be had
        ("inbound",  CALLER, "customer", 2, HANG_UP),
        ("inbound",  AGENT,  "agent",    1, HANG_UP),      # he is not who waits
        ("outbound", AGENT,  "agent",    1, NO_WAIT_AUDIO),
        ("outbound", AGENT,  "agent",    2, HANG_UP),
        ("outbound", CALLER, "customer", 1, HANG_UP),
    ],
)  # fmt: skip
def test_waiting_party_returns_to_the_conference_once(opening, direction, sid, party, attempt, expected):
    given = facts("conferenced", direction=direction, mode="conference", opening=opening.value)
    asking = outcome(CONF, "answered", sid=sid, party=party, attempt=attempt)

    assert decide(asking, given, may_be_old=False) is expected


@pytest.mark.parametrize(("direction", "expected"), [("inbound", "customer"), ("outbound", "agent")])
def test_first_waiting_party_is_the_caller(direction, expected):
    given = facts("conferenced", direction=direction, opening="dialing-party")

    assert first_waiting_party(given) == expected
    assert first_waiting_party(facts("conferenced", direction=direction)) == ""


@pytest.mark.parametrize(
    ("status", "more", "expected"), [("completed", False, HANG_UP), ("busy", False, BUSY), ("busy", True, NEXT)]
)
def test_a_caller_who_was_bridged_though_the_session_says_otherwise_is_answered_as_one_who_was(status, more, expected):
    """Redis had stored the call, and its answer was lost: so the caller was bridged after all."""
    given = facts("conferenced", mode="conference", opening="arriving")

    assert decide(outcome(BRIDGE, status, more=more), given, may_be_old=False) is expected


@each(
    "party, attempt, asked, expected",
    [
        ("customer", 1, 1, WAIT),
        ("customer", 1, REDIS_READS_MAX, ASK_FOR_CONFERENCE),
        ("agent", 1, REDIS_READS_MAX, ASK_FOR_CONFERENCE),
        ("target", 1, REDIS_READS_MAX, HANG_UP),
        ("customer", 2, 1, WAIT),
        ("customer", 2, REDIS_READS_MAX, HANG_UP),
    ],
)
def test_dial_action_waits_for_an_undecided_session(party, attempt, asked, expected):
    asking = outcome(CONF, "answered", party=party, attempt=attempt, asked=asked)

    assert decide(asking, None, may_be_old=False) is expected


@each(
    "asked, has_started, expected",
    [
        (REDIS_READS_MAX, True, HANG_UP),
        (REDIS_READS_MAX, False, NO_WAIT_AUDIO),
        (REDIS_READS_MAX, None, WAIT),
        (REQUESTS_MAX - 1, None, WAIT),
        (REQUESTS_MAX, None, HANG_UP),
        (REQUESTS_MAX, False, NO_WAIT_AUDIO),
    ],
)
def test_party_of_unknown_session_rejoins_only_if_no_conference_has_started(asked, has_started, expected):
    asking = outcome(CONF, "answered", party="agent", asked=asked)

    assert decide_by_conference(asking, has_started=has_started) is expected


# ---- parked ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "phase"),
    [("transferring", Phase.PARK), ("conferenced", Phase.PARKED), ("transferring", Phase.RETRIEVE)],
)
@pytest.mark.parametrize(
    ("dial", "attempt", "wait_audio", "expected"),
    [
        (BRIDGE, 1, WaitAudio.MUSIC, IN_CONFERENCE),
        (BRIDGE, 1, WaitAudio.NONE, JOIN),
        (CONF, 1, WaitAudio.MUSIC, IN_ANOTHER),
        (CONF, 1, WaitAudio.NONE, IN_ANOTHER),
        (CONF, 2, WaitAudio.MUSIC, NO_WAIT_AUDIO),
        (CONF, 3, WaitAudio.MUSIC, HANG_UP),
    ],
)
def test_a_parked_customer_waits_and_goes_back(state, phase, dial, attempt, wait_audio, expected):
    given = facts(state, phase=phase.value, customer=customer(wait_audio=wait_audio))

    assert decide(outcome(dial, attempt=attempt), given, may_be_old=False) is expected


def test_the_agent_who_has_parked_the_call_is_hung_up():
    given = facts("conferenced", phase="parked", agent=agent(is_leaving=True))

    assert decide(outcome(BRIDGE, sid=AGENT, party="agent"), given, may_be_old=False) is HANG_UP


# ---- after the others have left ----------------------------------------------------------------------------------


@each(
    "state, reason, dial, status, expected",
    [
        ("ended",        "agent-left",      CONF,   "answered",  GO_ON),
        ("ended",        "alone",           CONF,   "answered",  GO_ON),
        ("ended",        "customer-left",   CONF,   "answered",  GO_ON),    # by the star key, or after the time limit
        ("ended",        "agent-left",      BRIDGE, "completed", GO_ON),
        ("ended",        "time-limit",      BRIDGE, "completed", GO_ON),
        ("ended",        "command",         CONF,   "answered",  HANG_UP),
        ("ended",        "too-old",         CONF,   "answered",  HANG_UP),
        ("ended",        "transfer-failed", CONF,   "answered",  HANG_UP),  # a sentence is said by the worker
        ("ended",        "agent-busy",      BRIDGE, "busy",      HANG_UP),
        ("ended",        "",                CONF,   "answered",  HANG_UP),
        ("conferenced",  "",                CONF,   "answered",  GO_ON),    # the session has not heard of it yet
        ("bridged",      "",                BRIDGE, "completed", GO_ON),
        ("bridged",      "",                BRIDGE, "answered",  GO_ON),
        ("bridged",      "",                BRIDGE, "",          HANG_UP),  # no one knows whether they have talked
        ("bridged",      "",                BRIDGE, "no-answer", SILENT),
        ("converting",   "",                BRIDGE, "completed", JOIN),
        ("transferring", "",                CONF,   "answered",  IN_ANOTHER),
    ],
)  # fmt: skip
def test_customer_continues_elsewhere_after_the_others_leave(state, reason, dial, status, expected):
    given = facts(state, end_reason=reason, attributes=SURVEY)

    assert decide(outcome(dial, status), given, may_be_old=False) is expected


@pytest.mark.parametrize("state", ["ended", "conferenced", "bridged"])
def test_only_the_customer_continues_elsewhere_and_only_with_a_configured_url(state):
    named, none = (facts(state, end_reason="agent-left", attributes=one) for one in (SURVEY, NOWHERE))

    assert decide(outcome(CONF, sid=AGENT, party="agent"), named, may_be_old=False) is HANG_UP
    assert decide(outcome(CONF), none, may_be_old=False) is HANG_UP
    assert decide(outcome(CONF, call="completed"), named, may_be_old=False) is HANG_UP


@pytest.mark.parametrize(("child", "expected"), [("completed", GO_ON), (None, WAIT), ("in-progress", JOIN)])
def test_other_leg_decides_first_whether_the_customer_continues(child, expected):
    assert decide_by_child(child, outcome(), facts("bridged", attributes=SURVEY), SURVEY) is expected
    assert decide_by_child(child, outcome(), None, SURVEY) is expected, "no worker has decided on the session yet"


def test_only_a_customer_who_has_talked_continues_from_an_unknown_session():
    assert decide_by_child("completed", outcome(party="agent"), None, SURVEY) is HANG_UP
    assert decide_by_child("completed", outcome(status=""), None, SURVEY) is HANG_UP


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
    given = Session(CALLER, State(state), parties=known)

    assert party_of(outcome(sid=sid, party=party), given) == expected
    assert party_of(outcome(sid=sid, party=party), None) == party
