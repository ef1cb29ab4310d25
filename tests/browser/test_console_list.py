"""The console's list in a browser: thousands of sessions, hostile names, keys alone."""

import asyncio
import json
import re
import time
from dataclasses import replace

import pytest
from playwright.async_api import expect

from conferral.statemachine.states import Phase, State
from tests.browser import axe
from tests.browser.browser_actions import action, call, open_session, resize, row, sessions, signed_in
from tests.browser.many_sessions import HOSTILE, changed, crowd, hostile, put_all, session_id
from tests.browser.windows import NARROW
from tests.conferral.cli_helpers import CALL, conferenced, log_entry, make_session, put
from tests.support.people import NUMBER, SALES

MANY = 5_000
#: Elements of the list that may be in the document at most (count).
DRAWN_MAX = 200
TAKEN_OVER = "taken over"


async def now_ms(redis) -> int:
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds // 1000


@pytest.mark.soak
async def test_thousands_of_sessions_are_a_short_document(redis, console, windows, report_figure):
    people = crowd(MANY, await now_ms(redis))
    await asyncio.to_thread(put_all, redis, people)
    began_s = time.perf_counter()
    page = await signed_in(windows, console)
    await expect(page.get_by_text(f"{MANY:,} calls", exact=True)).to_be_visible()
    report_figure(f"{MANY:,} sessions: all known to the page after {time.perf_counter() - began_s:.1f} s")
    painted = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
    report_figure(f"{MANY:,} sessions: first paint after {painted:.0f} ms")
    assert 10 < await sessions(page).count() < DRAWN_MAX
    assert await page.get_by_role("table", name="Calls").get_attribute("aria-rowcount") == str(MANY + 1)

    await page.keyboard.press("End")
    await expect(sessions(page).last).to_have_attribute("aria-rowindex", str(MANY + 1))
    assert await sessions(page).count() < DRAWN_MAX
    await page.get_by_role("searchbox").fill(session_id(4_321)[-6:])
    await expect(sessions(page)).to_have_count(1)
    await expect(page.get_by_text(f"1 of {MANY:,} calls match")).to_be_visible()

    one = people[4_321]
    await asyncio.to_thread(put_all, redis, [changed(one, await now_ms(redis))])
    await expect(sessions(page).first.locator(".cell-customer")).to_have_attribute("title", re.compile("muted"))


def waiting(number: int, at_ms: int, called: str):
    made = conferenced(session_id(number))
    customer = replace(made.parties["customer"], held=True, since_ms=at_ms)
    return replace(made, phase=Phase.QUEUED, parties={"customer": customer}, number=called, queued_since_ms=at_ms)


async def test_who_waits_in_queues_is_shown_by_number_with_a_tone_for_who_wants_one(redis, console, windows):
    at_ms = await now_ms(redis)
    waits = [waiting(1, at_ms - 130_000, NUMBER), waiting(2, at_ms - 9_000, NUMBER), waiting(3, at_ms - 5_000, SALES)]
    put_all(redis, [*waits, make_session(session_id(4))])
    page = await signed_in(windows, console)
    tones = await page.evaluate_handle(
        """() => {
            const tones = { count: 0 };
            const start = OscillatorNode.prototype.start;
            OscillatorNode.prototype.start = function () { tones.count += 1; start.call(this); };
            return tones;
        }"""
    )
    queues = page.get_by_role("list", name="Waiting callers").get_by_role("link")
    await expect(queues).to_have_text(
        [re.compile(r"\+…00: 2 wait, longest 2:\d\d$"), re.compile(r"\+…01: 1 waits, longest 0:\d\d$")]
    )
    assert await axe.troubles(page, "callers wait") == []
    sound = page.get_by_role("button", name="Sound for waiting callers")
    await expect(sound).to_have_attribute("aria-pressed", "false")
    put_all(redis, [waiting(5, at_ms - 1_000, NUMBER)])
    await expect(queues.first).to_contain_text("3 wait")
    assert await tones.evaluate("tones => tones.count") == 0
    await sound.click()
    assert await tones.evaluate("tones => tones.count") == 1, "so that one hears what it is like"
    put_all(redis, [waiting(6, at_ms, SALES)])
    await page.wait_for_function("tones => tones.count === 2", arg=tones)
    put_all(redis, [replace(waiting(6, at_ms, SALES), state=State.ENDED, ended_at_ms=at_ms + 1)])
    await queues.nth(1).click()
    await expect(sessions(page)).to_have_count(1)
    await expect(row(page, session_id(3))).to_be_visible()
    assert await tones.evaluate("tones => tones.count") == 2
    await page.reload()
    await expect(sound).to_have_attribute("aria-pressed", "true")
    await open_session(page, session_id(3))
    await expect(sound).to_be_hidden()  # there is too little space next to a call


