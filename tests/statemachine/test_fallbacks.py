"""Where a customer goes whom no one takes: places in order, the voicemail, and a URL of your app's."""

from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from conferral.runtime.text import split_list
from conferral.statemachine.events import CallsOverdue, End, Hold, ReadOverdue, RecordingChanged, Remove
from conferral.statemachine.parts import DialOptions
from conferral.statemachine.policy import Policy
from conferral.statemachine.states import State
from tests.statemachine.conference_scenarios import called, waiting
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced
from tests.support.people import AGENT_PHONE

MENU = "https://app.example.com/menu"
MESSAGE = "RE" + "d" * 32
NEW_CONFERENCE = "CF" + "d" * 32


def unreached(fallback: str, **options) -> Scenario:
    """A blind transfer whose target is busy."""
    return (
        blind_from_bridge(policy=Policy(fallback=split_list(fallback)), **options)
        .placed("target")
        .call("target", "busy")
    )


def unanswered(fallback: str) -> Scenario:
    """A caller waits in a conference, and the agent is busy."""
    return waiting(fallback=split_list(fallback)).placed("agent").call("agent", "busy")


def message(story: Scenario, status: str, seconds: int = 0) -> Scenario:
    event = RecordingChanged(
        **story.common(), recording_sid=MESSAGE, status=status, of_voicemail=True, duration_s=seconds
    )
    return story.take(event)


def in_voicemail(story: Scenario) -> Scenario:
    """Twilio has moved the customer, and the conference is over."""
    story.expect("transferring", "move to voicemail: customer", phase="voicemail")
    story.succeeds("redirect_to_voicemail", "customer", story.session.voicemail.move_effect_id)
    story.leaves("customer", status="in-progress", reason="participant_updated_via_api").conference_ends()
    return story.expect("transferring", phase="voicemail")


def messages(story: Scenario) -> list[tuple[str, int]]:
    return [(one.recording_sid, one.duration_s) for one in story.conclusions if one.kind == "voicemail"]


# ---- places in order -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("takes_it", ["recall", AGENT_PHONE, "voicemail", MENU, "end"])
def test_outcome_says_what_took_the_customer(takes_it):
    story = unreached(takes_it)
    if takes_it == "recall":
        story.placed("agent").answers("agent").joins("agent")
    elif takes_it == AGENT_PHONE:
        story.placed("target").answers("target").joins("target")
    (transfer,) = [one for one in story.conclusions if one.kind == "transfer"]
    assert transfer.landed_on == takes_it
    assert transfer.result == ("recalled" if takes_it == "recall" else "failed")


def test_removing_the_dialed_fallback_leads_to_the_next_place():
    story = unreached(f"{CAROL},recall").placed("target").call("target", "ringing")
    story.command(Remove, "remove-1", party="target")
    story.expect("transferring", "hang up target").call("target", "canceled")
    story.expect("transferring", "dial agent to the gate", phase="recall")


# ---- a URL ---------------------------------------------------------------------------------------------------------


def test_a_url_keeps_its_own_query():
    (effect,) = unreached(f"{MENU}?line=2").last.effects
    assert effect.url.startswith(f"{MENU}?line=2&session=")


def test_our_words_in_a_url_replace_those_that_it_has():
    forged = "session=CA7&%73ession=x&+Reason=completed&ref=1&session[]=x&ref%00=2&sessions=kept&a=1;reason=x;b=2&c"
    (effect,) = unreached(f"{MENU}?{forged}").last.effects
    page, _, query = effect.url.partition("?")
    assert page == MENU
    assert query.startswith("sessions=kept&a=1;b=2&c&session=")
    assert [name for name, _ in parse_qsl(query)][-2:] == ["session", "reason"]


def test_the_conference_is_ended_if_twilio_does_not_redirect_to_the_url():
    """The action of the customer's `<Dial>` continues there, too."""
    story = unreached(MENU).is_unknown("redirect_to_url", "customer")
    story.expect("ended", "end room")
    assert story.session.attributes.after_url.startswith(MENU)


# ---- the voicemail -------------------------------------------------------------------------------------------------


def test_a_silent_message_is_none():
    story = message(in_voicemail(unreached("voicemail")), "in-progress")
    message(story, "absent").expect("ended", "hang up customer", reason="voicemail")
    assert not messages(story)


def ended_by_action() -> Scenario:
    """The action of the `<Record>` shows that the message is over; Twilio still processes it."""
    story = message(in_voicemail(unreached("voicemail")), "in-progress")
    message(story, "processing", 7).expect("ended", "hang up customer", "find message of customer", reason="voicemail")
    assert not messages(story)
    return story


