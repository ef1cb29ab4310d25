"""What the answers of several routes have in common."""

from aiohttp import web

from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.events import Event


def twiml_response(document: str) -> web.Response:
    """A document for Twilio."""
    return web.Response(text=document, content_type="text/xml")


def record_unstored(metrics: Metrics, route: str, event: Event, error: Exception) -> None:
    """Count that Redis was out of reach for a request; of an outage, few lines are logged.

    Args:
        metrics: Where it is counted.
        route: The request's path.
        event: What should have been stored.
        error: What was in the way.
    """
    metrics.webhook_store_errors.labels(route).inc()
    log_unreachable(error, url_path=route, session_id=event.session_id, event_name=event.name)