async def test_names_from_outside_do_nothing_but_show(redis, console, windows):
    at_ms = await now_ms(redis)
    put_all(redis, [hostile(number, name, at_ms) for number, name in enumerate(HOSTILE)])
    page = await signed_in(windows, console, size=NARROW)
    await expect(sessions(page)).to_have_count(len(HOSTILE))
    for number in range(len(HOSTILE)):
        await page.goto(f"{console.address}#session/{session_id(1_000_000 + number)}")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(page.get_by_text("customer", exact=False).first).to_be_visible()
        text = await page.locator("body").inner_text()
        assert not set(text) & set("\x1b\x07\u202e\u2066\u2069\u0085\ufeff"), (
            "a character that nobody sees is shown as it is"
        )
        assert await page.title() != TAKEN_OVER
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= NARROW["width"], f"{HOSTILE[number][:20]!r} makes the page {width} px wide"
    assert await page.locator("img").count() == 0


@pytest.mark.soak
async def test_what_is_typed_right_after_the_search_key_is_searched_for(redis, console, windows):
    page = await signed_in(windows, console)
    await page.keyboard.press("g")
    await page.keyboard.press("h")
    await expect(page.get_by_role("heading", name="Health", exact=True).first).to_be_attached()
    await page.evaluate(
        """() => {
            const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            press("/");
            setTimeout(() => document.activeElement.id === "search" || press("p")); // the next key: "p" pauses the list
        }""",
    )
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()


async def test_the_list_is_used_by_keys_alone(redis, console, windows):
    put_all(redis, crowd(12, await now_ms(redis)))
    page = await signed_in(windows, console)
    await expect(sessions(page)).to_have_count(12)
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    second = sessions(page).nth(1)
    await expect(second).to_have_attribute("aria-current", "true")
    await expect(second.get_by_role("link")).to_be_focused()
    await page.keyboard.press("k")
    await expect(sessions(page).first).to_have_attribute("aria-current", "true")
    chosen = await sessions(page).first.get_attribute("data-id")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{console.address}#session/{chosen}")
    newest = replace(make_session(session_id(900)), created_at_ms=await now_ms(redis) + 1)
    put_all(redis, [newest])
    await page.keyboard.press("Escape")
    # At once, although the list was sorted a moment ago: a returning operator must see the new call.
    await expect(sessions(page)).to_have_count(13, timeout=1500)
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("nothing has this")
    await expect(sessions(page)).to_have_count(0)
    await page.keyboard.press("Escape")
    await expect(sessions(page)).to_have_count(13)
    for keys, heading in (("gh", "Health"), ("gd", "Dead letters"), ("gs", "Calls")):
        for key in keys:
            await page.keyboard.press(key)
        await expect(page.get_by_role("heading", name=heading, exact=True).first).to_be_attached()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.soak
