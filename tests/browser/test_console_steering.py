"""What the console does under someone's hand: rows that wait, a session as it was, dead letters that are dropped."""

import asyncio
import re
from dataclasses import replace

import pytest
from playwright.async_api import Locator, expect

from conferral.statemachine.states import PartyStatus, Phase
from tests.browser import browser_actions
from tests.browser.many_sessions import crowd, put_all, session_id
from tests.conferral.cli_helpers import KEYS, conferenced, decide, make_session
from tests.support.people import DAVE

REASON = "over 64 KiB"


def newest(number: int, now_ms: int):
    """A session that belongs at the top of the list."""
    return replace(conferenced(session_id(number)), created_at_ms=now_ms, updated_at_ms=now_ms)


async def in_order(rows: Locator, *ids: str) -> None:
    """Of the first rows; in the document they may stand otherwise."""
    for place, session in enumerate(ids, start=2):
        await expect(rows.and_(rows.page.locator(f"[aria-rowindex='{place}']"))).to_have_attribute("data-id", session)


@pytest.mark.soak  # the order changes every 2 s at most, so it takes its time
async def test_rows_keep_their_place_while_hovered_or_paused(redis, console, windows):
    now_ms = redis.time()[0] * 1000
    put_all(redis, crowd(20, now_ms - 60_000))
    page = await browser_actions.signed_in(windows, console)
    rows = browser_actions.sessions(page)
    await expect(rows).to_have_count(20)
    first = session_id(0)
    await rows.nth(3).hover()
    put_all(redis, [newest(900, now_ms)])
    await expect(page.get_by_text("1 more call not shown yet")).to_be_visible()
    await in_order(rows, first)
    await page.mouse.move(5, 5)
    await in_order(rows, session_id(900), first)

    await page.keyboard.press("p")
    put_all(redis, [newest(901, now_ms + 1)])
    await expect(page.locator(".chip", has_text="talking")).to_contain_text("21")
    await in_order(rows, session_id(900), first)
    await page.keyboard.press("p")
    await in_order(rows, session_id(901), session_id(900), first)

    for _ in range(3):
        await page.keyboard.press("j")
    await expect(rows.and_(page.locator(f"[data-id='{first}']")).get_by_role("link")).to_be_focused()
    put_all(redis, [newest(902, now_ms + 2)])
    await in_order(rows, session_id(902), session_id(901), session_id(900), first)
    await expect(rows.and_(page.locator(f"[data-id='{first}']")).get_by_role("link")).to_be_focused()


@pytest.mark.soak
async def test_an_address_without_a_possible_id_opens_no_call(console, windows):
    page = await browser_actions.signed_in(windows, console)
    await page.evaluate("location.hash = '#session/+…23'")
    await expect(page.get_by_role("heading", level=1)).to_have_text("No such call")
    await expect(page.get_by_role("main")).to_contain_text("Redis has no call +…23.")


@pytest.mark.soak
async def test_a_press_after_no_answer_is_the_same_command(redis, console, windows):
    """The first press of each arrives, and its answer does not: a button's, a form's, the form's with other words."""
    lost = []

    async def lose_answer(route):
        asked = route.request.post_data_json
        assert asked.pop("deadline")
        if asked in lost:
            await route.continue_()
        else:
            lost.append(asked)
            await route.fetch()
            await route.abort()

    put_all(redis, [make_session(session_id(1))])
    windows.allow("ERR_FAILED")
    page = await browser_actions.signed_in(windows, console)
    await browser_actions.open_session(page, session_id(1))
    await page.route("**/commands", lose_answer)

    await browser_actions.give(page, "Convert")
    await expect(browser_actions.given(page, "convert")).to_contain_text("not known yet")
    await browser_actions.give(page, "Convert")
    await expect(browser_actions.given(page, "convert")).to_contain_text("sent")

    await (await browser_actions.action(page, "Announce")).click()
    dialog = page.get_by_role("dialog")
    say = dialog.get_by_role("textbox", name="Say")
    for words in ("One.", "Two.", "One."):  # answered at last
        await say.fill(words)
        await expect(dialog.get_by_role("button", name="Announce")).to_have_attribute("aria-disabled", "false")
        await dialog.get_by_role("button", name="Announce").click()
    await expect(dialog).to_contain_text("Sent. No worker has answered yet.")
    await dialog.get_by_role("button", name="Close", exact=True).last.click()
    await expect(browser_actions.given(page, "announce").filter(has_text="sent")).to_have_count(1)

    given = [(entry["type"], entry.get("say"), entry["id"]) for _, entry in redis.xrange(KEYS.commands)]
    assert [one[:2] for one in given] == [
        ("convert", None), ("convert", None), ("announce", "One."), ("announce", "Two."), ("announce", "One."),
    ]  # fmt: skip
    assert len(set(given)) == 3  # what is the same has the same id, by which it is done once


@pytest.mark.soak
async def test_a_press_before_the_answer_is_the_same_command(redis, console, windows):
    pressed_again = asyncio.Event()

    async def answer_late(route):
        await pressed_again.wait()
        await route.continue_()

    put_all(redis, [make_session(session_id(1))])
    page = await browser_actions.signed_in(windows, console)
    await browser_actions.open_session(page, session_id(1))
    await page.route("**/commands", answer_late)
    await browser_actions.give(page, "Convert")
    await browser_actions.give(page, "Convert")  # once the button is enabled again
    pressed_again.set()
    await expect(browser_actions.given(page, "convert")).to_contain_text("sent")
    await expect(browser_actions.given(page, "convert")).to_have_count(1)
    assert len({entry["id"] for _, entry in redis.xrange(KEYS.commands)}) == 1


