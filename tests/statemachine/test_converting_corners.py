"""Rare events while both are moved into the conference."""

from conferral.statemachine.events import (
    AgeOverdue,
    CallsOverdue,
    ConferenceStarted,
    ConvertOverdue,
    LoneOverdue,
    ReadOverdue,
)
from tests.statemachine.command_scenarios import Orders, ordering
from tests.statemachine.conference_scenarios import ConferenceScenario, as_conference
from tests.statemachine.scenario import BOB, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, outbound
from tests.support.each import each


def converting() -> Orders:
    return ordering(Scenario().answered().convert)


def test_late_callbacks_of_the_agent_before_do_not_touch_the_conversion():
    story = (
        as_conference(Scenario().comes_in(other_agents=(BOB,)).call("agent", "ringing")).dial_ends("busy").next_agent()
    )
    story.call("agent", "in-progress", agent_number=1).convert().expect("converting", "move agent")
    story.call("former agent", "busy").expect("converting", outcome="stale")
    story.changes("former agent").expect("converting", outcome="stale")
    assert not story.session.parties["agent"].is_gone


def test_agent_of_an_outbound_call_who_hangs_up_while_a_transfer_is_prepared_has_handed_over():
    story = outbound().transfer("warm").expect("converting", "move customer").joins("customer")
    story.dial_ends("completed", call_status="completed", party="agent")
    story.expect("transferring", "hold customer", phase="blind")
    assert story.session.parties["agent"].is_gone
    hold = story.last.effects[-1]
    story.fails("update_participant", "customer", code=16099, effect_id=hold.effect_id)
    story.expect("transferring", "move customer", phase="blind")


def test_events_of_another_conference_do_not_move_the_session_there():
    story = converting().joins("agent")
    started = ConferenceStarted(**story.common(OTHER_CONFERENCE, 1), conference_sid=OTHER_CONFERENCE)
    story.take(started).expect("converting")
    story.conference_ends(conference=OTHER_CONFERENCE).expect("converting")
    story.leaves("agent", conference=OTHER_CONFERENCE, status="in-progress").expect("converting")
    assert story.session.conference_sid == CONFERENCE
    assert story.session.parties["agent"].in_conference


def test_late_callbacks_of_a_participant_do_not_undo_newer_ones():
    story = converting().joins("agent", sequence=5)
    story.legs["agent"].held = True
    story.changes("agent", sequence=3).expect("converting", outcome="stale")
    assert not story.session.parties["agent"].held
    story.leaves("agent", status="in-progress", sequence=6).expect("converting")
    story.joins("agent", sequence=4).expect("converting", outcome="stale")
    assert not story.session.parties["agent"].in_conference


def test_conversion_that_is_too_old_ends():
    story = converting().fires(AgeOverdue).expect("converting", "look").reads()
    story.expect("ended", "hang up customer", "hang up agent", reason="too-old")


def test_recording_whose_start_is_unknown_fails_the_command_and_nothing_else():
    story = converting().record("start").expect("converting", "record customer").not_known_to_be_recorded()
    story.expect("converting").expect_command(
        "record-start", "accepted", "failed", reason="unknown: Twilio gave no answer"
    )


def test_guest_is_removed_while_the_two_are_on_their_way():
    story = converting().joins("guest").remove("guest-1").expect("converting", "hang up guest-1")
    story.leaves("guest").expect("converting").expect_command("remove-1", "accepted", "done").expect_no_orders()


def test_recording_is_neither_started_nor_resumed_while_it_runs():
    story = ordering(Scenario().answered).record("start").recorded().convert()
    story.record("start", "again").expect_refused("again", "already recording")
    story.record("resume").expect("converting").expect_command("record-resume", "done")


def test_redirects_are_numbered():
    """Twilio's request of the first one's action must not be taken for that of the second."""
    story = converting()
    first = story.last.effects[0]
    story.succeeds("redirect_call", "agent", first.effect_id).fires(ReadOverdue)
    story.reads(customer="in-progress", agent="in-progress").expect("converting", "move agent")
    assert (first.attempt, story.last.effects[0].attempt) == (1, 2)


