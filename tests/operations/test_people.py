"""How a session stands on each surface: who does what, who hears whom, and how its transfer goes.

Whether people hear each other so in truth is asked in every scene of the drawn flows.
"""

from collections.abc import Callable

import pytest

from conferral.operations import statistics
from conferral.operations.explain import facts, people
from conferral.operations.explain.people import HeldCall, audibility, held_call
from conferral.operations.explain.waits import list_waits
from conferral.statemachine import session
from conferral.statemachine.parts import Attempt, PendingCommand, TransferState
from conferral.statemachine.record import replace
from conferral.statemachine.states import Phase, State, TransferMode
from conferral.storage.codecs.text_codec import to_iso
from tests.conferral.cli_helpers import CREATED_MS, make_session
from tests.operations.test_fallbacks import caller_in_voicemail, rings_for_caller
from tests.statemachine.command_scenarios import added, ordering, supervised
from tests.statemachine.conference_scenarios import parked, waiting
from tests.statemachine.scenario import OUTBOUND, Scenario
from tests.statemachine.test_bridge_gate import asked
from tests.statemachine.test_fallbacks import in_voicemail, unanswered
from tests.statemachine.test_outages import held_since_outage
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, talking
from tests.support.each import each
from tests.support.flat_sessions import flat, session_of
from tests.support.sample_logs import stored


def parties(**statuses):
    """A record in which parties have statuses; `held`, `waits` and `is_leaving` say more of one who is connected."""
    fields = {}
    for name, status in statuses.items():
        party = name.replace("_", "-")
        fields[f"party.{party}.status"] = "connected" if status in ("held", "waits", "is_leaving") else status
        fields[f"party.{party}.address"] = ""
        if status in ("held", "waits", "is_leaving"):
            fields[f"party.{party}.{'waits_for_start' if status == 'waits' else status}"] = "true"
    return fields


TALKING = parties(customer="connected", agent="connected")
SUPERVISED = TALKING | parties(supervisor="connected")


@each(
    "fields, shown",
    [
        (
            parties(customer="ringing", agent="connected") | {"direction": "outbound"},
            "agent is waiting; customer is ringing",
        ),
        (TALKING | parties(target="held"), "customer and agent are talking; target is on hold"),
        (
            parties(customer="held", agent="connected", target="dialing"),
            "agent is waiting; customer is on hold; target is being dialed",
        ),
        (
            parties(customer="waits", agent="left", target="confirming"),
            "customer is waiting; target is being asked to press 1",
        ),
        (TALKING | parties(agent_1="left"), "customer and agent are talking"),
        (parties(customer="held", agent="is_leaving", target="left"), "customer is on hold; agent is leaving"),
        (parties(customer="left", agent="left"), ""),
        ({}, ""),
        (parties(customer="waits", agent="left"), "customer is waiting"),
        (
            SUPERVISED | {"party.supervisor.supervises": "whisper", "party.supervisor.coaches": "CA1"},
            "customer and agent are talking; supervisor is whispering to the agent",
        ),
        (
            SUPERVISED | {"party.supervisor.supervises": "barge"},
            "customer and agent are talking; supervisor is heard by everyone",
        ),
        (TALKING | {"party.agent.muted": "true"}, "customer and agent are talking; agent is muted"),
        # In a conversion, the two hear each other once both are in the conference.
        (TALKING | {"party.agent.in_conference": "true"}, "agent is waiting; customer is joining the conference"),
    ],
)
def test_participants_are_described_by_who_talks_to_whom(fields, shown):
    assert people.activity_line(session_of(fields)) == shown


