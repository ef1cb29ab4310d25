"""Moving both legs of a bridged call into a conference, and everything that can come in between."""

import pytest

from conferral.statemachine.events import ConvertOverdue, LeaveOverdue, ParticipantLeft, RepairOverdue
from tests.statemachine.scenario import AGENT_CALL, CONFERENCE, CUSTOMER_CALL, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS

REDIRECT_AGENT = "move agent"
REDIRECT_CUSTOMER = "move customer"


def converting() -> Scenario:
    return Scenario().answered().convert().expect("converting", REDIRECT_AGENT).expect_timers("convert")


def redirected() -> Scenario:
    """Converting, and Twilio has taken the redirect."""
    story = converting()
    return story.succeeds("redirect_call", "agent", story.session.open_redirects[0]).expect("converting")


def test_agents_leg_is_moved_and_the_customers_follows_by_its_action():
    story = converting().expect_command("convert-1", "accepted")
    story.succeeds("redirect_call", "agent").expect("converting")
    story.joins("agent").expect("converting")
    story.dial_ends("completed").expect("converting")
    story.joins("customer").expect("conferenced", *FLAGS, phase="").expect_timers("confirm")
    story.expect_command("convert-1", "accepted", "done")
    assert story.session.conference_sid == CONFERENCE
    assert {party.name for party in story.session.participants} == {"customer", "agent"}


@pytest.mark.parametrize("sequence", [("agent", "customer"), ("customer", "agent")])
def test_order_in_which_the_two_join_does_not_matter(sequence):
    story = converting()
    for party in sequence:
        story.joins(party)
    story.expect("conferenced", *FLAGS).expect_command("convert-1", "accepted", "done")


def test_join_is_known_before_the_redirect_was_answered():
    converting().joins("agent").joins("customer").succeeds("redirect_call", "agent").expect("conferenced")


def test_leg_with_an_unknown_call_is_identified_by_its_label():
    story = Scenario().comes_in().reads(customer="in-progress")
    story.take(story.last.session and _joined_by_label())
    assert story.session.parties["agent"].call_sid == AGENT_CALL


def _joined_by_label():
    from conferral.statemachine.events import ParticipantJoined

    return ParticipantJoined(
        session_id=CUSTOMER_CALL, entry_id="5-5", source=CONFERENCE, sequence=1, conference_sid=CONFERENCE,
        call_sid=AGENT_CALL,
        label="agent-1",
    )  # fmt: skip


def test_second_convert_meanwhile_is_done_with_the_first():
    story = converting().convert("convert-2").expect("converting")
    story.joins("agent").joins("customer").expect_command("convert-2", "accepted", "done")


def test_convert_that_comes_too_late_asks_who_hung_up_and_ends_the_call():
    """21220: the agent's leg is gone. The read shows who left, and the customer is on the way into the conference."""
    story = converting().fails("redirect_call", "agent", gone=True, code=21220).expect("converting", "look")
    story.reads(customer="in-progress", agent="completed").expect("converting")
    story.joins("customer").expect("ended", "end room", "hang up customer", reason="agent-left")
    assert story.reports["convert-1"][-1] == ("failed", "agent-left")


@pytest.mark.parametrize("how", ["callback", "read"])
def test_customer_who_does_not_follow_into_the_conference_was_moved_by_another_app(how):
    story = converting()
    if how == "callback":
        story.call("agent", "completed").expect("converting")
    else:
        story.fails("redirect_call", "agent", gone=True, code=21220).expect("converting", "look")
        story.reads(customer="in-progress", agent="completed").expect("converting")
    story.fires(ConvertOverdue).expect("converting", "look")
    story.reads(customer="in-progress", agent="completed").expect("ended", reason="moved")
    assert story.reports["convert-1"][-1] == ("failed", "moved")


def test_customer_found_alone_in_the_conference_of_a_conversion_is_hung_up():
    story = converting().fails("redirect_call", "agent", gone=True, code=21220)
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",))
    story.expect("ended", "end room", "hang up customer", reason="agent-left")


def test_convert_that_comes_too_late_because_the_customer_left():
    story = converting().fails("redirect_call", "agent", gone=True, code=21220)
    story.reads(customer="completed", agent="completed").expect("ended", reason="customer-left")


def test_late_convert_ends_the_call_with_only_the_customer_in_the_conference():
    story = converting().joins("customer").fails("redirect_call", "agent", gone=True, code=21220)
    story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",))
    story.expect("ended", "end room", reason="agent-left")


