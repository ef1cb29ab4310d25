"""A caller who waits, with the sandbox as Twilio and our documents as the answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings, load
from conferral.sandbox.call_handle import CallHandle
from conferral.sandbox.service import Sandbox
from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import CallsRead, Event, ParticipantJoined
from conferral.telephony import callback_events, callback_urls
from conferral.telephony.addresses import AllowList, parse_address
from conferral.telephony.callback_urls import CallbackUrls, Gate
from conferral.telephony.http_client import http_client, rest_client
from conferral.telephony.parameters.dial import CallSetup
from conferral.telephony.twilio_api import TwilioApi
from conferral.telephony.twiml import TwimlBuilder
from tests.support.fair_time import LoopSandbox

OWN, CALLER, TARGET = "+14155550100", "+14155550199", "+14155550177"
SESSION = "S1"
Happened = TypeVar("Happened", bound=Event)


@dataclass
class SandboxCallLine:
    """A caller who waits with ring-back, and every event that the sandbox has sent since."""

    sandbox: Sandbox
    calls: TwilioApi
    documents: TwimlBuilder
    public_url: str
    events: list[Event] = field(default_factory=list)
    #: What was pressed at each request for a gate.
    gates: list[tuple[Gate, str]] = field(default_factory=list)
    waits: list[callback_urls.Wait] = field(default_factory=list)
    caller: CallHandle | None = None
    #: Whether the gate asks for a key.
    gate_asks: bool = False
    #: How the conference is set up.
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    #: Whether the caller is greeted.
    greets: bool = False
    #: Sentences to be announced, by command id.
    sentences: dict[str, str] = field(default_factory=dict)
    #: Where the gate leads: into this conference, or to the customer of a `call` where there is none.
    conference: str = ""

    def of(self, kind: type[Happened]) -> list[Happened]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, predicate: Any) -> None:
        await self.sandbox.wait_until(predicate)

    async def read(self, **more: Any) -> CallsRead:
        order = {"effect_id": "r", "session_id": SESSION, "parent_call_sid": "", "with_conference": True}
        found = await self.calls.perform(ReadCalls(**(order | {"read_version": 1} | more)))
        assert isinstance(found, CallsRead)
        return found

    def answer(self, path: str, query: str, form: dict[str, str]) -> str:
        """What our webhooks would answer; what they would publish is kept."""
        if path == callback_urls.CALL_PATH:
            self.events.append(callback_events.call_progressed(form, callback_urls.parse_call(query), OWN))
        elif path == callback_urls.CONFERENCE_PATH:
            self.events.append(callback_events.conference_event(form, callback_urls.parse_session(query)))
        elif path == callback_urls.WAIT_PATH:
            self.waits.append(callback_urls.Wait.parse(query))
            if self.waits[-1].with_greeting:
                return self.documents.greeting(self.waits[-1], "Welcome to the shop")
            return self.documents.wait(self.waits[-1], audio_url=f"https://example.com/{self.waits[-1].wait_audio}.wav")
        elif path == callback_urls.GATE_PATH:
            return self._gate(callback_urls.Gate.parse(query), form)
        elif path == "/voice":
            return self.documents.join_conference(
                SESSION, "customer", label="customer-1", conference=SESSION, wait_audio="ringback",
                with_greeting=self.greets,
                attributes=self.attributes,
            )  # fmt: skip
        elif path == callback_urls.RECORDING_PATH:
            self.events.append(callback_events.recording_changed(form, callback_urls.parse_session(query)))
        elif path == callback_urls.ANNOUNCEMENT_PATH:
            return self.documents.announcement(self.sentences[callback_urls.Announcement.parse(query).command_id])
        elif path == "/survey":
            return "<Response><Say>How did you like it?</Say></Response>"
        return self.documents.hang_up()

    def _gate(self, gate: Gate, form: dict[str, str]) -> str:
        pressed = callback_events.digits_of(form, gate)
        self.gates.append((gate, pressed))
        if self.gate_asks and pressed != "1":
            return self.documents.ask_for_key(gate, brief="About an invoice")
        if not self.conference:
            return self.documents.bridge_to_customer(SESSION, parse_address(TARGET), own_number=OWN, ring_timeout_s=60)
        return self.documents.join_conference(
            SESSION, "target", label="target-2", conference=self.conference, recall_reason="busy"
        )


@asynccontextmanager
async def open_line() -> AsyncIterator[SandboxCallLine]:
    """A line over a sandbox of its own."""
    lines: list[SandboxCallLine] = []

    async def answer(request: web.Request) -> web.Response:
        form = dict(parse_qsl(await request.text(), keep_blank_values=True))
        return web.Response(text=lines[0].answer(request.path, request.query_string, form), content_type="text/xml")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    public_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with LoopSandbox(speed=20) as sandbox:
        sandbox.add_number(OWN, voice_url=f"{public_url}/voice")
        values = {
            "TWILIO_ACCOUNT_SID": sandbox.account_sid,
            "TWILIO_AUTH_TOKEN": sandbox.auth_token,
            "TWILIO_NUMBER": OWN,
            "CONFERRAL_PUBLIC_URL": public_url,
            "TWILIO_API_URL": sandbox.url,
        }
        settings = load(ServiceSettings, values)
        http = http_client(settings, clock=SystemClock(), metrics=Metrics())
        callback_urls = CallbackUrls(public_url)
        documents = TwimlBuilder(callback_urls, language="en-US", voice=None, with_speaker_events=True)
        setup = CallSetup(callback_urls, documents, own_number=OWN, allowed=AllowList.from_setting(None, OWN))
        calls = TwilioApi(rest_client(settings, http), setup)
        lines.append(SandboxCallLine(sandbox, calls, documents, public_url))
        yield lines[0]
        await http.close()
    await runner.cleanup()


async def customer_waits(line: SandboxCallLine) -> str:
    """The customer is alone in a conference that has not started; its SID."""
    line.caller = await line.sandbox.call_in(CALLER, OWN)
    await line.until(lambda: line.of(ParticipantJoined) and line.waits)
    return line.of(ParticipantJoined)[0].conference_sid
