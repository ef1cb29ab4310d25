"""The routes that only tell us something: stored, then answered with 204.

Redis away: 503, which the URLs that we hand out ask Twilio to try again.
"""

import structlog
from aiohttp import web

from runtime.errors import StoreUnreachableError
from runtime.metrics import Metrics
from runtime.settings import ServiceSettings
from statemachine.events import Event, ParticipantJoined
from streams.ingest import Ingest
from telephony.callbacks import call_progressed, conference_event, customer_callback, parent_call_sid_of
from telephony.urls import parse_call, parse_conference
from webhooks.form import Form

log = structlog.get_logger()


class CallbackRoutes:
    """Answers `/voice/status` and the call and conference callbacks."""

    def __init__(self, settings: ServiceSettings, ingest: Ingest, metrics: Metrics) -> None:
        self._own_number = settings.number
        self._ingest = ingest
        self._metrics = metrics

    async def number_status(self, form: Form, _query: str) -> web.Response:
        """The number's own status callback: the caller's call has ended."""
        event = call_progressed(form, customer_callback(form), self._own_number)
        return await self._store(event, event.call_sid, "/voice/status")

    async def call(self, form: Form, query: str) -> web.Response:
        """A call that we placed goes on."""
        event = call_progressed(form, parse_call(query), self._own_number)
        parent = parent_call_sid_of(form)
        if parent and parent != event.session_id:
            # The URL was signed, so it is believed; an outbound session's id is no CallSid at all.
            log.debug("parent_differs", session_id=event.session_id, call_sid=event.call_sid)
        return await self._store(event, event.call_sid, "/callbacks/call")

    async def conference(self, form: Form, query: str) -> web.Response:
        """Something happened in the conference."""
        event = conference_event(form, parse_conference(query))
        # A join may be the first that is heard of a call; all else is about calls that are known.
        call_sid = event.call_sid if isinstance(event, ParticipantJoined) else ""
        return await self._store(event, call_sid, "/callbacks/conference")

    async def _store(self, event: Event, call_sid: str, route: str) -> web.Response:
        try:
            await self._ingest.publish(event, call_sid=call_sid)
        except StoreUnreachableError:
            self._metrics.webhooks_without_store.labels(route).inc()
            log.warning("webhook_unstored", url_path=route, session_id=event.session_id, event_name=event.name)
            return web.Response(status=503)
        return web.Response(status=204)