def test_refused_redirect_leaves_the_two_talking_as_before():
    story = converting().fails("redirect_call", "agent", status=400, code=21218).expect("bridged", phase="connected")
    story.expect_timers()
    assert story.reports["convert-1"][-1] == ("failed", "Twilio refused (HTTP 400, code 21218)")
    story.convert("convert-2").expect("converting", REDIRECT_AGENT)


def test_refused_redirect_after_the_dial_ended_is_left_to_the_repair():
    converting().dial_ends("completed").fails("redirect_call", "agent", status=400).expect("converting")


def test_redirect_of_unknown_outcome_is_verified():
    converting().is_unknown("redirect_call", "agent").expect("converting", "look")


def test_lost_joins_are_found_by_the_conversion_read():
    story = converting().fires(ConvertOverdue).expect("converting", "look").expect_timers("repair")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced", *FLAGS).expect_timers("confirm").expect_command("convert-1", "accepted", "done")
    assert story.session.conference_sid == CONFERENCE


def test_missing_customer_is_moved_once_into_the_conference_by_its_sid():
    story = redirected().joins("agent").fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect("converting", REDIRECT_CUSTOMER)
    assert story.last.effects[0].conference == CONFERENCE
    story.joins("customer").expect("conferenced", *FLAGS)


def test_agent_is_redirected_if_no_one_is_in_the_conference():
    story = redirected().fires(ConvertOverdue).reads(customer="in-progress", agent="in-progress")
    story.expect("converting", REDIRECT_AGENT)
    assert story.last.effects[0].conference == CUSTOMER_CALL


def test_repair_is_tried_once_and_then_everyone_is_released():
    story = redirected().joins("agent").fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",)).expect(
        "converting", REDIRECT_CUSTOMER
    )
    (move,) = story.last.effects
    assert move.attempt == 2
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",)).expect(
        "converting"
    )
    story.succeeds("redirect_call", "customer", move.effect_id).later(5_000).fires(RepairOverdue).expect(
        "converting", "look"
    )
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect("ended", "end room", "hang up customer", reason="convert-failed")
    story.expect_command("convert-1", "accepted", "failed")


def test_read_some_time_after_the_repair_was_answered_changes_nothing():
    story = redirected().joins("agent").fires(ConvertOverdue)
    seen = {"conference": CONFERENCE, "inside": ("agent",), "customer": "in-progress", "agent": "in-progress"}
    story.reads(**seen).expect("converting", REDIRECT_CUSTOMER)
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id)
    story.later(5_000).reads(**seen).expect("converting").expect_timers("repair")


def test_conversion_goes_on_while_every_read_fails_and_only_a_read_ends_it():
    """The two may be talking: the callback of the last join may be lost."""
    story = converting().joins("agent").fires(ConvertOverdue).fails("read_calls", status=500).expect("converting")
    for _ in range(5):
        story.fires(RepairOverdue).expect("converting", "look").fails("read_calls", status=500).expect("converting")
    story.fires(RepairOverdue).reads(
        customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent")
    )
    story.expect("conferenced", *FLAGS)


def test_repaired_conversion_whose_joins_are_not_reported_is_found_by_a_read():
    """No list shows the conference of the one who waits; both are moved, and talk."""
    story = redirected().fires(ConvertOverdue).reads(customer="in-progress", agent="in-progress")
    story.expect("converting", REDIRECT_AGENT).succeeds("redirect_call", "agent", story.last.effects[0].effect_id)
    story.later(5_000).fires(RepairOverdue).reads(customer="in-progress", agent="in-progress")
    story.expect("converting", REDIRECT_CUSTOMER).succeeds("redirect_call", "customer", story.last.effects[0].effect_id)
    for _ in range(3):
        story.later(5_000).fires(RepairOverdue).expect("converting", "look")
        story.reads(customer="in-progress", agent="in-progress").expect("converting").expect_timers("repair")
    story.later(5_000).fires(RepairOverdue).reads(
        customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent")
    )
    story.expect("conferenced", *FLAGS)


