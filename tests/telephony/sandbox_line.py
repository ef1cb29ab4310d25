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
from conferral.sandbox.handles import SandboxCall
from conferral.sandbox.service import Sandbox
from conferral.statemachine.attributes import PLAIN, Attributes
from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import CallsRead, Event, ParticipantJoined
from conferral.telephony import callbacks, urls
from conferral.telephony.addresses import AllowList, parse_address
from conferral.telephony.calls import Calls
from conferral.telephony.client import http_client, rest_client
from conferral.telephony.dialling import CallSetup
from conferral.telephony.documents import Documents
from conferral.telephony.urls import CallbackUrls, Gate

OWN, CALLER, TARGET = "+14155550100", "+14155550199", "+14155550177"
SESSION = "S1"
Happened = TypeVar("Happened", bound=Event)


@dataclass
class Line:
    """A caller who waits with ring-back, and whatever the sandbox has told us since."""

    sandbox: Sandbox
    calls: Calls
    documents: Documents
    public_url: str
    events: list[Event] = field(default_factory=list)
    #: What was pressed at each request for a gate.
    gates: list[tuple[Gate, str]] = field(default_factory=list)
    waits: list[urls.Wait] = field(default_factory=list)
    caller: SandboxCall | None = None
    #: Whether the gate asks for a key.
    gate_asks: bool = False
    #: How the room is set up.
    attributes: Attributes = PLAIN
    #: Whether the caller is greeted.
    greets: bool = False
    #: Sentences to be announced, by command id.
    sentences: dict[str, str] = field(default_factory=dict)
    #: Where the gate leads: into this conference, or to the customer of a `call` where there is none.
    room: str = ""

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
        if path == urls.CALL_PATH:
            self.events.append(callbacks.call_progressed(form, urls.parse_call(query), OWN))
        elif path == urls.CONFERENCE_PATH:
            self.events.append(callbacks.conference_event(form, urls.parse_conference(query)))
        elif path == urls.WAIT_PATH:
            self.waits.append(urls.parse_wait(query))
            if self.waits[-1].greets:
                return self.documents.greeting(self.waits[-1], "Welcome to the shop")
            return self.documents.wait(self.waits[-1], audio_url=f"https://example.com/{self.waits[-1].tune}.wav")
        elif path == urls.GATE_PATH:
            return self._gate(urls.parse_gate(query), form)
        elif path == "/voice":
            return self.documents.join_conference(
                SESSION, "customer", label="customer-1", room=SESSION, tune="ringback", greets=self.greets,
                attributes=self.attributes,
            )  # fmt: skip
        elif path == urls.RECORDING_PATH:
            self.events.append(callbacks.recording_changed(form, urls.parse_recording(query)))
        elif path == urls.ANNOUNCEMENT_PATH:
            return self.documents.announcement(self.sentences[urls.parse_announcement(query).command_id])
        elif path == "/survey":
            return "<Response><Say>How did you like it?</Say></Response>"
        return self.documents.hang_up()

    def _gate(self, gate: Gate, form: dict[str, str]) -> str:
        pressed = callbacks.digits_of(form, gate)
        self.gates.append((gate, pressed))
        if self.gate_asks and pressed != "1":
            return self.documents.gate_ask(gate, brief="About an invoice")
        if not self.room:
            return self.documents.bridge_to_customer(SESSION, parse_address(TARGET), own_number=OWN, ring_timeout_s=60)
        return self.documents.gate_brief_and_join(
            SESSION, "target", label="target-2", room=self.room, recalled_for="busy"
        )


@asynccontextmanager
async def open_line() -> AsyncIterator[Line]:
    """A line over a sandbox of its own."""
    lines: list[Line] = []

    async def answer(request: web.Request) -> web.Response:
        form = dict(parse_qsl(await request.text(), keep_blank_values=True))
        return web.Response(text=lines[0].answer(request.path, request.query_string, form), content_type="text/xml")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    public_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Sandbox(speed=20) as sandbox:
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
        documents = Documents(callback_urls, language="en-US", voice=None, with_speaker_events=True)
        setup = CallSetup(callback_urls, documents, own_number=OWN, allowed=AllowList.from_setting(None, OWN))
        calls = Calls(rest_client(settings, http), join_document=lambda _: documents.hang_up(), setup=setup)
        lines.append(Line(sandbox, calls, documents, public_url))
        yield lines[0]
        await http.close()
    await runner.cleanup()


async def customer_waits(line: Line) -> str:
    """The customer is alone in a room that has not started; its SID."""
    line.caller = await line.sandbox.call_in(CALLER, OWN)
    await line.until(lambda: line.of(ParticipantJoined) and line.waits)
    return line.of(ParticipantJoined)[0].conference_sid
