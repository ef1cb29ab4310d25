"""What an explanation makes of commands: a cancel, a removal, one that is pending."""

from conferral.operations.history import timeline
from conferral.statemachine.events import LoneOverdue, Remove
from tests.operations.test_timeline import explained
from tests.statemachine.command_scenarios import ordering, supervised
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import ringing
from tests.support.sample_logs import recorded


def test_a_cancel_that_was_asked_for_is_no_failure() -> None:
    def canceled() -> Scenario:
        return ringing("consult").cancel().call("target", "canceled").confirms("customer")

    (row,) = (one for one in timeline.build_timeline(recorded(canceled)[0]) if one.event == "cancel")
    assert (row.is_failure, row.reports) == (False, ("transfer canceled",))
    suggested = next(one for one in explained(canceled).suggestions if one.command == "transfer")
    assert suggested.why == "transfers the customer"
    for play in (canceled, lambda: canceled().end()):
        assert explained(play).first_failure is None


def test_removal_of_a_party_is_named_as_what_ended_the_call() -> None:
    def by_twilio() -> Scenario:
        return ordering().command(Remove, "remove-1", party="agent", by="cli").leaves("agent").conference_ends()

    def by_timer() -> Scenario:
        story = supervised("barge").command(Remove, "remove-1", party="agent", by="cli").leaves("agent")
        return story.later(2_000).fires(LoneOverdue)

    for play, changed_with in (
        (by_twilio, "conference ended (last-participant-left)"),
        (by_timer, "one party was left alone for too long"),
    ):
        ended, cause, *_ = explained(play).summary
        assert ended.endswith(": an operator removed the agent.")
        assert cause == f"Cause: remove requested (agent) (by cli). The state changed with: {changed_with}."


def test_pending_command_is_waited_for_in_a_sentence() -> None:
    upcoming = explained(lambda: ordering().supervise("barge")).upcoming

    assert "Conferral is waiting for the command 'supervise supervisor' to finish (requested 0 s ago)." in upcoming