def test_read_showing_a_party_gone_ends_the_call():
    story = converting().joins("agent").fires(ConvertOverdue)
    story.reads(customer="completed", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect("ended", "end room", reason="customer-left")


def test_read_older_than_a_join_is_requested_again():
    story = converting().fires(ConvertOverdue)
    version = story.session.version
    story.joins("agent")
    story.reads(customer="in-progress", agent="in-progress", version=version).expect("converting", "look")


@pytest.mark.parametrize("how", ["callback", "action"])
def test_customer_who_hangs_up_while_converting_ends_it_without_grace(how):
    story = converting().joins("agent")
    if how == "callback":
        story.call("customer", "completed")
    else:
        story.dial_ends("completed", call_status="completed")
    story.expect("ended", "end room", reason="customer-left")
    story.expect_command("convert-1", "accepted", "failed")


def test_customer_hanging_up_before_anyone_joins_hangs_up_the_agent():
    story = converting().dial_ends("completed", call_status="completed")
    story.expect("ended", "hang up agent", reason="customer-left")


@pytest.mark.parametrize("how", ["callback", "leave"])
def test_agent_who_hangs_up_while_converting_ends_it_once_the_customer_is_there(how):
    story = converting().joins("agent")
    if how == "callback":
        story.call("agent", "completed")
    else:
        story.leaves("agent")
    story.expect("converting").joins("customer")
    story.expect("ended", "end room", "hang up customer", reason="agent-left")


def test_leg_that_leaves_the_conference_without_hanging_up_is_waited_for():
    story = converting().joins("agent").leaves("agent", status="in-progress", reason="participant_updated_via_api")
    story.expect("converting")
    assert not story.session.participants


@pytest.mark.parametrize("how", [
    {"status": "in-progress", "reason": "participant_hung_up"},
    {"status": "", "reason": "participant_updated_via_api"},
], ids=str)  # fmt: skip
def test_customer_who_leaves_the_conference_without_hanging_up_is_waited_for(how):
    converting().joins("customer").leaves("customer", **how).expect("converting")


def test_closed_conference_is_replaced_by_the_one_a_late_leg_opens():
    story = converting().joins("agent").leaves("agent", status="in-progress", reason="participant_updated_via_api")
    story.conference_ends().expect("converting")
    story.joins("customer", conference=OTHER_CONFERENCE)
    assert story.session.conference_sid == OTHER_CONFERENCE


def test_leg_in_a_second_conference_is_followed():
    """Legs join by name: with the first conference still there, it would have come into that."""
    story = converting().joins("agent").joins("customer", conference=OTHER_CONFERENCE).expect("converting")
    assert story.session.conference_sid == OTHER_CONFERENCE
    assert [party.name for party in story.session.participants] == ["customer"]
    story.leaves("agent").expect("ended", "end room", reason="agent-left")


def test_transfer_customer_in_a_second_conference_waits_there_for_the_target():
    """The agent hung up as soon as the redirect ran; that callback arrives last."""
    story = Scenario().answered().transfer("warm").joins("agent").dial_ends("completed")
    story.joins("customer", conference=OTHER_CONFERENCE).expect("converting").call("agent", "completed")
    story.expect("transferring", "move customer", phase="blind")


def test_leave_that_is_older_than_the_join_changes_nothing():
    story = converting().joins("agent", sequence=3).leaves("agent", sequence=2, status="in-progress", reason="x")
    story.expect("converting", outcome="stale")
    assert [party.name for party in story.session.participants] == ["agent"]


def test_end_while_converting_hangs_up_both_legs_and_fails_the_convert():
    story = converting().joins("agent").end()
    story.expect("ended", "end room", "hang up customer", reason="command")
    story.expect_command("convert-1", "accepted", "failed").expect_command("end-1", "accepted")


def test_join_without_a_known_conversion_is_taken_as_one():
    """Redis was restored from an older copy: the conversion is under way and its intent is forgotten."""
    story = Scenario().answered().joins("agent").expect("converting").expect_timers("convert")
    story.joins("customer").expect("conferenced", *FLAGS)


def test_slow_twilio_leaves_the_two_talking():
    """No one was moved when all the time was over: to hang up two people who talk would be the worst answer."""
    story = converting()
    redirect = story_redirect(story)
    story.fires(ConvertOverdue).is_unknown("redirect_call", "agent", redirect)
    # The redirect's end requests another read, which follows as soon as the first one is answered.
    story.fails("read_calls", status=500).expect("converting", "look").fails("read_calls", status=500)
    story.fires(RepairOverdue).expect("bridged", phase="connected").expect_timers("leave")
    assert story.reports["convert-1"][-1] == ("failed", "Twilio did not move the parties in time")
    story.fires(LeaveOverdue).expect("bridged", "look")
    story.reads(customer="in-progress", agent="in-progress").expect("bridged", phase="connected").expect_timers()
    story.convert("convert-2").expect("converting", REDIRECT_AGENT)


def story_redirect(story: Scenario) -> str:
    return story.session.open_redirects[0]


def test_redirect_under_way_is_waited_for_before_anything_is_given_up():
    story = converting()
    redirect = story_redirect(story)
    story.fires(ConvertOverdue).fails("read_calls", status=500).fires(RepairOverdue).expect("converting")
    story.expect_timers("repair")
    story.succeeds("redirect_call", "agent", redirect).joins("agent").joins("customer").expect("conferenced", *FLAGS)


def test_leg_that_was_just_moved_is_given_time_before_the_other_one_is_moved_too():
    """The read may run right after a late redirect; the customer's own action is in transit."""
    story = converting().fires(ConvertOverdue)
    story.succeeds("redirect_call", "agent", story_redirect(story))
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",)).expect(
        "converting"
    )
    story.expect_timers("convert", "repair")
    story.later(320).dial_ends("completed").joins("agent").joins("customer").expect(
        "conferenced", *FLAGS
    ).expect_timers("confirm")


