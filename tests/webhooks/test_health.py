import asyncio
import inspect
import json
from unittest.mock import AsyncMock, Mock

import pytest

from conferral.runtime.errors import StoreError
from conferral.runtime.web import server
from conferral.storage.agreed_config import AgreedConfig
from conferral.storage.webhook_store.store import WebhookStore
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.webhooks import server as webhooks_server
from tests.webhooks.webhook_helpers import FakeTwilioQueries, FakeWebhookStore


async def read(client, path):
    async with client.get(path) as response:
        return response.status, response.content_type, await response.text()


async def test_the_process_is_alive_whatever_redis_does(client, webhook_store):
    webhook_store.away = webhook_store.hangs = True

    assert await read(client, "/healthz") == (200, "text/plain", "ok\n")


async def test_ready_means_that_redis_takes_writes(client):
    assert await read(client, "/readyz") == (200, "application/json", '{"ready": true, "missing": [], "warnings": []}')


@pytest.mark.parametrize("fault, state", [("away", "full (OOM)"), ("hangs", "no answer")])
async def test_not_ready_names_what_is_missing(client, webhook_store, monkeypatch, fault, state):
    monkeypatch.setattr(webhooks_server, "READY_DEADLINE_S", 0.01)
    setattr(webhook_store, fault, True)

    assert await read(client, "/readyz") == (
        503,
        "application/json",
        f'{{"ready": false, "missing": ["redis: {state}"], "warnings": []}}',
    )


async def test_warnings_do_not_make_it_unready(client, webhook_store):
    webhook_store.warning_lines = ["conferral:dead takes no entries: it belongs to another program"]

    status, _, body = await read(client, "/readyz")

    assert (status, json.loads(body)) == (200, {"ready": True, "missing": [], "warnings": webhook_store.warning_lines})


async def test_warnings_that_cannot_be_read_are_left_out(client, webhook_store, monkeypatch):
    monkeypatch.setattr(webhook_store, "warnings", AsyncMock(side_effect=StoreError("")))

    assert (await read(client, "/readyz"))[2] == '{"ready": true, "missing": [], "warnings": []}'


async def test_metrics_are_in_prometheus_text_form(client):
    status, content_type, text = await read(client, "/metrics")

    assert (status, content_type) == (200, "text/plain")
    assert "# HELP conferral_webhook_request_seconds " in text


@pytest.mark.parametrize(("fake", "real"), [(FakeWebhookStore, WebhookStore), (FakeTwilioQueries, TwilioQueries)])
def test_fakes_match_the_signatures_of_the_real_objects(fake, real):
    for name, method in inspect.getmembers(real, inspect.isfunction):
        if name.startswith("_") or not hasattr(fake, name):
            continue  # the webhooks use a few of Twilio's reads
        assert list(inspect.signature(getattr(fake, name)).parameters) == list(inspect.signature(method).parameters)
        assert inspect.iscoroutinefunction(getattr(fake, name)) == inspect.iscoroutinefunction(method)


async def test_concurrent_polls_query_redis_and_the_metrics_once(client, webhook_store, metrics, monkeypatch):
    redis_error, exposition = AsyncMock(return_value=""), Mock(return_value=b"")
    monkeypatch.setattr(webhook_store, "redis_error", redis_error)
    monkeypatch.setattr(metrics, "exposition", exposition)
    monkeypatch.setattr(server, "RESULT_TTL_S", 3600)

    for path in ("/readyz", "/metrics"):
        answers = await asyncio.gather(*(read(client, path) for _ in range(50)))
        assert {status for status, _, _ in answers} == {200}

    assert (redis_error.await_count, exposition.call_count) == (1, 1)


async def test_configuration_that_another_program_changed_is_a_warning(webhook_store):
    agreed = AgreedConfig(None, "conferral", 4, "AC1")
    agreed.contradiction = "conferral:config was set up with 8"
    webhook_store.warning_lines = ["conferral:dead takes no entries"]
    health = webhooks_server.Health(webhook_store, agreed)

    assert await health.problems() == []
    assert await health.warnings() == [agreed.contradiction, *webhook_store.warning_lines]
    webhook_store.away = True
    assert await webhooks_server.Health(webhook_store, agreed).warnings() == [agreed.contradiction]
