"""`/voice/conference`: the caller waits in a conference with music while the agents are called into it."""

import pytest

from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.events import AgeOverdue, CallProgressed, DialOverdue, LoneOverdue, OpeningOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.call_legs import unanswered
from tests.statemachine.conference_scenarios import DAVE, called, received, waiting
from tests.statemachine.scenario import ALICE, BOB, CONFERENCE, CUSTOMER_CALL, OTHER_CONFERENCE
from tests.statemachine.transfer_scenarios import FLAGS

TWO = {"other_agents": (BOB,)}


# ---- the way it should go ----------------------------------------------------------------------------------------


def test_agent_is_dialed_once_the_waiting_caller_has_joined():
    story = waiting()
    dial = story.last.effects[0]
    assert (dial.to, dial.conference, dial.label, dial.early_media) == (ALICE, CONFERENCE, "agent-1", False)
    assert story.session.parties["customer"].wait_audio == "music"
    assert story.session.parties["customer"].waits_for_start
    story.placed("agent").expect_timers("dial").call("agent", "ringing").expect("conferenced", phase="ringing")
    story.call("agent", "in-progress").joins("agent").expect("conferenced", *FLAGS, phase="")
    story.expect_parties(customer="connected", agent="connected")
    assert not story.session.parties["customer"].waits_for_start


def test_join_alone_proves_the_answer_when_callbacks_are_lost():
    """Early media is off, so a party that joins has answered."""
    waiting().joins("agent").expect("conferenced", *FLAGS, phase="").expect_timers("confirm")


def test_outcome_of_the_dial_may_come_last():
    story = waiting().call("agent", "ringing").call("agent", "in-progress").joins("agent").placed("agent")
    story.confirms("customer", "agent").expect("conferenced", phase="").expect_timers()


def test_callbacks_in_reverse_order_lead_to_the_same_place():
    story = waiting().joins("agent").call("agent", "in-progress", sequence=2).call("agent", "ringing", sequence=1)
    story.placed("agent").confirms("customer", "agent").expect("conferenced", phase="").expect_timers()
    story.expect_parties(customer="connected", agent="connected")


def test_repeated_request_for_the_first_document_changes_nothing():
    story = waiting()
    story.comes_in(mode="conference", token="again").expect("conferenced", outcome="stale", phase="ringing")


def test_phone_numbers_have_to_press_1_where_the_settings_say_so():
    story = called(Policy(confirm_phones=True), other_agents=("+14155550188",)).joins("customer", starts=False)
    story.expect("conferenced", "dial agent").refused("agent").expect("conferenced", "dial agent to the gate")


def test_agent_who_leaves_or_caller_who_leaves_ends_it_after_the_grace():
    story = received().leaves("agent").expect("conferenced").expect_timers("lone")
    story.fires(LoneOverdue).expect("ended", "end room", reason="agent-left")
    story = received().leaves("customer").fires(LoneOverdue).expect("ended", "end room", reason="customer-left")
    assert story.last.ended_lone_conference


# ---- an agent who can't be reached -------------------------------------------------------------------------------


@unanswered
def test_caller_hears_why_and_is_hung_up_when_the_only_agent_is_not_reached(status, sip, reason):
    story = waiting().placed("agent").call("agent", status, sip=sip)
    story.expect("ended", "say goodbye to customer", reason=f"agent-{reason}")
    assert story.last.effects[0].sentence == "nobody-reached"
    story.expect_concluded(("session", "ended", f"agent-{reason}"))


def test_agents_of_the_directory_are_dialed_one_after_the_other():
    story = waiting(other_agents=(BOB, DAVE)).placed("agent").call("agent", "busy").expect("conferenced", "dial agent")
    assert (story.last.effects[0].to, story.last.effects[0].label) == (BOB, "agent-2")
    story.placed("agent").call("agent", "no-answer").expect("conferenced", "dial agent", phase="ringing")
    assert story.last.effects[0].to == DAVE
    story.takes_part("agent").expect("conferenced", *FLAGS, phase="")
    assert story.session.parties["agent"].address == DAVE