@pytest.mark.parametrize("status", ["connected", "held", "ringing"])
def test_crowd_of_250_is_described_by_the_first_parties_and_their_number(status):
    """Twilio's largest conference: with every party named, a list's row would fill several screens."""
    fields = parties(customer="connected", agent="connected", **{f"guest_{number}": status for number in range(248)})
    fields |= {f"party.{name}.in_conference": "true" for name in session_of(fields).parties} | {"state": "conferenced"}
    session = session_of(fields)

    line = people.activity_line(session)

    assert ("and 240 more are talking" if status == "connected" else "; 238 more") in line
    assert len(line) < 400
    assert max(len(one.text) for one in audibility(session)) < 200


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (TALKING, "customer and agent"),
        (TALKING | {"party.customer.address": "+14155550123", "party.agent.address": "client:alice"}, "+…23 and alice"),
        (
            TALKING | parties(target="ringing") | {"party.target.address": "sip:desk@pbx.example"},
            "customer, agent, and sip:desk@pbx.example",
        ),
        (parties(customer="connected", agent="left") | {"party.agent.address": "client:alice"}, "customer"),
        (
            {"state": "ended", **parties(customer="left", agent="left", target="left", agent_1="left")}
            | {"party.target.left_reason": "busy", "party.agent-1.address": "client:alice"},
            "customer, agent, and alice",
        ),
        (
            {"state": "ended", **parties(customer="left", agent="left"), "party.agent.left_reason": "busy"}
            | {"party.agent.address": "client:alice"},
            "customer",
        ),
        ({}, ""),
    ],
)
def test_a_call_is_named_by_its_people(fields, named):
    assert people.people_line(session_of(fields)) == named


@pytest.mark.parametrize(
    ("more", "reported"),
    [
        ({"transfer.to": "+14155550145"}, "warm to +…45 ringing"),
        ({"transfer.mode": "park", "transfer.to": "", "transfer.status": "completed"}, "park completed"),
        ({"transfer.to": "+14155550145,+14155550146,client:bob"}, "warm to +…45, +…46, client:bob ringing"),
        (
            {"transfer.status": "failed", "transfer.reason": "no-answer"},
            "warm to client:bob failed: target did not answer",
        ),
        (
            {"transfer.status": "failed", "transfer.reason": "failed", "transfer.code": "99999"},
            "warm to client:bob failed: target could not be reached (Twilio error 99999)",
        ),
    ],
)
def test_transfer_is_shown_with_mode_target_status_and_reason(more, reported):
    fields = {"transfer.mode": "warm", "transfer.to": "client:bob", "transfer.status": "ringing", **more}

    assert facts.transfer_line(session_of(fields)) == reported


def attempts(*tries):
    """As a worker writes them."""
    transfer = TransferState(1, TransferMode.BLIND, ("+14155550145",), attempts=tries)
    return flat(make_session(transfer=transfer))["transfer.attempts"]


def test_every_attempt_is_shown_with_ring_and_talk_durations():
    started_ms = CREATED_MS + 10_000
    busy = Attempt("target", "+14155550145", "d1", started_ms, ended_at_ms=started_ms + 2_500, result="busy")
    answered = Attempt("agent", "client:alice", "d2", started_ms, started_ms + 4_000, started_ms + 64_000, "answered")
    rings = Attempt("agent", "client:alice", "d3", started_ms)
    fields = {"transfer.mode": "blind", "transfer.attempts": attempts(busy, answered, rings)}

    assert facts.dial_attempts(session_of(fields), started_ms + 1_000) == [
        ("target", "+…45", "was busy", "2.5 s", ""),
        ("agent", "client:alice", "answered", "4.0 s", "60.0 s"),
        ("agent", "client:alice", "in progress", "1.0 s", ""),
    ]
    assert facts.dial_attempts(session_of(fields), started_ms, full=True)[0][1] == "+14155550145"


# ---- what is next to it -------------------------------------------------------------------------------------------


def notes(**changes):
    """The notes on a session that a worker wrote."""
    return facts.session_notes(stored(make_session(**changes)))


def test_parked_call_shows_when_parking_ends():
    parked = notes(state=State.CONFERENCED, phase=Phase.PARKED, parked_until_ms=CREATED_MS + 61_000)

    assert parked == ["until 08:01:01 UTC at the latest"]


def test_agents_who_are_tried_are_counted_while_it_rings():
    agents = ("client:alice", "+14155550145", "client:carol")

    assert notes(phase=Phase.RINGING, agents=agents, agent_number=1) == ["agent 2 of 3"]
    assert notes(agents=agents, agent_number=1) == []
    assert notes(phase=Phase.RINGING, agents=agents[:1]) == []