def test_a_message_is_reported_once_twilio_has_it_with_its_final_length():
    story = message(ended_by_action(), "completed", 5)
    assert messages(story) == [(MESSAGE, 5)]
    story.succeeds("find_message", "customer", recording_sid=MESSAGE, duration_s=5)
    assert messages(story) == [(MESSAGE, 5)]


def test_a_message_is_reported_with_its_own_times():
    event = RecordingChanged(
        **(story := ended_by_action()).common(),
        recording_sid=MESSAGE,
        status="completed",
        of_voicemail=True,
        duration_s=5,
        started_at_ms=1_700_000_000_000,
    )
    story.take(event)
    assert (story.conclusions[-1].started_at_ms, story.conclusions[-1].ended_at_ms) == (
        1_700_000_000_000,
        1_700_000_005_000,
    )


def test_a_message_that_twilio_does_not_keep_after_all_is_never_reported():
    story = message(ended_by_action(), "absent").succeeds("find_message", "customer")
    assert not messages(story)


def test_an_action_that_comes_after_the_message_is_reported_changes_nothing():
    story = message(in_voicemail(unreached("voicemail")), "completed", 5).expect("ended", "hang up customer")
    message(story, "processing", 7).expect("ended", outcome="stale")
    assert messages(story) == [(MESSAGE, 5)]


def test_a_message_whose_callbacks_are_lost_is_found_and_reported_once():
    story = in_voicemail(unreached("voicemail")).fires(ReadOverdue).expect("transferring", "look")
    story.reads(customer="completed").expect("ended", "find message of customer")
    story.succeeds("find_message", "customer", recording_sid=MESSAGE, duration_s=9).expect("ended")
    message(story, "completed", 9).expect("ended")
    assert messages(story) == [(MESSAGE, 9)]


def test_customer_in_a_voicemail_takes_no_command_but_end():
    story = in_voicemail(unreached("voicemail")).command(Hold, "hold-1", party="customer")
    story.expect_refused("hold-1", "the customer is in the voicemail")
    story.command(End, "end-1").expect("ended", "hang up customer", reason="command")


def test_a_url_after_a_voicemail_that_failed_says_why_no_one_was_reached():
    story = unreached(f"voicemail,{MENU}")
    story.fails("redirect_to_voicemail", "customer", effect_id=story.session.voicemail.move_effect_id)
    (url,) = [effect.url for effect in story.last.effects if effect.kind == "redirect_to_url"]
    assert parse_qs(urlsplit(url).query)["reason"] == ["busy"]


def test_url_says_that_it_is_unknown_whether_anyone_was_dialed():
    story = waiting(fallback=(MENU,)).unknown_outcome("agent")
    (url,) = [effect.url for effect in story.last.effects if effect.kind == "redirect_to_url"]
    assert parse_qs(urlsplit(url).query)["reason"] == ["unknown"]


def test_no_one_is_dialed_for_a_customer_who_has_hung_up_on_the_way_to_the_voicemail():
    story = unreached(f"voicemail,{CAROL}")
    move = story.session.voicemail.move_effect_id
    story.fails("redirect_to_voicemail", "customer", effect_id=move, gone=True).expect("transferring", "look")
    story.reads(customer="completed").expect("ended", "end room", "find message of customer", reason="customer-left")


def test_a_customer_whom_twilio_has_not_moved_is_moved_once_more_and_no_more_than_that():
    """A worker may have died with the request in hand."""
    story = unreached("voicemail,recall")
    for follows in ("move to voicemail: customer", "dial agent to the gate"):
        story.is_unknown("redirect_to_voicemail", "customer", story.session.voicemail.move_effect_id)
        story.expect("transferring", "look", phase="voicemail")
        story.reads(conference=CONFERENCE, inside=("customer",)).expect("transferring", follows)


@pytest.mark.parametrize("heard_tone", [False, True])
def test_a_customer_whose_document_fails_comes_back_into_a_conference(heard_tone):
    """Twilio requests the fallback URL then. After the tone, there may be a message; else the next place follows."""
    story = in_voicemail(unreached("voicemail,recall"))
    if heard_tone:
        message(story, "in-progress").joins("customer", conference=OTHER_CONFERENCE, starts=False)
        story.expect("ended", "end room", "hang up customer", "find message of customer", reason="voicemail")
    else:
        story.joins("customer", conference=OTHER_CONFERENCE, starts=False)
        story.expect("transferring", "dial agent to the gate", phase="recall")


