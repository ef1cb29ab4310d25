"""The judge of results: who left first by the model, and what was reported to the session."""

import json
from dataclasses import replace

from offhook.model.state import Call
from tests.simulation.results import Seen, wrong_attempts, wrong_reason
from tests.support.each import each
from tests.support.people import ALICE

CUSTOMER, AGENT = "CA1", "CA2"


def call(sid, direction="outbound-dial", **given):
    parent = CUSTOMER if sid == AGENT else ""
    times = {"created_at_s": 0.0, "updated_at_s": 0.0}
    return Call(
        sid, "+14155550123", ALICE, direction, given.pop("status", "completed"), parent_sid=parent, **times, **given
    )


def ends(status, sip_code=487):
    """The agent's call, which no one answered."""
    return call(AGENT, status=status, sip_code=sip_code, ended_at_s=9.0)


def talks(ended_s=20.0):
    return call(AGENT, answered_at_s=5.0, ended_at_s=ended_s)


def entry(event, state="bridged", to="bridged", **details):
    return {"event": event, "from": state, "to": to, "details": json.dumps(details)}


def ended(name, status="completed", **given):
    return entry("call_progressed", party=name, status=status, **given)


def removes(name):
    return entry("remove", party=name) | {"effects": json.dumps([{"kind": "hang_up_call", "party": name}])}


def seen(hung_up_s, *log, agent=None, recorded=None):
    calls = {CUSTOMER: call(CUSTOMER, "inbound", answered_at_s=1.0, ended_at_s=20.0), AGENT: agent or talks()}
    return Seen(calls, hung_up_s, recorded or {}, 21.0, log)


def judged(reason, known):
    record = {"end_reason": reason, "party.customer.call_sid": CUSTOMER, "party.agent.call_sid": AGENT}
    mistake = wrong_reason(record, known)
    return None if mistake is None else mistake.is_known


BOTH_ENDED = ended("agent"), ended("customer")


@each("reason, known, verdict", [
    ("customer-left", seen({CUSTOMER: 20.0}, *BOTH_ENDED), None),
    ("customer-left", seen({CUSTOMER: 20.0, AGENT: 19.5}, *BOTH_ENDED), None),
    ("customer-left", seen({CUSTOMER: 20.0, AGENT: 18.5}, *BOTH_ENDED), True),
    ("customer-left", seen({CUSTOMER: 20.0, AGENT: 18.5}, *reversed(BOTH_ENDED)), False),  # within Twilio's seconds
    ("customer-left", seen({CUSTOMER: 20.0, AGENT: 17.0}, *reversed(BOTH_ENDED)), True),
    ("customer-left", seen({CUSTOMER: 20.0, AGENT: 17.0}, ended("customer")), False),
    ("customer-left", seen({CUSTOMER: 20.0, AGENT: 17.0}, ended("agent"), entry("x", "transferring")), None),
    ("agent-left", seen({CUSTOMER: 15.0, AGENT: 20.0}, ended("customer"), ended("agent")), True),
    ("agent-left", seen({CUSTOMER: 15.0, AGENT: 20.0}, entry("dial_ended", party="agent"), ended("customer")), False),
    ("customer-left", seen({CUSTOMER: 20.0, AGENT: 9.0}, entry("dial_ended", "transferring", party="agent"),
                           *BOTH_ENDED), None),  # handed over
    ("customer-left", seen({CUSTOMER: 20.0, AGENT: 9.0}, entry("park", "conferenced", "transferring"),
                           *BOTH_ENDED), None),  # parked
    ("customer-left", seen({CUSTOMER: 20.0, AGENT: 9.0}, entry("park", "conferenced", "transferring"),
                           entry("retrieve", "conferenced", "transferring"), *BOTH_ENDED), True),
    ("moved", seen({}, ended("agent")), True),
    ("alone", seen({}, ended("agent")), True),
    ("alone", seen({}, entry("conference_ended")), False),
    ("customer-left", seen({CUSTOMER: 20.0}, entry("recording_changed", of_voicemail=True),
                           recorded={CUSTOMER: [(10.0, 20.0)]}), True),
    ("customer-left", seen({CUSTOMER: 20.0}, entry("recording_changed"), recorded={CUSTOMER: [(10.0, 20.0)]}), False),
    ("alone", seen({AGENT: 20.0}, entry("call_progressed", "transferring", "transferring", party="agent",
                                        status="completed")), None),
    ("agent-failed", seen({CUSTOMER: 5.0}, *reversed(BOTH_ENDED), agent=ends("canceled")), True),
    ("agent-busy", seen({}, ended("agent", "rejected"), agent=ends("busy", 603)), True),
    ("agent-busy", seen({}, agent=ends("busy", 603)), None),
    ("agent-failed", seen({}, removes("agent"), ended("agent", "busy"), agent=ends("busy", 486)), None),
    ("agent-failed", seen({}, ended("agent", "busy"), removes("agent"), agent=ends("busy", 486)), True),
    ("agent-rejected", seen({}, ended("agent", "busy"), agent=ends("busy", 600)), None),
])  # fmt: skip
def test_end_reason_names_who_left_first_by_the_model(reason, known, verdict):
    assert judged(reason, known) is verdict


