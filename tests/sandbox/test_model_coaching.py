"""Supervisors: monitor, whisper, barge, and what becomes of a coach whose agent leaves."""

import pytest

from conferral.sandbox.model.behavior import Behavior
from tests.sandbox.model_scenario import APP, ModelScenario

NO_ONE = "CA" + "0" * 32


def update(story: ModelScenario, sid: str, *params: tuple[str, str]) -> tuple[int, dict[str, object]]:
    return story.rest("POST", f"/Conferences/{story.conference()}/Participants/{sid}.json", *params)


def coached(story: ModelScenario) -> tuple[str, str, str]:
    """A customer, an agent, and a lead who coaches the agent."""
    customer, agent = story.member(), story.member()
    lead = story.participant("client:lead", ("Muted", "true"), ("StartConferenceOnEnter", "false"))
    story.answers(lead)
    status, _ = update(story, lead, ("Muted", "false"), ("Coaching", "true"), ("CallSidToCoach", agent))
    assert status == 200
    return customer, agent, lead


def test_coach_is_heard_by_all_once_the_coached_has_left() -> None:
    story = ModelScenario()
    customer, agent, lead = coached(story)
    assert story.hears(customer) == {agent}

    story.hangs_up(agent)

    assert (story.hears(customer), story.hears(lead)) == ({lead}, {customer})
    _, shown = story.rest("GET", f"/Conferences/{story.conference()}/Participants/{lead}.json")
    assert (shown["coaching"], shown["call_sid_to_coach"]) == (False, None)


def test_muted_coach_is_heard_by_no_one_when_the_coached_party_leaves() -> None:
    story = ModelScenario()
    customer, agent, lead = coached(story)
    update(story, lead, ("Muted", "true"))

    story.hangs_up(agent)

    assert story.hears(customer) == "silence"


def test_coach_whose_agent_left_may_be_heard_by_no_one() -> None:
    story = ModelScenario(Behavior(orphaned_coach="unheard"))
    customer, agent, lead = coached(story)

    story.hangs_up(agent)

    assert (story.hears(customer), story.hears(lead)) == ("silence", {customer})


def test_coach_switches_to_next_agent_and_is_heard_only_by_them() -> None:
    story = ModelScenario()
    customer, agent, lead = coached(story)
    successor = story.member()

    update(story, lead, ("Coaching", "true"), ("CallSidToCoach", successor))

    assert story.hears(agent) == {customer, successor}
    assert story.hears(successor) == {customer, agent, lead}
    assert story.event("participant-modify")["CallSidToCoach"] == successor


def test_coach_callbacks_carry_the_coaching_state() -> None:
    story = ModelScenario()
    _customer, agent, lead = coached(story)

    fields = [dict(it.params) for it in story.callbacks if it.call_sid == lead][1:]

    shown = ("StatusCallbackEvent", "Muted", "Coaching", "CallSidToCoach", "StartConferenceOnEnter")
    assert [tuple(it.get(name) for name in shown) for it in fields] == [
        ("participant-modify", "true", "true", agent, "false"),
        ("participant-unmute", "false", "true", agent, "false"),
    ]


@pytest.mark.parametrize("sid", ["nobody", "self", "ringing"])
def test_coaching_self_or_a_ringing_or_unknown_call_is_refused(sid: str) -> None:
    story = ModelScenario()
    lead, _other = story.member(), story.member()
    ringing = story.participant()

    status, body = update(story, lead, ("CallSidToCoach", {"nobody": NO_ONE, "self": lead, "ringing": ringing}[sid]))

    assert (status, body["code"], story.events().count("participant-modify")) == (400, 16028, 0)


def test_coaching_a_held_participant_is_refused() -> None:
    story = ModelScenario()
    lead, agent = story.member(), story.member()
    update(story, agent, ("Hold", "true"))

    assert update(story, lead, ("Coaching", "true"), ("CallSidToCoach", agent))[1]["code"] == 16027
    status, body = story.rest(
        "POST", f"/Conferences/{story.conference()}/Participants.json",
        ("To", "client:lead"), ("From", "+15550100"), ("Coaching", "true"), ("CallSidToCoach", agent),
    )  # fmt: skip
    assert (status, body["code"]) == (400, 16027)


def test_coach_who_answers_when_the_coached_has_gone_is_an_ordinary_member() -> None:
    story = ModelScenario()
    customer, agent = story.member(), story.member()
    lead = story.participant("client:lead", ("Coaching", "true"), ("CallSidToCoach", agent))
    story.hangs_up(agent)

    story.answers(lead)

    assert story.hears(customer) == {lead}
    assert story.event("participant-join", CallSid=lead)["Coaching"] == "false"


def test_settings_of_a_participant_are_kept_and_wrong_ones_are_refused() -> None:
    story = ModelScenario()
    sid = story.participant(
        "client:carol", ("JitterBufferSize", "small"), ("Beep", "onEnter"), ("Region", "ie1"), ("MaxParticipants", "3")
    )
    story.answers(sid)

    conference = story.exchange.state.conferences[story.conference()]
    participant = conference.participants[sid]
    assert (participant.settings.jitter_buffer, participant.settings.beep, participant.beep_on_exit) == (
        "small",
        "onEnter",
        False,
    )
    assert (conference.region, conference.participants_max) == ("ie1", 3)
    for name in ("JitterBufferSize", "Beep", "ConferenceTrim", "ConferenceRecord"):
        form = (("To", "client:dan"), ("From", "+15550100"), (name, "loud"))
        assert story.rest("POST", "/Conferences/room/Participants.json", *form)[1]["code"] == 20001


def test_region_is_that_of_the_first_who_names_one() -> None:
    story = ModelScenario()
    story.member()
    story.member("region='de1' jitterBufferSize='off'")
    story.member("region='au1'")

    assert story.rest("GET", f"/Conferences/{story.conference()}.json")[1]["region"] == "de1"


@pytest.mark.parametrize("change", [("BeepOnExit", "false"), ("WaitUrl", f"{APP}/wait")])
def test_other_changes_are_reported_as_modify(change: tuple[str, str]) -> None:
    story = ModelScenario()
    sid = story.member()
    story.member()

    update(story, sid, change)

    assert story.events().count("participant-modify") == 1


def test_full_conference_refuses_the_one_too_many() -> None:
    story = ModelScenario()
    for _ in range(2):
        story.member("maxParticipants='2'")
    extra = story.member("maxParticipants='9'")

    status, body = story.rest(
        "POST", f"/Conferences/{story.conference()}/Participants.json", ("To", "client:dan"), ("From", "+15550100")
    )

    assert (status, body["code"], [error.code for error in story.errors]) == (400, 16020, [16020])
    assert dict(story.asked("/after").params)["CallSid"] == extra