def test_message_in_a_voicemail_that_redis_lost_is_reported_and_ends_no_transfer():
    for begin, state in ((lambda: blind_from_bridge().placed("target"), "transferring"), (conferenced, "conferenced")):
        story = message(begin(), "in-progress").expect(state)
        message(story, "completed", 3).expect(state)
        assert messages(story) == [(MESSAGE, 3)]


# ---- an inbound call that no agent takes ---------------------------------------------------------------------------


def test_a_waiting_caller_goes_on_to_the_fallback_of_the_call():
    story = unanswered(f"{CAROL},voicemail").expect("transferring", "dial target", phase="fallback")
    story.placed("target").call("target", "busy")
    in_voicemail(story)
    message(story, "completed", 5).expect("ended", "hang up customer", reason="voicemail")
    assert [one.kind for one in story.conclusions] == ["voicemail", "session"]


def test_who_takes_an_inbound_call_as_fallback_is_dialed_like_an_agent():
    given = DialOptions(brief="Order 7", confirm=True, params="id=7")
    story = (
        Scenario().comes_in(fallback=(AGENT_PHONE,), options=given).dial_ends("busy").joins("customer", starts=False)
    )
    target = story.expect("transferring", "dial target to the gate").session.parties["target"]
    assert (target.options.brief, target.options.confirm, target.options.params) == ("Order 7", True, "")


@pytest.mark.parametrize("fallback, other_agents", [(CAROL, ()), ("", (BOB,))])
def test_an_agent_who_hung_up_before_the_two_were_connected_has_not_taken_the_call(fallback, other_agents):
    story = Scenario().comes_in(fallback=split_list(fallback), other_agents=other_agents).call("agent", "in-progress")
    story.expect("bridged", phase="connected").dial_ends("no-answer")
    if fallback:
        story.expect("transferring", phase="fallback")
    else:
        story.expect("bridged", phase="ringing")
        assert story.session.agent.address == BOB


def test_a_caller_who_joined_is_helped_though_the_end_of_the_bridge_was_lost():
    story = Scenario().comes_in(fallback=(CAROL,)).call("agent", "ringing").joins("customer", starts=False)
    story.expect("transferring", "dial target", phase="fallback")


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("status", ["no-answer", "busy"])
def test_a_caller_who_joined_is_helped_though_only_a_read_shows_it(status, is_known):
    """The action's event and the join are lost, and maybe the agent's callback, too."""
    story = Scenario().comes_in(fallback=(CAROL,)).call("agent", "ringing")
    if is_known:
        story.call("agent", status)
    story.fires(CallsOverdue).expect("bridged", "look").legs["customer"].starts = False
    shown = {} if is_known else {"agent": status}
    story.reads(conference=CONFERENCE, inside=("customer",), customer="in-progress", **shown)
    story.expect("transferring", "dial target", phase="fallback").expect_transfer("failed", status)


def test_a_caller_whom_a_read_shows_alone_after_a_lost_conversion_is_not_helped():
    story = Scenario().comes_in(fallback=(CAROL,)).call("agent", "ringing").fires(CallsOverdue)
    story.reads(conference=CONFERENCE, inside=("customer",), customer="in-progress", agent="completed")
    story.expect("ended", "end room", "hang up customer", reason="agent-left")


@pytest.mark.parametrize("status", ["completed", "canceled"])
def test_a_bridge_that_was_answered_or_cancelled_has_no_fallback(status):
    story = Scenario().comes_in(fallback=(CAROL,)).call("agent", "ringing").dial_ends(status)
    assert story.session.state == "bridged"


def test_a_caller_without_any_agent_goes_to_the_fallback_at_once():
    story = called(agent_address="", fallback=(MENU,)).joins("customer", starts=False)
    story.expect("ended", "send away customer", reason="returned")
    assert parse_qs(urlsplit(story.last.effects[0].url).query)["reason"] == ["not-configured"]


def test_a_caller_outside_the_hours_is_turned_away_by_the_document_alone():
    story = Scenario().comes_in(mode="conference", agent_address="", closed=True)
    assert (story.session.state, story.session.end_reason, story.last.effects) == (State.ENDED, "closed", ())
    (outcome,) = story.last.conclusions
    assert (outcome.closed, outcome.reason, outcome.landed_on, outcome.attempts) == (True, "closed", "end", ())


def test_the_url_outside_the_hours_learns_so():
    story = called(agent_address="", closed=True, fallback=(MENU,)).joins("customer", starts=False)
    assert parse_qs(urlsplit(story.last.effects[0].url).query)["reason"] == ["closed"]
    (outcome,) = story.last.conclusions
    assert (outcome.closed, outcome.reason, outcome.landed_on) == (True, "returned", MENU)