def test_last_agent_names_the_reason():
    story = waiting(**TWO).placed("agent").call("agent", "busy").placed("agent").call("agent", "no-answer")
    story.expect("ended", "say goodbye to customer", reason="agent-no-answer")


def test_late_callbacks_of_the_former_agent_do_not_touch_the_next():
    story = waiting(**TWO).placed("agent").call("agent", "busy").placed("agent").call("agent", "ringing")
    story.call("former agent", "completed").expect("conferenced", outcome="stale")
    story.leaves("former agent", status="busy", reason="participant_add_failed")
    story.expect("conferenced", outcome="stale").expect_parties(customer="connected", agent="ringing")


def test_former_agent_with_unknown_call_is_recognized_by_their_label():
    story = waiting(**TWO).unknown_outcome("agent").expect("conferenced", "dial agent")
    story.leaves("former agent", status="busy", reason="participant_add_failed").expect("conferenced", outcome="stayed")
    story.call("former agent", "busy").expect("conferenced", outcome="stale")
    story.legs["former agent"].label, story.legs["former agent"].call_sid = "agent-9", "CA" + "9" * 32
    story.leaves("former agent", reason="somebody_else").expect("conferenced", outcome="unexpected")
    story.expect_parties(customer="connected", agent="dialing")


def test_refused_dial_continues_with_the_next_agent():
    waiting(**TWO).refused("agent").expect("conferenced", "dial agent").refused("agent")
    waiting().refused("agent").expect("ended", "say goodbye to customer", reason="agent-failed")


def test_unfound_dial_is_given_up_and_hung_up_when_it_appears():
    """A straight one was found by its label before that."""
    story = waiting(**TWO).unknown_outcome("agent").expect("conferenced", "dial agent")
    story.call("former agent", "ringing").expect("conferenced", "hang up a call")
    assert story.session.parties["agent"].status == "dialing"


@pytest.mark.parametrize("expected", ["ringing", "in-progress"])
def test_phone_given_up_is_hung_up_even_when_its_join_comes_first(expected):
    """Until its own callback names the dial, it resembles a party that someone else has brought in."""
    story = waiting(**TWO).unknown_outcome("agent").expect("conferenced", "dial agent")
    story.joins("former agent").expect_parties(customer="connected", agent="dialing", guest_1="connected")
    story.call("former agent", expected).expect("conferenced", "hang up guest-1")
    story.call("former agent", "in-progress", sequence=9).expect("conferenced")
    story.leaves("former agent").takes_part("agent").expect("conferenced", *FLAGS, phase="")


def test_refusal_reported_by_the_conference_waits_for_the_call_status():
    story = waiting().placed("agent").leaves("agent", status="busy", reason="participant_add_failed")
    story.expect("conferenced").expect_timers("dial")
    story.call("agent", "busy", sip=603).expect("ended", "say goodbye to customer", reason="agent-rejected")


def test_dial_failure_reported_only_by_the_conference_is_enough():
    story = waiting().placed("agent").leaves("agent", status="no-answer", reason="participant_add_failed")
    story.expect("ended", "say goodbye to customer", reason="agent-no-answer")


def test_dial_without_callbacks_is_read_and_given_up():
    story = waiting().placed("agent").fires(DialOverdue).expect("conferenced", "look")
    story.reads(customer="in-progress", agent="ringing", conference=CONFERENCE, inside=("customer",)).expect(
        "conferenced"
    )
    story.fires(DialOverdue).expect("ended", "hang up agent", "say goodbye to customer", reason="agent-no-answer")


