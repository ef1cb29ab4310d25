"""What the routes that Twilio asks answer by: made once for the process, and handed to each of them."""

from dataclasses import dataclass

from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.storage.ingest import Ingest
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.documents import Documents
from conferral.webhooks.child_lookup import ChildLookup
from conferral.webhooks.routing import Routing


@dataclass(frozen=True, slots=True)
class Means:
    """What is needed to answer."""

    settings: ServiceSettings
    #: Makes TwiML.
    documents: Documents
    #: Says who answers which number.
    routing: Routing
    #: Where events go, and where sessions are read.
    ingest: Ingest
    #: Asks Twilio for the other side of a bridge.
    child_lookup: ChildLookup
    #: Names the conferences of sessions whose ids browsers choose.
    conferences: ConferenceNames
    #: Where answers without Redis are counted.
    metrics: Metrics

    def __repr__(self) -> str:
        """Nothing of it: it holds addresses and secrets."""
        return "<Means>"
