"""Callers in a queue: offers, their ends, and what follows."""

import pytest

from conferral.statemachine.events import DesksLeft, Offer, ParkOverdue, ReadOverdue
from conferral.statemachine.parts import QueueOptions
from conferral.statemachine.presence import Presence
from tests.statemachine.conference_scenarios import ConferenceScenario, as_conference, called
from tests.statemachine.scenario import ALICE, BOB, CONFERENCE, Scenario

QUEUE = {"fallback": ("queue", "voicemail"), "queue": QueueOptions(limit_s=60), "agent_address": ALICE}


def queued(**given) -> ConferenceScenario:
    """The caller begins in the queue: others wait."""
    story = called(**QUEUE | {"begins_in_queue": True} | given).joins("customer", starts=False)
    return as_conference(story.expect("conferenced", phase="queued").expect_timers("park"))


def offers(story: Scenario, number: int = 1, to: str = ALICE, command_id: str = "") -> ConferenceScenario:
    return as_conference(story.command(Offer, command_id or f"offer-{to}-{number}", to=to, number=number))


def offered(**given) -> ConferenceScenario:
    story = offers(queued(**given)).expect("conferenced", "dial agent", phase="queued").placed("agent")
    return as_conference(story.expect_command(f"offer-{ALICE}-1", "done"))


def results(story: Scenario) -> list[tuple[str, str]]:
    return [(one.to, one.result) for one in story.session.attempts]


def test_a_desk_that_answers_takes_the_caller_and_no_transfer_is_reported():
    story = offered().later(5_000).call("agent", "in-progress").joins("agent")
    assert story.session.phase == "connected"
    assert results(story) == [(ALICE, "answered")]
    assert (story.session.queued_since_ms, story.session.queued_before_s, story.session.parked_until_ms) == (0, 5, 0)
    story.confirms("customer", "agent").leaves("customer").leaves("agent").expect(
        "ended", "end room", reason="customer-left"
    )
    story.expect_concluded(("session", "ended", "customer-left"))
    assert story.conclusions[-1].landed_on == "queue"


@pytest.mark.parametrize("status, result", [("no-answer", "no-answer"), ("busy", "busy"), ("failed", "failed")])
def test_the_caller_keeps_the_place_when_an_offer_is_not_taken(status, result):
    story = offered()
    until_ms, since_ms = story.session.parked_until_ms, story.session.queued_since_ms
    story.later(5_000).call("agent", status).expect("conferenced", phase="queued").expect_timers("park")
    assert (story.session.parked_until_ms, story.session.queued_since_ms) == (until_ms, since_ms)
    assert results(story) == [(ALICE, result)]
    offers(story, 1, BOB).expect("conferenced", "dial agent")
    offers(story.placed("agent").call("agent", "busy"), 2).expect("conferenced", "dial agent")


def test_a_caller_who_waits_again_after_a_talk_counts_from_the_first_wait():
    story = offered().later(5_000).call("agent", "in-progress", desk=True).joins("agent").confirms("customer")
    story.later(30_000).leaves("agent").expect("transferring", "hold customer", phase="recall")
    story.later(20_000).fires(ReadOverdue).reads(conference=CONFERENCE, inside=("customer",))
    story.placed("agent").call("agent", "no-answer").expect("conferenced", phase="queued")
    assert story.session.queued_since_ms == story.now_ms - 5_000
    assert story.session.parked_until_ms == story.session.queued_since_ms + 60_000


def test_an_offer_that_is_repeated_or_out_of_turn_changes_nothing():
    story = offered()
    offers(story).expect("conferenced", outcome="stale")
    offers(story, command_id="again").expect("conferenced", outcome="refused")
    offers(story, 1, BOB).expect("conferenced", outcome="refused")
    story.call("agent", "busy")
    offers(story, command_id="late").expect("conferenced", outcome="refused")
    offers(story, 3).expect("conferenced", outcome="refused")


def test_a_call_that_waits_in_no_queue_takes_no_offer():
    why = "the caller waits for no such offer"
    story = Scenario().answered().command(Offer, "offer-1", to=ALICE, number=1).expect_refused("offer-1", why)
    story.convert().command(Offer, "offer-2", to=ALICE, number=1).expect_refused("offer-2", why)
    assert story.session.state.value == "converting"


def test_an_offer_that_rings_at_the_limit_is_finished_first():
    story = offered().later(60_000).fires(ParkOverdue).expect("conferenced", phase="queued")
    story.call("agent", "no-answer").expect("transferring", "move to voicemail: customer", phase="voicemail")
    assert story.session.transfer.unreached == "queue-limit"


def test_at_the_limit_an_agent_who_answers_still_takes_the_caller():
    story = offered().later(60_000).fires(ParkOverdue).call("agent", "in-progress").joins("agent")
    assert story.session.phase == "connected"


def test_no_caller_is_offered_after_the_limit():
    offers(queued().later(60_000)).expect("conferenced", outcome="refused")


def test_without_another_place_the_limit_ends_the_call():
    story = queued(fallback=("queue",)).later(60_000).fires(ParkOverdue)
    story.expect("ended", "say goodbye to customer", reason="queue-limit")
    assert story.conclusions[-1].landed_on == "end"


def test_without_a_desk_the_next_place_follows_but_not_while_one_rings():
    story = offered()
    story.take(DesksLeft(**story.common())).expect("conferenced", phase="queued")
    story.call("agent", "no-answer").take(DesksLeft(**story.common()))
    story.expect("transferring", "move to voicemail: customer", phase="voicemail")
    assert story.session.transfer.unreached == "away"


def test_that_desks_have_left_counts_for_a_moment_only():
    story = queued()
    came = story.common()
    story.later(5_000).take(DesksLeft(**came)).expect("conferenced", phase="queued")


def test_without_a_desk_and_another_place_all_agents_were_away():
    story = queued(fallback=("queue",))
    story.take(DesksLeft(**story.common())).expect("ended", "say goodbye to customer")
    assert story.session.end_reason == "agent-away"


def test_a_retrieval_ends_the_offer_and_one_that_fails_gives_the_place_back():
    story = offered().call("agent", "ringing")
    since_ms, story.legs["agent-1"] = story.session.queued_since_ms, story.legs["agent"]
    story.later(1_000).retrieve(to=BOB).expect(
        "transferring", "dial agent to the gate", "hang up agent-1", phase="retrieve"
    )
    story.call("agent-1", "canceled")
    assert results(story) == [(ALICE, "cancelled")]
    story.placed("agent").call("agent", "busy").expect("conferenced", phase="queued").expect_timers("park")
    assert story.session.queued_since_ms == since_ms
    offers(story, 2).expect("conferenced", "dial agent")


def test_commands_that_need_an_agent_are_refused():
    queued().transfer("blind", BOB).expect_refused(
        "transfer-1", "the caller waits in a queue", allowed=("convert", "end")
    )


def test_who_hangs_up_in_the_queue_has_left():
    story = offered().leaves("customer").expect("ended", "end room", "hang up agent", reason="customer-left")
    assert story.conclusions[-1].landed_on == ""


@pytest.mark.parametrize("given", [{"begins_in_queue": True}, {"agent_address": "+14155550188"}])
def test_without_a_desk_the_queue_is_left_out(given):
    story = called(**QUEUE | given)
    if "begins_in_queue" in given:
        story.presence = Presence(is_kept=True)
    story.joins("customer", starts=False)
    if story.session.agent.dial_id:
        story.placed("agent").call("agent", "busy")
    story.expect("transferring", "move to voicemail: customer", phase="voicemail")
    assert story.session.transfer.unreached == "busy"
