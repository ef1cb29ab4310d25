"""Stories of announcements: to all, or to each who is not on hold; one at a time."""

import pytest

from conferral.statemachine.events import LoneOverdue, PendingCommandOverdue
from tests.statemachine.command_scenarios import Orders, added, ordering, refused_because, supervised
from tests.statemachine.scenario import CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, talking

UNKNOWN = "unknown: Twilio did not confirm it"


def playing() -> Orders:
    return ordering().announce().expect("conferenced", "play to all").expect_timers("pending_command")


def playing_to_each() -> Orders:
    """The customer is on hold, agent and lawyer hear it."""
    story = added().hold("customer").confirms("customer").announce()
    return story.expect("conferenced", "play to agent", "play to lawyer").expect_timers("pending_command")


def refuse(story: Orders, number: int, *, gone: bool = False) -> Orders:
    """Twilio refuses one of the requests that the announcement needs."""
    effect = [one for one in story.effects if one.kind == "play_announcement"][number]
    status = 404 if gone else 400
    return story.fails(effect.kind, effect.party, gone=gone, status=status, effect_id=effect.effect_id)


# ---- to all ------------------------------------------------------------------------------------------------------


def test_everyone_hears_the_announcement_to_its_end():
    story = playing().expect_command("announce-1", "accepted").played().expect("conferenced").expect_timers()
    story.expect_command("announce-1", "accepted", "done").expect_no_orders()


def test_repeated_command_plays_its_announcement_once():
    story = playing().played()
    story.announce().expect("conferenced", outcome="stale").expect_command("announce-1", "accepted", "done")


@pytest.mark.parametrize("what", [{"url": "https://example.com/a.wav"}, {"say": "Closing"}], ids=["url", "say"])
def test_announcement_plays_what_the_command_names(what):
    effect = ordering().announce(**what).last.effects[0]
    assert (effect.url, effect.command_id, effect.call_sid) == (what.get("url", ""), "announce-1", "")
    assert effect.target == CONFERENCE


def test_end_names_the_announcements_url_without_its_fragment():
    story = ordering().announce(url="https://example.com/a.wav#rc=2").played(url="https://example.com/a.wav")
    story.expect_command("announce-1", "accepted", "done")


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"say": "Again"}, {"command": "announce-1"}),
        ({"url": "https://example.com/b.wav"}, {"command": "announce-1"}),
        ({"say": "Again"}, {"url": "https://example.com/a.wav"}),
        ({"url": "https://example.com/b.wav"}, {"url": "https://example.com/a.wav"}),
    ],
)
def test_late_end_of_an_earlier_announcement_is_not_the_next_ones(second, expected):
    story = playing().fires(PendingCommandOverdue).announce("second", **second).played(**expected)
    story.expect_command("second", "accepted").played()
    story.expect_command("second", "accepted", "done")


def test_bridged_call_is_converted_first():
    story = ordering(Scenario().answered).announce().expect("converting", "move agent").joins("agent").joins("customer")
    story.expect("conferenced", "play to all", "flag customer", "flag agent").played()
    story.expect_command("announce-1", "accepted", "done")


def test_supervisor_hears_it_with_the_others():
    supervised().announce().expect("conferenced", "play to all")


def test_one_who_is_left_alone_while_a_phone_rings_hears_the_announcement_to_its_end():
    story = ordering().add().confirms("customer", "agent").placed("lawyer").announce().leaves("agent")
    story.expect("conferenced").played().expect("conferenced", "hold customer")


def test_announcement_that_fails_fails_the_command():
    story = playing().played(failed=True, reason="not found").expect_timers()
    story.expect_command("announce-1", "accepted", "failed", reason="the announcement could not be played (not found)")


def test_announcement_that_is_not_heard_of_for_a_minute_fails_the_command():
    story = playing()
    assert story.session.timers["pending_command"] - story.now_ms == 60_000
    story.fires(PendingCommandOverdue).expect_command("announce-1", "accepted", "failed", reason=UNKNOWN)
    story.expect_no_orders()


def test_command_given_during_an_announcement_is_overdue_before_it():
    story = playing().mute("agent").fires(PendingCommandOverdue)
    story.expect_command("mute-1", "accepted", "failed", reason=UNKNOWN).expect_command("announce-1", "accepted")


@pytest.mark.parametrize("begin", [conferenced, lambda: talking("warm")])
def test_announcement_that_twilio_refuses_fails_the_command(begin):
    state = begin().session.state.value
    story = refuse(ordering(begin).announce(), 0).expect(state).expect_no_orders()
    story.expect_command("announce-1", "accepted", "failed", reason="Twilio refused (HTTP 400, code 0)")


