"""What a decision adds to agents' lists of calls: by scenarios, and a correction by a late callback."""

import pytest

from conferral.worker.partition.agent_calls import ended_calls
from tests.statemachine.scenario import Scenario
from tests.statemachine.test_queue import offers, queued
from tests.statemachine.transfer_scenarios import conferenced, outbound
from tests.support.people import BOB, CAROL, CUSTOMER


def listed(story: Scenario) -> list[tuple[str, str, bool]]:
    """Who got an entry, with its result, and whether it corrects one."""
    return [
        (one.identity, str(one.call.result), one.corrected is not None)
        for _, before, after, _ in story.steps
        for one in ended_calls(before, after.session)
    ]


def test_talk_ends_with_the_agents_leg_and_counts_from_the_answer():
    story = Scenario().answered().later(61_500).call("agent", "completed").later(5_000)
    story.dial_ends("completed", call_status="completed")
    (found,) = [one for _, before, after, _ in story.steps for one in ended_calls(before, after.session)]
    assert (found.identity, found.call.customer, found.call.result, found.call.talk_s) == (
        "alice", CUSTOMER, "answered", 61.5,
    )  # fmt: skip


def test_only_a_call_that_the_agent_began_is_outbound():
    for story, direction in ((outbound(), "outbound"), (Scenario().answered(), "inbound")):
        story.later(5_000).end()
        (found,) = [one for _, before, after, _ in story.steps for one in ended_calls(before, after.session)]
        assert (found.identity, found.call.direction) == ("alice", direction)


def test_end_of_the_session_ends_the_talks_of_all_agents_once():
    story = conferenced()
    story.transfer("consult").confirms("agent").confirms("customer").placed("target").answers("target")
    story.takes_part("target").end()
    ended = listed(story)
    assert sorted(ended) == [("alice", "answered", False), ("bob", "answered", False)]
    story.call("agent", "completed").call("target", "completed")
    assert listed(story) == ended


@pytest.mark.parametrize("status, result", [("busy", "busy"), ("no-answer", "missed"), ("failed", "missed")])
def test_ring_of_a_bridge_ends_with_its_result(status, result):
    story = Scenario().comes_in().call("agent", "ringing").dial_ends(status).call("agent", status)
    assert listed(story) == [("alice", result, False)]


def test_next_agent_of_a_bridge_has_an_entry_of_its_own():
    story = Scenario().comes_in(other_agents=(BOB,)).call("agent", "ringing").dial_ends("no-answer")
    assert listed(story) == [("alice", "missed", False)]


def test_phones_and_callers_with_a_browser_are_no_agents():
    story = Scenario().comes_in(agent_address="+14155550145").call("agent", "ringing").dial_ends("busy")
    story.call("agent", "busy")
    assert listed(story) == []


def test_only_a_late_callback_says_that_a_phone_declined():
    story = Scenario().comes_in(other_agents=(BOB,)).call("agent", "ringing").dial_ends("busy")
    story.call("agent", "busy", sip=603, agent_number=0)
    assert listed(story) == [("alice", "busy", False), ("alice", "declined", True)]


def test_of_two_targets_the_one_who_is_too_late_has_a_taken_call():
    story = conferenced().transfer("warm", BOB, CAROL).confirms("agent").placed("target-1").placed("target-2")
    story.gate("target-2").gate("target-2", "accepted").joins("target-2")
    story.call("target-1", "canceled")
    assert listed(story) == [("bob", "taken", False)]


def test_an_offer_that_ended_before_it_was_dialed_is_no_missed_call():
    story = offers(queued())
    story.fails("create_participant", "agent", status=0, reason="expired", effect_id=story.session.agent.dial_id)
    assert [one.result for one in story.session.attempts] == ["expired"]
    assert listed(story) == []
