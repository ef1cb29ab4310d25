"""The console for people: calls by name, true times, quiet history, and a form that helps."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from playwright.async_api import expect

from conferral.statemachine.parts import Attempt, TransferState
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus, State, TransferMode, TransferStage, TransferStatus
from conferral.storage import coordinator
from tests.browser.browser_actions import action, call, given, open_session, row, sessions, signed_in, unfold
from tests.browser.many_sessions import put_all, session_id
from tests.browser.windows import NARROW
from tests.conferral.cli_helpers import KEYS, conferenced, log_entry, make_session, put, put_desk
from tests.support.owners import owned_by

UTC_ON_HOVER = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def now_ms(redis) -> int:
    return redis.time()[0] * 1000


def begun(session: Session, at_ms: int) -> Session:
    return replace(session, created_at_ms=at_ms, state_since_ms=at_ms + 60_000, updated_at_ms=at_ms + 60_000)


def over(session: Session, at_ms: int, *, lasted_ms: int) -> Session:
    return replace(
        begun(session, at_ms), state=State.ENDED, end_reason="customer-left", ended_at_ms=at_ms + lasted_ms, timers={}
    )


async def test_a_call_is_named_by_its_people_and_shows_its_start_and_true_duration(redis, console, windows):
    live, ended = conferenced(session_id(1)), make_session(session_id(2))
    at_ms = now_ms(redis)
    put_all(redis, [begun(live, at_ms - 600_000), over(ended, at_ms - 900_000, lasted_ms=75_000)])
    context = await windows.profile()
    page = await signed_in(windows, console, context=context)
    await page.get_by_label("Ended calls").select_option("+ ended in the last hour")
    shown = row(page, live.id)
    await expect(shown.get_by_role("link", name="+…23")).to_be_visible()
    await expect(shown.locator(".cell-agent")).to_have_text("alice")
    await expect(shown.locator(".cell-since")).to_have_text(re.compile(r"^10 min \d\d s$"))  # since the call's start
    await expect(shown.locator(".cell-since time")).to_have_attribute("title", UTC_ON_HOVER)
    await expect(row(page, ended.id).locator(".cell-since")).to_have_text(re.compile(", 1 min 15 s$"))
    await page.get_by_label("Ended calls").select_option("+ ended in the last 15 min")
    await expect(row(page, ended.id)).to_be_visible()
    await page.get_by_label("Ended calls").select_option("live calls only")
    await expect(row(page, ended.id)).to_have_count(0)
    await open_session(page, live.id)
    await expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"\+…23 and alice"))


@pytest.mark.soak
async def test_every_time_of_a_call_is_local_with_utc_on_hover(redis, console, windows):
    at_ms = now_ms(redis)
    put_all(redis, [begun(conferenced(session_id(1)), at_ms - 120_000)])
    page = await signed_in(windows, console)
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})  # half an hour off
    await open_session(page, session_id(1))
    await unfold(page)
    since = page.locator(".summary-lines time").first
    await expect(since).to_have_attribute("title", UTC_ON_HOVER)
    on_hover = datetime.fromisoformat(await since.get_attribute("title"))
    await expect(since).to_have_text(re.compile(f"{on_hover + timedelta(hours=5, minutes=30):%H:%M:%S}$"))
    await expect(page.get_by_role("main")).not_to_contain_text("UTC")
    await devtools.detach()


@pytest.mark.soak
async def test_only_what_needs_a_person_is_red(redis, console, windows):
    at_ms = now_ms(redis)
    failed = TransferState(
        1,
        TransferMode.CONSULT,
        ("client:dave",),
        TransferStatus.FAILED,
        "busy",
        stage=TransferStage.OVER,
        started_at_ms=at_ms,
    )
    busy = log_entry(
        "call_progressed", at_ms, details='{"party": "target", "status": "busy"}', before="transferring",
        after="conferenced", outcome="moved",
    )  # fmt: skip
    recovered = replace(begun(conferenced(session_id(1)), at_ms - 5_000), transfer=failed)
    there = recovered.parties
    lone = {**there, "agent": replace(there["agent"], status=PartyStatus.LEFT, in_conference=False)}
    alone = replace(recovered, id=session_id(2), parties=lone)
    for session in (recovered, alone):
        put(redis, session, log=[busy])
    page = await signed_in(windows, console)
    for session, is_red in ((alone, True), (recovered, False)):
        await page.goto(f"{console.address}#session/{session.id}")
        failure = page.locator(".first-failure")
        await expect(failure).to_contain_text("target was busy")
        await expect(failure).to_have_class(re.compile(r"is-bad" if is_red else r"^first-failure$"))
        await expect(page.locator(".timeline .is-bad")).to_have_count(0)


@pytest.mark.soak
async def test_the_timeline_folds_confirmations_and_shows_them_on_request(redis, console, windows):
    asked = log_entry("hold", effects=json.dumps([{"id": "e1", "kind": "update_participant", "detail": "hold"}]))
    details = json.dumps({"kind": "update_participant", "party": "customer", "detail": "hold"})
    put(redis, make_session(), log=[asked, log_entry("effect_succeeded", effect="e1", details=details)])
    page = await signed_in(windows, console)
    await open_session(page, make_session().id)
    timeline = page.get_by_role("list", name="Timeline")
    await expect(timeline).to_contain_text("done after")
    confirmed = timeline.get_by_text("Twilio confirmed: hold customer")
    await expect(confirmed).not_to_be_visible()
    await timeline.get_by_text("1 confirmation").click()
    await expect(confirmed).to_be_visible()


async def test_the_form_says_who_is_ready_and_keeps_no_mistyped_address(redis, console, windows):
    other = conferenced(session_id(2))
    parties = {**other.parties, "agent": replace(other.parties["agent"], address="client:bob")}
    there = {"customer": other.parties["customer"], "target": Party("target", "target-2", address="client:bobb")}
    mistyped = replace(conferenced(session_id(3)), parties=there)
    ended = over(make_session(session_id(4)), now_ms(redis), lasted_ms=75_000)
    answered = replace(ended, attempts=(Attempt("agent", "client:carol", "d1", 1, result="answered"),))
    put_all(redis, [conferenced(session_id(1)), replace(other, parties=parties), mistyped, answered])
    for identity in ("carol", "bob"):
        put_desk(redis, identity, identity.title(), "ready", renewed_ms=now_ms(redis))
    page = await signed_in(windows, console)
    await open_session(page, session_id(1))
    await (await action(page, "Transfer")).click()
    dialog = page.get_by_role("dialog")
    offered = dialog.get_by_role("option")
    await expect(offered).to_have_text([re.compile(r"^\s*carol\s+ready\s*$"), re.compile(r"^\s*bob\s+on a call\s*$")])
    await expect(dialog.get_by_role("button", name="Consult")).to_have_attribute("aria-disabled", "true")
    await dialog.get_by_role("combobox", name="To").press_sequentially("b")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("combobox", name="To")).to_have_value("bob")
    await page.keyboard.press("Enter")  # the first button has the focus
    await expect(given(page, "transfer")).to_contain_text("sent")
    (sent,) = [entry for _, entry in redis.xrange(KEYS.commands)]
    assert (sent["to"], sent["mode"]) == ("client:bob", "consult")


@pytest.mark.soak
async def test_a_refused_transfer_leaves_a_quiet_mark_in_the_list(redis, console, windows):
    refused = {"refused_transfer": "another transfer is in progress", "refused_transfer_at_ms": now_ms(redis)}
    put_all(redis, [replace(conferenced(session_id(1)), **refused)])
    page = await signed_in(windows, console)
    await expect(sessions(page).locator(".mark.is-plain")).to_have_text("another transfer is in progress")


@pytest.mark.soak
async def test_without_live_calls_the_list_shows_the_newest_ended(redis, console, windows):
    at_ms = now_ms(redis)
    put_all(redis, [over(make_session(session_id(1)), at_ms - 90_000, lasted_ms=60_000)])
    page = await signed_in(windows, console)
    await expect(page.get_by_text("No live calls. The newest ended calls:")).to_be_visible()
    await expect(sessions(page)).to_have_count(1)
    await expect(sessions(page)).to_contain_text("the customer hung up")
    await page.get_by_role("link", name="Agents", exact=True).click()
    await expect(page.get_by_text("Agents appear with a desk")).to_be_visible()
    await page.get_by_role("link", name="Calls", exact=True).click()
    put_all(redis, [conferenced(session_id(2))])
    await expect(sessions(page)).to_have_count(1)
    await expect(sessions(page).first).to_have_attribute("data-id", session_id(2))


@pytest.mark.soak
async def test_health_names_the_worker_that_died(redis, console, windows):
    info = json.dumps({"kind": "worker", "version": "0.1.0"})
    for name, ago_ms in (("worker-a", 1_000), ("worker-b", 60_000)):
        redis.hset(KEYS.processes, name, f"{now_ms(redis) - ago_ms} {info}")
    page = await signed_in(windows, console)
    await page.get_by_role("link", name=re.compile("^Health")).click()
    died = page.get_by_role("listitem").filter(has_text="died: last seen")
    await expect(died).to_contain_text("worker worker-b")
    await expect(died).to_have_count(1)
    # What someone has to do comes first, in one line; the number is next to the view's name.
    await expect(page.locator(".verdict .headline")).to_contain_text("no webhooks process is running: new calls fail")
    await expect(page.get_by_role("link", name=re.compile("^Health"))).to_have_text(re.compile(r"Health\s*\d"))


@pytest.mark.soak
async def test_health_cuts_no_column(redis, console, windows, monkeypatch):
    """As in a cluster, workers' names are long."""
    # The worker renews nothing here, and opening the page takes its time.
    monkeypatch.setattr(coordinator, "SHOWN_DEAD_AFTER_MS", 600_000)
    owner = owned_by("conferral-worker-7c9d8b5f6-x2k4q-1-8f3a11cc", now_ms(redis), epoch=12)
    redis.hset(KEYS.owners, mapping={f"{number}": owner for number in range(KEYS.partitions)})
    page = await signed_in(windows, console)
    await page.get_by_role("link", name=re.compile("^Health")).click()
    table = page.get_by_role("region", name="Table of partitions")
    await expect(table.get_by_role("row")).to_have_count(1 + KEYS.partitions)
    await expect(table).to_contain_text("conferral-worker")
    assert await table.evaluate("one => one.scrollWidth - one.clientWidth") <= 0


