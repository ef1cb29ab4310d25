"""What the answers of several routes have in common."""

import structlog
from aiohttp import web

from runtime.metrics import Metrics
from statemachine.events import Event

log = structlog.get_logger()


def twiml(document: str) -> web.Response:
    """A document for Twilio."""
    return web.Response(text=document, content_type="text/xml")


def note_unstored(metrics: Metrics, route: str, event: Event, error: Exception) -> None:
    """Counts and logs that Redis could not be had for a request.

    Args:
        metrics: Where it is counted.
        route: The request's path.
        event: What should have been stored.
        error: What was in the way; only its kind is shown.
    """
    metrics.webhooks_without_store.labels(route).inc()
    log.warning(
        "webhook_unstored",
        url_path=route,
        session_id=event.session_id,
        event_name=event.name,
        error_type=type(error).__name__,
    )
