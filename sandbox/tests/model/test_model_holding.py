"""Hold music, wait music, and whose leave ends a conference."""

from typing import Any

import pytest

from model_scenario import APP, ModelScenario, conference_twiml
from offhook.model.behavior import Behavior

HELD = (("Hold", "true"), ("HoldUrl", f"{APP}/hold"))
FLAGS = ("Hold", "Muted", "EndConferenceOnExit", "Coaching", "StartConferenceOnEnter")


# ---- hold --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "params"), [("GET", ()), ("POST", (("HoldMethod", "POST"),))])
def test_held_participant_hears_the_hold_url_which_is_fetched_again(
    story: ModelScenario, method: str, params: tuple[tuple[str, str], ...]
) -> None:
    customer, agent = story.member("participantLabel='customer'"), story.member()

    body = story.update("customer", *HELD, *params)

    assert (body["hold"], body["call_sid"], body["label"]) == (True, customer, "customer")
    assert story.asked("/hold").method == method
    story.serve("/hold", "<Response><Play>/ringback.wav</Play></Response>")
    assert (story.said(customer), story.hears(agent)) == (f"{APP}/ringback.wav", "silence")
    story.passes(5.0)
    assert (story.asked("/hold").method, story.asked_paths()) == (method, ["/hold"])


def test_hold_url_is_asked_in_silence_and_leaves_twilios_music_if_it_fails(story: ModelScenario) -> None:
    customer = story.member()
    story.member()
    story.update(customer, *HELD)
    assert f"CallSid={customer}" in story.asked("/hold").url
    assert story.hears(customer) == "silence"

    story.fail("/hold")

    assert (story.hears(customer), story.said(customer)) == ("music", "")
    assert story.call(customer).activity == "conference"


def test_callbacks_of_updates_carry_how_the_participant_is_now(story: ModelScenario) -> None:
    story.member()
    agent = story.member("endConferenceOnExit='true' participantLabel='agent'")

    story.update(agent, ("EndConferenceOnExit", "false"))
    story.update(agent, ("Hold", "true"))
    story.update(agent, ("Muted", "true"))
    story.update(agent, ("Hold", "false"), ("EndConferenceOnExit", "true"))

    fields = [dict(it.params) for it in story.callbacks if it.kind == "conference"][3:]
    assert [(it["StatusCallbackEvent"], *(it[flag] for flag in FLAGS)) for it in fields] == [
        ("participant-modify", "false", "false", "false", "false", "true"),
        ("participant-hold", "true", "false", "false", "false", "true"),
        ("participant-mute", "true", "true", "false", "false", "true"),
        ("participant-modify", "true", "true", "true", "false", "true"),
        ("participant-unhold", "false", "true", "true", "false", "true"),
    ]
    assert {(it["CallSid"], it["ParticipantLabel"], it["FriendlyName"]) for it in fields} == {(agent, "agent", "room")}


# ---- waiting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["status", "connection", "verb"])
def test_wait_url_that_fails_lands_in_the_dials_action_which_can_join_once_more(
    story: ModelScenario, failure: str
) -> None:
    customer = story.member(f"startConferenceOnEnter='false' waitUrl='{APP}/wait'")
    first_conference = story.conference()

    match failure:
        case "status":
            story.serve("/wait", "", status=500)
        case "connection":
            story.fail("/wait")
        case _:
            story.serve("/wait", "<Response><Gather/></Response>")

    action = story.sent_to("/after")
    assert (action["CallSid"], action["CallStatus"], action["DialCallStatus"]) == (customer, "in-progress", "failed")
    story.serve("/after", conference_twiml("waitUrl='' startConferenceOnEnter='false'"))
    assert (story.call(customer).activity, story.hears(customer)) == ("conference", "silence")
    assert story.conference() != first_conference
    assert story.left()[0] == "participant_add_failed"


# ---- endConferenceOnExit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goes_by", "left_reason", "call_status", "how"),
    [
        ("hang-up", "participant_hung_up", "completed", "left"),
        ("redirect", "participant_updated_via_api", "in-progress", "left"),
        ("kick", "participant_updated_via_api", "in-progress", "kicked"),
    ],
)
def test_participant_that_ends_the_conference_on_exit_disconnects_everyone(
    story: ModelScenario, goes_by: str, left_reason: str, call_status: str, how: str
) -> None:
    goes = story.member("endConferenceOnExit='true' participantLabel='agent'")
    stays = story.member(dial=f'action="{APP}/action-b"')
    by_rest = story.participant("client:carol", ("StatusCallback", f"{APP}/dial"), conference=story.conference())
    story.answers(by_rest)

    match goes_by:
        case "hang-up":
            story.hangs_up(goes)
        case "redirect":
            story.redirect(goes, "<Response><Pause length='60'/></Response>")
        case _:
            story.rest("DELETE", f"/Conferences/{story.conference()}/Participants/agent.json")

    reported = [dict(it.params) for it in story.callbacks]
    left = {it["CallSid"]: it for it in reported if "ReasonParticipantLeft" in it}
    assert (left[goes]["ReasonParticipantLeft"], left[goes]["ParticipantCallStatus"]) == (left_reason, call_status)
    for sid in (stays, by_rest):
        assert left[sid]["ReasonParticipantLeft"] == "moderator_ended_conference"
    ended = story.event("conference-end")
    assert ended["CallSidEndingConference"] == goes
    assert ended["ReasonConferenceEnded"] == f"participant-with-end-conference-on-exit-{how}"
    assert ended["ParticipantLabelEndingConference"] == "agent"
    assert story.events()[-4:] == [*["participant-leave"] * 3, "conference-end"]
    action = story.sent_to("/action-b")
    assert (story.status(stays), action["CallStatus"], action["DialCallStatus"]) == (
        "in-progress", "in-progress", "answered",
    )  # fmt: skip
    assert "DialCallSid" not in action
    assert left[stays]["ParticipantCallStatus"] == "in-progress"
    assert story.event("completed", CallSid=by_rest)["CallStatus"] == "completed"


@pytest.mark.parametrize(
    ("rule", "alone", "with_hold", "on_hold", "with_unhold"),
    [
        ("unless-held", True, True, False, True),
        ("taken", True, True, True, True),
        ("with-hold", False, True, False, True),
    ],
)
def test_exit_flag_changes_as_the_rule_says(
    rule: Any, alone: bool, with_hold: bool, on_hold: bool, with_unhold: bool
) -> None:
    sets, unhold = ("EndConferenceOnExit", "true"), ("Hold", "false")

    def changed(*params: tuple[str, str], held: bool = False) -> bool:
        story = ModelScenario(Behavior(end_on_exit_update=rule))
        agent = story.member()
        story.member()
        if held:
            story.update(agent, *HELD)
        assert story.update(agent, *params)["end_conference_on_exit"] is True, "the answer shows what was asked for"
        _, shown = story.rest("GET", story.participants(agent))
        assert shown["end_conference_on_exit"] is ("participant-modify" in story.events())
        return bool(shown["end_conference_on_exit"])

    assert [
        changed(sets), changed(sets, unhold), changed(sets, held=True), changed(sets, unhold, held=True)
    ] == [alone, with_hold, on_hold, with_unhold]  # fmt: skip
