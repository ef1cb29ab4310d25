"""What several routes share: responses, failures of Redis, and reads of a session that is not decided yet."""

import asyncio

from aiohttp import web

from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.events import Event
from conferral.storage.codecs.session_view import SessionView
from conferral.storage.ingest.port import Ingest

#: How often a session that is not decided yet is read again.
_READS_MAX = 5


def twiml_response(document: str) -> web.Response:
    """Return a TwiML response."""
    return web.Response(text=document, content_type="text/xml")


def record_unstored(metrics: Metrics, route: str, event: Event, error: Exception) -> None:
    """Count a request that could not reach Redis; an outage is logged only now and then."""
    metrics.webhook_store_errors.labels(route).inc()
    log_unreachable(error, url_path=route, session_id=event.session_id, event_name=event.name)


async def read_undecided(ingest: Ingest, session_id: str, every_s: float) -> SessionView | None:
    """Return a new call's session once a worker has decided its first event; None if that takes too long."""
    for _ in range(_READS_MAX):
        await asyncio.sleep(every_s)
        if view := await ingest.read(session_id):
            return view
    return None
