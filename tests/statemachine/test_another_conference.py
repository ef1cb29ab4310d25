"""Joins to another conference than the session's: a stray leg is hung up, a customer who waits alone is followed."""

import pytest

from conferral.statemachine.events import ConvertOverdue, Park, RepairOverdue, StageOverdue, Transfer
from tests.statemachine.command_scenarios import ordering, recorded_conference
from tests.statemachine.conference_scenarios import parked_from_bridge, retrieving
from tests.statemachine.scenario import BOB, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, blind_from_bridge, conferenced, dialing, succeeds_all, talking
from tests.support.each import each


@pytest.mark.parametrize("party", ["customer", "agent"])
@pytest.mark.parametrize("state", ["conferenced", "transferring"])
def test_party_who_joins_another_conference_is_hung_up(state, party):
    story = talking("warm") if state == "transferring" else conferenced()
    parties = story.session.parties
    story.joins(party, conference=OTHER_CONFERENCE).expect(state, "hang up a call", outcome="unexpected")
    assert story.last.effects[0].call_sid == story.legs[party].call_sid
    assert (story.session.conference_sid, story.session.parties) == (CONFERENCE, parties)


def test_target_who_joins_another_conference_is_hung_up_and_not_reached():
    story = dialing("warm").placed("target").call("target", "in-progress").joins("target", conference=OTHER_CONFERENCE)
    story.expect("transferring", "hang up a call", outcome="unexpected")
    assert not story.session.parties["target"].in_conference
    story.call("target", "completed").expect("conferenced", "flag agent").expect_transfer("failed", "hung-up")


def test_target_dialed_into_the_first_conference_is_given_up_when_the_customer_waits_in_another():
    """Twilio ended the first conference, and its end is reported last."""
    story = blind_from_bridge().placed("target").joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.expect("transferring", "hang up target", phase="blind")
    assert (story.session.conference_sid, story.session.former_conferences) == (OTHER_CONFERENCE, (CONFERENCE,))
    story.conference_ends().expect("transferring").call("target", "canceled")
    story.expect("transferring", "dial agent to the gate", phase="recall")


def refused_by_ended_conference(story):
    dial = story.legs["target"].dial
    return story.fails("create_participant", "target", gone=True, code=16022, effect_id=dial)


def test_target_that_twilio_did_not_dial_is_not_waited_for_when_the_customer_waits_in_another_conference():
    """No call will come that could be hung up."""
    story = refused_by_ended_conference(blind_from_bridge()).expect("transferring", "look")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.expect("transferring", "dial agent to the gate", phase="recall")


def test_target_that_twilio_did_not_dial_is_not_waited_for_after_a_cancel():
    story = refused_by_ended_conference(dialing("warm")).expect("transferring", "look").cancel()
    assert story.session.parties["target"].is_gone
    assert story.session.state == "conferenced"


def test_agent_at_the_gate_talks_to_a_customer_who_waits_in_another_conference():
    story = retrieving(parked_from_bridge).placed("agent").gate("agent")
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).expect("transferring", phase="retrieve")
    story.gate("agent", "accepted").joins("agent", conference=OTHER_CONFERENCE).expect("conferenced", *FLAGS, phase="")
    assert [party.name for party in story.session.participants] == ["customer", "agent"]
    story.expect_command("retrieve-1", "accepted", "done")


def test_customer_whose_conference_the_agent_ended_is_followed_before_the_end_is_reported():
    """The agent hung up before Twilio knew that this must not end the conference; the join comes first."""
    story = conferenced().transfer("warm").joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.expect("transferring", "hang up agent", "dial target", phase="blind")
    assert (story.session.conference_sid, story.session.former_conferences) == (OTHER_CONFERENCE, (CONFERENCE,))
    assert not story.session.parties["customer"].desired_end_on_exit
    story.conference_ends(by="agent").expect("transferring", phase="blind")
    assert [party.name for party in story.session.participants] == ["customer"]


def test_customer_who_is_missing_in_another_conference_is_moved_there():
    story = conferenced().transfer("warm").conference_ends(by="agent").expect("transferring", phase="blind")
    assert not any(party.end_on_exit for party in story.session.parties.values())
    story.fires(StageOverdue).reads(customer="in-progress", agent="completed")
    story.expect("transferring", "move customer", phase="blind")


@each("command, reason", [(Park, "agent-left"), (Transfer, "customer-left")])
def test_agent_who_ends_the_conference_ends_the_call_of_a_customer_only_in_a_park(command, reason):
    options = {"mode": "blind", "to": BOB} if command is Transfer else {}
    story = conferenced().command(command, "command-1", **options).conference_ends(by="agent").expect("transferring")
    story.call("customer", "completed").expect("ended", reason=reason)