def test_repair_timer_starts_when_the_repair_is_requested():
    story = redirected().fires(ConvertOverdue).later(4_900)
    story.reads(customer="in-progress", agent="in-progress").expect("converting", REDIRECT_AGENT)
    assert story.session.timers["repair"] == story.now_ms + 5_000


def test_each_conference_counts_its_events_for_itself():
    story = converting().joins("agent", sequence=5)
    story.leaves("agent", sequence=6, status="in-progress", reason="participant_updated_via_api").conference_ends()
    story.joins("agent", conference=OTHER_CONFERENCE, sequence=1).joins(
        "customer", conference=OTHER_CONFERENCE, sequence=2
    ).expect("conferenced", *FLAGS)


def test_guest_who_hangs_up_while_converting_ends_nothing():
    converting().joins("guest").joins("agent").leaves("guest").expect("converting").joins("customer").expect(
        "conferenced", *FLAGS
    )


@pytest.mark.parametrize("lagging", [(), ("guest",)])
def test_departed_guest_is_not_company_after_a_read_settled_the_conversion(lagging):
    story = converting().joins("guest").leaves("guest").fires(ConvertOverdue)
    inside = ("customer", "agent", *lagging)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=inside)
    story.expect("conferenced", *FLAGS).leaves("agent").expect_timers("confirm", "lone")


def test_lost_conversion_continues_when_twilio_reports_the_agent_live():
    story = (
        Scenario()
        .answered()
        .dial_ends("completed", other_side_is_live=True)
        .expect("converting")
        .expect_timers("convert")
    )
    story.joins("agent").joins("customer").expect("conferenced", *FLAGS)


def test_caller_leaving_during_a_lost_conversion_ends_it():
    story = Scenario().answered().dial_ends("completed", call_status="completed", other_side_is_live=True)
    story.expect("ended", reason="customer-left")


def test_read_of_an_earlier_attempt_moves_no_one_during_a_redirect():
    converting().reads(customer="in-progress", agent="in-progress").expect("converting")


def test_read_requested_before_the_conversion_is_outdated():
    story = Scenario().answered()
    version = story.session.version
    story.convert().reads(customer="in-progress", agent="in-progress", version=version)
    story.expect("converting", "look")


def test_read_requested_before_a_redirect_succeeded_is_outdated():
    story = converting()
    version = story.session.version
    story.succeeds("redirect_call", "agent", story.session.open_redirects[0])
    assert story.session.facts_version > version


def test_leg_that_was_moved_late_is_waited_for_before_the_call_is_ended():
    story = converting().fires(ConvertOverdue).later(4_500)
    story.succeeds("redirect_call", "agent", story_redirect(story)).fires(RepairOverdue).expect("converting")
    shown = {"conference": CONFERENCE, "inside": ("customer",), "customer": "in-progress", "agent": "in-progress"}
    story.reads(**shown).expect("converting", "look").later(2_000).reads(**shown).expect("converting", REDIRECT_AGENT)
    story.succeeds("redirect_call", "agent", story.last.effects[0].effect_id).later(5_000)
    story.fires(RepairOverdue).reads(**shown).expect("ended", "end room", "hang up agent")


