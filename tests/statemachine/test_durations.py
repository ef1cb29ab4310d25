"""Durations: known defects; the simulated worlds compare them with what the model of Twilio saw."""

from tests.statemachine.command_scenarios import added, ordering
from tests.statemachine.scenario import ALICE, BOB, CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import conferenced, talking


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


def _agents(story: Scenario) -> list[tuple[str, int, int]]:
    """The agents in the session's outcome, with milliseconds of talk, and holds."""
    record = story.outcome_records[-1]
    assert record.kind == "session"
    return [(one.address, one.talk_ms, one.holds) for one in record.agents]


def test_agent_s_talk_time_in_a_bridge_begins_with_the_answer():
    story = Scenario().comes_in().later(5_000).call("agent", "in-progress").later(60_000)
    story.dial_ends("completed").call("agent", "completed").call("customer", "completed")
    assert _agents(story) == [(ALICE, 60_000, 0)]


def test_call_that_no_agent_took_has_none():
    story = Scenario().comes_in().later(5_000).call("agent", "busy").dial_ends("busy")
    assert _agents(story) == []


def test_talk_time_has_no_holds_and_each_hold_counts():
    story = ordering(conferenced).later(10_000).hold("customer").confirms("customer").later(20_000)
    story.unhold("customer").confirms("customer").later(5_000).end()
    assert _agents(story) == [(ALICE, 15_000, 1)]


def test_target_who_takes_over_is_an_agent_too_and_the_consult_is_a_hold():
    story = talking("consult").later(30_000).complete().confirms("customer").leaves("agent").later(7_000).end()
    assert [(address, holds) for address, _, holds in _agents(story)] == [(ALICE, 1), (BOB, 0)]
    assert _agents(story)[1][1] >= 7_000
    assert _agents(story)[0][1] < 1_000


def test_agent_who_is_called_back_counts_once():
    story = talking("warm").later(10_000).leaves("target").confirms("agent").later(1_000).end()
    assert _agents(story) == [(ALICE, 11_000, 0)]