def moved_for_transfer() -> Scenario:
    """The agent's leg is moved for a warm transfer, which ended the customer's `<Dial>`."""
    story = Scenario().answered().transfer("warm")
    return story.succeeds("redirect_call", "agent", story.last.effects[0].effect_id).dial_ends("completed")


@each("happens, state", [
    (lambda story: story.call("agent", "in-progress"), "converting"),
    (lambda story: story.joins("guest").leaves("guest"), "converting"),
    (lambda story: story.joins("agent").leaves("agent", status="in-progress"), "converting"),
    (lambda story: story.joins("agent").leaves("agent", status="", reason="participant_updated_via_api"), "converting"),
    (lambda story: story.joins("agent").leaves("agent"), "transferring"),
    (lambda story: story.call("agent", "completed"), "transferring"),
    (lambda story: story.call("customer", "completed"), "ended"),
])  # fmt: skip
def test_transfer_goes_on_without_the_agent_only_if_that_call_is_over(happens, state):
    assert happens(moved_for_transfer()).session.state == state


@each("joined, state", [((), "ended"), (("agent",), "ended"), (("customer",), "transferring")])
def test_transfer_whose_conversion_fails_goes_on_only_with_the_customer(joined, state):
    story = moved_for_transfer().fires(ConvertOverdue).fails("read_calls", status=500)
    for name in joined:
        story.joins(name)
    shown = {"conference": CONFERENCE, "inside": joined, "customer": "in-progress", "agent": "in-progress"}
    for _ in range(4):  # each leg that is missing is moved again once
        story.later(10_000).fires(ReadOverdue).expect("converting", "look").reads(**shown)
        for effect in [one for one in story.last.effects if one.kind == "redirect_call"]:
            story.succeeds("redirect_call", effect.party, effect.effect_id)
        if story.session.state != "converting":
            break
    assert story.session.state == state


def test_guest_without_the_customer_is_no_conversation():
    story = converting().fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("guest",))
    story.expect("converting").expect_timers("convert", "read").fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("guest",))
    assert story.session.end_reason == "moved"


@each("command", ["complete", "remove"])
def test_agent_who_will_be_released_is_not_released_again(command):
    """The second command would fail the first, which is carried out."""
    story = converting().transfer("warm").complete()
    story = story.complete("late") if command == "complete" else story.remove("agent", "late")
    story.expect("converting").expect_refused("late", "complete is still in progress")
    story.expect_command("complete-1", "accepted")
    assert "complete" not in story.reports["late"][0][1].partition("allowed now:")[2]


def test_caller_who_hangs_up_before_the_agent_moves_left_first_whichever_end_shows_first():
    """Twilio hangs up the agent with the caller, and refuses the redirect."""
    story = converting().call("agent", "completed").expect("converting")
    story.call("customer", "completed").expect("ended")
    assert story.session.end_reason == "customer-left"
    story = converting().call("agent", "completed").dial_ends("completed", call_status="completed").expect("ended")
    assert story.session.end_reason == "customer-left"


def given_up() -> ConferenceScenario:
    """No one knows whether the redirect moved the agent, and both are bridged as far as is known."""
    story = as_conference(Scenario().answered().convert())
    redirect = story.effects[-1].effect_id
    story.is_unknown("redirect_call", "agent", redirect).fires(ConvertOverdue).expect("bridged")
    return story


def lost() -> ConferenceScenario:
    """Redis has lost a conversion, if there was one."""
    return as_conference(Scenario().answered()).sweep_finds("writes-lost", conference="")


