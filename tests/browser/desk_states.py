"""Every state of the desk, one after the other, with a scripted server."""

from collections.abc import AsyncIterator
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.scripted_desk import LEG, SESSION, TOKEN, ScriptedDesk, iso, party, ring, session
from tests.support.people import ALICE, BOB, CUSTOMER, DAVE, NUMBER

ABOUT = {"brief": "Order 7 is late. She wants it by Friday, or the money back.", "params": {"account": "4711"}}
NAMES = [
    {"name": "billing", "status": None},
    {"name": "bob", "status": "busy"},
    {"name": "carol", "status": "away"},
    {"name": "dave", "status": "ready"},
    {"name": "eve", "status": "ready"},
    {"name": "sales", "status": None},
    {"name": "support", "status": None},
]


def transferring(target: str = "connected", *, is_held: bool = True, **changes: Any) -> dict[str, Any]:
    """A consult with Dave."""
    status = "consulting" if target == "connected" else "ringing"
    parties = {
        "customer": party(CUSTOMER, held=is_held, since=iso(95)),
        "agent": party(ALICE, call_sid=LEG, **ABOUT, from_agent=None, is_lost=False),
        "target": party(DAVE, target, since=iso(12)),
    }
    transfer = {"mode": "consult", "to": DAVE, "by": "crm/alice", "status": status, "reason": None, "code": None}
    refused = {"transfer": "a transfer is under way", "park": "a transfer is under way"}
    if target != "connected":
        refused |= dict.fromkeys(("swap", "merge"), "the target has not answered")
    given = {"state": "transferring", "phase": "consult", "parties": parties, "transfer": transfer, "refused": refused}
    return session(ref="order 7", **given | changes)


def setup(desk: ScriptedDesk) -> None:
    """What the server knows before anything happens."""
    waits = {"customer": party("+14155550142", held=True, since=iso(250))}
    desk.names = NAMES
    about = {"session": "CA8", "number": NUMBER, "ref": None, "customer": CUSTOMER, "talk_s": 0}
    desk.calls = [
        about | {"at": iso(2), "result": "missed"},
        about | {"at": iso(4), "result": "busy", "customer": "+14155550142"},
        about | {"at": iso(5), "result": "answered", "talk_s": 185, "ref": "order 7", "direction": "outbound"},
    ]
    desk.parked = [session(id="CA9", state="conferenced", phase="parked", parties=waits, parked_by=DAVE)]


async def states(page: Page, desk: ScriptedDesk) -> AsyncIterator[str]:
    """Play them, and yield the name of each."""

    async def click(name: str) -> None:
        await page.get_by_role("button", name=name, exact=True).click()

    await page.goto(f"{desk.url}#{TOKEN}")
    await expect(page.get_by_role("button", name="Retrieve +14155550142")).to_be_visible()
    yield "away"
    await click("Go ready")
    await expect(page.get_by_role("status").first).to_have_text("Ready")
    yield "ready"
    await click("Call out")
    await page.get_by_role("combobox").fill("a")
    yield "ready, calling out"
    await page.keyboard.press("Escape")

    async for name in _of_a_call(page, desk):
        yield name
    back = {"mode": "blind", "to": DAVE, "status": "failed", "reason": "no-answer", "code": None}
    recall = {"phase": "recall", "state": "transferring", "transfer": back, "ref": "order 7"}
    ringing = session("ringing", ABOUT, **recall)
    ringing["parties"]["agent"]["call_sid"] = sid = "CA" + "4" * 32  # another leg than the one that was answered
    await desk.push("session", ringing)
    await page.evaluate("([sid, from]) => phone.ring({ CallSid: sid, From: from })", [sid, CUSTOMER])
    await expect(page.get_by_text("Back from dave: no one answered.")).to_be_visible()
    yield "recalled"
    ringing["parties"]["agent"]["status"] = "left"
    await page.evaluate("phone.call.emit('cancel')")
    await desk.push("session", ringing | {"state": "ended"})
    await expect(page.get_by_role("region", name="My calls today")).to_contain_text("missed")
    yield "missed"


async def _of_a_call(page: Page, desk: ScriptedDesk) -> AsyncIterator[str]:
    async def click(name: str) -> None:
        await page.get_by_role("button", name=name, exact=True).click()

    async def push(data: dict[str, Any], text: str) -> None:
        await desk.push("session", data)
        await expect(page.get_by_text(text).first).to_be_visible()

    await ring(page, desk, ref="order 7", leg=ABOUT | {"from_agent": BOB})
    await expect(page.get_by_role("region", name="Incoming call")).to_be_visible()
    yield "incoming"
    await click("Answer")
    brief = session("confirming", ABOUT | {"from_agent": BOB}, state="transferring", phase="blind", ref="order 7")
    await push(brief, "You hear why you are called.")
    yield "brief"
    talking = {"state": "conferenced", "ref": "order 7", "leg": ABOUT | {"from_agent": BOB}}
    await push(session(**talking), f"You talk to {CUSTOMER}.")
    yield "talking"
    await click("Mute")
    await push(session(**talking, recording="in-progress"), "Pause recording")
    yield "talking, muted and recorded"
    await click("Unmute")
    await click("Transfer")
    yield "transfer"
    await page.get_by_role("combobox").fill("da")
    await page.keyboard.press("Enter")
    yield "transfer, chosen"
    desk.end = {"status": "failed", "reason": "busy", "code": None}
    await click("Consult")
    await expect(page.get_by_text("Transfer to dave: the line is busy.")).to_be_visible()
    yield "transfer, failed"
    desk.end = {"status": "done", "reason": None, "code": None}
    await page.keyboard.press("Escape")
    await click("Digits")
    await page.get_by_label("Digits", exact=True).last.fill("4711")
    yield "digits"
    await page.keyboard.press("Escape")
    await click("More")
    yield "more"
    await page.keyboard.press("Escape")
    held = session(**talking)
    held["parties"]["customer"] |= {"held": True, "since": iso(92)}
    held["old_holds"] = ["customer"]
    await push(held, "waits with music since before an outage.")
    yield "on hold"
    await push(transferring("ringing"), "dave is being called.")
    yield "consult, ringing"
    await push(transferring(), "You talk to dave.")
    yield "consult"
    merged = transferring(is_held=False)
    merged["transfer"]["status"] = "merged"
    await push(merged, f"You talk to {CUSTOMER} and dave.")
    yield "merged"
    desk.refused_streams = "2000 event streams are already open"
    await desk.break_streams()
    await expect(page.get_by_text("Conferral can't serve this page").first).to_be_visible()
    yield "without Conferral"
    desk.refused_streams = ""
    desk.sessions[SESSION] = alone = session(**talking)
    alone["parties"]["customer"] |= {"status": "left", "left_reason": "hung-up"}
    await expect(page.get_by_text("You are alone in this call.").first).to_be_visible()
    yield "alone"
    await push(merged, f"You talk to {CUSTOMER} and dave.")
    await click("Complete")
    await page.evaluate("phone.call.disconnect()")
    await desk.push("session", session("left"))
    await expect(page.get_by_text("Handed over to dave.").first).to_be_visible()
    yield "handed over"