def test_agent_without_answer_and_join_callbacks_is_found_by_a_read():
    story = waiting().placed("agent").fires(DialOverdue).expect("conferenced", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced", *FLAGS, phase="")


def test_sentence_that_could_not_be_said_is_no_reason_to_leave_the_caller_there():
    story = waiting().refused("agent").expect("ended", "say goodbye to customer")
    story.fails("say_and_hang_up", "customer", effect_id=story.last.effects[0].effect_id)
    story.expect("ended", "hang up customer")
    assert story.last.effects[0].call_sid == CUSTOMER_CALL


# ---- a caller who leaves -----------------------------------------------------------------------------------------


def test_caller_who_hangs_up_stops_the_agents_phone():
    story = waiting().placed("agent").call("agent", "ringing").leaves("customer")
    story.expect("ended", "end room", "hang up agent", reason="customer-left")


def test_caller_who_hangs_up_before_the_dial_was_placed_stops_it_when_it_shows_up():
    story = waiting().call("customer", "completed").expect("ended", "end room", reason="customer-left")
    story.placed("agent").expect("ended", "hang up a call")
    story = waiting().call("customer", "completed").call("agent", "ringing").expect("ended", "hang up a call")


def test_caller_hanging_up_before_joining_ends_it_before_anyone_is_dialed():
    called().call("customer", "completed").expect("ended", reason="customer-left").expect_concluded(
        ("session", "ended", "customer-left")
    )


@pytest.mark.parametrize("shown", ["action", "leave", "call", "room first"])
def test_callers_leaving_is_known_by_any_of_its_callbacks(shown):
    story = waiting().placed("agent")
    match shown:
        case "action":
            story.dial_ends("completed", call_status="completed", dial="conference")
        case "leave":
            story.leaves("customer")
        case "call":
            story.call("customer", "completed")
        case _:
            story.conference_ends(by="customer").expect("conferenced", "hang up agent").leaves("customer")
    assert (story.session.state, story.session.end_reason) == ("ended", "customer-left")
    assert "hang up agent" in story.all_words()


def test_caller_who_hangs_up_as_the_agent_answers():
    """The agent has already joined, and is disconnected after the grace, not kept in an empty conference."""
    story = waiting().placed("agent").call("agent", "in-progress").call("customer", "completed")
    story.expect("ended", "end room", "hang up agent", reason="customer-left")
    story.joins("agent").expect("ended", "hang up a call")


# ---- a caller who is lost ----------------------------------------------------------------------------------------


def lost():
    """The conference in which the caller waited is over, and he has not come into another."""
    story = waiting().placed("agent").conference_ends().expect("conferenced", "hang up agent")
    return story.call("agent", "canceled").expect("conferenced").expect_timers("opening")


def moved():
    story = lost().fires(OpeningOverdue).expect("conferenced", "look").reads(customer="in-progress")
    return story.expect("conferenced", "move customer").expect_timers("opening")


def test_caller_who_does_not_return_is_searched_for_and_moved_once():
    story = moved()
    assert story.last.effects[0].wait_audio == "music"
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id)
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect(
        "conferenced", "dial agent"
    ).expect_timers()


def test_caller_is_moved_even_if_their_join_was_event_number_0():
    story = called().joins("customer", starts=False, sequence=0).expect("conferenced", "dial agent").placed("agent")
    story.leaves("customer", status="in-progress", reason="moved", sequence=None).expect("conferenced")
    story.fires(OpeningOverdue).reads(customer="in-progress").expect("conferenced", "move customer")


def test_caller_who_can_not_be_brought_in_is_not_left_in_silence():
    story = moved()
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id)
    story.fires(OpeningOverdue).expect("conferenced", "look").reads(customer="in-progress", conference=CONFERENCE)
    story.expect("ended", "hang up customer", reason="convert-failed")


def test_move_that_has_come_to_nothing_ends_it():
    story = moved()
    story.fails("redirect_call", "customer", status=500, effect_id=story.last.effects[0].effect_id)
    story.expect("conferenced", "look").reads(customer="in-progress", conference=CONFERENCE)
    story.expect("ended", "hang up customer", reason="convert-failed")


def test_caller_never_seen_in_any_conference_is_not_moved():
    """The caller may have got other TwiML, and talk; if they are in the conference, a read shows it."""
    story = called().fires(OpeningOverdue).expect("conferenced", "look").expect_timers("opening")
    story.reads(customer="in-progress").expect("conferenced")
    # They may talk for an hour: that must not cost a read every two seconds.
    assert story.session.timers["opening"] - story.now_ms == story.policy.reread_interval_ms
    story.fires(OpeningOverdue).expect("conferenced", "look")
    story.reads(customer="completed").expect("ended", reason="customer-left")


