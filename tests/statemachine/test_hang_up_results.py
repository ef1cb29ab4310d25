"""What Twilio answers to a hang-up does not settle it: the end of the call does."""

from collections.abc import Callable

import pytest

from conferral.statemachine.effects import Effect
from tests.statemachine.command_scenarios import Orders, added, ordering
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import conferenced, talking


def removing_agent() -> Orders:
    return ordering(Scenario().answered).remove("agent").expect("bridged", "hang up agent")


def removing_guest(begin: Callable[[], Scenario], state: str) -> Orders:
    story = ordering(begin).joins("guest").remove("guest-1")
    assert "hang up guest-1" in story.words()
    return story


def only_hang_up(story: Scenario) -> Effect:
    """The hang-up that the last event ordered."""
    (hang_up,) = (effect for effect in story.last.effects if effect.kind == "hang_up_call")
    return hang_up


REMOVALS = {
    "bridged": removing_agent,
    "converting": lambda: removing_guest(lambda: Scenario().answered().convert(), "converting"),
    "conferenced": lambda: removing_guest(conferenced, "conferenced"),
    "transferring": lambda: removing_guest(lambda: talking("warm"), "transferring"),
}


RESULTS = [(state, result) for state in REMOVALS for result in ("succeeds", "fails", "is_unknown")]


# An agent whom Twilio refuses to hang up is kept.
@pytest.mark.parametrize("state, result", [case for case in RESULTS if case != ("bridged", "fails")])
def test_removal_waits_for_the_end_of_the_call(state: str, result: str):
    story = REMOVALS[state]()
    name = "agent" if state == "bridged" else "guest-1"
    hang_up = only_hang_up(story)
    assert story.session.parties[name].hang_up_effect_id == hang_up.effect_id
    getattr(story, result)("hang_up_call", name, effect_id=hang_up.effect_id)
    story.expect(state, outcome="stayed").expect_command("remove-1", "accepted")
    party = story.session.parties[name]
    assert (party.hang_up_effect_id, party.is_leaving, party.is_gone) == ("", True, False)
    if name == "agent":
        story.dial_ends("completed").expect("ended", reason="agent-left")
    else:
        story.leaves("guest").expect(state)
    story.expect_command("remove-1", "accepted", "done").expect_no_orders()


def test_result_of_a_hang_up_says_nothing_of_another_one():
    story = added().remove("lawyer").expect("conferenced", "hang up lawyer")
    (first,) = story.last.effects
    story.remove("agent", "remove-2").expect("conferenced", "hang up agent")
    story.fails("hang_up_call", "lawyer", effect_id=first.effect_id)
    pending = {party.name for party in story.session.parties.values() if party.hang_up_effect_id}
    assert pending == {"agent"}


def test_refusal_of_a_former_hang_up_changes_nothing_in_a_bridge():
    story = removing_agent()
    first = only_hang_up(story).effect_id
    story.is_unknown("hang_up_call", "agent", effect_id=first)
    story.remove("agent", "remove-2").expect("bridged", "hang up agent")
    story.fails("hang_up_call", "agent", effect_id=first).expect("bridged", outcome="stayed")
    story.expect_command("remove-2", "accepted")
    assert story.session.agent.is_leaving


def refuses_to_hang_up_agent(story: Scenario) -> Scenario:
    hang_up = only_hang_up(story)
    return story.fails("hang_up_call", "agent", effect_id=hang_up.effect_id)


@pytest.mark.parametrize("converts_first", [False, True])
def test_agent_whom_twilio_refuses_to_hang_up_before_the_conference_is_kept(converts_first: bool):
    story = removing_agent()
    hang_up = only_hang_up(story).effect_id
    happenings = [Scenario.convert, lambda story: story.fails("hang_up_call", "agent", effect_id=hang_up)]
    for happens in happenings if converts_first else reversed(happenings):
        happens(story)
    story.expect_command("remove-1", "accepted", "failed", reason="Twilio refused (HTTP 400, code 0)")
    story.joins("agent").joins("customer").leaves("customer").remove("agent", "remove-2")
    story.expect("conferenced", "hang up agent").leaves("agent").expect("ended", "end room", reason="customer-left")


@pytest.mark.parametrize("step", ["complete", "cancel"])
def test_transfer_goes_on_as_usual_after_a_removal_of_the_agent_that_twilio_refused(step: str):
    story = refuses_to_hang_up_agent(ordering(conferenced).remove("agent").expect("conferenced", "hang up agent"))
    story.transfer("warm").confirms("agent").takes_part("target")
    getattr(story, step)().expect_command(f"{step}-1", "accepted")


def test_removal_of_the_agent_that_twilio_refuses_once_a_transfer_has_begun_leaves_it_as_usual():
    story = ordering(conferenced).remove("agent")
    hang_up = story.last.effects[0].effect_id
    story.transfer("warm").fails("hang_up_call", "agent", effect_id=hang_up)
    story.confirms("agent").takes_part("target").cancel().expect("transferring", "hang up target")


#: Whose leaving is to end the conference again: in a consult, the hold has cleared the customer's flag, too.
FLAGGED = {"warm": ["flag agent"], "consult": ["flag customer", "flag agent"]}


def completing(mode: str) -> Scenario:
    story = talking(mode).complete()
    if mode == "consult":
        story.confirms("customer")
    return story.expect("transferring", "hang up agent")


@pytest.mark.parametrize("mode", FLAGGED)
def test_complete_fails_if_twilio_refuses_to_hang_up_the_agent_and_all_three_talk(mode: str):
    story = refuses_to_hang_up_agent(completing(mode)).expect("transferring").expect_transfer("merged").expect_held()
    story.expect_command("complete-1", "accepted", "failed", reason="Twilio refused (HTTP 400, code 0)")
    story.complete("complete-2").expect("transferring", "hang up agent").leaves("agent")
    story.expect("conferenced", *FLAGGED[mode]).expect_command("complete-2", "accepted", "done")


@pytest.mark.parametrize("mode", FLAGGED)
def test_transfer_can_be_cancelled_after_a_complete_that_twilio_refused(mode: str):
    story = refuses_to_hang_up_agent(completing(mode)).cancel().expect("transferring", "hang up target")
    story.leaves("target").expect("conferenced", *FLAGGED[mode])
    story.expect_command("cancel-1", "accepted", "done")


def test_refusal_since_the_agent_has_gone_anyway_keeps_no_one():
    story = completing("warm")
    story.fails("hang_up_call", "agent", gone=True, effect_id=story.last.effects[0].effect_id)
    story.expect_command("complete-1", "accepted").leaves("agent")
    story.expect("conferenced", "flag agent").expect_command("complete-1", "accepted", "done")