@each("begin", [given_up, lost])
@each("after_ms, reads_ms, hangs_up", [(0, 0, True), (0, 120_000, True), (61_000, 0, False)])
def test_agent_who_goes_on_after_a_conversion_is_hung_up_only_if_the_bridge_ended_at_once(
    begin, after_ms, reads_ms, hangs_up
):
    """By then, the action of a bridge whose agent was moved has been requested: another program has moved them."""
    story = begin()
    story.later(after_ms).dial_ends("completed").call("customer", "completed").fires(CallsOverdue)
    story.later(reads_ms).reads(customer="completed", agent="in-progress")
    story.expect("ended", *(["hang up agent"] if hangs_up else []), reason="agent-left")
    story.sweep_finds("call-live", "agent").expect("ended", "hang up a call" if hangs_up else "look")


def test_customer_whom_a_repair_moved_is_hung_up_when_the_agent_has_left():
    story = Scenario().answered().convert()
    story.joins("agent").succeeds("redirect_call", "agent", story.effects[-1].effect_id)
    story.fires(ReadOverdue).reads(conference=CONFERENCE, inside=("agent",), customer="in-progress")
    story.expect("converting", "move customer").succeeds("redirect_call", "customer")
    story.leaves("agent").fires(ReadOverdue).reads(customer="in-progress", agent="completed")
    story.expect("ended", "end room", "hang up customer", reason="agent-left")


def test_bridge_whose_agent_left_before_a_refused_redirect_is_read():
    story = Scenario().answered().convert().call("agent", "completed").fails("redirect_call", "agent")
    story.expect("bridged").expect_timers("calls").fires(CallsOverdue).expect("bridged", "look")
    story.reads(customer="completed", agent="completed").expect("ended")


@each("happens", [
    lambda story: story.leaves("agent"),
    lambda story: story.conference_ends().call("agent", "completed"),
    lambda story: story.conference_ends().fires(ConvertOverdue).reads(customer="in-progress", agent="completed"),
])  # fmt: skip
def test_caller_who_follows_an_agent_who_has_hung_up_was_left_by_the_agent(happens):
    """The wait request of the caller's conference comes before the callbacks of the agent's, which is over."""
    story = converting().dial_ends("completed").joins("customer", conference=OTHER_CONFERENCE, sequence=None)
    story.joins("agent")
    happens(story)
    story.expect("ended", "end room", reason="agent-left")


def test_agent_who_leaves_while_a_read_ends_the_conversion_left_first():
    """Twilio lists the participants before the calls, and the agent hangs up in between."""
    story = converting().joins("agent").fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("ended", "end room", "hang up customer", reason="agent-left")


def test_customer_whose_agent_leaves_while_a_read_ends_the_conversion_keeps_a_guest():
    story = converting().joins("agent").fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer", "guest"))
    story.expect("conferenced").leaves("guest").fires(LoneOverdue)
    story.expect("ended", "end room", reason="agent-left")


def test_late_join_of_the_conference_that_a_repair_moved_the_agent_out_of_disconnects_no_one():
    story = converting()
    story.succeeds("redirect_call", "agent", *story.session.open_redirects).fires(ReadOverdue)
    story.reads(customer="in-progress", agent="in-progress").expect("converting", "move agent")
    story.succeeds("redirect_call", "agent", *story.session.open_redirects).dial_ends("completed")
    story.joins("customer", conference=OTHER_CONFERENCE).joins("agent", conference=OTHER_CONFERENCE)
    story.expect("conferenced", *FLAGS).joins("agent").expect("conferenced", outcome="stale")
    story.transfer("warm").joins("agent", token="again").expect("transferring", outcome="stale")
    assert [party.name for party in story.session.participants] == ["customer", "agent"]


def test_agent_who_moves_although_removed_before_left_first():
    """The conference reports both joins before the read shows the end of the agent's call."""
    story = ordering(Scenario().answered).remove("agent").expect("bridged", "hang up agent")
    story.hold("customer").expect("converting", "move agent").joins("agent").joins("customer")
    story.expect("conferenced", "hold customer", "flag agent").reads(
        customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",)
    )
    story.fires(LoneOverdue).expect("ended", "end room", reason="agent-left")
