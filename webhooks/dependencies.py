"""What the routes that Twilio asks answer by: made once for the process, and handed to each of them."""

from dataclasses import dataclass

from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.storage.ingest.port import Ingest
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.twiml import TwimlBuilder
from conferral.webhooks.call_routing import CallRouting
from conferral.webhooks.twilio_queries import TwilioQueries


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What is needed to answer."""

    settings: ServiceSettings
    #: Makes TwiML.
    documents: TwimlBuilder
    #: Says who answers which number.
    routing: CallRouting
    #: Where events go, and where sessions are read.
    ingest: Ingest
    #: Asks Twilio for the other side of a bridge.
    twilio: TwilioQueries
    #: Names the conferences of sessions whose ids browsers choose.
    conferences: ConferenceNames
    #: Where answers without Redis are counted.
    metrics: Metrics

    def __repr__(self) -> str:
        """Nothing of it: it holds addresses and secrets."""
        return "<Means>"