def test_pending_commands_are_shown_with_their_party():
    orders = (
        PendingCommand("c1", "add", "expert", to="+14155550145"),
        PendingCommand("c2", "announce", say="Hello, +14155550146"),
    )

    assert notes(pending_commands=orders) == ["add (expert) in progress", "announce in progress"]


def party_notes(fields, name):
    session = session_of(fields)
    return people.party_notes(session, session.parties[name])


def test_party_notes_show_what_it_hears_and_why_it_left():
    fields = parties(customer="held", agent="left", supervisor="connected")
    fields |= {"party.customer.wait_audio": "music", "party.customer.muted": "true", "party.agent.left_reason": "busy"}
    fields |= {"party.supervisor.supervises": "monitor", "party.supervisor.muted": "true"}

    assert party_notes(fields, "customer") == ["on hold", "muted", "hears music"]
    assert party_notes(fields, "agent") == ["was busy"]
    assert party_notes(parties(agent_1="left") | {"party.agent-1.left_reason": "completed"}, "agent-1") == [
        "former agent", "hung up",
    ]  # fmt: skip
    assert party_notes(fields, "supervisor") == ["is monitoring"]


def test_party_that_conferral_disconnected_did_not_hang_up():
    fields = parties(agent_1="left") | {"party.agent-1.left_reason": "completed", "party.agent-1.is_leaving": "true"}

    assert party_notes(fields, "agent-1") == ["former agent", "disconnected by Conferral"]
    assert party_notes({**fields, "party.agent-1.left_reason": "busy"}, "agent-1") == ["former agent", "was busy"]


@each(
    "fields, notes",
    [
        ({"direction": "inbound", "party.customer.left_reason": "no-answer"}, ["hung up"]),
        ({"direction": "inbound", "party.customer.left_reason": "busy"}, ["was busy"]),
        (
            {"direction": "inbound", "party.customer.left_reason": "no-answer", "party.customer.dial_id": "target-1"},
            ["did not answer"],
        ),
        ({"direction": "outbound", "party.customer.left_reason": "no-answer"}, ["did not answer"]),
    ],
)
def test_caller_who_gave_up_hung_up(fields, notes):
    assert party_notes(parties(customer="left", agent="left") | fields, "customer") == notes


def test_agents_tried_before_the_current_one_are_shown_with_their_position():
    fields = {"agents": '["client:a", "client:b", "client:c"]', "agent_number": "2"}

    assert facts.agents_tried(session_of(fields)) == [
        ("agent 1 of 3", "client:a"),
        ("agent 2 of 3", "client:b"),
    ]


# ---- a call that we place ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["bridge", "conference"])
def test_while_the_agents_phone_rings_the_customer_is_next(mode: str) -> None:
    story = Scenario(session_id=OUTBOUND).calls_out(mode=mode)
    reported = []
    for go_on in (lambda: story, lambda: story.placed("agent").call("agent", "ringing"), lambda: story.gate("agent")):
        fields = flat(go_on().session)
        reported.append(people.activity_line(session_of(fields)))
        assert party_notes(fields, "customer") == ["will be dialed next"]
        assert "customer will be dialed next" in [one.text for one in audibility(session_of(fields))]
        waits = [one.for_ for one in list_waits(session_of(fields), (), story.now_ms)]
        assert waits[0].endswith("; then customer is dialed")
        assert not any("call customer" in one for one in waits)
    assert reported == [
        "agent client:alice is being dialed; customer +…23 will be dialed next",
        "agent client:alice is ringing; customer +…23 will be dialed next",
        "agent client:alice is ringing; customer +…23 will be dialed next",
    ]


# ---- who waits, and since when -------------------------------------------------------------------------------------


Fields = dict[str, str]


def of(story: Scenario) -> Fields:
    return flat(story.session)


def test_a_customer_on_hold_waits_from_the_confirmed_hold_on() -> None:
    story = ordering().later(1_000).hold("customer").confirms("customer")
    began = to_iso(story.session.updated_at_ms)
    story.later(9_000).mute("agent").confirms("agent")

    assert held_call(session_of(of(story))) == HeldCall("on hold", began)


