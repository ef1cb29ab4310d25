"""When a ring, a gate, or a read is overdue, exactly."""

import pytest

from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import (
    CallsOverdue,
    ConvertOverdue,
    DialOverdue,
    LoneOverdue,
    ReadOverdue,
)
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.policy import Policy
from tests.statemachine.command_scenarios import ordering, recorded_conference
from tests.statemachine.conference_scenarios import as_conference, called, parked, waiting
from tests.statemachine.scenario import BOB, CONFERENCE, CUSTOMER_CALL, OTHER_CONFERENCE, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import (
    blind_from_bridge,
    conferenced,
    converted,
    dialing,
    outbound,
    ringing,
    talking,
)
from tests.support.each import each

POLICY = Policy(ring_timeout_ms=20_000, ring_slack_ms=7_000)
RING_MS = 27_000
BRIEF = "A new order."
SURVEY = ConferenceAttributes(after_url="https://example.com/survey")


def due_in_ms(story: Scenario, timer: str) -> int:
    return story.session.timers[timer] - story.now_ms


def swept(story: Scenario, *, after_ms: int) -> Scenario:
    """The sweep finds a call missing so long afterwards."""
    return as_conference(story.later(after_ms)).sweep_finds("call-missing", "agent")


def refused(story: Scenario) -> Scenario:
    """The conference reports that the target is busy, or has refused."""
    return story.leaves("target", status="busy", reason="participant_add_failed")


def searched(story: Scenario) -> Scenario:
    """The agent talks, and Conferral searches for the call, whose dial had an unknown outcome."""
    return story.unknown_outcome("agent").call("customer", "in-progress").fires(DialOverdue)


def after_loss(story: Scenario, *, after_ms: int) -> Scenario:
    return as_conference(story.later(after_ms)).sweep_finds("writes-lost", conference="")


def redirected(story: Scenario) -> Scenario:
    return story.succeeds("redirect_call", "customer", story.session.open_redirects[0])


def parking() -> Scenario:
    return as_conference(conferenced()).park().confirms("agent").confirms("customer")


def let_in(story: Scenario) -> Scenario:
    """The agent of an outbound call presses 1 after five seconds."""
    return story.call("agent", "ringing").gate("agent").later(5_000).gate("agent", "accepted")


def at_gate(**options: object) -> Scenario:
    return dialing("warm", **options).placed("target").call("target", "ringing").gate("target")