@pytest.mark.soak
async def test_a_quiet_call_has_nothing_pending_and_its_agent_the_time_of_their_own(redis, console, windows):
    at_ms = now_ms(redis)
    quiet = begun(conferenced(session_id(1)), at_ms - 3_000_000)
    late = replace(quiet.agent, answered_at_ms=at_ms - 65_000)
    timers = {"age": at_ms + 83_000_000}
    redis.zadd(KEYS.workers, {"worker-1": at_ms + 5_000})
    put_all(redis, [replace(quiet, parties={"customer": quiet.customer, "agent": late}, timers=timers)])
    put_desk(redis, "alice", "alice", "ready", renewed_ms=at_ms)
    page = await signed_in(windows, console)
    await page.get_by_role("link", name="Agents", exact=True).click()
    agent = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="alice"))
    await expect(agent).to_contain_text(re.compile(r"1 min \d\d s"))
    await page.get_by_role("link", name="Calls", exact=True).click()
    await open_session(page, quiet.id)
    await expect(call(page).locator(".headline")).to_have_text(re.compile(r"^\s*\+…23 and alice are talking\.\s*$"))
    await expect(call(page).locator(".waits")).to_have_count(0)


@pytest.mark.soak
async def test_on_a_phone_the_sentence_stays_as_high_while_its_times_grow(redis, console, windows):
    at_ms = now_ms(redis)
    ages = ((5, r"for \d+ s"), (77, "for 1 min"), (4_000, "for 1 h"))
    for number, (held_s, _) in enumerate(ages, start=1):
        made = begun(conferenced(session_id(number)), at_ms - 5_000_000)
        held = replace(made.customer, held=True, since_ms=at_ms - held_s * 1_000)
        put(redis, replace(made, parties=made.parties | {"customer": held}))
    page = await signed_in(windows, console, size=NARROW)
    heights = set()
    for number, (_, shown) in enumerate(ages, start=1):
        await page.goto(f"{console.address}#session/{session_id(number)}")
        await expect(page.locator(".headline")).to_contain_text(re.compile(shown))
        heights.add((await page.locator(".headline").bounding_box())["height"])
    assert len(heights) == 1
