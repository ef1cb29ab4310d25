"""Who counts as a party: all but supervisors, even when on hold by command; with another party, no one is alone."""

import pytest

from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.events import LoneOverdue
from conferral.statemachine.reasons import REMOVED_BY_END
from tests.statemachine.command_scenarios import Orders
from tests.statemachine.conference_scenarios import (
    as_conference,
    browser_talks,
    called_in,
    parked,
    received,
    received_with_survey,
    waiting,
)
from tests.statemachine.scenario import CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import conferenced
from tests.support.each import each


def talks_to_customer():
    return called_in().takes_part("customer").confirms("customer", "agent")


BEGINNINGS = pytest.mark.parametrize("begin", [conferenced, received, talks_to_customer, browser_talks])


def orders(story):
    """The same story, with the commands about parties."""
    story.__class__ = Orders
    return story


def with_supervisor(begin):
    story = orders(begin()).supervise("monitor")
    flagged = [party.name for party in story.session.parties.values() if party.end_on_exit]
    story.confirms(*flagged) if flagged else story
    return story.takes_part("supervisor").expect_command("supervise-1", "accepted", "done")


def with_held_customer(begin):
    story = orders(begin()).hold("customer").confirms("customer")
    return story.expect_command("hold-1", "accepted", "done").expect_held("customer")


# ---- supervisors -------------------------------------------------------------------------------------------------


@BEGINNINGS
@pytest.mark.parametrize("leaver", ["agent", "customer"])
def test_supervisor_is_no_company(begin, leaver):
    story = with_supervisor(begin).leaves(leaver).expect("conferenced")
    assert "lone" in story.session.timers
    story.fires(LoneOverdue).expect("ended", "end room", reason=f"{leaver}-left")


@BEGINNINGS
def test_supervisor_left_behind_by_both_is_released_at_once(begin):
    with_supervisor(begin).leaves("customer").leaves("agent").expect("ended", "end room", reason="customer-left")


@BEGINNINGS
def test_supervisor_who_leaves_ends_nothing(begin):
    story = with_supervisor(begin).leaves("supervisor")
    assert story.session.state == "conferenced"
    assert "lone" not in story.session.timers


@BEGINNINGS
def test_supervisor_being_dialed_is_not_waited_for(begin):
    story = orders(begin()).supervise("monitor")
    flagged = [party.name for party in story.session.parties.values() if party.end_on_exit]
    if flagged:
        story.confirms(*flagged)
    story.placed("supervisor").leaves("agent")
    assert "lone" in story.session.timers
    story.fires(LoneOverdue).expect("ended", "end room", "hang up supervisor", reason="agent-left")
    story.expect_command("supervise-1", "accepted", "failed", reason="agent-left")


def test_supervisor_is_released_when_the_customer_continues_elsewhere():
    after = ConferenceAttributes(after_url="https://example.com/survey")
    story = orders(waiting(attributes=after).takes_part("agent").confirms("customer")).supervise("monitor")
    story.confirms("customer").takes_part("supervisor").leaves("agent").fires(LoneOverdue)
    story.expect("ended", "send away customer", "hang up supervisor", reason="agent-left")


def test_end_of_the_agents_dial_sends_no_customer_elsewhere():
    story = received_with_survey().dial_ends("completed", dial="conference", party="agent")
    assert (story.session.state, story.session.parties["customer"].is_gone) == ("conferenced", False)


# ---- held parties ------------------------------------------------------------------------------------------------


@BEGINNINGS
def test_held_customer_is_alone_when_the_agent_leaves(begin):
    story = with_held_customer(begin)
    assert "lone" not in story.session.timers, "a held party is company"
    story.leaves("agent").expect("conferenced")
    assert "lone" in story.session.timers
    story.fires(LoneOverdue).expect("ended", "end room", reason="agent-left")


@BEGINNINGS
def test_agent_is_alone_after_the_held_customer_leaves(begin):
    story = with_held_customer(begin).leaves("customer").expect("conferenced")
    story.fires(LoneOverdue).expect("ended", "end room", reason="customer-left")


# ---- someone who is being dialed -------------------------------------------------------------------------------


