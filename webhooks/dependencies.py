"""Dependencies of the webhook routes, created once per process."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self, TypeVar

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ProviderError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.storage.ingest.port import Ingest
from conferral.telephony.addresses import Address, AddressKind
from conferral.telephony.callback_events import Fields, call_sid_of, caller_of, sip_domain_sid_of
from conferral.telephony.conference_lists import ConferenceNames
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.telephony.twiml import TwimlBuilder
from conferral.webhooks.call_routing import CallRouting

log = structlog.get_logger()
_T = TypeVar("_T")

#: Timeout for asking Twilio, seconds. Together with Redis's, it must fit into the read timeout in our URLs.
_LOOKUP_DEADLINE_S = 1.5


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Dependencies of a route; the repr hides addresses and secrets."""

    settings: ServiceSettings
    documents: TwimlBuilder
    routing: CallRouting
    ingest: Ingest
    twilio: TwilioQueries
    #: Names the conferences of sessions whose ids browsers choose.
    conferences: ConferenceNames
    metrics: Metrics

    @classmethod
    def of(
        cls,
        settings: ServiceSettings,
        ingest: Ingest,
        twilio: TwilioQueries,
        metrics: Metrics,
        directory: DirectoryFile,
    ) -> Self:
        """Build the dependencies; raise SettingsError if a setting is invalid."""
        documents, routing = TwimlBuilder.of(settings), CallRouting(settings, directory)
        return cls(settings, documents, routing, ingest, twilio, ConferenceNames.of(settings), metrics)

    def __repr__(self) -> str:
        return "<Dependencies>"


class Routes:
    """Base class of the routes, with their dependencies."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._settings = dependencies.settings
        self._documents = dependencies.documents
        self._routing = dependencies.routing
        self._ingest = dependencies.ingest
        self._twilio = dependencies.twilio
        self._conferences = dependencies.conferences
        self._metrics = dependencies.metrics

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
        if not number or number == caller_of(form) or agent.kind is not AddressKind.NUMBER:
            return number
        domain_sid = sip_domain_sid_of(form)
        return number if await self._ask(self._twilio.may_show, number, domain_sid, call_sid=call_sid_of(form)) else ""