@each("begin, timer, due_ms", [
    (lambda: Scenario(Policy()).comes_in(), "calls", 40_000),
    (lambda: Scenario().comes_in(), "age", 86_400_000),
    (lambda: Scenario().answered().call("agent", "completed"), "calls", 2_000),
    (lambda: Scenario().answered().convert(), "convert", 10_000),
    (lambda: Scenario().answered().convert(), "read", 5_000),
    (lambda: as_conference(conferenced()).sweep_finds("writes-lost", conference=""), "read", 600_000),
    (lambda: as_conference(as_conference(conferenced()).sweep_finds("writes-lost", conference="").later(9)).sweep_finds(
        "call-missing", "agent"), "read", 30_000),
    (lambda: as_conference(conferenced()).sweep_finds("writes-lost", conference="").is_unknown("read_calls"), "read",
     4_000),
    (lambda: after_loss(as_conference(conferenced()).park(), after_ms=1_000), "stage", 3_000),
    (lambda: conferenced().leaves("agent"), "lone", 2_000),
    (converted, "read", 1_000),
    (lambda: converted().fires(ReadOverdue).is_unknown("read_calls"), "read", 2_000),
    (lambda: ordering().hold("agent"), "read", 1_000),
    (lambda: ordering().hold("agent").later(400).mute("customer"), "read", 600),
    (lambda: waiting(attributes=SURVEY).takes_part("agent"), "read", 1_000),
    (lambda: ordering().hold("agent"), "pending_command", 10_000),
    (lambda: ordering().add(), "pending_command", 3_000),
    (lambda: ordering().remove("agent"), "pending_command", 12_000),
    (lambda: ordering().remove("agent"), "read", 2_000),
    (lambda: ordering().announce(), "pending_command", 60_000),
    (called, "read", 5_000),
    (lambda: dialing("warm", policy=Policy()).placed("target", queue_ms=700), "read", 6_000),
    (lambda: dialing("warm").placed("target", queue_ms=700), "dial", 40_700),
    (lambda: dialing("warm").placed("target").fires(DialOverdue), "dial", 3_000),
    (lambda: dialing("warm").placed("target").call("target", "in-progress"), "dial", 5_000),
    (lambda: blind_from_bridge().placed("target").call("target", "in-progress"), "dial", 1_000),
    (lambda: dialing("warm", confirm=True).unknown_outcome("target"), "dial", 2_000),
    (lambda: dialing("warm", confirm=True).unknown_outcome("target").fires(DialOverdue).found("target", call_sid=""),
     "dial", 3_000),
    (lambda: dialing("warm", confirm=True).unknown_outcome("target").fires(DialOverdue), "dial", 20_000),
    (lambda: Scenario(session_id=OUTBOUND).calls_out().placed("agent").fires(DialOverdue), "dial", 3_000),
    (lambda: searched(Scenario(session_id=OUTBOUND).calls_out()).found("agent", call_sid=""), "dial", 10_000),
    (lambda: refused(ringing("warm")), "dial", 2_000),
    (lambda: refused(ringing("warm")).later(500).call("target", "ringing"), "dial", 1_500),
    (lambda: dialing("warm").joins("target").leaves("target", status="ringing", reason="x").placed("target"), "dial",
     2_000),
    (parked, "park", 300_000),
    (lambda: conferenced().transfer("warm"), "stage", 3_000),
    (lambda: conferenced().transfer("consult").confirms("agent"), "stage", 3_000),
    (lambda: conferenced().transfer("blind").confirms("agent"), "stage", 3_000),
    (lambda: recorded_conference().transfer("consult").confirms("agent").confirms("customer"), "stage", 3_000),
    (lambda: Scenario().answered().transfer("blind"), "read", 2_000),
    (lambda: outbound().transfer("blind"), "read", 2_000),
    (parking, "read", 2_000),
    (lambda: parking().fires(ReadOverdue).is_unknown("read_calls"), "read", 2_000),
    (lambda: talking("consult").swap(), "stage", 3_000),
    (lambda: talking("consult").swap().confirms("target"), "read", 1_000),
    (lambda: talking("consult").merge(), "read", 1_000),
    (lambda: talking("consult").complete(), "read", 1_000),
    (lambda: talking("warm").complete(), "read", 2_000),
    (lambda: talking("warm").cancel(), "read", 2_000),
    (lambda: talking("consult").cancel().leaves("target"), "read", 1_000),
    # An agent who is rung has the ring time and the slack, inbound or outbound, first or next.
    (lambda: Scenario(POLICY).comes_in(), "calls", RING_MS),
    (lambda: let_in(Scenario(POLICY, session_id=OUTBOUND).calls_out().placed("agent")), "calls", RING_MS),
    (lambda: called(POLICY).later(5_000).call("agent", "initiated", dial=""), "calls", RING_MS),
    (lambda: as_conference(Scenario(POLICY).comes_in(other_agents=(BOB,))).later(5_000).dial_ends(
        "busy", call_status="ringing"), "calls", RING_MS),
    # The gate: a brief is heard before the key, or on the way in.
    (lambda: at_gate(brief=BRIEF).gate("target", "accepted"), "dial", 6_200),
    (lambda: at_gate(brief=BRIEF, confirm=True).gate("target", "accepted"), "dial", 5_000),
    (lambda: at_gate(confirm=True), "dial", 5_000),
    (lambda: at_gate(confirm=True).fires(DialOverdue), "dial", 10_000),
    (lambda: at_gate(brief=BRIEF, confirm=True), "dial", 6_200),
    (lambda: Scenario(session_id=OUTBOUND).calls_out().placed("agent").gate("agent"), "dial", 5_000),
])  # fmt: skip
def test_what_is_waited_for_is_due_so_much_later(begin, timer, due_ms):
    assert due_in_ms(begin(), timer) == due_ms


