"""Dependencies of the webhook routes, created once per process."""

from dataclasses import dataclass
from typing import Self

from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.storage.ingest.port import Ingest
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.directory.model import DirectoryFile
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.telephony.twiml import TwimlBuilder
from conferral.webhooks.call_routing import CallRouting


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
