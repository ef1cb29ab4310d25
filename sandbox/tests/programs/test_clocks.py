"""When Twilio's time passes: the option `clock`."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
import aiohttp.web
import pytest
from twilio.rest import Client

from offhook import Sandbox
from offhook.pace import Clock
from offhook.testing import ConditionTimeoutError, Serve, TwilioSandbox
from webhook_app import WebhookApp

BUSINESS, ANN, ALICE = "+12025550100", "+12025550123", "client:alice"
HOUR = "<Response><Pause length='3600'/><Say>An hour later</Say></Response>"
virtual = pytest.mark.parametrize("twilio_sandbox_options", [{"clock": "virtual"}])
running = pytest.mark.parametrize("twilio_sandbox_options", [{"clock": "running"}])


def now_s(sandbox: TwilioSandbox) -> float:
    """Twilio's time, in seconds from the test's start."""
    return sandbox.run(lambda it: it.now_s - it.epoch_s)


@pytest.fixture
def rings(twilio_sandbox: TwilioSandbox, twilio_client: Client) -> Callable[[], None]:
    """Let alice's phone ring."""
    twilio_sandbox.add_number(BUSINESS)

    def ring(twiml: str = HOUR) -> None:
        twilio_client.calls.create(to=ALICE, from_=BUSINESS, twiml=twiml)
        twilio_sandbox.wait_until(lambda: twilio_sandbox.phones[ALICE].rings)

    return ring


def test_time_stands_still_between_two_waits(twilio_sandbox: TwilioSandbox, rings: Callable[[], None]) -> None:
    twilio_sandbox.phones[ALICE].script(answer_after_s=3)
    rings()
    assert now_s(twilio_sandbox) == now_s(twilio_sandbox)
    alice = twilio_sandbox.phones[ALICE]
    assert (alice.rings, alice.rang_for_s) == (True, 0)
    twilio_sandbox.wait_until(lambda: alice.last_call.status == "in-progress")
    assert alice.rang_for_s == pytest.approx(3)


def test_condition_is_checked_while_time_stands_still(twilio_sandbox: TwilioSandbox, rings: Callable[[], None]) -> None:
    twilio_sandbox.phones[ALICE].script(answer_after_s=3)
    rings()
    seen: list[tuple[float, float]] = []

    def is_answered() -> bool:
        seen.append((now_s(twilio_sandbox), now_s(twilio_sandbox)))
        return twilio_sandbox.phones[ALICE].last_call.status == "in-progress"

    twilio_sandbox.wait_until(is_answered)
    assert [later - sooner for sooner, later in seen] == [0] * len(seen)


@running
def test_running_clock_does_not_wait_for_the_test(
    twilio_sandbox: TwilioSandbox, twilio_sandbox_options: dict[str, Any]
) -> None:
    assert now_s(twilio_sandbox) < now_s(twilio_sandbox)


def test_time_passes_while_the_program_answers_a_request(
    twilio_sandbox: TwilioSandbox, twilio_client: Client, serve: Serve
) -> None:
    is_answered = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        call = twilio_client.calls.create(to=ALICE, from_=BUSINESS, twiml=HOUR)
        while twilio_client.calls(call.sid).fetch().status != "in-progress":
            pass
        is_answered.set()
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [b"<Response/>"]

    twilio_sandbox.phones[ALICE].script(answer_after_s=3)
    twilio_sandbox.add_number(BUSINESS, voice_url=serve(app))
    twilio_sandbox.phones[ANN].call(BUSINESS)
    assert is_answered.wait(60)  # and for nothing of Twilio's


@virtual
def test_virtual_clock_jumps_to_what_is_due(
    twilio_sandbox: TwilioSandbox, twilio_sandbox_options: dict[str, Any], rings: Callable[[], None]
) -> None:
    alice = twilio_sandbox.phones[ALICE].script(answer_after_s=20)
    rings()
    assert now_s(twilio_sandbox) == 0
    twilio_sandbox.wait_until(lambda: alice.last_call.was_told("An hour later"))
    assert now_s(twilio_sandbox) == pytest.approx(3620)
    assert alice.rang_for_s == pytest.approx(20)


@virtual
def test_advance_does_what_is_due_and_no_more(
    twilio_sandbox: TwilioSandbox, twilio_sandbox_options: dict[str, Any], rings: Callable[[], None]
) -> None:
    alice = twilio_sandbox.phones[ALICE].script(answer_after_s=20)
    rings()
    twilio_sandbox.advance(19)
    assert (now_s(twilio_sandbox), alice.rings) == (pytest.approx(19), True)
    twilio_sandbox.advance(2)
    assert (now_s(twilio_sandbox), alice.last_call.activity) == (pytest.approx(21), "pausing")


@virtual
async def test_advance_waits_for_the_answers_of_a_program_in_the_loop_of_the_test(
    app: WebhookApp, twilio_sandbox: TwilioSandbox, twilio_sandbox_options: dict[str, Any]
) -> None:
    app.on("/voice", "<Response><Pause length='10'/><Redirect>/later</Redirect></Response>")
    app.on("/later", HOUR)
    twilio_sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice")
    caller = twilio_sandbox.phones[ANN].call(BUSINESS)
    await twilio_sandbox.advance(3609)
    assert (len(app.at("/later")), caller.was_told("An hour later")) == (1, False)
    await twilio_sandbox.advance(2)
    assert caller.was_told("An hour later")


@pytest.mark.parametrize("twilio_sandbox_options", [{"clock": "waiting", "speed": 1}])
def test_advance_passes_the_time_of_a_waiting_clock(
    twilio_sandbox: TwilioSandbox, twilio_sandbox_options: dict[str, Any], rings: Callable[[], None]
) -> None:
    alice = twilio_sandbox.phones[ALICE].script(answer_after_s=55)
    rings()
    before_s = now_s(twilio_sandbox)
    twilio_sandbox.advance(20)
    assert (now_s(twilio_sandbox) - before_s, alice.rings) == (pytest.approx(20), True)
    twilio_sandbox.advance(3700)
    assert alice.last_call.was_told("An hour later")