@BEGINNINGS
def test_party_being_dialed_is_waited_for_until_the_dial_fails(begin):
    story = orders(begin()).add()
    flagged = [party.name for party in story.session.parties.values() if party.end_on_exit]
    if flagged:
        story.confirms(*flagged)
    story.placed("lawyer").call("lawyer", "ringing").leaves("agent").expect("conferenced", "hold customer")
    assert "lone" not in story.confirms("customer").session.timers
    story.call("lawyer", "busy").expect("conferenced").fires(LoneOverdue).expect("ended", "end room")
    assert story.session.end_reason == "agent-left"


# ---- reads that callbacks have overtaken -----------------------------------------------------------------------


def missing_a_callback():
    story = as_conference(conferenced())
    story.sequences[CONFERENCE] += 1
    return story


def test_read_that_a_callback_has_overtaken_still_shows_that_a_lone_party_has_no_company():
    story = missing_a_callback().leaves("agent").fires(LoneOverdue).expect("conferenced", "look")
    began = story.session.version
    story.legs["customer"].muted = True
    story.changes("customer")
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer",), version=began)
    story.fires(LoneOverdue).expect("ended", "end room", reason="agent-left")


def test_read_that_a_callback_has_overtaken_and_that_shows_company_decides_nothing():
    story = missing_a_callback().leaves("agent")
    began = story.fires(LoneOverdue).expect("conferenced", "look").session.version
    story.legs["customer"].muted = True
    story.changes("customer")
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer", "agent"), version=began)
    story.fires(LoneOverdue).expect("conferenced", "look")


def test_lone_party_is_read_for_even_if_only_the_first_callback_is_missing():
    story = Scenario().answered().convert()
    story.sequences[CONFERENCE] = 1
    story.joins("agent").joins("customer").leaves("agent").fires(LoneOverdue).expect("conferenced", "look")


def both_left_with_live_calls():
    story = conferenced().later(60_000)
    for name in ("agent", "customer"):
        story.leaves(name, status="in-progress", reason=REMOVED_BY_END).expect("conferenced")
    return story.fires(LoneOverdue).expect("conferenced", "look")


def test_two_who_left_with_live_calls_are_read_before_anyone_is_hung_up():
    story = both_left_with_live_calls()
    story.is_unknown("read_calls").fires(LoneOverdue).expect("conferenced", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    assert story.expect("conferenced").session.timers.keys().isdisjoint({"lone"})


def test_two_whose_conference_is_over_are_left_to_the_answers_of_their_dials():
    both_left_with_live_calls().reads(customer="in-progress", agent="in-progress").expect("ended")


# ---- what an ended session shows -------------------------------------------------------------------------------


def survey_without_conference():
    story = received_with_survey().later(60_000).sweep_finds("conference-missing")
    return story.reads(customer="in-progress", agent="completed")


def held_guest():
    story = with_held_customer(conferenced).joins("guest")
    story.legs["guest"].held = True
    return story.changes("guest").end()


@each("begin", [
    held_guest,
    survey_without_conference,
    lambda: received_with_survey().leaves("agent").fires(LoneOverdue),
    lambda: parked().end(),
])  # fmt: skip
def test_session_that_has_ended_shows_no_one_in_a_conference_on_hold_or_parked(begin):
    session = begin().expect("ended", *begin().words(), phase="").session
    assert not [party for party in session.parties.values() if party.in_conference or party.held]
    assert (session.parked_by, session.parked_until_ms) == ("", 0)


@each("begin, reason", [
    (lambda: conferenced().call("agent", "completed").leaves("customer"), "customer-left"),
    (lambda: conferenced().leaves("agent").leaves("customer"), "agent-left"),
    (lambda: put_out("agent").call("customer", "completed"), "customer-left"),
])  # fmt: skip
def test_party_whose_leaving_ended_the_conference_left_first(begin, reason):
    """Callbacks may be out of order."""
    begin().expect("ended", "end room", reason=reason)


def put_out(name):
    """The end of the conference has put someone out, and that call is over, too."""
    return conferenced().leaves(name, status="", reason="moderator_ended_conference").call(name, "completed")


def test_conference_that_was_ended_is_not_ended_again_for_its_guest():
    conferenced().joins("guest").end().succeeds("hang_up_call", "customer").expect("ended")


def test_supervisor_who_is_about_to_be_dialed_is_not_waited_for():
    assert "lone" in orders(conferenced()).supervise().leaves("agent").session.timers


def test_customer_whose_bridge_is_reported_over_late_has_not_gone_elsewhere():
    story = received_with_survey().dial_ends("completed", dial="bridge")
    assert not story.session.parties["customer"].is_gone