def test_a_parked_call_waits_since_it_was_parked() -> None:
    story = parked()

    assert held_call(session_of(of(story))) == HeldCall("parked", to_iso(story.session.customer.since_ms))


def test_a_call_in_conversation_and_one_that_is_over_keep_no_one_waiting() -> None:
    assert held_call(session_of(of(conferenced()))) is None
    assert held_call(session_of(of(parked()) | {"state": "ended"})) is None


def test_calls_that_wait_are_counted_with_the_longest() -> None:
    first, second = of(parked()), of(parked())
    second["party.customer.since"] = to_iso(1_000)

    found = statistics.count_sessions((session_of(one), None) for one in (first, second, of(conferenced())))

    assert (found.held, found.held_since, found.newest_queued_since) == (2, to_iso(1_000), "")


def test_the_newest_caller_in_a_queue_is_known_of_the_live_calls() -> None:
    waits = of(parked()) | {"phase": "queued"}
    calls = [waits | {"queued_since": to_iso(at_ms)} for at_ms in (3_000, 2_000)]
    calls.append(waits | {"queued_since": to_iso(9_000), "state": "ended"})

    found = statistics.count_sessions((session_of(one), None) for one in calls)

    assert (found.held, found.newest_queued_since) == (2, to_iso(3_000))


# ---- who hears whom --------------------------------------------------------------------------------------------------


def held() -> Scenario:
    return ordering().hold("customer").confirms("customer")


#: How each surface says it: the page (who, and whether for how long), the console's list, and what each party hears.
SITUATIONS: dict[str, tuple[Callable[[], Scenario], list[tuple[str, bool]], str, list[str]]] = {
    "ringing": (
        lambda: Scenario().comes_in().call("agent", "ringing"),
        [("+…23 has been waiting for an answer", True), ("Alice has been ringing", True)],
        "customer is waiting for an answer; agent is ringing",
        ["customer hears ringing", "agent is ringing"],
    ),
    "bridged": (
        lambda: Scenario().answered(),
        [("+…23 and alice are talking", False)],
        "customer and agent are talking",
        ["customer hears agent", "agent hears customer"],
    ),
    # Requested is not done: until a callback says otherwise they talk in the bridge.
    "converting": (
        lambda: Scenario().answered().convert(),
        [("+…23 and alice are talking", False)],
        "customer and agent are talking",
        ["customer hears agent", "agent hears customer"],
    ),
    "half converted": (
        lambda: Scenario().answered().convert().joins("agent"),
        [("Alice is waiting", False), ("+…23 is joining the conference", False)],
        "agent is waiting; customer is joining the conference",
        ["customer is joining the conference and hears silence", "agent hears silence"],
    ),
    "waiting": (
        waiting,
        [("+…23 has been waiting", True), ("Alice is being dialed", False)],
        "customer is waiting; agent is being dialed",
        ["customer is waiting and hears music", "agent is being dialed"],
    ),
    "held": (
        held,
        [("Alice is on the call", False), ("+…23 has been on hold", True)],
        "agent is on the call; customer is on hold",
        ["customer is on hold and hears music", "agent hears silence"],
    ),
    "muted": (
        lambda: added().mute("agent").confirms("agent"),
        [("+…23, alice, and lawyer are talking", False), ("Alice is muted", False)],
        "customer, agent, and lawyer are talking; agent is muted",
        [
            "customer hears lawyer",
            "agent hears customer and lawyer; no one hears agent",
            "lawyer hears customer",
        ],
    ),
    "monitored": (
        lambda: supervised("monitor"),
        [("+…23 and alice are talking", False), ("Chief is monitoring", False)],
        "customer and agent are talking; supervisor is monitoring",
        [
            "customer hears agent",
            "agent hears customer",
            "supervisor hears customer and agent; no one hears supervisor",
        ],
    ),
    "target is ringing": (
        lambda: dialing("consult").call("target", "ringing"),
        [("Alice is waiting", False), ("+…23 has been on hold", True), ("Bob has been ringing", True)],
        "agent is waiting; customer is on hold; target is ringing",
        ["customer is on hold and hears music", "agent hears ringing", "target is ringing"],
    ),
    "consult": (
        lambda: talking("consult"),
        [("Alice and bob are talking", False), ("+…23 has been on hold", True)],
        "agent and target are talking; customer is on hold",
        ["customer is on hold and hears music", "agent hears target", "target hears agent"],
    ),
    "lost consult": (
        held_since_outage,
        [("Alice is on the call", False), ("+…23 has been on hold since before an outage", True)],
        "agent is on the call; customer is on hold since before an outage",
        ["customer is on hold since before an outage and hears music", "agent hears silence"],
    ),
    "blind": (
        blind_from_bridge,
        [("+…23 has been waiting", True), ("Bob is being dialed", False)],
        "customer is waiting; target is being dialed",
        ["customer is waiting and hears ringing", "target is being dialed"],
    ),
    "parked": (
        parked,
        [("+…23 has been parked", True)],
        "customer is parked",
        ["customer is parked and hears music"],
    ),
    "fallback rings": (
        rings_for_caller,
        [("+…23 has been waiting", True), ("Carol has been ringing", True)],
        "customer is waiting; target is ringing",
        ["customer is waiting and hears music", "target is ringing"],
    ),
    "in the voicemail": (
        lambda: in_voicemail(unanswered("voicemail")),
        [("+…23 is in the voicemail", False)],
        "customer is in the voicemail",
        ["customer is in the voicemail"],
    ),
    "leaves a message": (
        caller_in_voicemail,
        [("+…23 is leaving a message", False)],
        "customer is leaving a message",
        ["customer is leaving a message"],
    ),
    "handed over by an app that called": (
        lambda: Scenario().comes_in(handed_off=True, direction=session.OUTBOUND).call("agent", "ringing"),
        [("+…23 has been waiting for an answer", True), ("Alice has been ringing", True)],
        "customer is waiting for an answer; agent is ringing",
        ["customer hears ringing", "agent is ringing"],
    ),
    "asked to press a key": (
        asked,
        [("+…23 has been waiting for an answer", True), ("+…88 is being asked to press 1", False)],
        "customer is waiting for an answer; agent is being asked to press 1",
        ["customer hears ringing", "agent is being asked to press 1"],
    ),
    "one is left": (
        lambda: conferenced().leaves("agent"),
        [("+…23 is alone", False)],
        "customer is alone",
        ["customer hears silence"],
    ),
    "ended": (lambda: conferenced().end(), [("The call has ended: an operator ended it", False)], "", []),
}


