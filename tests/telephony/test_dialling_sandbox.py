"""Our documents, requests and callbacks together, played on the sandbox: what one side says, the other understands."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from runtime.clock import SystemClock
from runtime.errors import ProviderGoneError, ProviderRefusedError
from runtime.metrics import Metrics
from runtime.settings import ServiceSettings, load
from sandbox.handles import SandboxCall
from sandbox.service import Sandbox
from statemachine.effects import CreateCall, CreateParticipant, FindCall, ReadCalls, SayAndHangUp, UpdateParticipant
from statemachine.events import (
    CallProgressed,
    CallsRead,
    Event,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantSeen,
)
from telephony import callbacks, urls
from telephony.addresses import AllowList, parse_address
from telephony.calls import Calls
from telephony.client import http_client, rest_client
from telephony.dialling import CallSetup, Dialled
from telephony.documents import Documents
from telephony.urls import CallbackUrls, Gate

OWN, CALLER, TARGET = "+14155550100", "+14155550199", "+14155550177"
SESSION = "S1"
Happened = TypeVar("Happened", bound=Event)


@dataclass
class Line:
    """A caller who waits with ring-back, and whatever the sandbox has told us since."""

    sandbox: Sandbox
    calls: Calls
    documents: Documents
    events: list[Event] = field(default_factory=list)
    #: What was pressed at each request for a gate.
    gates: list[tuple[Gate, str]] = field(default_factory=list)
    waits: list[urls.Wait] = field(default_factory=list)
    caller: SandboxCall | None = None
    #: Whether the gate asks for a key.
    gate_asks: bool = False
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
            return self.documents.wait(self.waits[-1], audio_url=f"https://example.com/{self.waits[-1].tune}.wav")
        elif path == urls.GATE_PATH:
            return self._gate(urls.parse_gate(query), form)
        elif path == "/voice":
            return self.documents.join_conference(
                SESSION, "customer", label="customer-1", room=SESSION, tune="ringback"
            )
        return self.documents.hang_up()

    def _gate(self, gate: Gate, form: dict[str, str]) -> str:
        pressed = callbacks.digits_of(form, gate)
        self.gates.append((gate, pressed))
        if self.gate_asks and pressed != "1":
            return self.documents.gate_ask(gate, brief="About an invoice")
        if not self.room:
            return self.documents.bridge_to_customer(SESSION, parse_address(TARGET), own_number=OWN, ring_timeout_s=20)
        return self.documents.gate_brief_and_join(
            SESSION, "target", label="target-2", room=self.room, recalled_for="busy"
        )


@pytest.fixture
async def line() -> AsyncIterator[Line]:
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
        documents = Documents(callback_urls, language="en-US", voice=None)
        setup = CallSetup(callback_urls, documents, own_number=OWN, allowed=AllowList.from_setting(None, OWN))
        calls = Calls(rest_client(settings, http), join_document=lambda _: documents.hang_up(), setup=setup)
        lines.append(Line(sandbox, calls, documents))
        yield lines[0]
        await http.close()
    await runner.cleanup()


async def customer_waits(line: Line) -> str:
    """The customer is alone in a room that has not started; its SID."""
    line.caller = await line.sandbox.call_in(CALLER, OWN)
    await line.until(lambda: line.of(ParticipantJoined) and line.waits)
    return line.of(ParticipantJoined)[0].conference_sid


def participant(room: str, **changes: Any) -> CreateParticipant:
    return replace(
        CreateParticipant(
            effect_id="d1", session_id=SESSION, party="target", to=TARGET, timeout_s=20, room=room, label="target-2",
            early_media=False,
        ),
        **changes,
    )  # fmt: skip


CALL = CreateCall(effect_id="d2", session_id=SESSION, party="target", to="client:alice", timeout_s=20)


async def test_who_waits_is_heard_of_as_somebody_who_does_not_start_the_room(line: Line) -> None:
    room = await customer_waits(line)

    (joined,) = line.of(ParticipantJoined)
    assert (joined.label, joined.starts_conference) == ("customer-1", False)
    assert line.waits[0] == urls.Wait(SESSION, "customer", urls.Tune.RINGBACK)
    read = await line.read()
    assert (read.conference_sid, [seen.label for seen in read.participants]) == (room, ["customer-1"])


async def test_the_tune_is_asked_for_again_when_it_has_been_played(line: Line) -> None:
    await customer_waits(line)

    await line.until(lambda: len(line.waits) >= 3)


async def test_somebody_who_is_dialled_straight_is_heard_of_by_the_dial(line: Line) -> None:
    room = await customer_waits(line)
    line.sandbox.phone(TARGET).script(answer_after_s=2)

    dialled = await line.calls.perform(participant(room))
    await line.until(lambda: len(line.of(ParticipantJoined)) == 2)

    assert isinstance(dialled, Dialled)
    steps = [event for event in line.of(CallProgressed) if event.call_sid == dialled.call_sid]
    assert {(event.party, event.dial) for event in steps} == {("target", "d1")}
    await line.until(lambda: {event.status for event in line.of(CallProgressed)} >= {"initiated", "ringing",
                                                                                     "in-progress"})  # fmt: skip
    joined = line.of(ParticipantJoined)[1]
    assert (joined.call_sid, joined.label, joined.starts_conference) == (dialled.call_sid, "target-2", True)


async def test_somebody_who_is_still_ringing_is_found_by_the_label(line: Line) -> None:
    room = await customer_waits(line)
    line.sandbox.phone(TARGET).script(answer_after_s=None)
    effect = participant(room)

    assert await line.calls.look_for_dial(effect) == ""
    dialled = await line.calls.perform(effect)

    assert isinstance(dialled, Dialled)
    assert await line.calls.look_for_dial(effect) == dialled.call_sid


async def test_a_label_that_is_in_use_is_refused(line: Line) -> None:
    room = await customer_waits(line)

    with pytest.raises(ProviderRefusedError) as caught:
        await line.calls.perform(participant(room, label="customer-1"))

    assert caught.value.http_status == 400
    assert [call.sid for call in line.sandbox.calls_of(TARGET)] == []


async def test_nobody_is_dialled_into_a_room_that_does_not_exist(line: Line) -> None:
    with pytest.raises(ProviderGoneError):
        await line.calls.perform(participant("CF" + "0" * 32))


async def test_hold_and_flag_are_confirmed_by_a_callback_and_by_a_read(line: Line) -> None:
    room = await customer_waits(line)
    line.sandbox.phone(TARGET).script(answer_after_s=0)
    await line.calls.perform(participant(room))
    await line.until(lambda: len(line.of(ParticipantJoined)) == 2)
    assert line.caller is not None
    update = UpdateParticipant(
        effect_id="u1", session_id=SESSION, party="customer", call_sid=line.caller.sid, conference_sid=room
    )

    await line.calls.perform(replace(update, hold=True, tune="music"))
    await line.until(lambda: line.of(ParticipantChanged) and line.waits[-1].tune == urls.Tune.MUSIC)
    held = line.of(ParticipantChanged)[0]
    inside = (await line.read()).participants

    assert (held.kind, held.label, held.held, held.ends_conference) == ("participant-hold", "customer-1", True, False)
    assert ParticipantSeen(call_sid=line.caller.sid, label="customer-1", held=True) in inside

    await line.calls.perform(replace(update, hold=False, ends_conference=True))
    await line.until(lambda: any(event.ends_conference and not event.held for event in line.of(ParticipantChanged)))
    inside = (await line.read()).participants

    assert ParticipantSeen(call_sid=line.caller.sid, label="customer-1", ends_conference=True) in inside


async def test_somebody_at_the_gate_hears_the_brief_presses_1_and_joins(line: Line) -> None:
    line.room, line.gate_asks = await customer_waits(line), True
    line.sandbox.phone("client:alice").script(answer_after_s=1, keys="1")

    dialled = await line.calls.perform(CALL)
    await line.until(lambda: len(line.of(ParticipantJoined)) == 2)

    assert isinstance(dialled, Dialled)
    assert line.gates == [(Gate(SESSION, "d2"), ""), (Gate(SESSION, "d2", 2), "1")]
    assert {event.dial for event in line.of(CallProgressed)} == {"d2"}
    joined = line.of(ParticipantJoined)[1]
    assert (joined.call_sid, joined.label, joined.conference_sid) == (dialled.call_sid, "target-2", line.room)


@pytest.mark.parametrize("key, told", [("#", "#"), ("7", "7"), ("", "")])
async def test_any_other_key_or_none_is_told_too(line: Line, key: str, told: str) -> None:
    line.gate_asks = True
    line.sandbox.phone("client:alice").script(answer_after_s=0, keys=key)

    await line.calls.perform(CALL)
    await line.until(lambda: len(line.gates) == 2)

    assert line.gates[1] == (Gate(SESSION, "d2", 2), told)


async def test_the_agent_of_a_call_is_connected_to_the_customer(line: Line) -> None:
    line.sandbox.phone("client:alice").script(answer_after_s=0)
    line.sandbox.phone(TARGET).script(answer_after_s=1)

    dialled = await line.calls.perform(replace(CALL, party="agent"))
    await line.until(lambda: [call for call in line.sandbox.calls_of(TARGET) if call.status == "in-progress"])
    assert isinstance(dialled, Dialled)
    (customer,) = line.sandbox.calls_of(TARGET)
    read = await line.read(parent_call_sid=dialled.call_sid, with_conference=False)

    assert customer.record.from_ == OWN
    assert [(seen.call_sid, seen.parent_call_sid) for seen in read.calls] == [
        (dialled.call_sid, ""),
        (customer.sid, dialled.call_sid),
    ]
    await line.until(lambda: "in-progress" in [e.status for e in line.of(CallProgressed) if e.party == "customer"])


async def test_a_call_whose_answer_was_lost_is_found_and_only_once(line: Line) -> None:
    line.sandbox.phone("client:alice").script(answer_after_s=None)
    find = FindCall(effect_id="f1", session_id=SESSION, party="target", dial_id="d2", to="client:alice", since_ms=0)

    assert await line.calls.perform(find) == Dialled("")
    dialled = await line.calls.perform(CALL)
    assert isinstance(dialled, Dialled)
    assert await line.calls.perform(find) == Dialled(dialled.call_sid)
    assert await line.calls.perform(replace(find, since_ms=4_000_000_000_000)) == Dialled("")

    await line.calls.perform(replace(CALL, effect_id="d3"))
    assert await line.calls.perform(find) == Dialled("")


async def test_who_is_told_a_sentence_is_hung_up_after_it(line: Line) -> None:
    await customer_waits(line)
    assert line.caller is not None
    say = SayAndHangUp(
        effect_id="e", session_id=SESSION, party="customer", call_sid=line.caller.sid, sentence="transfer-failed"
    )

    assert await line.calls.perform(say) is None
    await line.until(lambda: line.caller is not None and line.caller.status == "completed")

    assert any("could not connect you" in str(interval) for interval in line.caller.heard)
    assert await line.calls.perform(say) is None  # over already
