"""Durations: known defects; the simulated worlds compare them with what the model of Twilio saw."""

from tests.statemachine.command_scenarios import added
from tests.statemachine.scenario import CONFERENCE, Scenario


def _is_over(story: Scenario) -> list[bool]:
    """Of each begin and end of a hold."""
    fact = f"held {story.legs['customer'].call_sid} {CONFERENCE}"
    return [one.is_over for one in story.session.history.changes if one.fact == fact]


def test_earlier_change_that_is_reported_after_the_answer_to_a_hold_ends_no_hold():
    story = added().hold("customer")
    (effect,) = story.unconfirmed
    story.succeeds("update_participant", "customer", effect.effect_id, is_confirmed=True)
    story.later(100).changes("customer")
    assert _is_over(story) == [False, True]
    story.does("customer")
    story.later(100).changes("customer", kind="participant-hold")
    assert _is_over(story) == [False]
