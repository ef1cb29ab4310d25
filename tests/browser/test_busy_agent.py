"""An agent in a call, and further rings: Twilio's own Voice SDK, and a server that a test scripts."""

from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.scripted_desk import LEG, SESSION, TOKEN, ScriptedDesk, party, session
from tests.browser.twilio_signaling import TwilioSignaling, go_ready, says, until
from tests.browser.windows import Windows
from tests.support.people import CUSTOMER

#: The own leg that is rung again, and two strangers' legs.
AGAIN, SECOND, THIRD = ("CA" + digit * 32 for digit in "345")


@pytest.fixture
def desk(signaling_desk):
    return signaling_desk


@pytest_asyncio.fixture(loop_scope="session")
async def page(desk, signaling, windows: Windows):
    """Alice's desk, in a call with the customer."""
    windows.allow(r"ERR_|WebSocket|Twilio|twilio|Failed to load")
    page = await (await windows.profile()).new_page()
    await page.add_init_script(signaling.script)
    await page.goto(f"{desk.url}#{TOKEN}")
    await go_ready(page)
    await says(page, "Ready")
    await desk.push("session", session("ringing", phase="ringing"))
    signaling.invite(LEG)
    await page.get_by_role("button", name="Answer").click()
    await desk.push("session", session())
    await expect(page.get_by_text(f"You talk to {CUSTOMER}")).to_be_visible()
    yield page
    await page.close()
    windows.foreign[:] = [url for url in windows.foreign if ".twilio.com/" not in url]  # sounds and statistics


def incoming(page: Page) -> Any:
    return page.get_by_role("region", name="Incoming call")


async def stranger_rings(
    desk: ScriptedDesk, signaling: TwilioSignaling, call_sid: str = SECOND, **changes: Any
) -> None:
    """Let the call of another session ring."""
    await desk.push(
        "session", session("ringing", {"call_sid": call_sid}, id=call_sid[::-1], phase="ringing", **changes)
    )
    signaling.invite(call_sid)


async def own_rings(desk: ScriptedDesk, signaling: TwilioSignaling) -> None:
    """Let the lost call ring again."""
    leg = {"call_sid": AGAIN, "is_lost": True}
    await desk.push("session", session("ringing", leg, state="transferring", phase="recall"))
    signaling.invite(AGAIN)


async def test_a_second_caller_is_rejected_as_busy_until_the_customer_has_left(page, desk, signaling):
    await stranger_rings(desk, signaling)
    await until(lambda: signaling.rejected)
    assert (desk.busy_rings, signaling.rejected) == ([SECOND], [SECOND])

    # The customer hangs up: until Twilio has ended the agent's leg, another caller's ring is no second one.
    await desk.push("session", session(parties=session()["parties"] | {"customer": party(CUSTOMER, "left")}))
    await stranger_rings(desk, signaling, THIRD)
    await expect(incoming(page)).to_be_visible()
    signaling.hang_up(LEG)
    await page.get_by_role("button", name="Answer").click()
    await says(page, "On a call")
    assert signaling.rejected == [SECOND]


@pytest.mark.parametrize("loss_s, hears_end", [(0, True), pytest.param(6, True, marks=pytest.mark.soak),
                                              pytest.param(6, False, marks=pytest.mark.soak)])  # fmt: skip
async def test_a_call_that_twilio_ended_in_a_loss_of_the_network_is_taken_again(
    page, desk, signaling, loss_s, hears_end
):
    signaling.lose("down" if loss_s else "up", loss_s)
    if hears_end:
        signaling.hang_up(LEG)
    await until(lambda: signaling.is_registered)
    await own_rings(desk, signaling)
    await until(lambda: any("answer" in one.heard for one in signaling.sockets[1:]))
    await desk.push("session", session(leg={"call_sid": AGAIN}, state="conferenced"))
    await expect(page.get_by_text(f"You talk to {CUSTOMER}")).to_be_visible()
    assert (desk.busy_rings, signaling.rejected) == ([], [])


@pytest.mark.soak
async def test_a_stranger_who_rings_while_the_call_is_restored_is_busy_once_it_is_back(page, desk, signaling):
    signaling.lose()
    signaling.hang_up(LEG)
    await until(lambda: signaling.is_registered)
    await desk.push("session", session("left"))
    await stranger_rings(desk, signaling)
    await expect(incoming(page)).to_be_visible()
    await own_rings(desk, signaling)
    await until(lambda: signaling.rejected)
    await says(page, "On a call")
    assert (desk.busy_rings, signaling.rejected) == ([SECOND], [SECOND])


@pytest.mark.soak
@pytest.mark.parametrize("phase, is_own", [("recall", True), ("retrieve", True), ("consult", False)])
async def test_a_ring_of_a_call_that_the_agent_had_or_asked_for_is_shown(page, desk, signaling, phase, is_own):
    await desk.push("session", session("ringing", {"call_sid": SECOND}, id="other", state="transferring", phase=phase))
    signaling.invite(SECOND)
    if is_own:
        await expect(incoming(page)).to_be_visible()
    else:
        await until(lambda: signaling.rejected)
    assert bool(desk.busy_rings) is not is_own


@pytest.mark.soak
async def test_a_second_ring_is_busy_while_the_first_one_rings(page, desk, signaling):
    signaling.hang_up(LEG)
    await desk.push("session", session(state="ended"))
    await says(page, "Ready")
    await stranger_rings(desk, signaling)
    await expect(incoming(page)).to_be_visible()
    await stranger_rings(desk, signaling, THIRD)
    await until(lambda: signaling.rejected)
    assert (desk.busy_rings, signaling.rejected) == ([THIRD], [THIRD])
    await page.get_by_role("button", name="Answer").click()
    await says(page, "On a call")


@pytest.mark.soak
@pytest.mark.parametrize("trouble", ["slow", "down"])
async def test_a_ring_is_rejected_although_conferral_does_not_answer(page, desk, signaling, trouble):
    desk.answers_rings, desk.is_down = trouble != "slow", trouble == "down"
    await stranger_rings(desk, signaling)
    await until(lambda: signaling.rejected)


@pytest.mark.soak
async def test_a_ring_whose_session_stays_unknown_is_shown(page, desk, signaling):
    signaling.invite(SECOND)
    await expect(incoming(page)).to_be_visible()
    await desk.push("session", session("ringing", {"call_sid": SECOND}, id="other", phase="ringing"))
    await expect(incoming(page)).to_be_visible()
    assert (desk.busy_rings, signaling.rejected) == ([], [])
    await expect(page.get_by_text(f"You talk to {CUSTOMER}")).to_be_visible()
    assert desk.sessions[SESSION]


async def test_a_strangers_ring_is_not_taken_for_the_lost_call(page, desk, signaling):
    signaling.hang_up(LEG)
    await says(page, "Ready")
    leg = {"call_sid": None, "is_lost": True}  # it is being dialed
    await desk.push("session", session("dialing", leg, state="transferring", phase="recall"))
    signaling.invite(SECOND)
    await expect(incoming(page)).to_be_visible()
    await desk.push("session", session("ringing", {"call_sid": SECOND}, id=SECOND[::-1], phase="ringing"))
    await own_rings(desk, signaling)
    await until(lambda: signaling.rejected)
    await says(page, "On a call")
    assert (desk.busy_rings, signaling.rejected) == ([SECOND], [SECOND])