def test_former_conference_is_entered_again_only_if_twilio_keeps_listing_it():
    story = blind_from_bridge().placed("target").conference_ends().expect("transferring", "hang up target")
    story.fires(StageOverdue).reads(customer="in-progress", conference=CONFERENCE, inside=("customer",))
    assert (story.session.conference_sid, story.session.former_conferences) == ("", (CONFERENCE,))
    assert not story.session.participants
    story.fires(StageOverdue).reads(customer="in-progress", conference=CONFERENCE, inside=("customer",))
    assert story.session.conference_sid == CONFERENCE
    assert [party.name for party in story.session.participants] == ["customer"]


@each("begin, is_kept", [
    (recorded_conference, False),
    (lambda: ordering().record("start").recorded(), True),
])  # fmt: skip
def test_recording_ends_with_its_conference_and_that_of_a_call_goes_on(begin, is_kept):
    story = begin().transfer("warm").conference_ends(by="agent").expect("transferring", phase="blind")
    assert (story.session.recording is not None) is is_kept


BY_FLAG = "participant-with-end-conference-on-exit-left"


@each("by, reason, state", [
    ("agent", BY_FLAG, "transferring"),
    ("", BY_FLAG, "transferring"),
    ("customer", BY_FLAG, "ended"),
    ("", "last-participant-left", "ended"),
])  # fmt: skip
def test_end_of_the_conference_is_survived_only_if_the_agent_caused_it(by, reason, state):
    story = conferenced().transfer("warm").conference_ends(by=by, reason=reason)
    assert story.session.state == state


SHOWN = {"customer": "in-progress", "conference": CONFERENCE, "inside": ("customer",)}


def moved_out_of_the_same_conference():
    """The customer was back before the agent left. It had started, so the customer waits there in silence."""
    story = succeeds_all(Scenario().answered().transfer("warm")).dial_ends("completed").joins("customer")
    shown = SHOWN | {"agent": "in-progress"}
    succeeds_all(story.later(5_000).fires(ConvertOverdue).reads(**shown).expect("converting", "move agent"))
    story.later(5_000).fires(RepairOverdue).reads(**shown).expect("transferring", "hang up agent", "move customer")
    succeeds_all(story).leaves("customer", status="in-progress", reason="participant_updated_via_api")
    story.call("agent", "completed").leaves("agent")
    story.legs["customer"].starts = False
    story.fires(StageOverdue).reads(**SHOWN).fires(StageOverdue).reads(**SHOWN)
    return story.expect("transferring", "move customer")


def test_customer_who_was_back_before_the_agent_left_is_moved_out_of_the_same_conference():
    """The callback of the return was lost."""
    story = moved_out_of_the_same_conference()
    assert story.last.effects[-1].left_conference == CONFERENCE, "a customer who is still in that one was not moved"
    succeeds_all(story).joins("customer", conference=OTHER_CONFERENCE, starts=False).expect(
        "transferring", "dial target"
    )


def test_customer_is_not_moved_again_before_the_first_move_has_an_outcome():
    """A second move would take the customer out of the new conference, and that looks as if they had left."""
    story = moved_out_of_the_same_conference()
    for _ in range(3):
        story.fires(StageOverdue).reads(**SHOWN)
        assert "move customer" not in story.words()
    succeeds_all(story).joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.expect("transferring", "dial target")


def test_customer_whose_move_redis_has_lost_is_followed():
    """The agent's end left the customer in silence, so the customer was moved; the session still is to move them."""
    story = succeeds_all(Scenario().answered().transfer("warm")).dial_ends("completed").joins("agent")
    story.leaves("agent").expect("transferring", phase="blind")
    story.later(60_000).leaves("customer", status="in-progress", reason="participant_updated_via_api")
    story.expect("transferring", phase="blind").joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.expect("transferring", "dial target")


@each("end", [
    lambda story: story.conference_ends(reason=BY_FLAG),
    lambda story: story.leaves("agent", reason="moderator_ended_conference"),
    lambda story: story.leaves("agent", reason="conference_ended_via_api"),
])  # fmt: skip
def test_mute_of_an_agent_who_leaves_with_the_conference_fails_because_they_left(end):
    story = ordering().mute("agent").transfer("consult")
    end(story)
    story.expect_command("mute-1", "accepted", "failed", reason="left")