@pytest.mark.parametrize("begin", [conferenced, lambda: talking("warm")])
def test_announcement_of_unknown_outcome_may_still_report_its_end(begin):
    story = ordering(begin).announce()
    story.is_unknown("play_announcement", "", story.effects[-1].effect_id).expect_command("announce-1", "accepted")
    story.played().expect_command("announce-1", "accepted", "done").expect_no_orders()


def test_unexpected_announcement_end_changes_nothing():
    ordering().played().expect("conferenced").expect_no_orders()
    playing().played("agent").expect_command("announce-1", "accepted")


def test_end_of_an_unknown_announcement_changes_nothing_in_a_transfer():
    story = ordering(talking, "warm").announce().played("agent").expect("transferring", outcome="stayed")
    story.expect_command("announce-1", "accepted").played().expect_command("announce-1", "accepted", "done")
    story.played().expect("transferring").expect_no_orders()


def test_duplicate_end_is_reported_once():
    playing().played().played().expect_command("announce-1", "accepted", "done")


def test_party_that_leaves_meanwhile_does_not_end_it():
    story = playing().leaves("agent").expect_command("announce-1", "accepted").expect_timers("lone", "pending_command")
    story.fires(LoneOverdue).expect_command("announce-1", "accepted", "failed", reason="agent-left")


def test_end_fails_a_pending_announcement():
    playing().end().expect("ended", "end room").expect_command("announce-1", "accepted", "failed", reason="command")


def test_announcement_continues_when_the_transfer_ends():
    story = ordering(talking, "warm").announce().expect("transferring", "play to all").leaves("agent")
    story.played().expect_command("announce-1", "accepted", "done")


# ---- to each who is not on hold ----------------------------------------------------------------------------------


def test_announcement_is_played_to_each_of_the_others_while_someone_is_held():
    story = playing_to_each()
    assert [effect.target for effect in story.last.effects] == [
        story.legs[name].call_sid for name in ("agent", "lawyer")
    ]
    story.played("agent").expect_command("announce-1", "accepted").played("lawyer")
    story.expect_command("announce-1", "accepted", "done").expect_no_orders()


def test_party_about_to_be_held_does_not_hear_the_announcement():
    ordering().hold("customer").announce().expect("conferenced", "play to agent")


def test_party_who_is_still_held_does_not_hear_the_announcement():
    story = ordering().hold("customer").confirms("customer").unhold("customer").announce()
    story.expect("conferenced", "play to agent")


def test_party_who_is_being_removed_does_not_hear_the_announcement():
    added().remove("lawyer").announce().expect("conferenced", "play to customer", "play to agent")


def test_in_a_consult_the_customer_does_not_hear_it():
    story = ordering(talking, "consult").announce().expect("transferring", "play to agent", "play to target")
    story.played("target").played("agent").expect_command("announce-1", "accepted", "done")


def test_one_that_fails_fails_the_command():
    story = playing_to_each().played("agent").played("lawyer", failed=True)
    story.expect_command("announce-1", "accepted", "failed", reason="failed").expect_no_orders()


def test_one_that_twilio_refuses_fails_the_command():
    refuse(playing_to_each(), 1).expect_command("announce-1", "accepted", "failed").expect_no_orders()


def test_party_that_leaves_meanwhile_is_not_waited_for():
    story = playing_to_each().leaves("lawyer").expect_command("announce-1", "accepted").played("agent")
    story.expect_command("announce-1", "accepted", "done")


def test_party_that_left_before_the_request_is_not_waited_for():
    story = refuse(playing_to_each(), 1, gone=True).expect_command("announce-1", "accepted").played("agent")
    story.expect_command("announce-1", "accepted", "done").expect_no_orders()


def test_announcement_ends_when_no_one_is_left_to_hear_it():
    story = refuse(refuse(playing_to_each(), 0, gone=True), 1, gone=True)
    story.expect_command("announce-1", "accepted", "failed", reason="no one is there to hear it").expect_no_orders()


def test_one_of_which_nothing_is_heard_fails_the_command():
    story = playing_to_each().played("agent").fires(PendingCommandOverdue)
    story.expect_command("announce-1", "accepted", "failed", reason=UNKNOWN)


# ---- refused -----------------------------------------------------------------------------------------------------


def test_one_at_a_time():
    refused_because(playing().announce("late"), "late", "another announcement is playing")
    story = ordering(Scenario().answered).announce().announce("late")
    refused_because(story, "late", "another announcement is playing")
    playing().played().announce("next").expect("conferenced", "play to all")


def test_announcement_is_refused_while_everyone_waits():
    refused_because(ordering(blind_from_bridge).announce(), "announce-1", "no one is there to hear it")


def test_nothing_is_announced_before_the_agent_has_answered():
    refused_because(ordering(Scenario().comes_in).announce(), "announce-1", "no one has answered yet")