def test_caller_who_joined_without_callbacks_is_found():
    story = called().fires(OpeningOverdue).reads(customer="in-progress", conference=CONFERENCE, inside=("customer",))
    story.expect("conferenced", "dial agent").expect_timers()


def test_unanswered_read_is_repeated():
    story = called().fires(OpeningOverdue).fails("read_calls", status=503).expect_timers("opening")
    story.fires(OpeningOverdue).expect("conferenced", "look").is_unknown("read_calls").expect_timers("opening")


def test_early_read_does_not_divert_the_caller():
    """The action's document may just be leading him into the other conference."""
    story = lost().later(300).sweep_finds("conference-missing").expect("conferenced", "look")
    story.reads(customer="in-progress").expect("conferenced").expect_timers("opening")


def test_move_of_unknown_outcome_is_verified_before_it_counts_as_failed():
    story = moved()
    story.is_unknown("redirect_call", "customer", story.last.effects[0].effect_id).expect("conferenced", "look")
    story.reads(customer="in-progress", conference=OTHER_CONFERENCE, inside=("customer",)).expect(
        "conferenced", "dial agent"
    )


def test_move_of_a_caller_who_has_hung_up_ends_it():
    story = moved()
    story.fails("redirect_call", "customer", gone=True, status=404, effect_id=story.last.effects[0].effect_id)
    story.expect("conferenced", "look").reads(customer="completed").expect("ended", reason="customer-left")


# ---- music that could not be had ---------------------------------------------------------------------------------


def test_failing_wait_url_costs_the_caller_the_conference_but_not_the_call():
    """Twilio ends it; the action of his `<Dial>` leads him into another, without music, and the agent is dialed."""
    story = called().joins("customer", starts=False).conference_ends().expect("conferenced").expect_timers("opening")
    story.placed("agent").expect("conferenced", "hang up agent")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("conferenced", "dial agent")
    assert (story.last.effects[0].conference, story.last.effects[0].to) == (OTHER_CONFERENCE, ALICE)
    story.call("former agent", "canceled").expect("conferenced")
    story.takes_part_in(OTHER_CONFERENCE, "agent").expect("conferenced", *FLAGS, phase="")


def conference_is_over(story):
    """Twilio refuses to dial into a conference that has ended; no callback has reported the end yet."""
    return story.fails("create_participant", "agent", gone=True, status=404, effect_id=story.legs["agent"].dial)


def test_dial_that_comes_too_late_for_the_first_conference_goes_into_the_second():
    story = conference_is_over(waiting()).expect("conferenced").expect_timers("opening")
    story.dial_ends("answered", dial="conference").conference_ends().expect("conferenced")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("conferenced", "dial agent")
    assert (story.last.effects[0].conference, story.last.effects[0].to) == (OTHER_CONFERENCE, ALICE)
    story.takes_part_in(OTHER_CONFERENCE, "agent").expect("conferenced", *FLAGS, phase="")


def test_customers_number_is_not_what_the_dial_came_too_late_for():
    story = called(Policy(shows_customer_number=True), call_token="token").joins("customer", starts=False)
    conference_is_over(story.expect("conferenced", "dial agent")).expect("conferenced")


def test_conference_found_alive_is_dialed_into_once_more_only():
    story = conference_is_over(waiting()).fires(OpeningOverdue).expect("conferenced", "look")
    story.reads(conference=CONFERENCE, inside=("customer",), customer="in-progress").expect("conferenced", "dial agent")
    conference_is_over(story).expect("ended", "say goodbye to customer", reason="agent-failed")


