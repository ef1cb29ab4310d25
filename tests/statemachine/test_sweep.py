"""What the account-wide sweep finds: in every state a suspicion that a read verifies; what is over, ends."""

import pytest

from conferral.statemachine.events import LeaveOverdue, LoneOverdue
from tests.statemachine.conference_scenarios import (
    ConferenceScenario,
    as_conference,
    browser_talks,
    called_in,
    calling,
    parked,
    received,
    retrieving,
    waiting,
)
from tests.statemachine.scenario import CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, blind_from_bridge, conferenced, outbound, talking
from tests.support.each import each

#: Sessions in every state, and the calls that are live in each.
LIVE = {
    "ringing": lambda: Scenario().comes_in().call("agent", "ringing"),
    "bridged": lambda: Scenario().answered(),
    "outbound": outbound,
    "converting": lambda: Scenario().answered().convert(),
    "conferenced": conferenced,
    "waiting": lambda: waiting().placed("agent"),
    "browser": browser_talks,
    "calling": lambda: calling().placed("agent"),
    "warm": lambda: talking("warm"),
    "blind": lambda: blind_from_bridge().placed("target"),
    "parked": parked,
    "retrieving": lambda: retrieving().placed("agent"),
}


def later(story):
    return as_conference(story.later(30_000))


# ---- live sessions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("situation", LIVE)
@pytest.mark.parametrize("finding", ["call-missing", "conference-missing"])
def test_sweep_finding_is_a_suspicion_that_triggers_a_read(situation, finding):
    story = later(LIVE[situation]())
    before = story.session
    story.sweep_finds(finding, "customer" if finding == "call-missing" else "")
    assert story.words() == ["look"]
    assert (story.session.state, story.session.parties) == (before.state, before.parties)
    story.sweep_finds(finding, "customer" if finding == "call-missing" else "").expect(before.state.value)


def test_call_whose_end_was_only_late_is_not_read():
    """The finding is appended behind the callbacks of a partition that is behind."""
    story = later(talking("warm").leaves("agent").later(1_000))
    before = story.session
    story.sweep_finds("call-missing", "agent").expect(before.state.value)
    assert not story.session.open_read_id
    story.sweep_finds("call-missing", "target").expect(before.state.value, "look")


def test_second_suspicion_during_a_read_is_read_after_it():
    story = later(LIVE["bridged"]()).sweep_finds("call-missing", "customer").call("agent", "in-progress")
    story.sweep_finds("call-missing", "agent").expect("bridged")
    story.reads(customer="in-progress", agent="in-progress").expect("bridged", "look")


@each("situation", LIVE)
def test_lists_that_lag_cost_nothing(situation):
    """A read that shows all of them as known changes nothing."""
    story = later(LIVE[situation]())
    before = story.session
    legs = [party.name for party in before.parties.values() if party.call_sid and not party.is_gone]
    inside = tuple(party.name for party in before.participants)
    statuses = {name: "in-progress" if before.parties[name].status == "connected" else "ringing" for name in legs}
    story.sweep_finds("call-missing", legs[0]).reads(conference=CONFERENCE if inside else "", inside=inside, **statuses)
    assert story.session.state == before.state
    for name, party in before.parties.items():
        after = story.session.parties[name]
        assert (after.status, after.in_conference, after.call_sid) == (
            party.status,
            party.in_conference,
            party.call_sid,
        )
    # During a conversion, a party in no conference is moved there, as when the timer requested the read.
    assert story.words() == (["move agent"] if situation == "converting" and not before.open_redirects else [])


@each("situation", sorted(set(LIVE) - {"calling"}))  # there the customer has no call yet
def test_customer_who_is_gone_without_a_word_ends_it_after_the_grace_at_the_latest(situation):
    story = later(LIVE[situation]())
    others = [party.name for party in story.session.participants if party.name != "customer"]
    rings = {
        party.name: "ringing" for party in story.session.parties.values() if party.dial_id and not party.in_conference
    }
    live = {name: "in-progress" for name in others if name in story.legs} | {
        name: status for name, status in rings.items() if not story.session.parties[name].is_gone
    }
    story.sweep_finds("call-missing", "customer")
    story.reads(conference=CONFERENCE if others else "", inside=tuple(others), **live | {"customer": "completed"})
    if "lone" in story.session.timers:
        story.fires(LoneOverdue)
    if situation == "outbound":  # the action's answer ends the agent's call
        story.fires(LeaveOverdue).reads(agent="completed", customer="completed")
    assert story.session.state == "ended"
    assert story.session.end_reason == "customer-left"


def test_lone_participant_is_released_with_every_callback_lost():
    """Within the grace and one interval of the sweep."""
    for begin in (conferenced, received, browser_talks):
        story = later(begin()).sweep_finds("call-missing", "agent").expect("conferenced", "look")
        story.reads(customer="in-progress", agent="completed", conference=CONFERENCE, inside=("customer",))
        story.expect_timers("lone").fires(LoneOverdue).expect("ended", "end room", reason="agent-left")


