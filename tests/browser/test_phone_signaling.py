"""The desk with Twilio's own Voice SDK: its phone stays registered, and presence says whether it is."""

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.scripted_desk import TOKEN, ScriptedDesk
from tests.browser.twilio_signaling import SIGNATURE_INVALID, TOKEN_INVALID, TwilioSignaling, go_ready, says, until
from tests.browser.windows import Windows

#: From the socket's return, and without a registration: what presence may still say (s).
BACK_S, GRACE_S = 2.0, 5.0
LOST = "The connection to Twilio was lost"


@pytest.fixture
def desk(signaling_desk):
    return signaling_desk


@pytest_asyncio.fixture(loop_scope="session")
async def page(desk, signaling, windows: Windows):
    windows.allow(r"ERR_|WebSocket|Twilio|twilio|Failed to load")
    page = await (await windows.profile()).new_page()
    await page.add_init_script(signaling.script)
    await page.goto(f"{desk.url}#{TOKEN}")
    yield page
    assert not presence_without_a_phone(desk, signaling)
    assert signaling.early == 0
    await page.close()
    windows.foreign[:] = [url for url in windows.foreign if ".twilio.com/" not in url]  # sounds and statistics


def presence_without_a_phone(desk: ScriptedDesk, signaling: TwilioSignaling) -> list[float]:
    """When the agent was called ready, although the phone was not registered."""
    ready = [at_s for at_s, status in desk.presence if status == "ready"]
    return [at_s for at_s in ready if not signaling.was_registered(at_s, GRACE_S)]


async def until_presence(desk: ScriptedDesk, status: str) -> None:
    await until(lambda: desk.presence and desk.presence[-1][1] == status)


async def test_the_sdk_alone_restores_a_lost_connection(page, desk, signaling):
    desk.edge = "dublin"
    await go_ready(page)
    await says(page, "Ready")
    signaling.lose()
    await until(lambda: len(signaling.sockets) == 2 and signaling.is_registered)
    await says(page, "Ready")
    await expect(page.get_by_text(LOST)).to_have_count(0)
    assert [one.heard for one in signaling.sockets] == [["listen", "register"]] * 2
    assert {one.host for one in signaling.sockets} == {"voice-js.dublin.twilio.com"}
    assert len(desk.access_tokens) == 1
    await page.get_by_role("button", name="Go away").click()
    await until(lambda: not signaling.is_registered)
    await go_ready(page)
    await says(page, "Ready")
    assert [one.heard for one in signaling.sockets] == [["listen", "register"]] * 3


def return_s(signaling: TwilioSignaling) -> float:
    """How long the newest connection took to be registered."""
    when_s, is_registered = signaling.changes[-1]
    assert is_registered
    return when_s - signaling.sockets[-1].opened_s


@pytest.mark.soak
@pytest.mark.parametrize("loss_s", [5, 14, 20])
async def test_after_a_loss_the_phone_is_registered_within_two_seconds(page, desk, signaling, loss_s):
    await go_ready(page)
    await says(page, "Ready")
    signaling.lose("down", loss_s)
    await expect(page.get_by_text(LOST)).to_be_visible()
    await until_presence(desk, "away")
    await says(page, "Ready")
    assert return_s(signaling) < BACK_S
    await until_presence(desk, "ready")
    await expect(page.get_by_text(LOST)).to_have_count(0)
    assert signaling.sockets[-1].heard == ["listen", "register"]


@pytest.mark.soak
async def test_a_phone_that_hears_nothing_for_long_is_made_new(page, desk, signaling):
    """The SDK registers by itself after one connection that says nothing, but not after two."""
    await go_ready(page)
    await says(page, "Ready")
    signaling.lose("silent", 32)
    await until_presence(desk, "away")
    await says(page, "Ready")
    assert return_s(signaling) < BACK_S
    await until_presence(desk, "ready")
    await expect(page.get_by_text(LOST)).to_have_count(0)


@pytest.mark.soak
async def test_going_ready_fails_while_twilio_says_nothing_and_works_afterwards(page, desk, signaling):
    signaling.state = "silent"
    for _ in range(2):
        await go_ready(page)
        await says(page, "Starting…")
        await says(page, "Away")
        await expect(page.get_by_text("Twilio did not answer.")).to_be_visible()
    signaling.restore()
    await go_ready(page)
    await says(page, "Ready")
    await expect(page.get_by_text("Twilio did not answer.")).to_have_count(0)


@pytest.mark.soak
@pytest.mark.parametrize("closes", [False, True])
async def test_a_token_that_is_refused_is_replaced_once(page, desk, signaling, closes):
    signaling.closes = closes
    signaling.refusals = 1
    await go_ready(page)
    await says(page, "Ready")
    assert len(desk.access_tokens) == 2
    signaling.refusals = 1
    signaling.lose()
    await until(lambda: len(desk.access_tokens) == 3 and signaling.is_registered)
    assert return_s(signaling) < BACK_S
    await says(page, "Ready")
    await expect(page.get_by_role("alert")).not_to_contain_text("token")
    signaling.refusals = 2
    signaling.lose()
    await expect(page.get_by_text("Twilio does not accept the access token.")).to_be_visible()
    await until_presence(desk, "away")
    await says(page, "Ready")  # 40 s later, by another token
    await expect(page.get_by_text("Twilio does not accept the access token.")).to_have_count(0)
    assert len(desk.access_tokens) == 5


@pytest.mark.soak
@pytest.mark.parametrize("refusal", [SIGNATURE_INVALID, TOKEN_INVALID])
async def test_going_ready_with_tokens_that_are_refused_says_so(page, desk, signaling, refusal):
    signaling.refusals, signaling.refusal = 2, refusal
    await go_ready(page)
    await expect(page.get_by_text("Twilio does not accept the access token.")).to_be_visible()
    await says(page, "Away")
    assert len(desk.access_tokens) == 2


@pytest.mark.soak
async def test_a_token_is_renewed_in_a_call_and_another_call_follows(page, desk, signaling):
    await go_ready(page)
    await says(page, "Ready")
    signaling.ttl_s = 12  # the SDK asks for another one 10 s before
    for number, call_sid in enumerate(("CA" + "1" * 32, "CA" + "2" * 32)):
        signaling.invite(call_sid)
        await page.get_by_role("button", name="Answer").click()
        await says(page, "On a call")
        if number == 0:
            signaling.lose()
            await until(lambda: len(desk.access_tokens) == 2)
            signaling.ttl_s = 3600
            await until(lambda: len(signaling.sockets[-1].tokens) >= 2)
            await says(page, "On a call")
        signaling.hang_up(call_sid)
        await says(page, "Ready")
    assert signaling.is_registered
    assert len(signaling.sockets) == 2


@pytest.mark.soak
async def test_a_call_that_rings_through_a_loss_can_be_answered(page, signaling):
    """The SDK forgets the call when the connection is lost, and Twilio sends it once more."""
    call_sid = "CA" + "1" * 32
    await go_ready(page)
    await says(page, "Ready")
    signaling.invite(call_sid)
    await expect(page.get_by_role("button", name="Answer")).to_be_visible()
    signaling.lose()
    await until(lambda: signaling.is_registered)
    await expect(page.get_by_role("button", name="Answer")).to_have_count(0)
    signaling.invite(call_sid)
    await page.get_by_role("button", name="Answer").click()
    await says(page, "On a call")
    signaling.hang_up(call_sid)
    await says(page, "Ready")
    await expect(page.get_by_text("was interrupted")).to_have_count(0)
