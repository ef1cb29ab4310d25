"""Responses to Twilio, and why a request is rejected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum

import structlog
from aiohttp import web

from conferral.runtime.errors import ConferralError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.events import CallReceived, Event
from conferral.storage.codecs.session_view import SessionView
from conferral.storage.ingest.port import Ingest


class Rejection(StrEnum):
    """The reasons, as in the log's `reason`; the client only gets the status."""

    METHOD = "method"
    TOO_LARGE = "too-large"
    TOO_MANY_FIELDS = "too-many-fields"
    TIMEOUT = "timeout"
    #: Too many large bodies at once.
    BUSY = "busy"
    CONTENT_ENCODING = "content-encoding"
    MALFORMED_BODY = "malformed-body"
    MALFORMED_URL = "malformed-url"
    MALFORMED_FIELD = "malformed-field"
    REPEATED_FIELD = "repeated-field"
    UNSIGNED = "unsigned"
    WRONG_SIGNATURE = "wrong-signature"
    FOREIGN_ACCOUNT = "foreign-account"


class RejectedError(ConferralError):
    """A rejected request: answered with the status, and not published."""

    def __init__(self, status: int, reason: Rejection) -> None:
        super().__init__(reason.value)
        self.status = status
        self.reason = reason


log = structlog.get_logger()

#: Timeout in case Redis's own deadline of 2 s fails, seconds: the caller hears silence meanwhile.
STORE_DEADLINE_S = 2.2
#: Timeout of a repeated request or a second access, seconds: three attempts and their pauses take 6 s at most.
SHORT_STORE_DEADLINE_S = 1.0
#: How often a session that is not decided yet is read again.
_READS_MAX = 5


def twiml_response(document: str) -> web.Response:
    """Return a TwiML response."""
    return web.Response(text=document, content_type="text/xml")


def record_unstored(metrics: Metrics, route: str, event: Event, error: Exception) -> None:
    """Count an event that Redis did not store; log each new call."""
    metrics.webhook_store_errors.labels(route).inc()
    if isinstance(event, CallReceived):
        log.warning("call_not_stored", url_path=route, session_id=event.session_id, reason=str(error))
    log_unreachable(error, url_path=route, session_id=event.session_id, event_name=event.name)


@asynccontextmanager
async def store_timeout(timeout_s: float) -> AsyncIterator[None]:
    """Raise StoreUnreachableError if reads and writes of Redis take longer."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise StoreUnreachableError("Redis did not answer in time") from error


def store_deadline(request_number: int = 1) -> AbstractAsyncContextManager[None]:
    """Limit a request's use of Redis; `request_number` counts from 1."""
    return store_timeout(STORE_DEADLINE_S if request_number == 1 else SHORT_STORE_DEADLINE_S)


async def read_undecided(ingest: Ingest, session_id: str, every_s: float) -> SessionView | None:
    """Return a session once a worker has opened it; None if that takes long."""
    for _ in range(_READS_MAX):
        await asyncio.sleep(every_s)
        if view := await ingest.read(session_id):
            return view
    return None
