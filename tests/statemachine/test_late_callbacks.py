"""Callbacks that are out of date, or about parties and conferences that are over, change nothing."""

import pytest

from conferral.statemachine.events import ConfirmOverdue
from tests.statemachine.command_scenarios import ordering, supervised
from tests.statemachine.conference_scenarios import (
    CLIENT_SESSION,
    ConferenceScenario,
    as_conference,
    browser_talks,
    waiting,
)
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, conferenced, converted, dialing, ringing, talking


def bridged_browser() -> ConferenceScenario:
    """The webhook's own `<Dial>` has called the customer, though a conference was stored."""
    story = ConferenceScenario(session_id=CLIENT_SESSION).calls_from_browser()
    return as_conference(story.call("customer", "ringing", dial="").call("customer", "in-progress", dial=""))


BROWSER_CALLS = {
    "bridged": bridged_browser,
    "converting": lambda: as_conference(bridged_browser().convert()),
    "transferring": lambda: as_conference(browser_talks().transfer("warm")),
    "ended": lambda: as_conference(browser_talks().end()),
}


@pytest.mark.parametrize("state", BROWSER_CALLS)
def test_repeated_request_of_a_browser_call_changes_nothing(state: str):
    story = BROWSER_CALLS[state]()
    parties, timers = story.session.parties, story.session.timers
    story.calls_from_browser(token="again").expect(state, outcome="stale")
    assert (story.session.parties, story.session.timers) == (parties, timers)


def test_late_answer_of_the_agent_changes_nothing_while_the_call_is_converted():
    story = Scenario().answered().convert()
    parties = story.session.parties
    story.call("agent", "in-progress").expect("converting", outcome="stale").expect_timers("convert")
    assert story.session.parties == parties


def test_late_join_of_the_first_conference_does_not_hang_up_the_customer():
    """The wait music failed, and the agent took the call in the second conference."""
    story = waiting().conference_ends().joins("customer", conference=OTHER_CONFERENCE, starts=False)
    story.takes_part_in(OTHER_CONFERENCE, "agent").expect("conferenced", *FLAGS, phase="")
    story.joins("customer", conference=CONFERENCE).expect("conferenced", outcome="stale", phase="")
    assert story.session.conference_sid == OTHER_CONFERENCE
    assert [party.name for party in story.session.participants] == ["customer", "agent"]


@pytest.mark.parametrize(
    ("begin", "leg", "party"), [(lambda: talking("warm"), "target", "target"), (conferenced, "guest", "guest-1")]
)
def test_late_leave_does_not_undo_a_newer_join(begin, leg, party):
    story = begin()
    state, last = story.session.state.value, story.sequences[CONFERENCE]
    story.joins(leg, sequence=last + 2)
    story.leaves(leg, status="in-progress", sequence=last + 1).expect(state, outcome="stale")
    assert story.session.parties[party].in_conference


@pytest.mark.parametrize(("begin", "party"), [(conferenced, "agent"), (lambda: talking("warm"), "target")])
def test_late_change_does_not_undo_a_newer_join(begin, party):
    story = begin()
    state, last = story.session.state.value, story.sequences[CONFERENCE]
    story.joins(party, sequence=last + 2).legs[party].held = True
    story.changes(party, sequence=last + 1).expect(state, outcome="stale").expect_held()


def test_late_decision_of_the_gate_about_a_target_that_was_given_up_changes_nothing():
    story = ringing("warm").call("target", "busy").expect("conferenced", "flag agent").confirms("agent")
    story.gate("target", "accepted").expect("conferenced").expect_transfer("failed", "busy")


def test_target_that_was_given_up_and_reaches_the_gate_is_hung_up():
    story = dialing("warm", BOB, CAROL).placed("target-1").call("target-1", "no-answer")
    story.gate("target-1").expect("transferring", "hang up target-1").expect_transfer("dialing")


def test_late_change_of_the_target_before_does_not_hold_the_target_now():
    story = ringing("warm").call("target", "busy").expect("conferenced", "flag agent")
    story.confirms("agent").transfer("warm", CAROL, command_id="transfer-2").confirms("agent")
    story.expect("transferring", "dial target").takes_part("target").expect_transfer("merged")
    story.legs["former target"].held = True
    story.changes("former target").expect("transferring", outcome="stale").expect_held()


def test_flag_that_is_never_confirmed_is_read_for_three_times_whatever_was_read_before():
    story = converted().fires(ConfirmOverdue).is_unknown("read_calls").confirms("customer", "agent")
    story.leaves("agent", status="in-progress").joins("agent", sequence=None, token="back")
    story.expect("conferenced", "flag agent")
    for _ in range(3):
        story.fires(ConfirmOverdue).expect("conferenced", "look").is_unknown("read_calls")
        assert story.session.parties["agent"].desired_end_on_exit
    story.fires(ConfirmOverdue).expect("conferenced", "look")
    assert not story.session.parties["agent"].desired_end_on_exit


def test_read_that_shows_an_unknown_call_first_confirms_a_hold():
    story = ordering().hold("customer")
    story.does("customer")
    story.fires(ConfirmOverdue).expect("conferenced", "look")
    story.reads(conference=CONFERENCE, inside=("guest", "customer", "agent"), customer="in-progress")
    story.expect_held("customer").expect_command("hold-1", "accepted", "done")


def test_no_ones_leaving_ends_the_conference_while_someone_supervises():
    story = supervised(begin=lambda: talking("warm")).complete().leaves("agent").expect("conferenced")
    assert not any(party.desired_end_on_exit for party in story.session.parties.values())
