"""Lists of an account that others use too: pages that don't shift, foreign calls and conferences, many live calls."""

import pytest

from tests.sandbox.model_scenario import ModelScenario

LIVE = ("Status", "in-progress")


def test_call_that_ends_between_two_pages_moves_no_other_out_of_sight(story: ModelScenario) -> None:
    sids = story.add_foreign_calls(6)

    _, first = story.rest("GET", "/Calls.json", LIVE, ("PageSize", "2"))
    for sid in sids[4:]:  # both are on the first page
        story.complete(sid)
    story.add_foreign_calls(3)
    token = first["next_page_uri"].rpartition("PageToken=")[2]
    _, second = story.rest("GET", "/Calls.json", LIVE, ("PageSize", "2"), ("Page", "1"), ("PageToken", token))

    assert [it["sid"] for it in second["calls"]] == [sids[3], sids[2]]
    assert story.rest("GET", "/Calls.json", ("PageToken", "x"))[1]["code"] == 20001


def test_foreign_calls_are_shown_by_the_api_and_are_not_among_ours(story: ModelScenario) -> None:
    ours = story.call_in("<Response><Pause length='60'/></Response>")
    (foreign,) = story.add_foreign_calls(1, age_s=600.0)

    assert [call.sid for call in story.exchange.live_calls()] == [ours]
    status, body = story.rest("GET", f"/Calls/{foreign}.json")
    assert (status, body["status"], body["date_created"]) == (200, "in-progress", "Thu, 01 Jan 1970 00:06:40 +0000")
    story.complete(foreign)
    assert story.status(foreign) == "completed"


def test_foreign_conference_has_participants_and_sends_no_callbacks(story: ModelScenario) -> None:
    conference = story.add_foreign_conference("theirs", participant_count=3)

    _, listed = story.rest("GET", f"/Conferences/{conference}/Participants.json")
    assert len(listed["participants"]) == 3
    assert (story.callbacks, story.fetches, story.exchange.next_due_s()) == ([], [], None)
    with pytest.raises(ValueError, match="a name that no live one has"):
        story.add_foreign_conference("theirs")