@each("name", SITUATIONS)
def test_every_surface_says_the_same_of_who_does_what(name: str) -> None:
    begin, page, listed, heard = SITUATIONS[name]
    found = stored(begin())

    assert [(text, bool(since)) for text, since in people.headline(found)] == page
    assert people.activity_line(found, addresses=False) == listed
    assert [one.text for one in audibility(found)] == heard
    assert (held_call(found) is not None) == (" and hears " in " ".join(one for one in heard if "joining" not in one))


def test_a_supervisor_who_whispers_is_heard_by_the_agent_alone() -> None:
    fields = flat(supervised("monitor").session)
    fields |= {"party.supervisor.muted": "false", "party.supervisor.coaches": fields["party.agent.call_sid"]}

    heard = {one.party: one for one in audibility(session_of(fields))}

    assert heard["agent"].hears == ("customer", "supervisor")
    assert heard["customer"].hears == ("agent",)
    assert heard["supervisor"].text == "supervisor hears customer and agent; only agent hears supervisor"


def test_party_is_on_the_call_since_it_answered_or_was_rung_and_a_caller_since_the_start():
    """An agent of a long call who came late is not shown with the call's whole time."""
    attempt = Attempt("agent", "client:alice", "d1", CREATED_MS + 30_000, answered_at_ms=CREATED_MS + 33_000)
    session = make_session(attempts=(attempt,))
    late = replace(session.agent, dial_id="d1")
    assert people.party_since_ms(session, late) == CREATED_MS + 33_000
    assert people.party_since_ms(session, replace(late, answered_at_ms=CREATED_MS + 9)) == CREATED_MS + 9
    assert people.party_since_ms(session, replace(late, dial_id="d2", dialed_at_ms=7)) == 7
    assert people.party_since_ms(session, session.customer) == CREATED_MS
