"""Twilio in virtual time is the sandbox: the same scenarios, played over real sockets, send and answer the same."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import orjson
import pytest
from aiohttp import web

from conferral.runtime.clock import Clock, SystemClock
from conferral.runtime.errors import ProviderError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.sandbox import Sandbox
from conferral.sandbox.model.messages import Params
from conferral.sandbox.runtime import SandboxRuntime
from conferral.telephony.http_client import PooledHttpClient, http_client, rest_client
from tests.simulation import virtual_loop
from tests.simulation.simulation import VirtualClock
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.virtual_twilio import VirtualTwilio
from tests.support.in_memory_services import Answered, ExchangeHttp
from tests.support.local_system import CUSTOMER, NUMBER, settings_for

#: Parameters that hold the time, or are derived from it.
TIMES = frozenset({"Timestamp", "SequenceTimestamp", "CallDuration", "DialCallDuration", "Duration"})
DATES = frozenset({"date_created", "date_updated", "start_time", "end_time", "duration"})


class Stage:
    """One of the two sandboxes, the documents that it is answered, and the client that asks it."""

    def __init__(
        self, switchboard: SandboxRuntime, http: PooledHttpClient, settings: ServiceSettings, app_url: str
    ) -> None:
        self.switchboard = switchboard
        self.client = rest_client(settings, http)
        self.http = http
        self.app = app_url
        self.documents: dict[str, list[tuple[int, str]]] = {}
        self.answers: list[Any] = []
        self.settles: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(1.0)

    def on(self, path: str, *documents: str | int) -> None:
        """What is answered there, one after the other; the last one stays. A number is a status."""
        sent = [(200, one) if isinstance(one, str) else (one, "") for one in documents]
        self.documents[path] = [(status, text.replace("APP", self.app)) for status, text in sent]

    def answer(self, path: str) -> tuple[int, str]:
        answers = self.documents.get(path, [(200, "")])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def ask(self, method: str, path: str, **data: str) -> None:
        """One request by our own client; what it is answered is kept, or the name of the error."""
        url = f"https://api.twilio.com/2010-04-01/Accounts/{self.client.account_sid}{path}"
        try:
            form, query = (data, None) if method == "POST" else (None, data)
            answer = await self.http.request(method, url, data=form, params=query, auth=self.client.auth)
        except ProviderError as error:
            self.answers.append(f"{type(error).__name__} {error}")
        else:
            self.answers.append((answer.status_code, _plain(orjson.loads(answer.content) if answer.content else None)))
        await self.settles()

    def sent(self) -> list[Any]:
        """Everything that was asked of the documents' server: what, of whom, how often it was tried."""
        entries = [
            (entry.kind, entry.event, entry.url.replace(self.app, "APP"), entry.method, entry.call_sid,
             tuple((name, value.replace(self.app, "APP")) for name, value in entry.params if name not in TIMES),
             tuple((attempt.status, attempt.failure) for attempt in entry.attempts))
            for entry in self.switchboard.request_log.deliveries
        ]  # fmt: skip
        return sorted(entries)


def _plain(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: _plain(value) for name, value in body.items() if name not in DATES}
    return [_plain(one) for one in body] if isinstance(body, list) else body


Story = Callable[[Stage], Awaitable[None]]
CONFERENCE = (
    '<Response><Dial action="APP/after"><Conference participantLabel="{label}" statusCallback="APP/conference" '
    'statusCallbackEvent="start end join leave mute hold modify announcement">room</Conference></Dial></Response>'
)


async def bridge(stage: Stage) -> tuple[str, str]:
    """Customer and agent talk, by an ordinary `<Dial>`."""
    number = (
        '<Client statusCallback="APP/call" statusCallbackEvent="initiated ringing answered completed">alice</Client>'
    )
    stage.on("/voice", f'<Response><Dial answerOnBridge="true" action="APP/action">{number}</Dial></Response>')
    stage.switchboard.phone("client:alice").script(answer_after_s=0.2)
    customer = await stage.switchboard.call_in(CUSTOMER, NUMBER)
    await stage.settles()
    (agent,) = stage.switchboard.calls_of("client:alice")
    return customer.sid, agent.sid


async def a_bridge_is_converted(stage: Stage) -> None:
    customer, agent = await bridge(stage)
    stage.on("/action", CONFERENCE.format(label="customer-1"))
    twiml = CONFERENCE.format(label="agent-1").replace("APP", stage.app)
    await stage.ask("POST", f"/Calls/{agent}.json", Twiml=twiml)
    (conference,) = stage.switchboard.model.state.conferences
    await stage.ask("GET", f"/Conferences/{conference}/Participants.json")
    await stage.ask(
        "POST", f"/Conferences/{conference}/Participants/{customer}.json", Hold="true", HoldUrl=f"{stage.app}/wait"
    )
    await stage.ask("POST", f"/Conferences/{conference}/Participants/{customer}.json", Hold="false")
    await stage.ask("POST", f"/Conferences/{conference}/Participants/{agent}.json", EndConferenceOnExit="true")
    stage.switchboard.call(agent).hang_up()
    await stage.settles()
    await stage.ask("GET", "/Conferences.json", FriendlyName="room")


