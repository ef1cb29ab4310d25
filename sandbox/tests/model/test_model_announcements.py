"""Announcements to a conference and to one participant: who hears them, and the callbacks when they end or fail."""

import pytest

from model_scenario import APP, ModelScenario

SAY = "<Response><Say>We close soon</Say></Response>"
TO_ALL = (("AnnounceUrl", f"{APP}/announce"),)


def announce(story: ModelScenario, *params: tuple[str, str], to: str = "") -> None:
    path = f"/Conferences/{story.conference()}" + (f"/Participants/{to}" if to else "")
    status, body = story.rest("POST", f"{path}.json", *(params or TO_ALL))
    assert status == 200, body


def test_announcement_callback_names_a_participant_only_when_sent_to_one(story: ModelScenario) -> None:
    first = story.member("participantLabel='customer'")
    story.member()

    announce(story)
    story.serve("/announce", SAY)
    story.passes(5.0)
    fields = story.event("announcement-end")
    assert ("CallSid" in fields, fields["AnnounceUrl"], fields["FriendlyName"]) == (False, f"{APP}/announce", "room")

    announce(story, ("AnnounceUrl", f"{APP}/announce?to=1"), to="customer")
    story.serve("/announce", SAY)
    story.passes(5.0)
    fields = story.event("announcement-end")
    assert (fields["CallSid"], fields["ParticipantLabel"], fields["Hold"]) == (first, "customer", "false")
    assert fields["AnnounceUrl"] == f"{APP}/announce?to=1"


def test_announcement_follows_a_redirect_and_names_the_address_that_was_given(story: ModelScenario) -> None:
    first = story.member()
    story.member()
    announce(story)

    story.serve("/announce", "<Response><Say>One</Say><Redirect method='GET'>/more</Redirect></Response>")
    story.passes(1.0)
    assert story.asked("/more").method == "GET"
    story.serve("/more", "<Response><Play>/two.wav</Play></Response>")
    assert story.said(first) == f"{APP}/two.wav"
    story.passes(5.0)

    assert story.event("announcement-end")["AnnounceUrl"] == f"{APP}/announce"


def test_second_announcement_takes_the_place_of_the_first(story: ModelScenario) -> None:
    first = story.member()
    story.member()
    announce(story)
    story.serve("/announce", "<Response><Say loop='9'>We close soon</Say></Response>")

    announce(story, ("AnnounceUrl", f"{APP}/other"))
    story.serve("/other", "<Response><Say>We stay</Say></Response>")
    assert story.said(first) == "We stay"
    story.passes(60.0)

    reported = [dict(it.params)["AnnounceUrl"] for it in story.callbacks if it.event == "announcement-end"]
    assert reported == [f"{APP}/other"]


@pytest.mark.parametrize("failure", ["connection", "status", "verb"])
def test_announcement_that_cannot_be_fetched_is_reported_failed(story: ModelScenario, failure: str) -> None:
    first, second = story.member(), story.member()
    announce(story)

    match failure:
        case "connection":
            story.fail("/announce")
        case "status":
            story.serve("/announce", "", status=500)
        case _:
            story.serve("/announce", "<Response><Hangup/></Response>")

    params = story.event("announcement-fail")
    assert (params["AnnounceUrl"], bool(params["ReasonAnnouncementFailed"])) == (f"{APP}/announce", True)
    assert (story.hears(first), "CallSid" in params, len(story.errors)) == ({second}, False, 1)


def test_announcement_to_all_continues_when_the_first_listener_leaves(story: ModelScenario) -> None:
    first, second = story.member(), story.member()
    announce(story)
    story.serve("/announce", "<Response><Say>One</Say><Redirect>/more</Redirect></Response>")

    story.hangs_up(first)
    story.passes(1.0)

    assert story.sent_to("/more")["CallSid"] == second


def test_digits_are_heard_by_one_participant_for_as_long_as_they_take(story: ModelScenario) -> None:
    first, second = story.member("participantLabel='customer'"), story.member()
    announce(story, to="customer")
    began_s = story.now_s
    story.serve("/announce", "<Response><Play digits='1wW#'/></Response>")
    assert story.hears(second) == {first}
    story.passes(5.0)

    (tones,) = [it for it in story.model.audibility.intervals(first) if it.sound.kind == "digits"]
    assert (tones.sound.content, tones.since_s - began_s, (tones.until_s or 0.0) - tones.since_s) == ("1wW#", 0.0, 2.0)
    assert story.event("announcement-end")["CallSid"] == first
