"""What a sandbox that runs for days keeps of what is over: a bounded part, and everything that may still be needed."""

from collections.abc import Callable

import pytest

from model_scenario import BUSINESS, CUSTOMER, ModelScenario, bridge_twiml, conference_twiml
from offhook import Retention, Sandbox
from offhook.model.messages import IncomingText, TwimlFetched
from offhook.model.pruning import prune_finished
from offhook.page import PageState
from offhook.request_log import NumberedLog
from webhook_app import WebhookApp

HANG_UP = "<Response><Hangup/></Response>"
STAYS = "<Response><Pause length='3600'/></Response>"
KEEPS = Retention(finished_calls_max=3, log_entries_max=12)


# ---- the model ------------------------------------------------------------------------------------------------


def transferred(story: ModelScenario) -> None:
    """A bridged call moves to a conference, a third takes part, the agent leaves, and the others hang up; recorded."""
    parent, child = story.bridged()
    story.redirect(child, conference_twiml("participantLabel='agent' record='record-from-start'"))
    story.serve("/action", conference_twiml("participantLabel='customer' endConferenceOnExit='true'"))
    target = story.participant("client:carol", ("Label", "target"))
    story.answers(target)
    story.hangs_up(child)
    story.passes(5)
    story.rest("POST", "/Conferences/room/Participants/target.json", ("Hold", "true"))
    story.passes(5)
    story.hangs_up(parent)
    story.passes(60)


def refused(story: ModelScenario) -> None:
    """A bridge whose callee hangs up first, and one that no one picks up."""
    _, child = story.bridged()
    story.hangs_up(child)
    story.serve("/action", HANG_UP)
    story.call_in(bridge_twiml())
    story.passes(120)
    story.fail("/action")
    story.passes(60)


@pytest.mark.parametrize("play", [transferred, refused])
def test_letting_go_of_all_that_is_over_changes_nothing_of_what_comes(play: Callable[[ModelScenario], None]) -> None:
    keeping, forgetting = ModelScenario(), ModelScenario()
    handle = forgetting.model.handle

    def forget(happened, now_s):
        result = handle(happened, now_s)
        prune_finished(forgetting.model, 0)
        return result

    forgetting.model.handle = forget  # type: ignore[method-assign]
    for story in (keeping, forgetting):
        play(story)
        play(story)
        for fetch_id in list(story.model.state.fetches):
            story.happens(TwimlFetched(fetch_id))
        story.passes(600)

    assert forgetting.callbacks == keeping.callbacks
    assert (forgetting.fetches, forgetting.rings, forgetting.errors) == (keeping.fetches, keeping.rings, keeping.errors)
    state = forgetting.model.state
    assert (state.calls, state.conferences, state.recordings) == ({}, {}, {})
    assert forgetting.model.audibility.history == {}
    assert len(keeping.model.state.calls) > 3


def test_the_oldest_of_what_is_over_goes_with_its_recordings_and_what_is_held_stays(story: ModelScenario) -> None:
    first, second, third = (story.call_in(HANG_UP) for _ in range(3))
    live = story.call_in(STAYS)

    assert prune_finished(story.model, 2) == {first}
    assert list(story.model.state.calls) == [second, third, live]
    assert prune_finished(story.model, 0, {second}) == {third}
    assert story.rest("GET", f"/Calls/{third}.json")[0] == 404
    assert [call["sid"] for call in story.rest("GET", "/Calls.json")[1]["calls"]] == [live, second]


# ---- the request log, the phones, the page ------------------------------------------------------------------------


def test_entries_keep_their_numbers() -> None:
    kept = NumberedLog("abcdefgh")

    kept.trim(8)
    assert (kept.dropped, len(kept)) == (0, 8)
    kept.trim(4)
    kept.append("i")

    assert (list(kept), kept.dropped, kept.total) == (list("efghi"), 4, 9)


async def test_newest_calls_are_kept_and_all_continues_after_many_calls(app: WebhookApp) -> None:
    app.on("/voice", STAYS, *(HANG_UP for _ in range(30)))
    async with Sandbox(speed=20.0, retention=KEEPS) as sandbox:
        sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice", status_callback=f"{app.url}/status")
        viewer = PageState(sandbox)
        live = await sandbox.call_in(CUSTOMER, BUSINESS)
        for _ in range(30):
            newest = await sandbox.call_in(CUSTOMER, BUSINESS)
            await sandbox.wait_until(lambda: newest.sid not in sandbox.model.state.live_calls)  # noqa: B023
            list(viewer.new_messages())
        await sandbox.wait_until_idle()

        state, log = sandbox.model.state, sandbox.request_log
        assert len(state.calls) <= 1 + KEEPS.finished_calls_max + 1
        assert {live.sid, newest.sid} <= state.calls.keys()
        assert len(log.deliveries) <= KEEPS.log_entries_max + 2
        # One document and one callback of each that is over.
        assert log.deliveries.total == 1 + 2 * 30
        (phone,) = (one for address, one in sandbox.phones.items() if address == CUSTOMER)
        assert len(phone.call_sids) <= 1 + KEEPS.finished_calls_max + 1


async def test_oldest_text_messages_are_removed(sandbox: Sandbox) -> None:
    sandbox.retention = Retention(finished_calls_max=10)
    for number in range(15):
        sandbox.apply(IncomingText(CUSTOMER, BUSINESS, str(number)))
    assert [it.body for it in sandbox.model.state.messages.values()] == [str(number) for number in range(3, 15)]