def test_read_showing_both_in_another_conference_resets_the_event_sequence():
    """The first conference's last event had a higher number than the second one's first ones have."""
    story = converting().joins("agent", sequence=5).fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="in-progress", conference=OTHER_CONFERENCE, inside=("customer", "agent"))
    assert story.expect("conferenced", *FLAGS).session.conference_sid == OTHER_CONFERENCE
    left = ParticipantLeft(
        session_id=CUSTOMER_CALL,
        entry_id="6-6",
        source=OTHER_CONFERENCE,
        sequence=3,
        conference_sid=OTHER_CONFERENCE,
        call_sid=AGENT_CALL,
        call_status="completed",
        left_reason="participant_hung_up",
    )
    story.take(left).expect("conferenced").expect_timers("confirm", "lone")


def test_join_that_a_read_has_shown_in_another_conference_repeats_no_request():
    story = converting().joins("agent").fires(ConvertOverdue)
    both = ("customer", "agent")
    story.reads(customer="in-progress", agent="in-progress", conference=OTHER_CONFERENCE, inside=both)
    story.expect("conferenced", *FLAGS).joins("agent", conference=OTHER_CONFERENCE).expect("conferenced")


def test_conversion_that_is_adopted_after_one_that_was_given_up_has_a_repair_of_its_own():
    story = converting()
    story.is_unknown("redirect_call", "agent", story_redirect(story))
    story.reads(customer="in-progress", agent="in-progress").expect("converting", REDIRECT_AGENT)
    story.is_unknown("redirect_call", "agent", story_redirect(story)).fires(RepairOverdue).expect("bridged")
    story.joins("agent").expect("converting").fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect("converting", REDIRECT_CUSTOMER, "look")


def repairing() -> Scenario:
    """The customer has not come, and is moved once; now their late dial action was answered after all."""
    story = redirected().joins("agent").fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    return story.expect("converting", REDIRECT_CUSTOMER).dial_ends("completed")


@pytest.mark.parametrize("how", ["callback", "read"])
def test_repair_that_crosses_with_a_late_dial_action_takes_the_customer_out_for_a_moment_only(how):
    story = repairing()
    move = story_redirect(story)
    if how == "callback":
        story.joins("customer").expect("conferenced", *FLAGS)
    else:
        story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
        story.expect("conferenced", *FLAGS)
    # The move is sent only now: Twilio takes the customer out of the conference and into it again.
    story.later(11_000).succeeds("redirect_call", "customer", move)
    story.later(1_000).leaves("customer", status="in-progress", reason="participant_updated_via_api")
    assert not story.session.parties["customer"].is_gone
    story.expect("conferenced").joins("customer").expect("conferenced", "flag customer")
    assert {party.name for party in story.session.participants} == {"customer", "agent"}
    assert "lone" not in story.session.timers


def test_repair_crosses_with_a_late_dial_action_before_its_answer_is_known():
    story = repairing().joins("customer").expect("conferenced", *FLAGS)
    story.leaves("customer", status="in-progress", reason="participant_updated_via_api").joins("customer")
    story.expect("conferenced", "flag customer")


def test_transfer_survives_a_repair_that_crosses_with_a_late_dial_action():
    story = Scenario().answered().transfer("warm")
    story.succeeds("redirect_call", "agent", story_redirect(story)).joins("agent").fires(ConvertOverdue)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect("converting", REDIRECT_CUSTOMER).dial_ends("completed")
    story.joins("customer").expect("transferring", "dial target", "flag customer", phase="warm")
    story.leaves("customer", status="in-progress", reason="participant_updated_via_api").expect("transferring")
    story.joins("customer").expect("transferring", "flag customer", phase="warm")
    assert not story.session.parties["customer"].is_gone


@pytest.mark.parametrize(("elapsed_ms", "is_gone"), [(9_999, False), (10_000, True)])
def test_customer_moved_away_externally_ten_seconds_after_a_repair_is_gone(elapsed_ms, is_gone):
    story = repairing()
    story.succeeds("redirect_call", "customer", story_redirect(story)).joins("customer").later(elapsed_ms)
    story.leaves("customer", status="in-progress", reason="participant_updated_via_api")
    assert story.session.parties["customer"].is_gone is is_gone