async def target_is_dialed_into_a_conference(stage: Stage) -> None:
    stage.on("/voice", CONFERENCE.format(label="customer-1"))
    await stage.switchboard.call_in(CUSTOMER, NUMBER)
    await stage.settles()
    (conference,) = stage.switchboard.model.state.conferences
    dial = {"From": NUMBER, "StatusCallback": f"{stage.app}/call", "StatusCallbackEvent": "answered"}
    stage.switchboard.phone("client:bob").script(answer_after_s=0.2)
    stage.switchboard.phone("client:carol").script(outcome="busy")
    await stage.ask("POST", f"/Conferences/{conference}/Participants.json", To="client:bob", Label="target-1", **dial)
    await stage.ask("POST", f"/Conferences/{conference}/Participants.json", To="client:carol", Label="target-2", **dial)
    await stage.ask("POST", f"/Conferences/{conference}/Participants.json", To="client:dave", Label="target-1", **dial)
    await stage.ask("POST", f"/Conferences/{conference}.json", Status="completed")


async def a_server_fails_and_is_asked_again(stage: Stage) -> None:
    stage.on("/retried", 503, 503, "<Response><Hangup/></Response>")
    stage.on("/failing", 500)
    stage.on("/fallback", "<Response><Reject/></Response>")
    await stage.switchboard.call_in(CUSTOMER, NUMBER, url=f"{stage.app}/retried#rc=2&rp=5xx")
    await stage.settles()
    await stage.switchboard.call_in(CUSTOMER, NUMBER, url=f"{stage.app}/failing")
    await stage.settles()


async def requests_fail(stage: Stage) -> None:
    customer, agent = await bridge(stage)
    faults = stage.switchboard.faults
    faults.next_rest("POST", "/Calls/*", status=429)
    faults.next_rest("POST", "/Calls/*", status=500, moment="after")
    faults.next_rest("POST", "/Calls/*", cut="after")
    for sid in (agent, agent, customer, customer):
        await stage.ask("POST", f"/Calls/{sid}.json", Status="completed")


def _add_number(switchboard: SandboxRuntime, app_url: str) -> None:
    switchboard.add_number(
        NUMBER,
        voice_url=f"{app_url}/voice",
        voice_fallback_url=f"{app_url}/fallback",
        status_callback=f"{app_url}/status",
    )


async def _on_sockets(story: Story) -> Stage:
    documents: dict[str, Stage] = {}

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        status, text = documents["stage"].answer(request.path)
        return web.Response(status=status, text=text, content_type="text/xml")

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    app_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Sandbox(seed="same", speed=20.0) as sandbox:
        settings = settings_for("redis://nowhere", sandbox, "https://example.com")
        http = http_client(settings, clock=SystemClock(), metrics=Metrics())
        stage = documents["stage"] = Stage(sandbox, http, settings, app_url)
        stage.settles = lambda: _quiet(sandbox)
        _add_number(sandbox, app_url)
        await story(stage)
        await stage.settles()
        await http.close()
    await runner.cleanup()
    return stage


async def _quiet(sandbox: Sandbox) -> None:
    """All that follows has followed: nothing is on its way, and nothing comes for five of the exchange's seconds."""
    seen = -1
    while seen != len(sandbox.request_log.deliveries):
        seen = len(sandbox.request_log.deliveries)
        await asyncio.sleep(0.25)
        await sandbox.wait_until_idle()


async def _in_virtual_time(virtual: VirtualLoop, story: Story) -> Stage:
    documents: dict[str, Stage] = {}
    app_url = "http://app.example"

    async def ask(url: str, _params: Params) -> Answered:
        status, text = documents["stage"].answer(url.removeprefix(app_url).partition("?")[0])
        return Answered(status, "text/xml", text.encode())

    twilio = VirtualTwilio(virtual, ask, epoch_s=1e9, seed="same", chance=Random(1), travel_s=(0.0, 0.0))
    settings = settings_for("redis://nowhere", None, "https://example.com", TWILIO_ACCOUNT_SID=twilio.account_sid)
    clock: Clock = VirtualClock(virtual, Random(1))
    stage = documents["stage"] = Stage(twilio, ExchangeHttp(twilio.rest, settings, clock, Metrics()), settings, app_url)
    stage.settles = lambda: asyncio.sleep(20.0)
    _add_number(twilio, app_url)
    await story(stage)
    await stage.settles()
    return stage


@pytest.mark.parametrize(
    "story",
    [
        a_bridge_is_converted,
        requests_fail,
        # Each waits a second or two for real sockets.
        pytest.param(target_is_dialed_into_a_conference, marks=pytest.mark.soak),
        pytest.param(a_server_fails_and_is_asked_again, marks=pytest.mark.soak),
    ],
    ids=lambda story: story.__name__,
)
def test_flow_matches_the_one_over_real_sockets(story: Story) -> None:
    real = asyncio.run(_on_sockets(story))
    virtual = virtual_loop.run(lambda one: _in_virtual_time(one, story))

    assert virtual.answers == real.answers
    assert virtual.sent() == real.sent()
    assert real.sent(), "nothing was told"