def test_read_shows_a_participant_gone_although_the_call_continues():
    story = later(conferenced()).sweep_finds("call-missing", "agent")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer",))
    story.expect("conferenced").expect_timers("lone").fires(LoneOverdue).expect("ended", "end room")
    assert story.session.parties["agent"].left_reason == "participant_updated_via_api"


def test_conference_that_is_over_without_a_word_ends_the_session():
    story = later(conferenced()).sweep_finds("conference-missing").expect("conferenced", "look")
    story.reads(customer="completed", agent="completed").expect("ended")
    story = later(received()).sweep_finds("conference-missing").reads(customer="in-progress", agent="completed")
    story.expect("ended", reason="agent-left")


def test_conference_that_has_just_begun_may_be_missing_in_a_list():
    story = conferenced()
    as_conference(story).sweep_finds("conference-missing").reads(customer="in-progress", agent="in-progress")
    story.expect("conferenced")


def test_read_older_than_the_session_is_discarded_by_the_sweep():
    story = later(waiting().placed("agent")).sweep_finds("call-missing", "agent")
    version = story.session.version
    story.call("agent", "in-progress").joins("agent").confirms("customer", "agent")
    story.reads(customer="in-progress", agent="busy", conference=CONFERENCE, inside=("customer",), version=version)
    story.expect("conferenced", phase="").expect_parties(customer="connected", agent="connected")


def test_two_findings_cause_one_read_and_then_another():
    story = later(conferenced()).sweep_finds("call-missing", "agent").expect("conferenced", "look")
    story.sweep_finds("conference-missing").expect("conferenced")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced", "look")


def test_unanswered_read_does_not_block_the_next_sweep():
    story = later(conferenced()).sweep_finds("call-missing", "agent").expect("conferenced", "look")
    later(story).sweep_finds("call-missing", "agent").expect("conferenced", "look")


def test_lost_callback_of_the_second_of_two_is_found_in_a_bridge_too():
    story = later(Scenario().answered()).sweep_finds("call-missing", "agent").expect("bridged", "look")
    story.reads(customer="in-progress", agent="completed").expect("bridged").fires(LeaveOverdue)
    story.reads(customer="completed", agent="completed").expect("ended", reason="agent-left")


def test_conversion_whose_joins_are_lost_is_settled_by_it():
    story = later(Scenario().answered().convert()).sweep_finds("conference-missing").expect("converting", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced", *FLAGS)


# ---- sessions that have ended ------------------------------------------------------------------------------------


def test_call_that_is_live_after_the_end_is_hung_up_as_often_as_it_is_found():
    story = later(conferenced().end())
    for _ in range(2):
        story.sweep_finds("call-live", "customer").expect("ended", "hang up a call", reason="command")
    assert story.last.effects[0].call_sid == story.legs["customer"].call_sid


def test_conference_that_is_live_after_the_end_is_completed():
    story = (
        later(conferenced().end())
        .sweep_finds("conference-live", conference=OTHER_CONFERENCE)
        .expect("ended", "end room")
    )
    assert story.last.effects[0].conference_sid == OTHER_CONFERENCE


def test_leg_moved_away_by_a_third_party_is_ignored_by_the_sweep():
    story = conferenced().leaves("customer", status="in-progress", reason="participant_updated_via_api")
    later(story.fires(LoneOverdue).expect("ended", "end room")).sweep_finds("call-live", "customer").expect("ended")


def test_someone_else_of_the_session_is_still_hung_up():
    story = conferenced().leaves("customer", status="in-progress", reason="participant_updated_via_api")
    story.fires(LoneOverdue)
    later(story).sweep_finds("call-live", "agent").expect("ended", "hang up a call")


def test_finding_without_a_name_changes_nothing():
    story = later(conferenced().end())
    story.sweep_finds("call-live", conference="").expect("ended")


def test_unknown_session_accepts_no_finding():
    story = ConferenceScenario().sweep_finds("call-live", "customer")
    assert story.session.version == 0
    assert story.last.outcome == "unexpected"


def test_agent_of_a_conference_call_who_waits_is_seen_gone():
    story = later(called_in().placed("customer")).sweep_finds("call-missing", "agent").expect("conferenced", "look")
    story.reads(agent="completed", customer="ringing").expect("ended", "end room", "hang up customer")
    assert story.session.end_reason == "agent-left"


# ---- reads without a result ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("situation", ["bridged", "outbound", "conferenced", "browser", "warm", "parked"])
@pytest.mark.parametrize("way", ["fails", "is_unknown"])
def test_failed_read_is_repeated(situation, way):
    story = later(LIVE[situation]())
    state = story.session.state.value
    story.sweep_finds("call-missing", "customer").expect(state, "look")
    getattr(story, way)("read_calls")
    story.expect(state)
    assert "leave" in story.session.timers
    story.fires(LeaveOverdue).expect(state, "look")
