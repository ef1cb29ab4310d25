"""Rejected requests: anyone can send any number of them."""

from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from conferral.webhooks import app
from tests.support.hands import Hands
from tests.webhooks.webhook_helpers import AGENT_CALL, settings


async def test_flood_of_rejected_requests_is_counted_and_logged_once_a_minute(
    ingest, child_lookup, metrics, fresh_logs
):
    clock = Hands()
    made = app.make_app(settings(), ingest, child_lookup, metrics, clock)
    with capture_logs() as lines:
        async with TestClient(TestServer(made)) as client:
            for pause_s in (0, 1, 1, 1, 57):
                clock.now_s += pause_s
                await client.post(AGENT_CALL)
            await client.post("/voice/inbound")

    logged = [(line["url_path"], line["count"]) for line in lines if line["event"] == "webhook_rejected"]
    assert logged == [("/callbacks/call", 1), ("/callbacks/call", 4), ("/voice/inbound", 1)]
    counted = 'conferral_webhook_rejections_total{reason="unsigned",route="/callbacks/call"} 5.0'
    assert counted in metrics.exposition().decode()
