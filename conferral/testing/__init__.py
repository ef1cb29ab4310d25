"""What tests of your own app have: all of Conferral, on this machine."""

from conferral.testing.desk import Desk as Desk
from conferral.testing.outcomes import DeliveredOutcome as DeliveredOutcome
from conferral.testing.outcomes import DeliveredOutcomes as DeliveredOutcomes
from conferral.testing.stack import ConferralStack as ConferralStack
