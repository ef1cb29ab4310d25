"""Executor, REST edge and twilio-python together against the sandbox, with its faults."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from runtime.clock import StoreClock, SystemClock
from runtime.metrics import Metrics
from runtime.settings import ServiceSettings, load
from sandbox.handles import SandboxCall
from sandbox.service import Sandbox
from statemachine.effects import Effect, EndConference, HangUpCall, ReadCalls, RedirectCall
from statemachine.events import CallSeen, CallsRead, EffectFailed, EffectSucceeded, ParticipantSeen
from telephony.calls import Calls
from telephony.client import http_client, rest_client
from tests.worker.executor_world import FakeRecords
from worker.executor import Executor, ExecutorPolicy, Order, Outcome, RetryPolicy

NUMBER, CALLER = "+15550100000", "+15550100001"
#: The sandbox is quick, and so are its faults: nothing has to settle for seconds.
POLICY = ExecutorPolicy(
    redirect=RetryPolicy(deadline_s=5, request_timeout_s=1, first_wait_s=0.01, wait_max_s=0.02),
    ending=RetryPolicy(deadline_s=5, request_timeout_s=1, first_wait_s=0.01, wait_max_s=0.02, repeats_denied=True),
    settle_s=0.05,
    look_interval_s=0.02,
)


def join(session_id: str, label: str) -> str:
    return (
        '<Response><Dial action="/over"><Conference beep="false" waitUrl="" '
        f'participantLabel="{label}">{session_id}</Conference></Dial></Response>'
    )


@dataclass
class Scene:
    """A caller who talks to client:alice, and an executor."""

    sandbox: Sandbox
    executor: Executor
    calls: Calls
    outcomes: list[Outcome]
    caller: SandboxCall
    agent: SandboxCall

    async def carry_out(self, effect: Effect, **more: Any) -> Outcome:
        self.executor.submit(Order(effect=effect, partition=0, ordered_at_ms=0, **more))
        await self.executor.drain(10)
        return self.outcomes[-1]

    @property
    def redirect(self) -> RedirectCall:
        return RedirectCall(
            effect_id="e1", session_id="S1", party="agent", call_sid=self.agent.sid, room="S1", label="agent-1"
        )

    async def look(self) -> CallsRead:
        read = await self.calls.perform(
            ReadCalls(
                effect_id="r", session_id="S1", parent_call_sid=self.caller.sid, with_conference=True, read_version=1
            )
        )
        assert read is not None
        return read


async def answer(request: web.Request) -> web.Response:
    """The voice URL bridges to the agent; the action of that `<Dial>` takes the caller into the room."""
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

    async with Sandbox(speed=20) as sandbox:
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
        calls = Calls(rest_client(settings, http), join_document=lambda effect: join(effect.room, effect.label))
        caller = await sandbox.call_in(CALLER, NUMBER)
        await sandbox.wait_until(lambda: any(c.status == "in-progress" for c in sandbox.calls_of("client:alice")))
        yield Scene(
            sandbox=sandbox,
            executor=Executor(
                calls=calls,
                records=records,
                may_send=may_send,
                clock=clock,
                now_ms=StoreClock(clock).now_ms,
                metrics=metrics,
                policy=POLICY,
                rng=random.Random(1),
            ),
            calls=calls,
            outcomes=records.outcomes,
            caller=caller,
            agent=sandbox.calls_of("client:alice")[0],
        )
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
async def test_both_are_in_the_room_after_one_redirect_whatever_happens_to_the_request(
    scene: Scene, fault: dict[str, Any]
) -> None:
    if fault:
        scene.sandbox.faults.next_rest("POST", "/Calls/", **fault)

    assert isinstance(await scene.carry_out(scene.redirect), EffectSucceeded)

    labels: set[str] = set()
    while labels != {"agent-1", "customer-1"}:
        read = await scene.look()
        labels = {seen.label for seen in read.participants}
    assert read.status_of(scene.agent.sid) == read.status_of(scene.caller.sid) == "in-progress"
    never_arrived = fault.get("cut") == "before" or fault.get("status") == 429 or fault.get("moment") == "before"
    assert scene.executor.retried == (1 if never_arrived else 0)


async def test_redirect_of_a_call_that_is_over_fails_as_gone(scene: Scene) -> None:
    scene.agent.hang_up()

    outcome = await scene.carry_out(scene.redirect)

    assert isinstance(outcome, EffectFailed)
    assert (outcome.gone, outcome.code) == (True, 21220)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_hang_up_ends_the_call_whatever_happens_to_the_request(scene: Scene, fault: dict[str, Any]) -> None:
    if fault:
        scene.sandbox.faults.next_rest("POST", "/Calls/", **fault)

    hang_up = HangUpCall(effect_id="e2", session_id="S1", party="agent", call_sid=scene.agent.sid)
    assert isinstance(await scene.carry_out(hang_up), EffectSucceeded)

    assert scene.agent.status == "completed"
    assert await scene.calls.child_status(scene.caller.sid) == "completed"


async def test_read_shows_the_bridge_as_it_is(scene: Scene) -> None:
    read = await scene.look()

    assert read.calls == (
        CallSeen(call_sid=scene.caller.sid, status="in-progress", to=NUMBER),
        CallSeen(call_sid=scene.agent.sid, status="in-progress", parent_call_sid=scene.caller.sid, to="client:alice"),
    )
    assert (read.conference_sid, read.participants) == ("", ())


async def test_conference_is_found_by_its_name_and_completed_by_its_sid(scene: Scene) -> None:
    await scene.carry_out(scene.redirect)
    while not (read := await scene.look()).participants:
        pass
    assert ParticipantSeen(call_sid=scene.agent.sid, label="agent-1") in read.participants

    await scene.calls.perform(EndConference(effect_id="e3", session_id="S1", conference_sid=read.conference_sid))

    assert (await scene.look()).conference_sid == ""
    await scene.calls.perform(EndConference(effect_id="e3", session_id="S1", conference_sid=read.conference_sid))
