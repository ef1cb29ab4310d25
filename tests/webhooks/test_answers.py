import pytest

from statemachine.states import State
from streams.ingest import SessionFacts
from telephony.urls import DialKind
from tests.webhooks.webhook_kit import AGENT, CALLER, CONFERENCE
from webhooks.answers import (
    ASKED_MAX,
    Answer,
    DialOutcome,
    answer,
    answer_by_child,
    answer_without_store,
    whose_call,
)

BRIDGE, CONF = DialKind.BRIDGE, DialKind.CONFERENCE
JOIN, BY_NAME, HANG_UP, ASK = Answer.JOIN, Answer.JOIN_BY_NAME, Answer.HANG_UP, Answer.ASK_TWILIO
BUSY, SILENT, UNREACHABLE = Answer.SAY_BUSY, Answer.SAY_NO_ANSWER, Answer.SAY_UNREACHABLE


def outcome(dial=BRIDGE, status="completed", *, call="in-progress", attempt=1, asked=1, sid=CALLER, party="customer"):
    return DialOutcome(party, sid, dial, status, call, attempt, asked)


def facts(state):
    return SessionFacts(
        state=state, conference_sid=CONFERENCE, call_sids={"customer": CALLER, "agent": AGENT},
        labels={"customer": "customer-1", "agent": "agent-1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state",        "dial", "status",      "attempt", "expected"),
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
        ("converting",   CONF,   "answered",    1, BY_NAME),      # refused by the room: once more
        ("converting",   CONF,   "failed",      1, BY_NAME),
        ("converting",   CONF,   "answered",    2, HANG_UP),
        ("conferenced",  BRIDGE, "completed",   1, JOIN),         # a late parent
        ("conferenced",  CONF,   "answered",    1, HANG_UP),      # the room is over
        ("transferring", BRIDGE, "completed",   1, JOIN),
        ("transferring", CONF,   "answered",    1, HANG_UP),
        ("ended",        BRIDGE, "completed",   1, HANG_UP),
        ("ended",        BRIDGE, "busy",        1, HANG_UP),
        ("ended",        CONF,   "answered",    1, HANG_UP),
        ("of-tomorrow",  BRIDGE, "completed",   1, HANG_UP),
    ],
)  # fmt: skip
def test_the_state_decides_and_else_the_dial_call_status(state, dial, status, attempt, expected):
    assert answer(outcome(dial, status, attempt=attempt), facts(state), may_be_old=False) is expected


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("dial", DialKind)
@pytest.mark.parametrize("call", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_a_party_that_is_gone_is_never_answered_with_more_than_a_hangup(state, dial, call):
    assert answer(outcome(dial, call=call), facts(state), may_be_old=True) is HANG_UP
    assert answer_without_store(outcome(dial, call=call)) is HANG_UP


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("dial", DialKind)
def test_a_call_that_is_not_the_partys_is_hung_up(state, dial):
    stranger = outcome(dial, sid="CA" + "9" * 32)

    assert answer(stranger, facts(state), may_be_old=False) is HANG_UP


@pytest.mark.parametrize(
    ("known",          "dial", "status",    "expected"),
    [
        (None,             BRIDGE, "completed", ASK),
        (None,             BRIDGE, "",          ASK),
        (None,             BRIDGE, "busy",      BUSY),     # never answered, so never moved
        (None,             CONF,   "answered",  HANG_UP),
        ("bridged",        BRIDGE, "completed", ASK),
        ("bridged",        BRIDGE, "busy",      BUSY),
        ("converting",     BRIDGE, "completed", JOIN),     # the intent was committed: not to be forgotten
        ("converting",     CONF,   "answered",  BY_NAME),
        ("conferenced",    BRIDGE, "completed", JOIN),
        ("conferenced",    CONF,   "answered",  HANG_UP),
        ("ended",          BRIDGE, "completed", HANG_UP),  # final, however old
    ],
)  # fmt: skip
def test_twilio_is_asked_when_redis_does_not_know_or_may_have_forgotten(known, dial, status, expected):
    given = facts(known) if known else None

    assert answer(outcome(dial, status), given, may_be_old=known is not None) is expected


@pytest.mark.parametrize(
    ("dial", "status",     "asked",       "expected"),
    [
        (BRIDGE, "completed",  1,             Answer.WAIT),
        (BRIDGE, "completed",  ASKED_MAX - 1, Answer.WAIT),
        (BRIDGE, "completed",  ASKED_MAX,     ASK),
        (BRIDGE, "completed",  9,             ASK),
        (BRIDGE, "",           1,             Answer.WAIT),
        (BRIDGE, "busy",       1,             BUSY),
        (BRIDGE, "no-answer",  1,             SILENT),
        (CONF,   "answered",   1,             Answer.WAIT),
        (CONF,   "answered",   ASKED_MAX,     HANG_UP),
    ],
)  # fmt: skip
def test_without_redis_it_waits_a_little_and_then_asks_twilio(dial, status, asked, expected):
    assert answer_without_store(outcome(dial, status, asked=asked)) is expected


@pytest.mark.parametrize(
    ("child", "expected"),
    [("in-progress", JOIN), ("completed", HANG_UP), ("busy", HANG_UP), ("ringing", HANG_UP), (None, HANG_UP)],
)
def test_an_other_side_that_lives_was_moved(child, expected):
    assert answer_by_child(child) is expected


@pytest.mark.parametrize(
    ("sid", "party", "known", "expected"),
    [
        (CALLER, "customer", {"customer": CALLER}, "customer"),
        (AGENT,  "customer", {"customer": CALLER, "agent": AGENT}, "agent"),   # the call tells, not the URL
        (AGENT,  "agent",    {"customer": CALLER}, "agent"),                   # not heard of yet
        (AGENT,  "agent",    {"agent": ""}, "agent"),
        (AGENT,  "agent",    {"agent": CALLER}, ""),
    ],
)  # fmt: skip
def test_a_call_tells_its_party_and_else_the_url_does(sid, party, known, expected):
    given = SessionFacts(state="converting", call_sids=known)

    assert whose_call(outcome(sid=sid, party=party), given) == expected
    assert whose_call(outcome(sid=sid, party=party), None) == party
