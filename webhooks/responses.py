"""Responses that several routes share."""

from aiohttp import web

from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.events import Event


def twiml_response(document: str) -> web.Response:
    """Return a TwiML response."""
    return web.Response(text=document, content_type="text/xml")


def record_unstored(metrics: Metrics, route: str, event: Event, error: Exception) -> None:
    """Count a request that could not reach Redis; an outage is logged only now and then."""
    metrics.webhook_store_errors.labels(route).inc()
    log_unreachable(error, url_path=route, session_id=event.session_id, event_name=event.name)
