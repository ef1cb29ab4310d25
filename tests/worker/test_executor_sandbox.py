"""Executor, REST edge and twilio-python together against the sandbox, with its faults."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web

from conferral.runtime.clock import StoreClock, SystemClock
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings, load
from conferral.sandbox.phones import CallHandle
from conferral.sandbox.runtime import RestHookEvent
from conferral.sandbox.service import Sandbox
from conferral.statemachine.effects import (
    ChangeRecording,
    CreateCall,
    CreateParticipant,
    Effect,
    EndConference,
    FindCall,
    HangUpCall,
    PlayAnnouncement,
    ReadCalls,
    RedirectCall,
    RedirectToUrl,
    SayAndHangUp,
    Sentence,
    StartRecording,
    UpdateParticipant,
)
from conferral.statemachine.events import (
    CallSeen,
    CallsRead,
    EffectFailed,
    EffectSucceeded,
    EffectUnknown,
    ParticipantSeen,
)
from conferral.telephony.addresses import AllowList
from conferral.telephony.callback_urls import CallbackUrls
from conferral.telephony.http_client import http_client, rest_client
from conferral.telephony.parameters import CallSetup
from conferral.telephony.twilio_api import TwilioApi
from conferral.telephony.twilio_time import TwilioTime
from conferral.telephony.twiml import TwimlBuilder
from conferral.worker.executor.executor import ExecutionContext, Executor, ExecutorPolicy, Job, JobOutcome, RetryPolicy
from tests.support.fair_time import LoopSandbox
from tests.worker.executor_harness import FakeRecords, retries

NUMBER, CALLER = "+15550100000", "+15550100001"
TARGET = "client:bob"
#: The sandbox is quick, and so are its faults: nothing has to settle for seconds.
POLICY = ExecutorPolicy(
    redirect=RetryPolicy(deadline_s=5, request_timeout_s=1, first_wait_s=0.01, wait_max_s=0.02),
    create_participant=RetryPolicy(deadline_s=5, request_timeout_s=1, first_wait_s=0.01, wait_max_s=0.02),
    create_call=RetryPolicy(deadline_s=5, request_timeout_s=5, first_wait_s=0.01, wait_max_s=0.02),
    update_participant=RetryPolicy(deadline_s=5, request_timeout_s=1, first_wait_s=0.01, wait_max_s=0.02),
    play_announcement=RetryPolicy(deadline_s=5, request_timeout_s=5, first_wait_s=0.01, wait_max_s=0.02),
    start_recording=RetryPolicy(deadline_s=5, request_timeout_s=1, first_wait_s=0.01, wait_max_s=0.02),
    change_recording=RetryPolicy(deadline_s=5, request_timeout_s=1, first_wait_s=0.01, wait_max_s=0.02),
    ending=RetryPolicy(
        deadline_s=5, request_timeout_s=1, first_wait_s=0.01, wait_max_s=0.02, retries_passing_refusals=True
    ),
    settle_s=0.05,
    verify_interval_s=0.02,
)


def join(session_id: str, label: str) -> str:
    return (
        '<Response><Dial action="/over"><Conference beep="false" waitUrl="" '
        f'participantLabel="{label}">{session_id}</Conference></Dial></Response>'
    )


class Documents(TwimlBuilder):
    """Joins without a wait document, which these webhooks do not have."""

    def join_redirected(self, effect: RedirectCall) -> str:
        return join(effect.conference, effect.label)


@dataclass
class Scene:
    """A caller who talks to client:alice, and an executor."""

    sandbox: Sandbox
    executor: Executor
    calls: TwilioApi
    records: FakeRecords
    caller: CallHandle
    agent: CallHandle
    survey_url: str

    @property
    def outcomes(self) -> list[JobOutcome]:
        return self.records.outcomes

    async def carry_out(self, effect: Effect, **more: Any) -> JobOutcome:
        before = len(self.outcomes)
        self.executor.submit(Job(effect=effect, partition=0, committed_at_ms=0, **more))
        async with asyncio.timeout(60):
            while len(self.outcomes) == before:
                await asyncio.sleep(0.001)
        return self.outcomes[-1]

    def disturb(self, path: str, fault: dict[str, Any]) -> None:
        """The next such request meets the fault, if there is one."""
        if fault:
            self.sandbox.faults.next_rest("POST", path, **fault)

    async def conference_sid(self) -> str:
        """SID of the conference in which both are."""
        await self.carry_out(self.redirect)
        while len((read := await self.fetch()).participants) < 2:
            pass
        return read.conference_sid

    def dialed(self) -> list[str]:
        """Every call to the target that there ever was."""
        return [call.sid for call in self.sandbox.calls_of(TARGET)]

    @property
    def redirect(self) -> RedirectCall:
        return RedirectCall(
            effect_id="e1", session_id="S1", party="agent", call_sid=self.agent.sid, conference="S1", label="agent-1"
        )

    async def fetch(self) -> CallsRead:
        read = await self.calls.perform(
            ReadCalls(
                effect_id="r", session_id="S1", parent_call_sid=self.caller.sid, with_conference=True, read_version=1
            )
        )
        assert isinstance(read, CallsRead)
        return read


async def answer(request: web.Request) -> web.Response:
    """The voice URL bridges to the agent; the action of that `<Dial>` takes the caller into the conference."""
    bridge = '<Response><Dial action="/action"><Client>alice</Client></Dial></Response>'
    document = {"/voice": bridge, "/action": join("S1", "customer-1")}.get(
        request.path, "<Response><Hangup/></Response>"
    )
    return web.Response(text=document, content_type="text/xml")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    webhooks = f"http://127.0.0.1:{runner.addresses[0][1]}"
    clock, metrics = SystemClock(), Metrics()
    records = FakeRecords()

    async def may_send(_partition: int) -> bool:
        return True

    async with LoopSandbox(speed=20) as sandbox:
        sandbox.add_number(NUMBER, voice_url=webhooks + "/voice")
        sandbox.phone("client:alice").script(answer_after_s=0)
        values = {
            "TWILIO_ACCOUNT_SID": sandbox.account_sid,
            "TWILIO_AUTH_TOKEN": sandbox.auth_token,
            "TWILIO_NUMBER": NUMBER,
            "CONFERRAL_PUBLIC_URL": webhooks,
            "TWILIO_API_URL": sandbox.url,
        }
        settings = load(ServiceSettings, values)
        http = http_client(settings, clock=clock, metrics=metrics)
        urls = CallbackUrls(webhooks)
        documents = Documents(urls, language="en-US", voice=None)
        setup = CallSetup(urls, documents, own_number=NUMBER, allowed=AllowList.from_setting("client:", NUMBER))
        calls = TwilioApi(rest_client(settings, http), setup)
        caller = await sandbox.call_in(CALLER, NUMBER)
        await sandbox.wait_until(lambda: any(c.status == "in-progress" for c in sandbox.calls_of("client:alice")))
        store_clock = StoreClock(clock)
        context = ExecutionContext(
            twilio=calls,
            outbox=records,
            may_send=may_send,
            clock=clock,
            now_ms=lambda _partition: store_clock.now_ms(),
            twilio_now_ms=TwilioTime(http.twilio_clock, rest_client(settings, http), sandbox.account_sid).now_ms,
            metrics=metrics,
            policy=POLICY,
            rng=random.Random(1),
        )
        agent, executor = sandbox.calls_of("client:alice")[0], Executor(context)
        yield Scene(sandbox, executor, calls, records, caller, agent, f"{webhooks}/survey")
        await executor.drain(5)
        await http.close()
    await runner.cleanup()


FAULTS: list[dict[str, Any]] = [
    {},
    {"cut": "before"},
    {"cut": "after"},
    {"status": 500, "moment": "before"},
    {"status": 500, "moment": "after"},
    {"status": 429, "retry_after_s": 0},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_one_redirect_brings_both_into_the_conference_whatever_happens_to_it(
    scene: Scene, fault: dict[str, Any]
) -> None:
    scene.disturb("/Calls/", fault)

    assert isinstance(await scene.carry_out(scene.redirect), EffectSucceeded)

    labels: set[str] = set()
    while labels != {"agent-1", "customer-1"}:
        read = await scene.fetch()
        labels = {seen.label for seen in read.participants}
    assert read.status_of(scene.agent.sid) == read.status_of(scene.caller.sid) == "in-progress"
    never_arrived = fault.get("cut") == "before" or fault.get("status") == 429 or fault.get("moment") == "before"
    assert retries(scene.executor._context.metrics) == (1 if never_arrived else 0)


async def test_redirect_of_a_call_that_is_over_fails_as_gone(scene: Scene) -> None:
    scene.agent.hang_up()

    outcome = await scene.carry_out(scene.redirect)

    assert isinstance(outcome, EffectFailed)
    assert (outcome.gone, outcome.code) == (True, 21220)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_hang_up_ends_the_call_whatever_happens_to_the_request(scene: Scene, fault: dict[str, Any]) -> None:
    scene.disturb("/Calls/", fault)

    hang_up = HangUpCall(effect_id="e2", session_id="S1", party="agent", call_sid=scene.agent.sid)
    assert isinstance(await scene.carry_out(hang_up), EffectSucceeded)

    assert scene.agent.status == "completed"
    assert await scene.calls.child_status(scene.caller.sid) == "completed"


async def test_read_shows_the_bridge_as_it_is(scene: Scene) -> None:
    read = await scene.fetch()

    assert read.calls == (
        CallSeen(call_sid=scene.caller.sid, status="in-progress", to=NUMBER),
        CallSeen(call_sid=scene.agent.sid, status="in-progress", parent_call_sid=scene.caller.sid, to="client:alice"),
    )
    assert (read.conference_sid, read.participants) == ("", ())


async def test_conference_is_found_by_its_name_and_completed_by_its_sid(scene: Scene) -> None:
    await scene.carry_out(scene.redirect)
    while not (read := await scene.fetch()).participants:
        pass
    assert ParticipantSeen(call_sid=scene.agent.sid, label="agent-1") in read.participants

    await scene.calls.perform(EndConference(effect_id="e3", session_id="S1", conference_sid=read.conference_sid))

    assert (await scene.fetch()).conference_sid == ""
    await scene.calls.perform(EndConference(effect_id="e3", session_id="S1", conference_sid=read.conference_sid))


# ---- dials -----------------------------------------------------------------------------------------------------------


def straight(conference_sid: str) -> CreateParticipant:
    return CreateParticipant(
        effect_id="d" * 20, session_id="S1", party="target", to=TARGET, timeout_s=30, conference=conference_sid,
        label="target-2",
        early_media=False,
    )  # fmt: skip


def gated() -> CreateCall:
    return CreateCall(effect_id="d" * 20, session_id="S1", party="target", to=TARGET, timeout_s=30)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_straight_dial_is_one_call_ever_whatever_happens_to_the_request(
    scene: Scene, fault: dict[str, Any]
) -> None:
    conference_sid = await scene.conference_sid()
    scene.disturb("/Conferences/*/Participants.json", fault)

    outcome = await scene.carry_out(straight(conference_sid))

    assert isinstance(outcome, EffectSucceeded)
    assert [outcome.call_sid] == scene.dialed()


async def test_straight_dial_taken_over_finds_the_call_that_rings(scene: Scene) -> None:
    conference_sid = await scene.conference_sid()
    first = await scene.carry_out(straight(conference_sid))
    assert isinstance(first, EffectSucceeded)

    again = await scene.carry_out(straight(conference_sid), may_have_been_sent=True)

    assert isinstance(again, EffectSucceeded)
    assert [again.call_sid] == [first.call_sid] == scene.dialed()


async def test_straight_dial_into_a_conference_that_is_over_fails_as_gone(scene: Scene) -> None:
    conference_sid = await scene.conference_sid()
    await scene.carry_out(EndConference(effect_id="e3", session_id="S1", conference_sid=conference_sid))

    outcome = await scene.carry_out(straight(conference_sid))

    assert isinstance(outcome, EffectFailed)
    assert outcome.gone
    assert scene.dialed() == []


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_gated_dial_is_at_most_one_call_and_a_search_finds_it(scene: Scene, fault: dict[str, Any]) -> None:
    scene.disturb("/Calls.json", fault)

    outcome = await scene.carry_out(gated())

    is_known = not fault or fault.get("status") == 429
    assert isinstance(outcome, EffectSucceeded if is_known else EffectUnknown)
    took_effect = is_known or "after" in fault.values()
    assert len(scene.dialed()) == took_effect
    search = FindCall(effect_id="f1", session_id="S1", party="target", dial_id="d" * 20, to=TARGET, since_ms=0)
    found = await scene.carry_out(search)
    assert isinstance(found, EffectSucceeded)
    assert [found.call_sid] == (scene.dialed() or [""])


async def test_dial_whose_session_ended_while_it_was_under_way_is_hung_up(scene: Scene) -> None:
    conference_sid = await scene.conference_sid()
    dial = straight(conference_sid)

    async def end_session(event: RestHookEvent) -> None:
        if event.step == "after":
            scene.records.gone.add(dial.effect_id)

    scene.sandbox.on_rest = end_session
    await scene.carry_out(dial)
    await scene.sandbox.wait_until(lambda: all(c.status == "canceled" for c in scene.sandbox.calls_of(TARGET)))

    assert len(scene.dialed()) == 1


async def test_disallowed_address_is_refused_before_any_request_to_twilio(scene: Scene) -> None:
    outcome = await scene.carry_out(replace(gated(), to="+15550100009"))

    assert isinstance(outcome, EffectFailed)
    assert (outcome.http_status, outcome.code) == (0, 0)
    assert scene.sandbox.request_log.requests("POST", "/Calls.json") == []


# ---- holds and sentences ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_customer_is_held_whatever_happens_to_the_request(scene: Scene, fault: dict[str, Any]) -> None:
    conference_sid = await scene.conference_sid()
    scene.disturb("/Conferences/*/Participants/*", fault)

    hold = UpdateParticipant(
        effect_id="u1", session_id="S1", party="customer", call_sid=scene.caller.sid,
        conference_sid=conference_sid, hold=True,
        wait_audio="music",
    )  # fmt: skip
    assert isinstance(await scene.carry_out(hold), EffectSucceeded)

    held = {seen.call_sid: seen.held for seen in (await scene.fetch()).participants}
    assert held == {scene.caller.sid: True, scene.agent.sid: False}


async def test_sentence_is_said_and_the_call_ends(scene: Scene) -> None:
    await scene.conference_sid()
    say = SayAndHangUp(
        effect_id="s1", session_id="S1", party="customer", call_sid=scene.caller.sid, sentence=Sentence.TRANSFER_FAILED
    )

    assert isinstance(await scene.carry_out(say), EffectSucceeded)
    await scene.sandbox.wait_until(lambda: scene.caller.status == "completed")

    assert isinstance(await scene.carry_out(say), EffectSucceeded)


# ---- recordings, announcements, leave-takings ------------------------------------------------------------------------


def recording(scene: Scene) -> StartRecording:
    return StartRecording(effect_id="r1", session_id="S1", party="customer", call_sid=scene.caller.sid)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_call_has_one_recording_ever_whatever_happens_to_the_request(scene: Scene, fault: dict[str, Any]) -> None:
    await scene.conference_sid()
    scene.disturb("/Calls/*/Recordings.json", fault)

    outcome = await scene.carry_out(recording(scene))

    assert isinstance(outcome, EffectSucceeded)
    assert [outcome.recording_sid] == [made.sid for made in scene.sandbox.recordings()]


async def test_recording_taken_over_is_the_one_that_runs(scene: Scene) -> None:
    await scene.conference_sid()
    first = await scene.carry_out(recording(scene))

    again = await scene.carry_out(recording(scene), may_have_been_sent=True)

    assert isinstance(first, EffectSucceeded)
    assert isinstance(again, EffectSucceeded)
    assert [again.recording_sid] == [first.recording_sid] == [made.sid for made in scene.sandbox.recordings()]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_recording_is_paused_resumed_and_stopped_under_any_request_fault(
    scene: Scene, fault: dict[str, Any]
) -> None:
    await scene.conference_sid()
    await scene.carry_out(recording(scene))
    (made,) = scene.sandbox.recordings()
    seen = []
    for number, status in enumerate(("paused", "in-progress", "stopped")):
        scene.disturb("/Calls/*/Recordings/*", fault)
        change = ChangeRecording(
            effect_id=f"c{number}", session_id="S1", party="customer", recording_sid=made.sid if number else "",
            call_sid=scene.caller.sid, status=status,
        )  # fmt: skip
        assert isinstance(await scene.carry_out(change), EffectSucceeded)
        seen.append(scene.sandbox.recordings()[0].status)

    assert seen[:2] == ["paused", "in-progress"]
    assert seen[2] not in ("paused", "in-progress")


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_announcement_is_requested_at_most_once_whatever_happens(scene: Scene, fault: dict[str, Any]) -> None:
    conference_sid = await scene.conference_sid()
    scene.disturb("/Conferences/*", fault)

    announcement = PlayAnnouncement(effect_id="a1", session_id="S1", conference_sid=conference_sid, command_id="c1")
    outcome = await scene.carry_out(announcement)

    is_known = not fault or fault.get("status") == 429
    assert isinstance(outcome, EffectSucceeded if is_known else EffectUnknown)
    took_effect = is_known or "after" in fault.values()
    asked = [entry for entry in scene.sandbox.request_log.requests("POST", "/Conferences/") if entry.get("AnnounceUrl")]
    assert sum(entry.applied for entry in asked) == took_effect


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_customer_is_sent_away_whatever_happens_to_the_request(scene: Scene, fault: dict[str, Any]) -> None:
    await scene.conference_sid()
    scene.disturb("/Calls/", fault)
    survey = RedirectToUrl(
        effect_id="s1", session_id="S1", party="customer", call_sid=scene.caller.sid, url=scene.survey_url
    )

    assert isinstance(await scene.carry_out(survey), EffectSucceeded)

    await scene.sandbox.wait_until(
        lambda: scene.sandbox.request_log.voice_requests("/survey", CallSid=scene.caller.sid)
    )
    assert scene.agent.sid in {seen.call_sid for seen in (await scene.fetch()).participants}


@pytest.mark.parametrize("mode, flags", [("monitor", (True, "")), ("whisper", (False, "CA")), ("barge", (False, ""))])
async def test_supervisor_has_the_requested_mode(scene: Scene, mode: str, flags: tuple[bool, str]) -> None:
    scene.sandbox.phone(TARGET).script(answer_after_s=0)
    conference_sid = await scene.conference_sid()
    dialed = await scene.carry_out(
        replace(straight(conference_sid), party="supervisor", label="supervisor-1", supervises=True)
    )
    assert isinstance(dialed, EffectSucceeded)
    await scene.sandbox.wait_until(lambda: scene.sandbox.calls_of(TARGET)[0].status == "in-progress")
    coaches = scene.agent.sid if mode == "whisper" else ""
    update = UpdateParticipant(
        effect_id="u1", session_id="S1", party="supervisor", call_sid=dialed.call_sid, conference_sid=conference_sid,
        supervises=mode, coaches=coaches,
    )  # fmt: skip

    assert isinstance(await scene.carry_out(update), EffectSucceeded)

    (seen,) = [one for one in (await scene.fetch()).participants if one.call_sid == dialed.call_sid]
    assert (seen.muted, seen.coaches[:2]) == flags