@pytest.mark.parametrize("first", ["action", "join"])
def test_callbacks_of_the_two_conferences_may_come_in_any_order(first):
    story = waiting().placed("agent")
    if first == "action":
        story.dial_ends("completed", dial="conference").expect("conferenced").expect_timers("opening", "dial")
        story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect(
            "conferenced", "hang up agent", "dial agent"
        )
    else:
        story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect(
            "conferenced", "hang up agent", "dial agent"
        )
    story.conference_ends().leaves("customer", status="in-progress", reason="conference_ended").expect("conferenced")
    assert story.session.conference_sid == OTHER_CONFERENCE
    assert story.session.parties["customer"].in_conference
    story.takes_part_in(OTHER_CONFERENCE, "agent").expect("conferenced", *FLAGS, phase="")


def test_agent_ringing_for_the_gate_is_not_redialed_for_another_conference():
    policy = Policy(confirm_phones=True)
    story = called(policy, agent_address="+14155550188").joins("customer", starts=False)
    story.expect("conferenced", "dial agent to the gate").placed("agent").conference_ends().expect("conferenced")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("conferenced")
    story.gate("agent").gate("agent", "accepted").joins("agent", conference=OTHER_CONFERENCE)
    story.expect("conferenced", *FLAGS, phase="")


def test_agent_busy_while_the_caller_is_moving_is_not_rung_again():
    policy = Policy(confirm_phones=True)
    story = called(policy, agent_address="+14155550188", **TWO).joins("customer", starts=False)
    story.placed("agent").conference_ends().call("agent", "busy")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("conferenced", "dial agent")
    assert story.last.effects[0].to == BOB


def test_every_callback_about_the_second_conference_may_be_lost():
    """The session still takes the caller for being in the first one; the sweep finds that it is over."""
    story = waiting().placed("agent").call("agent", "ringing").later(30_000)
    story.sweep_finds("conference-missing").expect("conferenced", "look")
    story.reads(customer="in-progress", agent="ringing", conference=OTHER_CONFERENCE, inside=("customer",))
    assert story.session.conference_sid == OTHER_CONFERENCE
    assert story.all_words().count("dial agent") == 2
    assert story.session.parties["customer"].in_conference


def test_conference_that_is_over_without_a_word_leads_to_another():
    story = waiting().placed("agent").call("agent", "ringing").later(30_000)
    story.sweep_finds("conference-missing").expect("conferenced", "look")
    story.reads(customer="in-progress", agent="ringing").expect("conferenced", "hang up agent")
    assert "opening" in story.session.timers
    story.fires(OpeningOverdue).reads(customer="in-progress", agent="canceled").expect("conferenced", "move customer")


def test_dial_into_the_first_conference_that_is_placed_after_the_second_began_is_hung_up():
    story = waiting().joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("conferenced", "dial agent")
    story.placed("former agent").expect("conferenced", "hang up a call")
    story.call("former agent", "ringing").expect("conferenced")
    story.takes_part_in(OTHER_CONFERENCE, "agent").expect("conferenced", *FLAGS, phase="")


# ---- commands and the end ----------------------------------------------------------------------------------------


def test_every_transfer_is_refused_before_anyone_has_answered():
    story = waiting()
    for mode in ("warm", "consult", "blind"):
        story.transfer(mode, command_id=mode).expect_refused(mode, "no one has answered yet", "convert", "end")
    story.park().expect("conferenced", outcome="refused")


def test_end_hangs_up_both():
    waiting().placed("agent").end().expect("ended", "end room", "hang up agent", reason="command")


def test_end_before_the_caller_joins_hangs_them_up():
    called().end().expect("ended", "hang up customer", reason="command")


def test_removing_the_ringing_agent_continues_with_the_next():
    story = waiting(**TWO).placed("agent").remove("agent").expect("conferenced", "hang up agent")
    story.call("agent", "canceled").expect("conferenced", "dial agent")
    story.expect_command("remove-1", "accepted", "done")


def test_removing_the_caller_ends_it():
    waiting().placed("agent").remove("customer").expect("ended", "end room", "hang up agent", reason="command")


def test_call_that_waits_for_a_day_is_ended():
    story = waiting().placed("agent").fires(AgeOverdue).reads()
    story.expect("ended", "end room", "hang up agent", reason="too-old")


