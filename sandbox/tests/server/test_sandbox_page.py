"""The page with the phones: its files, its socket, and who may use what it uses."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from control_client import Control
from model_scenario import BUSINESS, CUSTOMER
from offhook import Sandbox
from offhook.model.messages import RestRequest
from webhook_app import WebhookApp


class Page:
    """What a page would know: the newest message of each kind, and the entries of each list by number."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.received: dict[str, Any] = {}
        self.lists: dict[str, dict[int, Any]] = {}
        self.messages = 0

    async def take(self) -> None:
        message = json.loads((await self.socket.receive(timeout=5.0)).data)
        self.messages += 1
        about = message.pop("about")
        self.received[about] = message
        if "entries" in message:
            entries = self.lists.setdefault(about, {})
            if message["whole"]:
                entries.clear()
            entries |= {entry["number"]: entry for entry in message["entries"]}

    async def until(self, predicate: Any) -> None:
        """Takes messages until the predicate holds of what is known; a message that never comes is an error."""
        while True:
            try:
                if predicate(self):
                    return
            except (KeyError, IndexError):
                pass
            await self.take()

    def phone(self, address: str) -> Any:
        return {phone["address"]: phone for phone in self.received["phones"]["phones"]}[address]

    def leg(self, address: str) -> Any:
        return self.phone(address)["legs"][-1]


@pytest.fixture
async def page(sandbox: Sandbox) -> AsyncIterator[Page]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{sandbox.url}/sandbox/live") as socket:
        yield Page(socket)


async def test_sandbox_page_shows_the_progress_of_a_call(
    bridging: WebhookApp, page: Page, control: Control, sandbox: Sandbox
) -> None:
    await control.post("/phones", address=CUSTOMER, name="the customer", by_hand=True)
    await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    await page.until(lambda it: it.leg("client:alice")["sound"] == "ring")
    assert page.leg("client:alice")["words"] == "ring ring! the customer is calling"
    assert page.leg("client:alice")["cannot"]["answer"] == ""
    assert page.leg("client:alice")["cannot"]["press"] == "answer first"
    assert page.leg(CUSTOMER)["sound"] == "ringing"

    await control.post(f"/calls/{page.leg('client:alice')['sid']}/answer")
    await page.until(lambda it: it.leg(CUSTOMER)["sound"] == "voice")
    assert page.received["phones"]["sentences"] == ["the customer hears alice", "alice hears the customer"]
    assert page.leg(CUSTOMER)["words"] == "you hear alice"
    assert page.leg(CUSTOMER)["hears"] == ["client:alice"]
    assert page.leg(CUSTOMER)["cannot"]["speak"] == "only detected in conferences"
    assert page.leg("client:alice")["cannot"]["answer"] == "already answered"

    await control.post(f"/calls/{page.leg(CUSTOMER)['sid']}/hangup")
    await page.until(lambda it: not it.phone("client:alice")["legs"])
    words = [line["words"] for line in page.phone("client:alice")["story"]]
    assert words == [
        "the customer calls you",
        "you answered",
        "you hear the customer",
        "call ended: completed",
    ]


async def test_conference_shows_who_is_on_hold_and_what_plays(app: WebhookApp, page: Page, sandbox: Sandbox) -> None:
    app.on("/voice", "<Response><Dial><Conference waitUrl=''>room</Conference></Dial></Response>")
    first = await sandbox.call_in(CUSTOMER, BUSINESS)
    await page.until(lambda it: it.leg(CUSTOMER)["sound"] == "silence" and it.leg(CUSTOMER)["activity"] == "conference")
    await sandbox.call_in("+14155550142", BUSINESS)
    await page.until(lambda it: it.leg(CUSTOMER)["sound"] == "voice")
    hold = f"/Conferences/{first.record.conference_sid}/Participants/{first.sid}.json"
    sandbox.apply(RestRequest("POST", hold, (("Hold", "true"),)))
    await page.until(lambda it: it.received["rooms"]["rooms"][0]["participants"][0]["hold"])
    assert (page.leg(CUSTOMER)["conference_state"], page.leg(CUSTOMER)["words"]) == ("on hold", "♪ music ♪")
    assert page.leg(CUSTOMER)["cannot"]["speak"] == "no one hears you: you are on hold"


async def test_voicemail_takes_what_its_caller_says(
    app: WebhookApp, page: Page, control: Control, sandbox: Sandbox
) -> None:
    app.on("/voice", "<Response><Record action='/recorded'/></Response>")
    app.on("/recorded", "<Response><Hangup/></Response>")
    await control.post("/phones", address=CUSTOMER, name="the customer", by_hand=True)
    call = await sandbox.call_in(CUSTOMER, BUSINESS)
    await page.until(lambda it: it.leg(CUSTOMER)["wants_speech"])
    assert (page.leg(CUSTOMER)["cannot"]["speak"], page.leg(CUSTOMER)["is_speaking"]) == ("", False)

    call.speak()
    await page.until(lambda it: it.leg(CUSTOMER)["is_speaking"])
    call.fall_silent()
    call.speak("Call me back")
    await page.until(lambda it: it.received["messages"]["messages"][0]["status"] == "completed")

    (message,) = page.received["messages"]["messages"]
    assert (message["caller"], message["text"], message["mailbox"]) == ("the customer", "Call me back", "")


