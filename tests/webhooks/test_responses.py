"""How long answers wait: for Redis, and for a worker's decision. In virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock
from urllib.parse import urlencode

import pytest
from aiohttp import web
from multidict import CIMultiDict

from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.session import Session
from conferral.statemachine.states import WaitAudio
from conferral.storage.schema import SchemaVersion
from conferral.telephony.callback_urls import DialAction, DialKind, Wait
from conferral.telephony.directory import DirectoryFile
from conferral.webhooks import app, server
from conferral.webhooks.api.handlers import WAITERS_MAX
from conferral.webhooks.authentication import Form, RequestAuthenticator, Rules, parse_form
from conferral.webhooks.dial_action import DialActionRoutes
from conferral.webhooks.responses import Dependencies, RejectedError, read_undecided, store_deadline
from conferral.webhooks.server import HealthRoutes
from conferral.webhooks.visits import Visit
from conferral.webhooks.voice import VoiceRoutes
from conferral.webhooks.wait_url import WaitRoutes
from tests.simulation.virtual_loop import VirtualLoop, run
from tests.support.each import each
from tests.webhooks.webhook_helpers import CALLER, CONFERENCE, fields, settings


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


class Silent:
    """Redis and Twilio that never answer; or a Redis that answers reads, and knows no session."""

    def __init__(self, *, answers_reads: bool) -> None:
        self._answers_reads = answers_reads

    def restarted_recently(self) -> bool:
        return True

    async def read(self, _session_id: str) -> None:
        if not self._answers_reads:
            await self.child_status()

    async def publish_and_read(self, *_given: object, **_named: object) -> None:
        await self.read("")

    async def child_status(self, *_given: object, **_named: object) -> None:
        await asyncio.Event().wait()

    publish = redis_error = is_alone = child_status


def form_of(moment: str, **changes: str) -> Form:
    return parse_form(urlencode(fields(moment, **changes)).encode())


def test_answers_do_not_wait_long_for_redis_or_twilio() -> None:
    waits = form_of("call_arrives", ConferenceSid=CONFERENCE)
    music = Wait(CALLER, "customer", WaitAudio.MUSIC)
    bridged = DialAction(CALLER, "customer", DialKind.BRIDGE)

    def dependencies(*, answers_reads: bool) -> Dependencies:
        given, silent = settings(), cast("Any", Silent(answers_reads=answers_reads))
        return Dependencies.of(given, silent, silent, Metrics(), DirectoryFile(given))

    async def story(loop: VirtualLoop) -> None:
        silent, unknown = dependencies(answers_reads=False), dependencies(answers_reads=True)
        visits: Any = SimpleNamespace(of=AsyncMock(return_value=Visit(CALLER)))
        voice = VoiceRoutes(unknown, actions=NOTHING, gate=NOTHING, client=NOTHING, visits=visits)
        actions = DialActionRoutes(unknown, visits=visits)
        for answer, most_s, status in (
            (HealthRoutes(silent.ingest, Metrics(), SchemaVersion()).ready(NOTHING), 2.0, 503),
            (actions.dial_action(form_of("dial_ends_answered"), bridged.query()), 1.5, 200),
            (WaitRoutes(silent).wait(waits, music.query()), 0.5, 200),
            # Five reads of a session that may not be decided yet, then what is published.
            (WaitRoutes(unknown).wait(waits, music.query()), 0.25 + 0.5, 200),
            (WaitRoutes(unknown).wait(waits, replace(music, opens_session=True).query()), 0.25 + 3.0, 200),
            (voice.fallback(form_of("call_arrives"), ""), 0.5, 200),
        ):  # fmt: skip
            began_s = loop.time()
            assert (await answer).status == status
            assert loop.time() - began_s == pytest.approx(most_s)

    run(story)


@pytest.mark.parametrize(("decided_at", "reads"), [(1, 1), (5, 5), (6, 5)])
async def test_session_that_is_not_decided_yet_is_read_five_times(decided_at: int, reads: int) -> None:
    count = 0

    class Ingest:
        async def read(self, _session_id: str) -> Session | None:
            nonlocal count
            count += 1
            return Session("CA1") if count >= decided_at else None

    ingest: Any = Ingest()
    view = await read_undecided(ingest, "s", 0.0)
    assert (view is not None, count) == (decided_at <= 5, reads)


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
    response = app.empty_response(status)
    assert (response.status, response.keep_alive, response.headers.get("Allow")) == (status, closes, allow)


def test_five_hundred_requests_may_wait_for_an_outcome() -> None:
    assert WAITERS_MAX == 500
