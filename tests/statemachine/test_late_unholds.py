"""Requests with `Hold=false` that have no answer: Twilio may carry them out later, during a consult."""

from conferral.statemachine.events import EffectFailed, ReadOverdue, StageOverdue
from conferral.statemachine.states import TransferStage
from tests.statemachine.scenario import CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import conferenced, talking


def unanswered(story: Scenario, party: str = "customer") -> Scenario:
    """An update of the party was given up."""
    return story.is_unknown("update_participant", party, may_unhold_later=True)


def held_for_consult() -> Scenario:
    """The customer's hold is confirmed, a moment after a request with `Hold=false` was given up."""
    story = unanswered(conferenced()).transfer("consult").expect("transferring", "unflag agent").confirms("agent")
    return story.confirms("customer").expect_held("customer").expect("transferring")


def test_flag_of_a_party_who_is_to_be_held_is_cleared_without_an_unhold():
    story = conferenced().transfer("consult").confirms("agent")
    assert not any(effect.unholds for effect in story.last.effects)


def test_consult_waits_while_a_late_request_may_undo_the_hold():
    story = held_for_consult().later(3_000).fires(StageOverdue)
    assert story.session.transfer_stage is TransferStage.HOLDING_CUSTOMER
    story.later(7_000).fires(StageOverdue).expect("transferring", "dial target", phase="consult")


def test_swap_waits_while_a_late_request_may_undo_the_hold():
    story = unanswered(talking("consult"), "target").swap().confirms("target").expect("transferring")
    story.later(3_000).fires(StageOverdue)
    assert story.session.transfer_stage is TransferStage.HOLDING_FOR_SWAP
    story.later(7_000).fires(StageOverdue).expect("transferring", "unhold customer")


def test_hold_that_a_late_request_may_undo_is_read_soon_and_set_again():
    story = unanswered(talking("consult")).later(1_000).fires(ReadOverdue).expect("transferring", "look")
    story.legs["customer"].held = False
    everyone = ("customer", "agent", "target")
    story.reads(**dict.fromkeys(everyone, "in-progress"), conference=CONFERENCE, inside=everyone)
    story.expect("transferring", "hold customer")


def test_request_that_was_refused_after_one_without_an_answer_may_still_be_carried_out():
    story = talking("consult")
    story.fails("update_participant", "customer", may_unhold_later=True)
    assert isinstance(story.steps[-1][0], EffectFailed)
    assert story.session.parties["customer"].late_unhold_ms == story.now_ms
