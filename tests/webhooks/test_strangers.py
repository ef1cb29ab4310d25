"""Strangers fill the server with connections, while callers call. `tests/soak/test_strangers.py` has many more."""

from pathlib import Path

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.web import guard
from conferral.webhooks.app import make_app
from tests.support.proxies import proxy
from tests.support.strangers import KINDS, calls, strangers
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
