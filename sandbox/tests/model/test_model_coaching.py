"""Supervisors: monitor, whisper, barge, and what becomes of a coach whose agent leaves."""

import pytest

from model_scenario import BUSINESS, ModelScenario
from offhook.model.behavior import Behavior

NO_ONE = "CA" + "0" * 32


def coached(story: ModelScenario) -> tuple[str, str, str]:
    """A customer, an agent, and a lead who coaches the agent."""
    customer, agent = story.member(), story.member()
    lead = story.participant("client:lead", ("Muted", "true"), ("StartConferenceOnEnter", "false"))
    story.answers(lead)
    story.update(lead, ("Muted", "false"), ("Coaching", "true"), ("CallSidToCoach", agent))
    return customer, agent, lead


def test_coach_is_heard_by_all_once_the_coached_has_left(story: ModelScenario) -> None:
    customer, agent, lead = coached(story)
    assert story.hears(customer) == {agent}

    story.hangs_up(agent)

    assert (story.hears(customer), story.hears(lead)) == ({lead}, {customer})
    _, shown = story.rest("GET", story.participants(lead))
    assert (shown["coaching"], shown["call_sid_to_coach"]) == (False, None)


def test_coach_whose_agent_left_may_be_heard_by_no_one() -> None:
    story = ModelScenario(Behavior(orphaned_coach="unheard"))
    customer, agent, lead = coached(story)

    story.hangs_up(agent)

    assert (story.hears(customer), story.hears(lead)) == ("silence", {customer})


@pytest.mark.parametrize("sid", ["nobody", "self", "ringing"])
@pytest.mark.parametrize("coaching", [(), (("Coaching", "true"),)], ids=["call alone", "with Coaching"])
def test_coaching_self_or_a_ringing_or_unknown_call_is_refused(
    story: ModelScenario, sid: str, coaching: tuple[tuple[str, str], ...]
) -> None:
    lead, _other = story.member(), story.member()
    chosen = {"nobody": NO_ONE, "self": lead, "ringing": story.participant()}[sid]

    assert story.refused("POST", story.participants(lead), *coaching, ("CallSidToCoach", chosen)) == (400, 16028)
    assert "participant-modify" not in story.events()


def test_coaching_a_held_participant_is_refused(story: ModelScenario) -> None:
    lead, agent = story.member(), story.member()
    story.update(agent, ("Hold", "true"))
    coach = (("Coaching", "true"), ("CallSidToCoach", agent))

    assert story.refused("POST", story.participants(lead), *coach) == (400, 16027)
    added = (("To", "client:lead"), ("From", BUSINESS), *coach)
    assert story.refused("POST", story.participants(), *added) == (400, 16027)


def test_settings_of_a_participant_are_kept_and_wrong_ones_are_refused(story: ModelScenario) -> None:
    sid = story.participant(
        "client:carol", ("JitterBufferSize", "small"), ("Beep", "onEnter"), ("Region", "ie1"), ("MaxParticipants", "3")
    )
    story.answers(sid)

    conference = story.model.state.conferences[story.conference()]
    settings = conference.participants[sid].settings
    assert (settings.jitter_buffer, settings.beep) == ("small", "onEnter")
    assert (conference.region, conference.participants_max) == ("ie1", 3)
    for name in ("JitterBufferSize", "Beep", "ConferenceTrim", "ConferenceRecord"):
        form = (("To", "client:dan"), ("From", BUSINESS), (name, "loud"))
        assert story.refused("POST", story.participants(), *form) == (400, 20001)


def test_region_is_that_of_the_first_who_names_one(story: ModelScenario) -> None:
    story.member()
    story.member("region='de1' jitterBufferSize='off'")
    story.member("region='au1'")

    assert story.rest("GET", f"/Conferences/{story.conference()}.json")[1]["region"] == "de1"
