"""What a sandbox that runs for days keeps of what is over: a bounded part, and everything that may still be needed."""

import asyncio
from collections.abc import Callable

import pytest
from control_client import Control
from exchange_story import BUSINESS, CUSTOMER, Story, bridge_twiml, room_twiml
from webhook_app import WebhookApp

from conferral.sandbox import Keeps, Sandbox
from conferral.sandbox.exchange import TwimlFailed
from conferral.sandbox.ledger import Kept
from conferral.sandbox.live import Viewer

HANG_UP = "<Response><Hangup/></Response>"
STAYS = "<Response><Pause length='3600'/></Response>"
KEEPS = Keeps(over=3, entries=12)


# ---- the exchange ------------------------------------------------------------------------------------------------


def transferred(story: Story) -> None:
    """A bridged call moves to a room, a third takes part, the agent leaves, and the others hang up; recorded."""
    parent, child = story.bridged()
    story.redirect(child, room_twiml("participantLabel='agent' record='record-from-start'"))
    story.serve("/action", room_twiml("participantLabel='customer' endConferenceOnExit='true'"))
    target = story.participant("client:carol", ("Label", "target"))
    story.answers(target)
    story.hangs_up(child)
    story.passes(5)
    story.rest("POST", "/Conferences/room/Participants/target.json", ("Hold", "true"))
    story.passes(5)
    story.hangs_up(parent)
    story.passes(60)


def refused(story: Story) -> None:
    """A bridge whose callee hangs up first, and one that nobody picks up."""
    _, child = story.bridged()
    story.hangs_up(child)
    story.serve("/action", HANG_UP)
    story.call_in(bridge_twiml())
    story.passes(120)
    story.fail("/action")
    story.passes(60)


@pytest.mark.parametrize("play", [transferred, refused])
def test_letting_go_of_all_that_is_over_changes_nothing_of_what_comes(play: Callable[[Story], None]) -> None:
    keeping, forgetting = Story(), Story()
    handle = forgetting.exchange.handle

    def forget(happened, now_s):
        result = handle(happened, now_s)
        forgetting.exchange.forget_over(0)
        return result

    forgetting.exchange.handle = forget  # type: ignore[method-assign]
    for story in (keeping, forgetting):
        play(story)
        play(story)
        for fetch_id in list(story.exchange.state.fetches):
            story.happens(TwimlFailed(fetch_id, 11205))
        story.passes(600)

    assert forgetting.callbacks == keeping.callbacks
    assert (forgetting.fetches, forgetting.rings, forgetting.errors) == (keeping.fetches, keeping.rings, keeping.errors)
    state = forgetting.exchange.state
    assert (state.calls, state.conferences, state.recordings) == ({}, {}, {})
    assert forgetting.exchange.hearing.history == {}
    assert len(keeping.exchange.state.calls) > 3


def test_the_oldest_of_what_is_over_goes_with_its_recordings_and_what_is_held_stays() -> None:
    story = Story()
    first, second, third = (story.call_in(HANG_UP) for _ in range(3))
    live = story.call_in(STAYS)

    assert story.exchange.forget_over(2) == {first}
    assert list(story.exchange.state.calls) == [second, third, live]
    assert story.exchange.forget_over(0, frozenset({second})) == {third}
    assert story.rest("GET", f"/Calls/{third}.json")[0] == 404
    assert [call["sid"] for call in story.rest("GET", "/Calls.json")[1]["calls"]] == [live, second]


# ---- the ledger, the phones, the page ----------------------------------------------------------------------------


def test_entries_keep_their_numbers() -> None:
    kept = Kept("abcdefgh")

    kept.keep(8)
    assert (kept.gone, len(kept)) == (0, 8)
    kept.keep(4)
    kept.append("i")

    assert (list(kept), kept.gone, kept.made) == (list("efghi"), 4, 9)
    assert [kept.numbered(number) for number in (0, 3, 4, 8, 9)] == [None, None, "e", "i", None]


async def test_after_many_calls_the_newest_are_there_and_everything_goes_on(app: WebhookApp) -> None:
    app.on("/voice", STAYS, *(HANG_UP for _ in range(30)))
    async with Sandbox(speed=20.0, keeps=KEEPS) as sandbox:
        sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice", status_callback=f"{app.url}/status")
        viewer = Viewer(sandbox)
        live = await sandbox.call_in(CUSTOMER, BUSINESS)
        for _ in range(30):
            newest = await sandbox.call_in(CUSTOMER, BUSINESS)
            await sandbox.wait_until(lambda: newest.sid not in sandbox.exchange.state.live)  # noqa: B023
            list(viewer.news())
        await sandbox.settled()

        state, ledger = sandbox.exchange.state, sandbox.ledger
        assert len(state.calls) <= 1 + KEEPS.over + 1
        assert {live.sid, newest.sid} <= state.calls.keys()
        assert len(ledger.deliveries) <= KEEPS.entries + 2
        # One document and one callback of each that is over.
        assert ledger.deliveries.made == 1 + 2 * 30
        (phone,) = (one for address, one in sandbox.phones.items() if address == CUSTOMER)
        assert len(phone.placed_sids) <= 1 + KEEPS.over + 1
        async with asyncio.timeout(5):
            await check_numbers(sandbox)


async def check_numbers(sandbox: Sandbox) -> None:
    """Whoever has seen a number finds that entry by it, or is told that it is gone."""
    import aiohttp

    newest = sandbox.ledger.deliveries.made - 1
    async with aiohttp.ClientSession() as session:
        control = Control(session, sandbox.url)
        again = await control.session.post(f"{sandbox.url}/sandbox/deliveries/{newest}/again", json={"token": "same"})
        gone = await control.session.post(f"{sandbox.url}/sandbox/deliveries/0/again", json={"token": "same"})
        never = await control.session.post(
            f"{sandbox.url}/sandbox/deliveries/{newest + 9}/again", json={"token": "same"}
        )
        assert (again.status, (await again.json())["number"]) == (202, newest + 1)
        assert (gone.status, (await gone.json())["error"]) == (404, "no delivery 0 any more")
        assert (never.status, (await never.json())["error"]) == (404, f"no delivery {newest + 9}")


def test_what_is_kept_is_said_in_words() -> None:
    assert str(Keeps()) == (
        "the newest 2,000 calls and conferences that are over, and the newest 10,000 requests of each kind"
    )