def test_someone_who_is_no_party_does_not_count_as_the_agent():
    story = waiting().placed("agent").joins("guest").expect("conferenced", phase="ringing")
    story.call("agent", "busy").expect("ended", "say goodbye to customer", reason="agent-busy")
    story.succeeds("say_and_hang_up", "customer").expect("ended", "end room")


@pytest.mark.parametrize("how", ["fails", "is_unknown"])
def test_sentence_that_could_not_be_said_leaves_no_guest_behind(how):
    story = waiting().placed("agent").joins("guest").call("agent", "busy")
    getattr(story, how)("say_and_hang_up", "customer").expect("ended", "hang up customer", "end room")


# ---- when the agent has left -------------------------------------------------------------------------------------

AFTER = {"attributes": ConferenceAttributes(after_url="https://example.com/survey")}


def with_survey():
    story = waiting(**AFTER).takes_part("agent").expect("conferenced", "flag customer", phase="")
    return story.confirms("customer").expect("conferenced").expect_timers()


def test_caller_continues_at_the_directory_url_after_agent_leaves():
    story = with_survey().leaves("agent").expect("conferenced").expect_timers("lone")
    story.fires(LoneOverdue).expect("ended", "send away customer", reason="agent-left")
    assert story.last.effects[0].url == "https://example.com/survey"
    assert story.session.parties["customer"].left_reason == "redirected-away"
    # He is no longer ours: what the account still shows of him is left alone.
    story.sweep_finds("call-live", "customer").expect("ended")
    story.call("customer", "in-progress").expect("ended")


def test_caller_who_leaves_first_is_not_sent_anywhere():
    with_survey().leaves("customer").fires(LoneOverdue).expect("ended", "end room", reason="customer-left")


def test_caller_without_a_survey_is_left_to_the_dial_action_when_the_conference_ends_with_the_agent():
    received().conference_ends(by="agent").expect("ended", reason="agent-left")


@pytest.mark.parametrize("text", ["conference end", "nothing"])
def test_late_join_callback_does_not_divert_a_caller_who_continues_elsewhere(text):
    """A read has shown the join; its callback arrives minutes later."""
    story = with_survey().leaves("agent")
    if text == "nothing":
        story.fires(LoneOverdue).expect("ended", "send away customer")
    else:
        story.conference_ends().expect("ended", reason="agent-left")
    story.joins("customer").expect("ended")
    # Into another one he comes because he was answered before it was decided that he goes on.
    story.joins("customer", conference=OTHER_CONFERENCE).expect("ended", "hang up a call")


@pytest.mark.parametrize("outcome", ["refused", "unknown"])
def test_caller_who_can_not_be_sent_on_does_not_stay_there_alone(outcome):
    """The end of the conference leads him on by his action, should Twilio not have taken the request."""
    story = with_survey().leaves("agent").fires(LoneOverdue).expect("ended", "send away customer")
    effect_id = story.last.effects[0].effect_id
    if outcome == "refused":
        story.fails("redirect_to_url", "customer", code=21205, effect_id=effect_id)
    else:
        story.is_unknown("redirect_to_url", "customer", effect_id)
    story.expect("ended", "end room")


def test_held_caller_also_continues_elsewhere_when_the_agent_leaves():
    story = with_survey().transfer("consult").expect("transferring", "hold customer").confirms("customer")
    story.placed("target").call("target", "busy").expect("transferring", "unhold customer").confirms("customer")
    story.expect("conferenced", "flag customer").leaves("agent").fires(LoneOverdue).expect(
        "ended", "send away customer"
    )


def test_caller_no_one_answers_hears_the_message_and_no_survey():
    story = waiting(**AFTER).placed("agent").call("agent", "busy")
    story.expect("ended", "say goodbye to customer", reason="agent-busy")


def test_callback_of_an_unknown_call_is_unexpected():
    event = CallProgressed(session_id=CUSTOMER_CALL, entry_id="9-9", party="", call_sid="CA" + "9" * 32, status="busy")
    waiting().take(event).expect("conferenced", outcome="unexpected", phase="ringing")