async def test_deliveries_are_shown_with_answer_and_result(
    app: WebhookApp, page: Page, sandbox: Sandbox, control: Control
) -> None:
    app.on("/voice", "<Response><Say>Hello</Say><Hangup/></Response>")
    app.on("/status", aiohttp.web.Response(status=403))
    await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    await page.until(lambda it: [entry["status"] for entry in it.lists["deliveries"].values()] == [200, 403])

    voice, status = page.lists["deliveries"].values()
    assert (voice["kind"], voice["verdict"], voice["path"]) == ("voice", "accepted", "/voice")
    assert voice["answer"] == "<Response>\n  <Say>Hello</Say>\n  <Hangup />\n</Response>"
    assert ["From", CUSTOMER] in voice["params"]
    assert voice["who"] == CUSTOMER
    assert set(voice["headers"]) == {"X-Twilio-Signature", "I-Twilio-Idempotency-Token"}
    assert (status["event"], status["verdict"], status["attempts"][0]["failure"]) == ("completed", "refused", "4xx")
    assert voice["at"].endswith("Z")


async def test_configured_faults_are_shown_and_can_be_cleared(page: Page, control: Control, sandbox: Sandbox) -> None:
    once = [
        {"what": "lose_callbacks", "event": "participant-join", "CallSid": "CA1"},
        {"what": "hold_back_callbacks", "event": "answered", "count": 2},
        {"what": "next_rest", "method": "POST", "path": "/", "status": 500, "moment": "after"},
        {"what": "next_rest", "method": "*", "path": "/Calls", "cut": "after"},
        {"what": "fail_fetches", "url_part": "/voice", "status": 500},
        {"what": "delay_fetches", "url_part": "", "by_s": 2},
    ]
    await control.post("/faults", once=once, callback_loss=0.5)
    await page.until(lambda it: len(it.received["faults"]["to_come"]) == len(once))

    assert [it["words"] for it in page.received["faults"]["to_come"]] == [
        "participant-join, CallSid=CA1: copies 0",
        "answered: is_held_back True",
        "POST /*: status 500, moment after",
        "* /Calls*: cuts_connection True, moment after",
        "*/voice*: fails True, status 500",
        "**: delay_s 2.0",
    ]
    assert page.received["faults"]["rates"] == {"callback_loss": 0.5}
    assert await control.get("/faults") == page.received["faults"]

    number = page.received["faults"]["to_come"][0]["number"]
    assert (await control.post("/faults", forget=number))[0] == 200
    assert (await control.post("/faults", forget=number))[0] == 404
    assert await control.delete("/faults") == {"to_come": [], "rates": {}}
    await page.until(lambda it: it.received["faults"] == {"to_come": [], "rates": {}})


async def test_a_phone_that_is_played_by_hand_does_nothing_by_itself(
    bridging: WebhookApp, page: Page, control: Control, sandbox: Sandbox
) -> None:
    await control.post("/phones", address="client:alice", answer_after_s=0.0, times=1)
    await control.post("/phones", address="client:alice", by_hand=True)
    _, paused = await control.post("/phones", address="client:alice", hang_up_after_s=9.0)
    assert paused["by_hand"], "the answer says that the script waits"
    await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    await page.until(lambda it: it.leg("client:alice")["sound"] == "ring")
    assert page.phone("client:alice")["does"] == "answers after 0 s"
    assert sandbox.calls_of("client:alice")[0].status == "ringing"
    sandbox.calls_of("client:alice")[0].reject()

    await control.post("/phones", address="client:alice", by_hand=False)
    await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    await sandbox.wait_until(lambda: sandbox.calls_of("client:alice")[-1].status == "in-progress")
    assert len(sandbox.calls_of("client:alice")) == 2


async def test_taking_a_phone_that_is_about_to_ring_lets_it_ring(bridging: WebhookApp, sandbox: Sandbox) -> None:
    sandbox.phone("client:alice").script(ring_after_s=1e6, answer_after_s=1e6)
    await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: sandbox.calls_of("client:alice"))
    assert sandbox.calls_of("client:alice")[0].status == "queued"

    sandbox.set_manual("client:alice", is_manual=True)

    assert sandbox.calls_of("client:alice")[0].status == "ringing"


