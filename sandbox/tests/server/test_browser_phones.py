"""Browsers that play phones: what they send and hear over their WebSocket, and who may."""

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant

from control_client import API_KEY
from model_scenario import BUSINESS, CUSTOMER
from offhook import ACCOUNT_SID, CallHandle, Sandbox, access_token, views
from webhook_app import WebhookApp

OTHER_ACCOUNT = "AC" + "9" * 32


def jwt(
    identity: str = "alice",
    *,
    account: str = ACCOUNT_SID,
    secret: str = API_KEY[1],
    ttl: int = 3600,
    incoming: bool = True,
) -> str:
    token = AccessToken(account, API_KEY[0], secret, identity=identity, ttl=ttl)
    token.add_grant(VoiceGrant(incoming_allow=incoming, outgoing_application_sid="" if incoming else "AP" + "1" * 32))
    return str(token.to_jwt())


class BrowserClient:
    """One page, as the script talks for it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, kind: str, **payload: Any) -> None:
        await self.socket.send_json({"type": kind, "payload": payload})

    async def take(self, kind: str) -> Any:
        """Returns the next message, which must be of this type."""
        message = await self.socket.receive_json(timeout=5.0)
        assert message["type"] == kind, message
        return message["payload"]

    async def listen(self, token: str, reconnect_s: int = 0) -> None:
        await self.send("listen", token=token, reconnectTimeout=reconnect_s)

    async def register(self, token: str = "", reconnect_s: int = 0) -> "BrowserClient":
        await self.listen(token or jwt(), reconnect_s)
        await self.take("connected")
        await self.send("register", media={"audio": True})
        await self.take("ready")
        return self


Open = Callable[..., Coroutine[Any, Any, BrowserClient]]


@pytest.fixture
async def open_browser(sandbox: Sandbox) -> AsyncIterator[Open]:
    async with aiohttp.ClientSession() as session:

        async def open_one(**headers: str) -> BrowserClient:
            return BrowserClient(await session.ws_connect(f"{sandbox.url}/sandbox/signaling", headers=headers))

        yield open_one


async def call_alice(sandbox: Sandbox) -> tuple[CallHandle, CallHandle]:
    """Returns the caller's leg, and Alice's, once hers rings."""
    caller = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: [it for it in sandbox.calls_of("client:alice") if it.status == "ringing"])
    return caller, sandbox.calls_of("client:alice")[-1]


async def answer_in(browser: BrowserClient, sandbox: Sandbox) -> tuple[CallHandle, CallHandle]:
    caller, leg = await call_alice(sandbox)
    assert (await browser.take("invite"))["callsid"] == leg.sid
    await browser.send("answer", callsid=leg.sid)
    await browser.take("answer")
    return caller, leg


async def test_call_rings_in_a_browser_that_registers_while_it_rings(
    bridging: WebhookApp, sandbox: Sandbox, open_browser: Open
) -> None:
    sandbox.phone("client:alice").script()
    _, leg = await call_alice(sandbox)
    bob, alice = await (await open_browser()).register(jwt("bob")), await (await open_browser()).register()
    assert (await alice.take("invite"))["callsid"] == leg.sid
    await alice.send("answer", callsid=leg.sid)
    assert (await alice.take("answer")) == {"callsid": leg.sid}
    assert leg.status == "in-progress"
    assert not bob.socket.closed


async def test_call_rings_in_every_browser_of_the_identity_and_the_first_to_answer_wins(
    bridging: WebhookApp, sandbox: Sandbox, open_browser: Open
) -> None:
    sandbox.phone("client:alice").script(answer_after_s=0.0, hang_up_after_s=1.0)
    first, second, bob = await open_browser(), await open_browser(), await open_browser()
    await first.register()
    await second.register()
    await bob.register(jwt("bob"))
    shown = views.phone_views(sandbox)[0][0]
    assert (shown["acts"], shown["in_browser"]) == (False, True)

    caller, leg = await call_alice(sandbox)
    for browser in (first, second):
        invite = await browser.take("invite")
        assert invite["callsid"] == invite["parameters"]["CallSid"] == leg.sid
        assert (invite["parameters"]["From"], invite["parameters"]["To"]) == (CUSTOMER, "client:alice")
    await second.send("answer", callsid=leg.sid)
    await second.take("answer")
    assert (await first.take("cancel")) == {"callsid": leg.sid}
    await first.send("answer", callsid=leg.sid)
    await first.take("hangup")
    assert (leg.status, caller.status) == ("in-progress", "in-progress")

    await second.send("dtmf", callsid=leg.sid, dtmf="1w#")
    await second.send("dtmf", callsid=leg.sid, dtmf="a")
    assert "no phone has the key 'a'" in (await second.take("error"))["error"]["message"]
    caller.hang_up()
    await second.take("hangup")
    await bob.send("register", media={"audio": False})
    await bob.take("offline")  # and nothing before


async def test_custom_parameters_and_the_end_of_the_ringing_reach_the_browser(
    app: WebhookApp, sandbox: Sandbox, open_browser: Open
) -> None:
    noun = "<Client><Identity>alice</Identity><Parameter name='why' value='a b&amp;c'/></Client>"
    app.on("/voice", f"<Response><Dial>{noun}</Dial></Response>")
    browser = await (await open_browser()).register()

    caller, leg = await call_alice(sandbox)
    assert (await browser.take("invite"))["parameters"]["Params"] == "why=a+b%26c"
    caller.hang_up()
    assert (await browser.take("cancel")) == {"callsid": leg.sid}


async def test_decline_ends_the_ringing_everywhere_with_600(
    bridging: WebhookApp, sandbox: Sandbox, open_browser: Open
) -> None:
    first, second = await (await open_browser()).register(), await (await open_browser()).register()
    _, leg = await call_alice(sandbox)
    await first.take("invite")
    await second.take("invite")

    await first.send("reject", callsid=leg.sid)

    await second.take("cancel")
    assert (leg.status, leg.record.sip_code) == ("busy", 600)


async def test_call_that_the_phones_page_answers_stops_ringing_in_browsers(
    bridging: WebhookApp, sandbox: Sandbox, open_browser: Open
) -> None:
    browser = await (await open_browser()).register()
    _, leg = await call_alice(sandbox)
    await browser.take("invite")
    leg.answer()
    await browser.take("cancel")


@pytest.mark.parametrize("leave", ["unregister", "close"])
async def test_identity_without_a_browser_is_played_by_its_script_again(
    bridging: WebhookApp, sandbox: Sandbox, open_browser: Open, leave: str
) -> None:
    sandbox.phone("client:alice").script(answer_after_s=0.0)
    browser = await (await open_browser()).register()
    if leave == "close":
        await browser.socket.close()
    else:
        await browser.send("register", media={"audio": False})
        await browser.take("offline")
    await sandbox.wait_until(lambda: not sandbox.browsers.is_registered("client:alice"))

    caller = await sandbox.call_in(CUSTOMER, BUSINESS)

    await sandbox.wait_until(lambda: caller.status == "in-progress")


async def test_page_that_closes_ends_its_call_soon(bridging: WebhookApp, sandbox: Sandbox, open_browser: Open) -> None:
    browser = await (await open_browser()).register()
    _, leg = await answer_in(browser, sandbox)
    await browser.socket.close()
    await sandbox.wait_until(lambda: leg.status == "completed")


async def test_browser_returns_to_its_call_within_its_timeout(
    bridging: WebhookApp, sandbox: Sandbox, open_browser: Open
) -> None:
    browser = await (await open_browser()).register(reconnect_s=3600)
    _, leg = await answer_in(browser, sandbox)
    await browser.socket.close()
    await sandbox.wait_until(lambda: not sandbox.browsers.is_registered("client:alice"))

    again, bob = await (await open_browser()).register(), await (await open_browser()).register(jwt("bob"))
    await bob.send("invite", callsid=leg.sid)
    await bob.take("hangup")
    await bob.send("hangup", callsid=leg.sid)
    await again.send("invite", callsid=leg.sid)
    await again.take("answer")
    assert leg.status == "in-progress"
    await again.send("hangup", callsid=leg.sid)
    await sandbox.wait_until(lambda: leg.status == "completed")


@pytest.mark.parametrize(
    ("token", "code", "says"),
    [
        ("nothing", 31204, "no JWT"),
        ("a.b.c.d", 31204, "no JWT"),
        ("e30.e30.e30", 31204, "no access token"),
        (jwt(account=OTHER_ACCOUNT), 31204, "another account"),
        (jwt(secret="another" * 5), 31204, "not signed"),
        (jwt(ttl=-5), 31205, "expired"),
        (jwt(identity=""), 31204, "no access token"),
    ],
)
async def test_token_is_refused_with_a_reason(open_browser: Open, token: str, code: int, says: str) -> None:
    browser = await open_browser()
    await browser.listen(token)
    error = (await browser.take("error"))["error"]
    assert (error["code"], says in error["message"]) == (code, True), error
    await browser.take("close")
    await browser.send("register", media={"audio": True})
    assert (await browser.take("error"))["error"]["code"] == 31204


async def test_token_that_allows_no_incoming_calls_can_not_register(open_browser: Open, sandbox: Sandbox) -> None:
    browser = await open_browser()
    await browser.listen(jwt(incoming=False))
    await browser.take("connected")
    await browser.send("register", media={"audio": True})
    assert (await browser.take("error"))["error"]["code"] == 31201
    await browser.take("offline")
    assert not sandbox.browsers.is_registered("client:alice")


async def test_expired_token_unregisters_and_a_call_goes_on(
    bridging: WebhookApp, sandbox: Sandbox, open_browser: Open
) -> None:
    browser = await open_browser()
    await browser.listen(jwt(ttl=int(sandbox.now_s - time.time()) + 10))
    assert 0 < (await browser.take("connected"))["token"]["ttl"] < 1, "in real seconds; the sandbox's pass faster"
    await browser.send("register", media={"audio": True})
    await browser.take("ready")
    _, leg = await answer_in(browser, sandbox)

    assert (await browser.take("error"))["error"]["code"] == 31205
    await browser.take("offline")
    await browser.listen("nothing")
    await browser.take("error")
    await browser.register()
    assert leg.status == "in-progress"


@pytest.mark.parametrize("text", ["", "[]", '{"type":"listen","payload":{"token":1}}'])
async def test_message_that_is_none_is_refused(open_browser: Open, text: str) -> None:
    browser = await open_browser()
    await browser.socket.send_str(text)
    assert (await browser.take("error"))["error"]["code"] in {31100, 31204}


async def test_reset_ends_the_calls_in_browsers(bridging: WebhookApp, sandbox: Sandbox, open_browser: Open) -> None:
    browser = await (await open_browser()).register()
    await answer_in(browser, sandbox)
    sandbox.reset()
    await browser.take("hangup")
    assert sandbox.browsers.is_registered("client:alice")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:1", 101),
        ("https://localhost:8443", 101),
        ("https://evil.example", 403),
        ("http://127.0.0.1.evil.example:80", 403),
        ("null", 403),
    ],
)
async def test_pages_of_this_machine_may_connect(open_browser: Open, origin: str, status: int) -> None:
    if status == 101:
        await (await open_browser(Origin=origin)).register()
        return
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await open_browser(Origin=origin)
    assert refused.value.status == status


async def test_access_token_alone_opens_a_shared_sandbox_and_nothing_else_of_it() -> None:
    async with (
        Sandbox(allow_hosts=("desk.example.com",), api_keys=dict([API_KEY])) as shared,
        aiohttp.ClientSession() as it,
    ):
        headers = {"Origin": "https://desk.example.com"}
        socket = await it.ws_connect(
            f"{shared.url.replace('desk.example.com', '127.0.0.1')}/sandbox/signaling", headers=headers
        )
        await BrowserClient(socket).register()
        base = shared.url.replace("desk.example.com", "127.0.0.1")
        async with it.get(f"{base}/sandbox/calls") as calls, it.get(f"{base}/sandbox/voice-sdk.js") as script:
            assert (calls.status, script.status) == (401, 200)


async def test_script_may_be_loaded_by_pages_of_other_origins(sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{sandbox.url}/sandbox/voice-sdk.js") as answer:
        text = await answer.text()
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert f'"{sandbox.url.replace("http", "ws")}/sandbox/signaling"' in text


async def test_without_an_api_key_no_signature_can_be_checked() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{sandbox.url}/sandbox/signaling")
        await BrowserClient(socket).register(jwt(secret="any" * 11))


async def test_shared_sandbox_without_an_api_key_takes_no_access_token() -> None:
    async with Sandbox(allow_hosts=("desk.example.com",)) as shared, aiohttp.ClientSession() as session:
        base = shared.url.replace("desk.example.com", "127.0.0.1")
        browser = BrowserClient(await session.ws_connect(f"{base}/sandbox/signaling"))
        await browser.listen(jwt())
        refused = (await browser.take("error"))["error"]
    assert refused["code"] == access_token.INVALID
    assert "has no API key" in refused["message"]