async def test_dead_letters_are_dropped_by_reason_and_only_as_many_as_were_shown(redis, console, windows):
    def letter(number: int, reason: str) -> dict[str, str]:
        return {"dead_reason": reason, "dead_stream": KEYS.commands, "dead_entry": f"{number}-0", "type": "transfer"}

    for number in range(3):
        redis.xadd(KEYS.dead, letter(number, REASON))
    redis.xadd(KEYS.dead, letter(3, "not UTF-8"))
    windows.allow("409")
    page = await browser_actions.signed_in(windows, console)
    await page.get_by_role("link", name="Dead letters").first.click()
    await page.get_by_role("link", name=REASON).click()
    await page.get_by_role("button", name="Delete all 3").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text(f"3 dead letters with the reason “{REASON}” will be deleted permanently")
    redis.xadd(KEYS.dead, letter(4, REASON))
    await dialog.get_by_role("button", name="Delete 3", exact=True).click()
    await expect(dialog).to_contain_text("the number has changed to 4; nothing was done")
    assert redis.xlen(KEYS.dead) == 5

    await dialog.get_by_role("button", name="Delete 4", exact=True).click()
    await expect(page.get_by_text("4 dead letters deleted, 1 remaining.")).to_be_visible()
    assert redis.xlen(KEYS.dead) == 1


@pytest.mark.soak
async def test_the_line_to_type_names_options_as_the_command_line_does(console, windows):
    page = await browser_actions.signed_in(windows, console)
    given = {"to": DAVE, "confirm": "true", "amd": "true", "caller_id": "+12025550145"}
    transfer = {"danger": "", "fields": [{"name": name, "kind": "flag"} for name in ("confirm", "amd")]}
    line = await page.evaluate(
        "async ([fields, button]) =>"
        " (await import(new URL('./static/command-lines.js', location))).cliLine('conferral', fields, button)",
        [{"type": "transfer", "session": "CA1", **given}, transfer],
    )
    assert line == f"conferral transfer CA1 --to {DAVE} --confirm --amd --caller-id +12025550145"


async def test_to_listen_is_one_click_once_the_lead_has_said_where(redis, console, windows):
    put_all(redis, [conferenced(session_id(1)), conferenced(session_id(2))])
    page = await browser_actions.signed_in(windows, console)
    await browser_actions.open_session(page, session_id(1))
    call = browser_actions.call(page)
    await expect(call.locator(".actions > button.main")).to_have_text(["Transfer…", "Hold…"])
    listen = call.get_by_role("button", name="Listen")
    await listen.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading", name="Listen")).to_be_visible()
    await expect(dialog.get_by_role("radio")).to_have_count(0)
    for to, status, reason in (("client:laed", "failed", "no-answer"), ("client:lead", "done", "")):
        await dialog.get_by_label("To", exact=True).fill(to)
        await dialog.get_by_role("button", name="Listen", exact=True).click()
        await expect(dialog.get_by_role("status")).to_contain_text("Sent.")
        _, sent = redis.xrange(KEYS.commands)[-1]
        decide(redis, sent["id"], status, reason, session=session_id(1))
        await expect(dialog).to_have_count(0)
        if status == "failed":  # an address that did not answer is not kept
            await listen.click()
    await browser_actions.open_session(page, session_id(2))
    await listen.click()
    await expect(browser_actions.given(page, "listen")).to_contain_text("sent")

    given = [(entry["session"], entry["to"], entry["mode"]) for _, entry in redis.xrange(KEYS.commands)]
    expected = [(1, "client:laed"), (1, "client:lead"), (2, "client:lead")]
    assert given == [(session_id(number), to, "monitor") for number, to in expected]


@pytest.mark.soak
async def test_a_ringing_call_s_one_filled_button_is_transfer(redis, console, windows):
    ringing = make_session(session_id(1), phase=Phase.RINGING)
    there = {**ringing.parties, "agent": replace(ringing.parties["agent"], status=PartyStatus.RINGING)}
    put_all(redis, [replace(ringing, parties=there)])
    page = await browser_actions.signed_in(windows, console)
    await browser_actions.open_session(page, session_id(1))
    buttons = browser_actions.call(page).locator(".actions > button")
    await expect(buttons).to_have_text(["Transfer…", "End…", "Listen"])
    await expect(browser_actions.call(page).locator(".actions > button.main")).to_have_text(["Transfer…"])
    await expect(buttons.first).to_have_attribute("aria-disabled", "true")
    await expect(buttons.first).to_have_attribute("title", re.compile("answer"))


@pytest.mark.soak
async def test_a_reason_that_neighbors_share_is_said_once(redis, console, windows):
    put_all(redis, [conferenced(session_id(1))])
    page = await browser_actions.signed_in(windows, console)
    await browser_actions.open_session(page, session_id(1))
    complete = await browser_actions.action(page, "Complete")
    group = browser_actions.call(page).get_by_role("group", name="Transfer")
    why = group.get_by_text("no transfer is in progress")
    await expect(why).to_have_count(1)
    for button in (complete, *(group.get_by_role("button", name=name) for name in ("Cancel", "Swap", "Merge"))):
        await expect(button).to_have_accessible_description(await why.inner_text())
