"""Strangers fill the server with connections, while callers call. `tests/soak/test_strangers.py` has many more."""

import asyncio
from pathlib import Path

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.web import guard
from conferral.webhooks import authentication
from conferral.webhooks.app import make_app
from tests.support.proxies import proxy
from tests.support.strangers import KINDS, REQUESTS, calls, flood, strangers
from tests.webhooks.test_server import serving
from tests.webhooks.webhook_helpers import settings

#: The server's limit, connections kept open, and new ones a second.
LIMIT, CONNECTIONS, PER_SECOND = 100, 150, 100


@pytest.fixture
def app(webhook_store, child_lookup, metrics, monkeypatch):
    monkeypatch.setattr(guard, "CONNECTIONS_MAX", LIMIT)
    return make_app(settings(), webhook_store, child_lookup, metrics, SystemClock())


@pytest.mark.parametrize("kind", ["bodies", "heads"])
async def test_callers_are_answered_among_strangers(app, metrics, kind):
    async with (
        serving(app, metrics) as (port, _, _),
        strangers(port, KINDS[kind], connections=CONNECTIONS, per_second=PER_SECOND),
    ):
        answers = await calls(port, number=20, per_second=20)

    assert answers.counts == {"dialed": 20}
    assert metrics.registry.get_sample_value("conferral_connections_dropped_total") > 0


@pytest.mark.processes
@pytest.mark.parametrize("program", ["caddy", "nginx"])
async def test_callers_are_answered_among_strangers_behind_a_shipped_proxy(app, metrics, program, tmp_path: Path):
    async with serving(app, metrics) as (webhooks_port, _, _):
        with proxy(program, tmp_path, webhooks_port) as port:
            async with strangers(port, KINDS["bodies"], connections=CONNECTIONS, per_second=PER_SECOND):
                answers = await calls(port, number=20, per_second=20)

    assert answers.counts == {"dialed": 20}
    assert metrics.registry.get_sample_value("conferral_connections_dropped_total") == 0, "no body is passed on in part"


@pytest.mark.parametrize("kind", ["usual", "fields", "large"])
async def test_callers_are_answered_among_wrongly_signed_requests(app, metrics, kind):
    async with serving(app, metrics) as (port, _, _), flood(port, REQUESTS[kind], connections=30, per_second=100):
        answers = await calls(port, number=20, per_second=20)

    assert answers.counts == {"dialed": 20}


async def test_large_body_of_a_sender_who_is_gone_is_not_verified(app, metrics, monkeypatch):
    """Strangers who leave at once could otherwise fill the memory with bodies that wait."""
    arrived = []
    monkeypatch.setattr(authentication, "is_known", lambda _request: bool(arrived.append(1)))
    monkeypatch.setattr(authentication, "TURNS_BEFORE_LARGE_BODY", 500)
    async with serving(app, metrics) as (port, _, _):
        writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(3)]
        for writer in writers:
            writer.write(REQUESTS["fields"])
        while len(arrived) < 3:
            await asyncio.sleep(0)
        for writer in writers:
            writer.close()
        for reason, count in (("wrong-signature", 1), ("sender-gone", 2)):
            labels = {"route": "/voice/inbound", "reason": reason}
            while metrics.registry.get_sample_value("conferral_webhook_rejections_total", labels) != count:
                await asyncio.sleep(0)
