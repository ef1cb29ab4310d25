"""Traces of API requests."""

import pytest

from conferral.runtime import tracing
from tests.support.otlp_receiver import FOREIGN, FOREIGN_TRACE, OtlpReceiver
from tests.webhooks.api.api_helpers import CALLER, ask, put, session

pytestmark = pytest.mark.redis


async def test_span_of_a_refused_request_has_its_status(api, store):
    await put(store, session())
    receiver = OtlpReceiver()
    with receiver.running(), tracing.exporting("webhooks"):
        for path in (f"/sessions/{CALLER}", "/sessions/nothing"):
            await ask(api, "GET", path, headers={"traceparent": FOREIGN})
        await ask(api, "GET", "/sessions", headers={"traceparent": FOREIGN, "Authorization": "Bearer wrong"})

    spans = [(one.trace_id, one.attributes["http.response.status_code"], one.has_failed) for one in receiver.spans]
    assert spans == [(FOREIGN_TRACE, 200, False), (FOREIGN_TRACE, 404, False)]