async def test_the_newest_deliveries_are_kept_and_a_reset_begins_again(
    app: WebhookApp, page: Page, sandbox: Sandbox, control: Control
) -> None:
    for _ in range(230):
        await sandbox.call_in(CUSTOMER, BUSINESS)
    await page.until(lambda it: 229 in it.lists["deliveries"])
    assert page.received["deliveries"]["first"] >= 30

    await control.post("/reset")
    await page.until(lambda it: it.received["deliveries"]["whole"] and it.received["hello"]["run"] == 1)
    assert page.lists["deliveries"] == {}
    assert page.received["phones"]["phones"] == []


async def test_a_sandbox_that_stops_lets_its_pages_go(app: WebhookApp) -> None:
    async with aiohttp.ClientSession() as session:
        async with Sandbox() as sandbox:
            socket = await session.ws_connect(f"{sandbox.url}/sandbox/live")
            await Page(socket).until(lambda it: "debugger" in it.received)
        while (message := await socket.receive(timeout=5.0)).type is aiohttp.WSMsgType.TEXT:
            pass
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)


async def test_the_page_and_its_files_come_with_the_headers_and_twilios_answers_without(
    sandbox: Sandbox, control: Control
) -> None:
    async with control.session.get(sandbox.url) as answer:
        document = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert answer.content_type == "text/html"
    assert 'src="./static/main.js"' in document
    assert "default-src 'none'" in policy
    for name in ("main.js", "phones.css", "shared/tokens.css", "shared/vendor/preact.mjs"):
        async with control.session.get(f"{sandbox.url}/static/{name}") as answer:
            assert answer.status == 200, name
    async with control.session.get(f"{sandbox.url}/2010-04-01/Accounts/AC1/Calls.json") as answer:
        assert (answer.status, "Content-Security-Policy" in answer.headers) == (401, False)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="no browser"),
        pytest.param({"Origin": "SELF"}, 200, id="the page itself"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="a page of somebody else's"),
        pytest.param({"Origin": "null"}, 403, id="a page that does not say"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="another site"),
        pytest.param({"Host": "evil.example", "Origin": "http://evil.example"}, 403, id="a name that leads here"),
    ],
)
async def test_pages_of_others_change_nothing_and_hear_nothing(
    sandbox: Sandbox, control: Control, headers: dict[str, str], status: int
) -> None:
    sent = {name: sandbox.url if value == "SELF" else value for name, value in headers.items()}
    async with control.session.post(f"{sandbox.url}/sandbox/reset", headers=sent) as answer:
        assert answer.status == status
    assert sandbox.reset_count == (1 if status == 200 else 0)
    if status == 403:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await control.session.ws_connect(f"{sandbox.url}/sandbox/live", headers=sent)


@pytest.mark.parametrize("origin", ["SELF", "http://evil.example", "null"])
async def test_no_page_changes_anything_by_twilios_paths_whatever_it_knows(
    sandbox: Sandbox, control: Control, origin: str
) -> None:
    login = aiohttp.encode_basic_auth(sandbox.account_sid, sandbox.auth_token)
    headers = {"Origin": sandbox.url if origin == "SELF" else origin, "Authorization": login}
    path = f"{sandbox.url}/2010-04-01/Accounts/{sandbox.account_sid}/Calls.json"
    call = {"From": "+15005550006", "To": CUSTOMER, "Url": "http://127.0.0.1:9/"}
    async with control.session.post(path, data=call, headers=headers) as answer:
        assert answer.status == 403
    assert not sandbox.model.state.calls


async def test_names_that_lead_here_read_nothing_either(sandbox: Sandbox, control: Control) -> None:
    for path in ("/", "/sandbox/requests", "/static/main.js"):
        async with control.session.get(sandbox.url + path, headers={"Host": "evil.example:8081"}) as answer:
            assert answer.status == 403, path


async def test_printed_link_opens_the_page_with_any_token() -> None:
    async with Sandbox(allow_hosts=("offhook.test",), control_token="a&b=c#+ /%") as sandbox:
        link = sandbox.introduce().splitlines()[0].partition(":")[2].strip()
        async with aiohttp.request("GET", URL(link, encoded=True)) as answer:
            assert (answer.status, "#" in link, " " in link) == (200, False, False)


async def test_page_takes_its_token_from_the_url_once() -> None:
    async with Sandbox(allow_hosts=("offhook.test",), control_token="a-token") as sandbox:
        async with aiohttp.ClientSession(sandbox.url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            statuses = []
            for path in ("/", "/sandbox/calls", "/?token=wrong", "/?token=a-token", "/", "/sandbox/calls"):
                async with browser.get(path) as answer:
                    statuses.append(answer.status)
            async with browser.ws_connect("/sandbox/live") as socket:
                assert b"tick" in (await socket.receive()).data.encode()
        assert statuses == [401, 401, 401, 200, 200, 200]


async def test_token_is_random_if_none_is_given() -> None:
    assert Sandbox().control_token == ""
    first, other = (Sandbox(host="0.0.0.0", allow_hosts=["A.test"]) for _ in range(2))
    assert first.url == "http://a.test:0"
    assert len({first.control_token, other.control_token, ""}) == 3