@each("result, hung_up_s, agent, is_wrong", [
    ("cancelled", {CUSTOMER: 9.0}, ends("no-answer"), False),
    ("no-answer", {CUSTOMER: 9.0}, ends("no-answer"), True),
    ("no-answer", {CUSTOMER: 20.0}, ends("no-answer"), False),
    ("failed", {CUSTOMER: 20.0}, ends("busy", 486), True),
    ("busy", {}, talks(9.0), True),
    ("answered", {}, talks(9.0), False),
])  # fmt: skip
def test_attempts_end_as_the_model_says(result, hung_up_s, agent, is_wrong):
    attempts = json.dumps([{"party": "agent", "to": ALICE, "result": result}])
    assert bool([*wrong_attempts({"attempts": attempts}, seen(hung_up_s, ended("agent"), agent=agent))]) is is_wrong


def test_call_that_ended_before_an_attempt_is_of_an_earlier_transfer():
    for started_at_ms, is_wrong in ((8_000, True), (9_500, False)):
        attempt = {"party": "agent", "to": ALICE, "result": "no-answer", "started_at_ms": started_at_ms}
        known = seen({CUSTOMER: 20.0}, ended("agent", "busy"), agent=ends("busy", 486))
        assert bool([*wrong_attempts({"attempts": json.dumps([attempt])}, known)]) is is_wrong


def test_attempt_is_canceled_whose_outcome_was_unknown_when_a_command_gave_it_up():
    attempts = json.dumps([{"party": "agent", "to": ALICE, "result": "cancelled"}])
    found = entry("effect_succeeded", kind="find_call", party="agent") | {"reason": "its dial was abandoned"}
    busy = ended("agent", "busy")
    for log, is_wrong in ((found, busy), False), ((busy,), True):
        known = seen({}, *log, agent=ends("busy", 486))
        assert bool([*wrong_attempts({"attempts": attempts}, known)]) is is_wrong


def test_attempts_of_a_transfer_stand_between_those_of_the_call_by_their_time():
    of_call = [{"party": "agent", "to": ALICE, "result": "answered", "started_at_ms": 3_000}]
    of_transfer = [{"party": "agent", "to": ALICE, "result": "busy", "started_at_ms": 1_000}]
    record = {"attempts": json.dumps(of_call), "transfer.attempts": json.dumps(of_transfer)}
    known = seen({}, ended("agent", "busy"), agent=ends("busy", 486))
    talking = call("CA3", answered_at_s=12.0, ended_at_s=20.0)
    assert not [*wrong_attempts(record, replace(known, calls={**known.calls, talking.sid: talking}))]
