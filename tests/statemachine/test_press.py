"""Digits to one party: to whom they are played, and what ends the command."""

import pytest

from conferral.statemachine.events import PendingCommandOverdue
from tests.statemachine.command_scenarios import added, ordering
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import talking

CANT_HEAR = "the party is on hold, waiting, or leaving"
PLAYING = "another announcement is playing"


def test_digits_are_played_to_one_party_and_done_when_their_end_is_reported():
    story = added().press("lawyer").expect("conferenced", "play to lawyer")
    story.played("customer", command="press-1").played("lawyer", command="other").expect_command("press-1", "accepted")
    story.played("lawyer", command="press-1").expect_command("press-1", "accepted", "done").expect_timers()


@pytest.mark.parametrize("confirmed", [True, False])
def test_party_on_hold_gets_no_digits(confirmed):
    story = ordering().hold("customer")
    (story.confirms("customer") if confirmed else story).press("customer").expect_refused("press-1", CANT_HEAR)
    story.press("agent", "other").expect_command("other", "accepted")


def test_target_of_a_consult_gets_digits_while_the_held_customer_cannot():
    story = ordering(talking, "consult").press("customer").expect_refused("press-1", CANT_HEAR)
    story.press("target", "menu").expect("transferring", "play to target")
    story.played("target", command="menu").expect_command("menu", "accepted", "done")


def test_party_being_hung_up_gets_no_digits():
    added().remove("lawyer").press("lawyer").expect_refused("press-1", CANT_HEAR)


@pytest.mark.parametrize(("first", "second"), [("press", "announce"), ("announce", "press"), ("press", "press")])
def test_digits_and_announcements_take_one_slot(first, second):
    give = {
        "press": lambda story, command_id: story.press("agent", command_id),
        "announce": lambda story, command_id: story.announce(command_id),
    }
    story = give[second](give[first](ordering(), "first"), "second").expect_refused("second", PLAYING)
    story.played("agent" if first == "press" else "", command="first").expect_command("first", "accepted", "done")
    give[second](story, "third").expect_command("third", "accepted")


def test_digits_of_a_bridged_call_wait_for_the_conference():
    story = ordering(lambda: Scenario().answered()).press("agent").expect("converting", "move agent")
    story.joins("agent").expect("converting").joins("customer")
    assert "play to agent" in story.words()
    story.played("agent", command="press-1").expect_command("press-1", "accepted", "done")


def test_party_held_by_an_earlier_command_of_the_conversion_gets_no_digits():
    story = ordering(lambda: Scenario().answered()).hold("customer").press("customer")
    story.joins("agent").joins("customer").expect_command("press-1", "accepted", "failed", reason=CANT_HEAR)
    assert "play to customer" not in story.words()


def test_party_that_leaves_while_digits_are_played_fails_them():
    story = added().press("lawyer").leaves("lawyer")
    story.expect_command("press-1", "accepted", "failed", reason="hung-up").announce().expect_command(
        "announce-1", "accepted"
    )


@pytest.mark.parametrize(("gone", "reason"), [
    (True, "no one is there to hear it"), (False, "Twilio refused (HTTP 400, code 0)"),
])  # fmt: skip
def test_digits_that_twilio_refuses_fail_the_command(gone, reason):
    story = added().press("lawyer")
    effect = story.effects[-1]
    story.fails(effect.kind, "lawyer", gone=gone, status=404 if gone else 400, effect_id=effect.effect_id)
    story.expect_command("press-1", "accepted", "failed", reason=reason).expect_no_orders()


def test_digits_that_could_not_be_fetched_fail_the_command():
    story = ordering().press("agent").played("agent", command="press-1", failed=True, reason="Got HTTP 404")
    story.expect_command("press-1", "accepted", "failed", reason="the digits could not be played (Got HTTP 404)")


def test_digits_of_unknown_outcome_may_still_report_their_end():
    story = ordering().press("agent")
    story.is_unknown("play_announcement", "agent", story.effects[-1].effect_id).expect_command("press-1", "accepted")
    story.played("agent", command="press-1").expect_command("press-1", "accepted", "done")


def test_digits_whose_end_is_not_reported_fail_in_the_end_and_others_may_follow():
    story = ordering().press("agent").fires(PendingCommandOverdue)
    story.expect_command("press-1", "accepted", "failed", reason="unknown: Twilio did not confirm it")
    story.press("agent", "again").expect_command("again", "accepted")