async def test_the_list_stays_next_to_an_open_call_and_alone_on_a_phone(redis, console, windows):
    put_all(redis, crowd(30, await now_ms(redis)))
    page = await signed_in(windows, console)
    await expect(sessions(page)).to_have_count(30)
    # A laptop shows 25 of them.
    last = await row(page, session_id(24)).bounding_box()
    assert last["y"] + last["height"] < 800
    for number in (2, 5):
        await open_session(page, session_id(number))
        await expect(row(page, session_id(number))).to_have_class(re.compile("is-open"))
    put_all(redis, [replace(make_session(session_id(900)), created_at_ms=await now_ms(redis))])
    await expect(row(page, session_id(900))).to_be_visible()
    await page.get_by_role("button", name="ringing").click()
    await expect(sessions(page)).to_have_count(0)
    await expect(call(page)).to_be_visible()
    await resize(page, NARROW)
    await expect(page.get_by_role("table", name="Calls")).to_have_count(0)
    await page.get_by_role("link", name="All calls").click()
    await expect(call(page)).to_have_count(0)
    await page.get_by_role("button", name="Show all").click()
    await expect(sessions(page).first).to_be_visible()


@pytest.mark.soak
async def test_next_to_a_call_keys_move_along_the_list_and_esc_closes_what_is_innermost(redis, console, windows):
    put_all(redis, crowd(12, await now_ms(redis)))
    page = await signed_in(windows, console)
    await page.goto(f"{console.address}#sessions?find=0004")  # as a bookmark
    await open_session(page, session_id(4))
    await expect(sessions(page)).to_have_count(1)
    await page.get_by_role("searchbox").press("Escape")
    await expect(sessions(page)).to_have_count(12)
    await page.keyboard.press("ArrowDown")
    await expect(row(page, session_id(5)).get_by_role("link")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(f"#session/{session_id(5)}$"))
    await action(page, "End")
    await expect(call(page).locator("details.more[open]")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(call(page).locator("details.more[open]")).to_have_count(0)
    await expect(call(page)).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(call(page)).to_have_count(0)


@pytest.mark.soak
async def test_a_call_that_is_not_in_the_list_is_found_by_its_sid(redis, console, windows):
    over = f"CA{7:032x}"
    at_ms = await now_ms(redis)
    put_all(redis, [*crowd(2, at_ms), replace(make_session(over), state=State.ENDED, ended_at_ms=at_ms)])
    page = await signed_in(windows, console)
    await page.get_by_role("searchbox").fill(over)
    await expect(page.get_by_role("button", name="Include ended calls")).to_be_visible()
    await page.get_by_role("link", name="Open the call with this ID").click()
    await expect(page).to_have_url(f"{console.address}#session/{over}")
    await expect(call(page).get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.soak
async def test_digits_find_the_end_of_a_phone_number_and_not_the_middle_of_a_sid(redis, console, windows):
    at_ms = await now_ms(redis)
    people = crowd(3, at_ms)
    number = people[1].parties["customer"].address
    by_sid = replace(people[2], id=f"CA{'ab' * 12}{number[-4:]}{'9' * 4}")
    put_all(redis, [people[0], people[1], by_sid])
    page = await signed_in(windows, console)
    await page.get_by_role("searchbox").fill(number[-4:])
    await expect(sessions(page)).to_have_count(1)
    await expect(sessions(page).first).to_have_attribute("data-id", people[1].id)
    await page.get_by_role("searchbox").fill("ababab")
    await expect(sessions(page).first).to_have_attribute("data-id", by_sid.id)
    await page.get_by_role("searchbox").fill("CAab")
    await expect(sessions(page).first).to_have_attribute("data-id", by_sid.id)


@pytest.mark.soak
async def test_only_a_request_that_twilio_answered_is_shown_as_refused(console, windows, redis):
    def hold(effect: str, **answer: int) -> list[dict[str, str]]:
        details = {"kind": "update_participant", "party": "customer", "detail": "hold", **answer}
        asked = log_entry("hold", effects=json.dumps([{"id": effect, **details}]))
        return [asked, log_entry("effect_failed", effect=effect, details=json.dumps(details))]

    put(redis, make_session(), log=[*hold("e1", http_status=404), *hold("e2")])
    page = await signed_in(windows, console)
    await open_session(page, CALL)
    items = page.get_by_role("listitem")
    asked = items.filter(has_text="asks Twilio to hold customer", has_not=items)
    await expect(asked).to_have_count(2)
    await expect(asked.filter(has_text="refused by Twilio")).to_have_count(1)
    await expect(asked.filter(has_text="not done")).to_have_count(1)