@each("begin, elapsed_ms, effects", [
    # A read that is due waits for an open one.
    (lambda ms: ordering().hold("agent").fires(ReadOverdue).later(ms).call("agent", "ringing"), 30_000, ["look"]),
])  # fmt: skip
def test_what_is_recent_is_waited_for_to_the_millisecond(begin, elapsed_ms, effects):
    assert begin(elapsed_ms - 1).words() == []
    assert begin(elapsed_ms).words() == effects


@pytest.mark.parametrize("elapsed_ms, state", [(9_999, "conferenced"), (10_000, "ended")])
def test_conference_is_over_if_it_is_missing_after_ten_seconds(elapsed_ms, state):
    swept(conferenced(), after_ms=elapsed_ms).reads(customer="in-progress", agent="in-progress").expect(state)


@pytest.mark.parametrize("elapsed_ms, conference", [(9_999, CONFERENCE), (10_000, "")])
def test_conference_of_a_waiting_party_is_over_if_it_is_missing_after_ten_seconds(elapsed_ms, conference):
    story = swept(waiting(), after_ms=elapsed_ms).reads(customer="in-progress")
    assert story.session.conference_sid == conference


@pytest.mark.parametrize("elapsed_ms, is_alone", [(9_999, False), (10_000, True)])
def test_party_missing_in_a_read_is_gone_if_no_one_was_moved_for_ten_seconds(elapsed_ms, is_alone):
    story = swept(conferenced(), after_ms=elapsed_ms)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer",))
    assert (LoneOverdue.timer in story.session.timers) is is_alone


@pytest.mark.parametrize("before_ms, outcome", [(1_000, "stale"), (999, "stayed")])
def test_callback_says_nothing_of_an_update_that_was_requested_a_second_later(before_ms, outcome):
    """Twilio's times are whole seconds."""
    story = ordering().hold("customer")
    story.changes("customer", occurred_at_ms=story.now_ms - before_ms).expect("conferenced", outcome=outcome)


def alone_without_callbacks() -> Scenario:
    story = conferenced()
    story.sequences[CONFERENCE] += 1
    return story.leaves("agent")


def read_and_alone() -> Scenario:
    """A read has shown who is there; since then, another callback is missing."""
    story = alone_without_callbacks().later(1_000)
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer",))
    story.sequences[CONFERENCE] += 1
    return story.changes("customer")


def alone_again() -> Scenario:
    return alone_without_callbacks().is_unknown("read_calls").joins("agent").later(1_000).leaves("agent")


@each("begin", [alone_without_callbacks, read_and_alone, alone_again])
def test_lone_party_is_read_for_fifteen_times_if_reads_show_another_conference(begin):
    story = begin()
    for _ in range(15):
        story.expect("conferenced", "look").is_unknown("read_calls").expect("conferenced")
        story.fires(ReadOverdue).expect("conferenced", "look")
        story.reads(customer="in-progress", conference=OTHER_CONFERENCE)
        if not story.session.is_ended:
            story.fires(ReadOverdue)
    story.expect("ended", "end room", reason="agent-left")


def test_parties_of_a_call_that_was_bridged_after_all_hear_no_wait_audio():
    story = called(POLICY).call("agent", "initiated", dial="").expect("bridged", phase="ringing")
    assert {party.wait_audio for party in story.session.parties.values()} == {""}


def test_call_that_the_gate_lets_in_is_known_though_the_answer_to_its_dial_is_lost():
    story = Scenario(session_id=OUTBOUND).calls_out().gate("agent", "accepted").expect("bridged", phase="ringing")
    agent = story.session.parties["agent"]
    assert (agent.call_sid, agent.answered, agent.status) == (story.legs["agent"].call_sid, True, "connected")
    assert agent.dial_check_at_ms == 0


@pytest.mark.parametrize("timer", [CallsOverdue, ConvertOverdue])
def test_read_knows_of_everything_up_to_the_event_that_ordered_it(timer):
    """What changes afterwards makes its answer outdated."""
    story = Scenario().comes_in() if timer is CallsOverdue else Scenario().answered().convert()
    (read,) = (effect for effect in story.fires(timer).last.effects if isinstance(effect, ReadCalls))
    assert read.read_version == story.session.version
    # The parent's call lists its children; a known one that the list lacks is read by its SID.
    child = story.session.child.call_sid
    assert (read.parent_call_sid, read.call_sids) == (CUSTOMER_CALL, (child,) if child else ())
