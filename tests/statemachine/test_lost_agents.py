"""The leg of an agent with a desk is lost: what flows and exploration do not reach."""

from typing import Any

import pytest

from conferral.statemachine.events import ReadOverdue, Remove
from conferral.storage.agents import identities_of
from tests.statemachine.scenario import CONFERENCE, Scenario


def bridged(*, says_so: str = "in-progress", **given: Any) -> Scenario:
    """An agent with a desk talks over the bridge."""
    story = Scenario().comes_in(**given)
    for status in ("initiated", "ringing", "in-progress"):
        story.call("agent", status, desk=status == says_so)
    return story.expect("bridged", phase="connected")


def conferenced() -> Scenario:
    story = bridged().convert().joins("agent").conference_starts().joins("customer")
    return story.expect("conferenced", "flag customer").confirms("customer")


def consulting() -> Scenario:
    story = conferenced().transfer("consult").expect("transferring", "hold customer", phase="consult")
    return story.confirms("customer").takes_part("target").expect_transfer("consulting")


def after_a_transfer() -> Scenario:
    """The target of a consult, who has a desk, is the agent now."""
    story = conferenced().transfer("consult").confirms("customer")
    story.placed("target").call("target", "in-progress", desk=True).joins("target").complete().confirms("customer")
    story.leaves("agent").expect_transfer("completed")
    story.legs["agent"] = story.legs.pop("target")
    return story.confirms("customer")


def is_live(story: Scenario, *inside: str, **statuses: str) -> Scenario:
    """The read after a loss is due, and shows the customer."""
    story.fires(ReadOverdue).expect(story.session.state.value, "look")
    return story.reads(conference=CONFERENCE, inside=("customer", *inside), **statuses)


def recalled(story: Scenario) -> Scenario:
    """The recall that is under way brings the agent back."""
    story.placed("agent").call("agent", "in-progress", desk=True).joins("agent")
    return story.confirms("customer").expect("conferenced", "flag customer", phase="connected")


@pytest.mark.parametrize("state", ["bridged", "converting"])
def test_answer_that_is_reported_late_says_that_there_is_a_desk(state):
    story = bridged(says_so="")
    if state == "converting":
        story.convert()
    story.call("agent", "in-progress", desk=True).expect(state)
    assert story.session.agent.has_desk


def test_answer_that_is_reported_late_clears_the_flag_of_an_agent_with_a_desk():
    story = bridged(says_so="").convert().joins("agent").conference_starts().joins("customer")
    story.expect("conferenced", "flag customer", "flag agent").confirms("customer", "agent")
    story.call("agent", "in-progress", desk=True).expect("conferenced", "unflag agent")


def test_read_after_a_loss_shows_that_the_caller_waits_for_a_lost_agent():
    story = bridged()
    story.legs["customer"].in_conference = True
    story.reads(conference=CONFERENCE, inside=("customer",), customer="in-progress", agent="completed")
    story.expect("transferring", "hold customer", phase="recall")
    recalled(is_live(story.confirms("customer")))


def test_agent_who_is_lost_during_the_conversion_is_rung_once_the_caller_is_there():
    story = bridged().convert().call("agent", "completed").expect("transferring", phase="recall")
    story.dial_ends("completed").joins("customer", starts=False).expect("transferring")
    is_live(story).expect("transferring", "dial agent").expect_attempts()
    assert [one.result for one in story.session.attempts] == ["answered", ""]


def test_transfer_that_waited_for_the_conversion_fails_when_the_agent_is_lost():
    story = bridged().transfer("consult").call("agent", "completed").expect("transferring", phase="recall")
    story.expect_command("transfer-1", "accepted", "failed", reason="agent-left")
    story.expect_concluded(("transfer", "failed", "agent-left"))
    assert story.session.public_transfer is not None
    assert story.session.public_transfer.status == "failed"


def test_blind_transfer_that_waited_for_the_conversion_goes_on():
    story = bridged().convert().transfer("blind").call("agent", "completed")
    story.expect("transferring", phase="blind")


def test_consult_that_is_cancelled_as_the_agent_is_lost_leads_to_a_recall():
    story = consulting().cancel().leaves("agent").expect("transferring", phase="recall")
    story.leaves("target")
    story.expect_command("cancel-1", "accepted", "done").expect_concluded(("transfer", "cancelled", "command"))
    recalled(is_live(story))


def test_target_who_leaves_before_the_agent_is_back_leaves_the_customer_waiting():
    story = consulting().leaves("agent").expect("transferring", "hold target", phase="consult")
    is_live(story.confirms("target"), "target").expect("transferring", "dial agent")
    story.leaves("target").expect("transferring", phase="recall")
    story.expect_concluded(("transfer", "cancelled", "target-left"))
    recalled(story)
    story.expect_concluded(("transfer", "cancelled", "target-left"))


def test_read_that_shows_the_customer_gone_recalls_no_one():
    story = conferenced().leaves("agent").expect("transferring", "hold customer", phase="recall")
    story.fires(ReadOverdue).reads(customer="completed").expect("ended", "end room", reason="customer-left")


# ---- whose call it is meanwhile: no one else's is offered to the agent -----------------------------------------------


def owners(story: Scenario) -> list[list[str]]:
    """Who has the call after each decision since the loss, without repetitions."""
    found = [sorted(identities_of(after.session)) for _, _, after, _ in story.steps]
    return [one for at, one in enumerate(found) if not at or found[at - 1] != one]


@pytest.mark.parametrize("start", [bridged, conferenced])
@pytest.mark.parametrize("result", ["no-answer", "failed"])
def test_a_lost_agent_has_the_call_until_the_ring_after_it_is_over(start, result):
    story = start()
    if start is bridged:
        story.dial_ends("completed").joins("customer", starts=False)
    else:
        story.leaves("agent").confirms("customer")
    is_live(story.expect("transferring", phase="recall")).expect("transferring", "dial agent").placed("agent")
    assert owners(story)[-1] == ["alice"]
    story.call("agent", result)
    assert owners(story) == [["alice"], []]


def test_a_lost_agent_is_free_while_the_caller_leaves_a_message():
    story = bridged(fallback=("voicemail",)).dial_ends("completed").joins("customer", starts=False)
    is_live(story).placed("agent").call("agent", "no-answer").expect(
        "transferring", "move to voicemail: customer", phase="voicemail"
    )
    assert owners(story) == [["alice"], []]


def test_a_lost_agent_of_a_transfer_has_the_call_until_the_ring_is_over():
    story = consulting().leaves("agent")
    is_live(story.confirms("target"), "target").expect("transferring", "dial agent").placed("agent")
    assert owners(story) == [["alice"], ["alice", "bob"]]
    story.call("agent", "no-answer")
    assert owners(story)[-1] == ["bob"]


def test_who_is_released_or_removed_has_the_call_no_longer():
    released = consulting().complete().confirms("customer").leaves("agent")
    removed = conferenced().command(Remove, "remove-1", party="agent").leaves("agent")
    assert [owners(one)[-1] for one in (released, removed)] == [["bob"], []]
