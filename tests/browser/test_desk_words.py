"""What the desk says is true of the agent who reads it, and blames no one."""

from playwright.async_api import expect

from tests.browser import axe
from tests.browser.desk_stage import button, go_ready
from tests.browser.scripted_desk import LEG, TOKEN, opened, party, ready, ring, session, talk
from tests.support.people import ALICE, CUSTOMER, DAVE, NUMBER


async def test_who_declines_reads_that_they_declined(desk, windows):
    page = await ready(windows, desk)
    await ring(page, desk)
    await button(page, "Decline").click()
    await desk.push("session", session("left", phase="ringing"))
    await expect(page.get_by_text("You declined the call.").first).to_be_visible()
    await expect(page.get_by_text("has stopped ringing here")).to_have_count(0)


async def test_no_one_has_left_who_is_rung_again(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk)
    both = {"customer": party(CUSTOMER), "agent": party(ALICE, call_sid=LEG)}
    await desk.push("session", session(state="conferenced", parties=both | {"party-1": party(DAVE)}))
    await desk.push("session", session(state="conferenced", parties=both | {"party-1": party(DAVE, "left")}))
    left = page.get_by_text(f"{DAVE.removeprefix('client:')} left the call.")
    await expect(left.first).to_be_visible()
    again = both | {"party-1": party(DAVE, "ringing", call_sid="CA" + "8" * 32)}
    await desk.push("session", session(state="conferenced", parties=again))
    await expect(left).to_have_count(0)


async def test_a_window_that_waits_for_another_is_not_called_away(desk, windows):
    page = await ready(windows, desk)
    desk.registered = "another"
    await desk.push("presence", {"identity": "alice", "status": "ready", "registered": "another"})
    await expect(page.get_by_text("You are ready in another window")).to_be_visible()
    await expect(page.get_by_text("While you are away")).to_have_count(0)


async def test_a_call_out_is_not_on_a_number_and_its_end_by_a_lead_is_none_of_the_agents(desk, windows):
    page = await ready(windows, desk)
    await talk(page, desk, direction="outbound")
    await expect(page.get_by_text(f"on {NUMBER}")).to_have_count(0)
    await desk.push("session", session(direction="outbound", state="ended", end_reason="command"))
    await expect(page.get_by_text("The call has ended: it was ended for everyone.").first).to_be_visible()


async def test_a_token_with_its_scheme_is_a_token(desk, windows):
    page = await opened(windows, f"{desk.url}#Bearer%20{TOKEN}")
    await go_ready(page)
    assert await axe.violations(page, "heading-order") == []


async def test_the_filled_button_differs_in_forced_colors(desk, windows):
    page = await opened(windows, f"{desk.url}#{TOKEN}")
    await page.emulate_media(forced_colors="active")
    await expect(button(page, "Go ready")).to_have_class("main ")
    differs = """(main) => {
      const probe = document.body.appendChild(document.createElement("i"));
      probe.style.cssText = "forced-color-adjust: none; background: Highlight";
      return getComputedStyle(main).backgroundColor === getComputedStyle(probe).backgroundColor;
    }"""
    assert await button(page, "Go ready").evaluate(differs)
