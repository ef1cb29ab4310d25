"""What all routes share: dependencies, responses, and rejections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeVar

import structlog
from aiohttp import web

from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ConferralError, ProviderError, StoreError, StoreUnreachableError
from conferral.runtime.log import log_unreachable
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.events import CallReceived, Event
from conferral.statemachine.presence import UNKNOWN_PRESENCE, Presence
from conferral.statemachine.session import Session
from conferral.telephony.addresses import Address, AddressKind
from conferral.telephony.callback_events import Fields, call_sid_of, customer_of, sip_domain_sid_of
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.directory import DirectoryFile, InboundRoute
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.telephony.twiml import TwimlBuilder
from conferral.webhooks.call_routing import CallRouting
from conferral.webhooks.route_store import RouteStore


class Rejection(StrEnum):
    """The reasons, as in the log's `reason`; the client only gets the status."""

    METHOD = "method"
    TOO_LARGE = "too-large"
    TOO_MANY_FIELDS = "too-many-fields"
    TIMEOUT = "timeout"
    CONTENT_ENCODING = "content-encoding"
    MALFORMED_BODY = "malformed-body"
    #: It closed the connection before its signature was verified.
    SENDER_GONE = "sender-gone"
    MALFORMED_URL = "malformed-url"
    MALFORMED_FIELD = "malformed-field"
    REPEATED_FIELD = "repeated-field"
    UNSIGNED = "unsigned"
    WRONG_SIGNATURE = "wrong-signature"
    #: Signed with a shared key, or by an algorithm, that isn't configured here.
    UNKNOWN_KEY = "unknown-key"
    FOREIGN_ACCOUNT = "foreign-account"


class RejectedError(ConferralError):
    """A rejected request: answered with the status, and not published."""

    def __init__(self, status: int, reason: Rejection, key_id: str = "") -> None:
        super().__init__(reason.value)
        self.status = status
        self.reason = reason
        #: The id of the unknown key; empty if what was sent is none.
        self.key_id = key_id


log = structlog.get_logger()

#: Timeout in case Redis's own deadline of 2 s fails, seconds: the caller hears silence meanwhile.
STORE_DEADLINE_S = 2.2
#: Timeout of a repeated request or a second access, seconds: three attempts and their pauses take 6 s at most.
SHORT_STORE_DEADLINE_S = 1.0
#: Timeout for the presence of agents, seconds.
PRESENCE_DEADLINE_S = 0.5
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


async def read_undecided(store: RouteStore, session_id: str, every_s: float) -> Session | None:
    """Return a session once a worker has opened it; None if that takes long."""
    for _ in range(_READS_MAX):
        await asyncio.sleep(every_s)
        if view := await store.read(session_id):
            return view
    return None


_T = TypeVar("_T")

#: Timeout for asking Twilio, seconds. Together with Redis's, it must fit into the read timeout in our URLs.
_LOOKUP_DEADLINE_S = 1.5


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Dependencies of a route; the repr hides addresses and secrets."""

    settings: ServiceSettings
    documents: TwimlBuilder
    routing: CallRouting
    store: RouteStore
    twilio: TwilioQueries
    #: Names the conferences of sessions whose ids browsers choose.
    conferences: ConferenceNames
    metrics: Metrics
    clock: Clock

    @classmethod
    def of(
        cls,
        settings: ServiceSettings,
        store: RouteStore,
        twilio: TwilioQueries,
        metrics: Metrics,
        directory: DirectoryFile,
        clock: Clock,
    ) -> Self:
        """Build the dependencies; raise SettingsError if a setting is invalid."""
        documents, routing = TwimlBuilder.of(settings), CallRouting(settings, directory)
        return cls(settings, documents, routing, store, twilio, ConferenceNames.of(settings), metrics, clock)

    def __repr__(self) -> str:
        return "<Dependencies>"


class Routes:
    """Base class of the routes, with their dependencies."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._settings = dependencies.settings
        self._documents = dependencies.documents
        self._routing = dependencies.routing
        self._store = dependencies.store
        self._twilio = dependencies.twilio
        self._conferences = dependencies.conferences
        self._metrics = dependencies.metrics
        self._clock = dependencies.clock

    def _route_of_new_call(self, form: Fields) -> InboundRoute:
        """Return who answers a call that comes in now: no one outside the hours."""
        return self._routing.inbound(form).at(self._clock.wall_ms())

    async def _presence(self, agents: Sequence[str], session_id: str, *, with_queue: bool = False) -> Presence:
        """Return who of a number's agents is there; all are if that takes long."""
        try:
            async with store_timeout(PRESENCE_DEADLINE_S):
                return await self._store.presence(agents, self._routing.people(), with_queue=with_queue)
        except StoreError as error:
            log_unreachable(error, session_id=session_id)
            return UNKNOWN_PRESENCE

    async def _ask(
        self, query: Callable[..., Awaitable[_T]], *arguments: str, call_sid: str, timeout_s: float = _LOOKUP_DEADLINE_S
    ) -> _T | None:
        """Return Twilio's answer to a query about a call; None if it fails."""
        # Even an unexpected answer from Twilio must not cost the caller the TwiML.
        with contain(ItemKind.WEBHOOK, self._metrics, call_sid=call_sid):
            try:
                async with asyncio.timeout(timeout_s):
                    return await query(*arguments)
            except (ProviderError, TimeoutError) as error:
                name, kind = query.__name__, type(error).__name__
                log.warning("twilio_lookup_failed", call_sid=call_sid, method=name, error_type=kind)
        return None

    async def _shown_number(self, form: Fields, agent: Address) -> str:
        """Return the caller's number to show an agent; empty for the business's.

        A browser or SIP phone shows any number. To a phone, Twilio shows the number of a SIP address only if it is in
        the account or verified, or the call came in over a BYOC trunk.
        Source: Twilio docs, Errors, 13214; TwiML `<Sip>`, `callerId`.
        """
        number = self._routing.presentable_number(form, agent)
        if not number or number == customer_of(form) or agent.kind is not AddressKind.NUMBER:
            return number
        domain_sid = sip_domain_sid_of(form)
        return number if await self._ask(self._twilio.may_show, number, domain_sid, call_sid=call_sid_of(form)) else ""
