"""How long answers wait: for Redis, for a worker's decision, and for a slot to read a large body. In virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiohttp import web
from multidict import CIMultiDict

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import CallReceived
from conferral.storage.codecs.session_view import SessionView
from conferral.storage.connection.errors import NO_ANSWER
from conferral.storage.schema import SchemaVersion
from conferral.telephony.callback_urls import DialAction, DialKind
from conferral.telephony.directory import DirectoryFile
from conferral.webhooks import app, server
from conferral.webhooks.api.handlers import Handlers
from conferral.webhooks.authentication import Form, RequestAuthenticator, Rules, parse_form
from conferral.webhooks.responses import Dependencies, RejectedError, Routes, read_undecided, store_deadline
from conferral.webhooks.server import HealthRoutes, LargeBodyLimiter
from conferral.webhooks.voice import VoiceRoutes
from conferral.webhooks.wait_url import WaitRoutes
from tests.simulation.virtual_loop import VirtualLoop, run
from tests.support.each import each
from tests.webhooks.webhook_helpers import CALLER, CONFERENCE, settings


def test_repeated_request_waits_less_long_for_redis() -> None:
    async def story(loop: VirtualLoop) -> None:
        for numbers, most_s in (((), 2.2), ((1,), 2.2), ((2,), 1.0), ((3,), 1.0)):
            began_s = loop.time()
            with pytest.raises(StoreUnreachableError, match="did not answer in time"):
                async with store_deadline(*numbers):
                    await asyncio.Event().wait()
            assert loop.time() - began_s == pytest.approx(most_s)

    run(story)


NOTHING: Any = None
ACTION = DialAction(CALLER, "agent", DialKind.CONFERENCE)
CALL = CallReceived(session_id=CALLER, call_sid=CALLER, customer_address="+14155550199", agent_address="client:alice")


class Silent:
    """Redis and Twilio that never answer; or a Redis that answers reads, and knows no session."""

    def __init__(self, *, answers_reads: bool) -> None:
        self._answers_reads = answers_reads

    async def read(self, _session_id: str) -> None:
        if not self._answers_reads:
            await asyncio.Event().wait()

    async def _wait(self, *_given: object, **_named: object) -> None:
        await asyncio.Event().wait()

    async def publish_and_read(self, *_given: object, **_named: object) -> None:
        await self.read("")

    publish = redis_error = child_status = has_started = is_alone = _wait


def test_answers_do_not_wait_long_for_redis_or_twilio() -> None:
    body = f"CallSid={CALLER}&ConferenceSid={CONFERENCE}&From=%2B14155550199&To=%2B14155550100&Direction=inbound"
    form: Form = parse_form(body.encode())

    def dependencies(silent: Any) -> Dependencies:
        given = settings()
        return Dependencies.of(given, silent, silent, Metrics(), DirectoryFile(given))

    async def story(loop: VirtualLoop) -> None:
        silent, unknown = dependencies(Silent(answers_reads=False)), dependencies(Silent(answers_reads=True))
        answers = [
            (HealthRoutes(silent.ingest, Metrics(), SchemaVersion())._read_redis_error(), 2.0, NO_ANSWER),
            (Routes(silent)._ask(silent.twilio.child_status, CALLER, "", call_sid=CALLER), 1.5, None),
            (WaitRoutes(silent)._load_view(CALLER, form, opens=False), 0.5, None),
            # Five reads of a session that may not be decided yet, then what is published.
            (WaitRoutes(unknown)._load_view(CALLER, form, opens=False), 0.25 + 0.5, None),
            (WaitRoutes(unknown)._load_view(CALLER, form, opens=True), 0.25 + 3.0, None),
            (
                VoiceRoutes(unknown, actions=NOTHING, gate=NOTHING, client=NOTHING, visits=NOTHING)._store_and_read(
                    CALL
                ),
                0.5,
                None,
            ),
        ]
        for answer, most_s, expected in answers:
            began_s = loop.time()
            assert await answer == expected
            assert loop.time() - began_s == pytest.approx(most_s)

    run(story)


@pytest.mark.parametrize(("decided_at", "reads"), [(1, 1), (5, 5), (6, 5)])
async def test_session_that_is_not_decided_yet_is_read_five_times(decided_at: int, reads: int) -> None:
    count = 0

    class Ingest:
        async def read(self, _session_id: str) -> SessionView | None:
            nonlocal count
            count += 1
            return SessionView("bridged") if count >= decided_at else None

    ingest: Any = Ingest()
    view = await read_undecided(ingest, "s", 0.0)
    assert (view is not None, count) == (decided_at <= 5, reads)


def test_large_body_waits_eight_seconds_for_a_slot() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = LargeBodyLimiter()
        async with AsyncExitStack() as held:
            for _ in range(32):
                await held.enter_async_context(limiter.slot())
            began_s = loop.time()
            with pytest.raises(RejectedError):
                async with limiter.slot():
                    raise AssertionError("there are 32")
            assert loop.time() - began_s == pytest.approx(8.0)

    run(story)


def test_slowest_body_ends_after_a_second_once_another_waits() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter, ended, zero_s = LargeBodyLimiter(), dict[int, float](), loop.time()

        async def read(number: int) -> None:
            async with limiter.slot():
                try:
                    async with limiter.read_timeout(5.0):
                        await asyncio.Event().wait()
                except TimeoutError:
                    ended[number] = round(loop.time() - zero_s, 6)

        reading = [asyncio.create_task(read(number)) for number in range(32)]
        await asyncio.sleep(0.25)  # a delay: virtual time
        async with limiter.slot():
            assert ended == {0: 1.0}, "it began a second ago"
            await asyncio.sleep(2.0)  # a delay: virtual time
            async with limiter.slot():
                assert ended == {0: 1.0, 1: 3.0}, "it began long ago"
        await asyncio.wait(reading)
        assert ended == {0: 1.0, 1: 3.0, **dict.fromkeys(range(2, 32), 5.0)}

    run(story)


def test_body_whose_time_is_up_at_this_moment_fails_no_other() -> None:
    async def story(_loop: VirtualLoop) -> None:
        limiter = LargeBodyLimiter()

        async def arrive() -> None:
            await asyncio.sleep(5.0)  # a delay: virtual time
            async with limiter.slot():
                return

        async def read() -> None:
            async with limiter.slot():
                with suppress(TimeoutError):
                    async with limiter.read_timeout(5.0):
                        await asyncio.Event().wait()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(arrive())
            for _ in range(32):
                tasks.create_task(read())

    run(story)


def test_body_that_trickles_in_is_refused_after_five_seconds() -> None:
    class Content:
        is_eof = at_eof = staticmethod(lambda: False)

        async def readany(self) -> bytes:
            await asyncio.sleep(0.75)  # a delay: virtual time
            return b"x"

    async def story(loop: VirtualLoop) -> None:
        headers = CIMultiDict({"X-Twilio-Signature": "x", "Content-Type": "application/x-www-form-urlencoded"})
        request: Any = SimpleNamespace(content=Content(), method="POST", raw_path="/x", headers=headers)
        rules = Rules(prefix_was_kept=False, is_voice=False, is_new_call=False)
        began_s = loop.time()
        with pytest.raises(RejectedError) as refused:
            await RequestAuthenticator(settings()).authenticate(request, rules)
        assert (refused.value.status, loop.time() - began_s) == (408, pytest.approx(5.0))

    run(story)


def test_server_collects_garbage_every_second_and_gives_open_requests_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, done = list[dict[str, Any]](), list[str]()

    @asynccontextmanager
    async def run_server(*_given: object, **options: Any) -> AsyncIterator[None]:
        given.append(options)
        yield

    async def story(loop: VirtualLoop) -> None:
        stop = asyncio.Event()
        loop.call_later(3.5, stop.set)
        await server.serve(web.Application(), "127.0.0.1", 0, stop)

    collector = SimpleNamespace(freeze=lambda: done.append("freeze"), collect=lambda: done.append("collect"))
    monkeypatch.setattr(server, "run_server", run_server)
    monkeypatch.setattr(server, "gc", collector)
    run(story)
    assert given == [{"metrics": None, "shutdown_s": 4.0, "lingering_time": 1.0, "auto_decompress": False}]
    assert done == ["freeze", *["collect"] * 4]


@each("status, closes, allow", [(400, None, None), (403, None, None), (405, None, "POST"), (408, False, None),
                                (413, False, None), (503, None, None)])  # fmt: skip
def test_connection_is_closed_instead_of_reading_the_rest_of_a_body(
    status: int, closes: bool | None, allow: str | None
) -> None:
    response = app._empty_response(status)
    assert (response.status, response.keep_alive, response.headers.get("Allow")) == (status, closes, allow)


@pytest.mark.parametrize(("waiting", "wait_s"), [(499, 30.0), (500, 0)])
async def test_five_hundred_requests_may_wait_for_an_outcome(waiting: int, wait_s: float) -> None:
    handlers = Handlers(settings(), NOTHING, NOTHING, NOTHING, SystemClock())
    handlers._waiting = waiting
    handlers._submitter = SimpleNamespace(wait_for_outcome=AsyncMock(return_value=None))  # type: ignore[assignment]
    assert await handlers._wait_for_outcome(NOTHING, 30.0, lambda: False) is None
    assert handlers._submitter.wait_for_outcome.call_args.args[1] == wait_s  # type: ignore[attr-defined]
    assert handlers._waiting == waiting