@running
def test_advance_needs_a_clock_that_stands_still(
    twilio_sandbox: TwilioSandbox, twilio_sandbox_options: dict[str, Any]
) -> None:
    with pytest.raises(RuntimeError, match=r"needs .*clock='waiting' or 'virtual'.*: the clock is 'running'"):
        twilio_sandbox.advance(1)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_advance_refuses_what_is_no_duration(twilio_sandbox: TwilioSandbox, seconds: float) -> None:
    with pytest.raises(ValueError, match="advance takes seconds from 0 on"):
        twilio_sandbox.advance(seconds)


def test_advance_ends_with_the_story_if_requests_go_on(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        is_asked.set()
        may_answer.wait()
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [b"<Response/>"]

    twilio_sandbox.add_number(BUSINESS, voice_url=serve(app))
    twilio_sandbox.phones[ANN].call(BUSINESS)
    is_asked.wait()
    with pytest.raises(ConditionTimeoutError, match=r"(?s)requests went on for 0.1 s\nLast events"):
        twilio_sandbox.advance(1, timeout_s=0.1)
    may_answer.set()


@pytest.mark.parametrize(
    ("twilio_sandbox_options", "words"),
    [
        (
            {"clock": "waiting", "speed": 1},
            r"stands still between waits \(clock='waiting'\); the next event is due in ",
        ),
        ({"clock": "virtual"}, r"stands still between waits \(clock='virtual'\); the next event is due in "),
        ({"clock": "running"}, r"always passes \(clock='running'\)"),
    ],
)
def test_story_ends_with_the_clock(
    twilio_sandbox: TwilioSandbox, twilio_sandbox_options: dict[str, Any], words: str, rings: Callable[[], None]
) -> None:
    assert "nothing is due" in twilio_sandbox.story() or twilio_sandbox_options["clock"] == "running"
    twilio_sandbox.phones[ALICE].script(answer_after_s=55)
    rings()
    with pytest.raises(ConditionTimeoutError, match=f"Twilio's time {words}[^\n]*$"):
        twilio_sandbox.wait_until(lambda: False, 0.01)


@virtual
async def test_no_jump_while_a_websocket_is_open(
    twilio_sandbox: TwilioSandbox, twilio_sandbox_options: dict[str, Any]
) -> None:
    twilio_sandbox.phones[ALICE].script(answer_after_s=3)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{twilio_sandbox.url}/sandbox/live") as socket:
        await socket.receive()
        assert twilio_sandbox.story().endswith("; a WebSocket is open")
        with pytest.raises(RuntimeError, match="a WebSocket is open"):
            await twilio_sandbox.advance(1)
        before_s = now_s(twilio_sandbox)
        await twilio_sandbox.wait_until(lambda: now_s(twilio_sandbox) > before_s)  # it passes as usual
    await twilio_sandbox.wait_until(lambda: twilio_sandbox.run(lambda it: it.pace.jumps))
    await twilio_sandbox.advance(1)


@pytest.mark.parametrize("ends", ["socket", "clock"])
async def test_wait_jumps_as_soon_as_it_may(ends: str) -> None:
    clock: Clock = "virtual" if ends == "socket" else "waiting"
    async with Sandbox(clock=clock) as sandbox, aiohttp.ClientSession() as session:
        sandbox.time.call_later(1e6, sandbox.notify)
        socket = await session.ws_connect(f"{sandbox.url}/sandbox/live") if ends == "socket" else None
        wait = asyncio.create_task(sandbox.wait_until(lambda: sandbox.now_s > sandbox.epoch_s + 9e5, 60))
        if socket is None:
            await asyncio.sleep(0)  # the wait has begun
            sandbox.set_clock("virtual")
        else:
            await socket.receive()
            assert not sandbox.pace.jumps
            await socket.close()
        await wait


async def test_no_jump_while_a_request_is_under_way() -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def voice(_request: aiohttp.web.Request) -> aiohttp.web.Response:
        asked.set()
        await may_answer.wait()
        return aiohttp.web.Response(text=HOUR, content_type="text/xml")

    application = aiohttp.web.Application()
    application.router.add_post("/voice", voice)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with Sandbox(clock="virtual") as sandbox:
        sandbox.add_number(BUSINESS, voice_url=f"http://127.0.0.1:{runner.addresses[0][1]}/voice")
        sandbox.time.call_later(5, lambda: None)
        call = await sandbox.call_in(ANN, BUSINESS)
        await asked.wait()
        with pytest.raises(TimeoutError):
            await sandbox.wait_until(lambda: sandbox.now_s > sandbox.epoch_s, 0.3)
        may_answer.set()
        await sandbox.wait_until(lambda: call.was_told("An hour later"))
        assert sandbox.now_s - sandbox.epoch_s == pytest.approx(3600)
    await runner.cleanup()


@virtual
def test_condition_may_poll_by_rest(
    twilio_sandbox: TwilioSandbox,
    twilio_sandbox_options: dict[str, Any],
    twilio_client: Client,
    rings: Callable[[], None],
) -> None:
    twilio_sandbox.phones[ALICE].script(answer_after_s=20)
    rings()
    sid = twilio_sandbox.phones[ALICE].last_call.sid
    twilio_sandbox.wait_until(lambda: twilio_client.calls(sid).fetch().status == "in-progress")
    with pytest.raises(ConditionTimeoutError):
        twilio_sandbox.wait_until(lambda: False, 0.01)
