"""A conference from the start: greeting and music for who waits, limits, ways out, and TwiML that comes after."""

import pytest

from conferral.sandbox.model.messages import InboundCall
from conferral.sandbox.model.state import Number
from tests.sandbox.model_scenario import APP, ModelScenario, conference_twiml

APPLICATION = "AP" + "1" * 32
WAITS = f"startConferenceOnEnter='false' waitUrl='{APP}/greeting'"
MUSIC = "<Response><Play loop='0'>/music.wav</Play></Response>"


@pytest.mark.parametrize("starts", ["true", "false"])
def test_lone_caller_hears_the_greeting_and_then_music_for_as_long_as_it_takes(
    story: ModelScenario, starts: str
) -> None:
    sid = story.member(f"startConferenceOnEnter='{starts}' waitUrl='{APP}/greeting'")

    story.serve("/greeting", "<Response><Say>Welcome</Say><Redirect>/music</Redirect></Response>")
    assert story.said(sid) == "Welcome"
    story.passes(1.0)
    story.serve("/music", MUSIC)
    story.passes(600.0)

    assert (story.said(sid), story.asked_paths()) == (f"{APP}/music.wav", [])


def test_wait_document_without_a_redirect_is_requested_again(story: ModelScenario) -> None:
    sid = story.member(WAITS)
    story.serve("/greeting", "<Response><Say>Welcome to all of you</Say></Response>")

    story.passes(5.0)

    assert (story.asked_paths(), story.hears(sid)) == (["/greeting"], "silence")


def test_star_takes_a_member_out_where_the_dial_says_so(story: ModelScenario) -> None:
    stays = story.member()
    goes = story.member(dial=f'hangupOnStar="true" action="{APP}/star"')

    story.presses(stays, "*")
    assert story.call(stays).activity == "conference"
    story.presses(goes, "1*")

    action = story.sent_to("/star")
    assert (action["CallSid"], action["CallStatus"]) == (goes, "in-progress")
    assert story.event("participant-leave")["ParticipantCallStatus"] == "in-progress"
    assert (story.hears(stays), story.call(stays).activity) == ("silence", "conference")


def test_time_limit_takes_one_member_out_and_leaves_the_other(story: ModelScenario) -> None:
    stays = story.member()
    goes = story.member(dial=f'timeLimit="30" action="{APP}/limit"')

    story.passes(29.0)
    assert story.hears(stays) == {goes}
    story.passes(1.0)

    assert story.sent_to("/limit")["CallSid"] == goes
    assert (story.call(goes).conference_sid, story.hears(stays)) == ("", "silence")


# ---- other ways in -----------------------------------------------------------------------------------------------


def test_browser_brings_its_own_parameters_through_an_application(story: ModelScenario) -> None:
    story.exchange.add_number(Number(APPLICATION, f"{APP}/client", application_sid=APPLICATION))
    custom = (("To", "client:bob"), ("SessionID", "abc"), ("CallSid", "CA-not-mine"), ("Muted", "true"))

    sid = story.happens(InboundCall("client:alice", APPLICATION, custom)).call_sid

    sent = story.asked("/client").params
    fields = dict(sent)
    assert (fields["From"], fields["To"], fields["Direction"], fields["CallStatus"]) == (
        "client:alice", "client:bob", "inbound", "ringing",
    )  # fmt: skip
    assert (fields["SessionID"], fields["ApplicationSid"], fields["CallSid"], fields["Muted"]) == (
        "abc", APPLICATION, sid, "true",
    )  # fmt: skip
    assert len(sent) == len(fields)
    assert not {"CallToken", "FromCountry"} & fields.keys()
    story.serve("/client", conference_twiml())
    assert story.call(sid).activity == "conference"
