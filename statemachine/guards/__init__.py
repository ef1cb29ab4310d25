"""Guards: the table's yes-or-no questions, which change nothing."""

from conferral.statemachine.guards.calls import *
from conferral.statemachine.guards.commands import *
from conferral.statemachine.guards.conference import *
from conferral.statemachine.guards.loss import *
from conferral.statemachine.guards.outage import *
from conferral.statemachine.guards.queue import *
from conferral.statemachine.guards.reads import *
from conferral.statemachine.guards.transfer import *
from conferral.statemachine.guards.unsettled import *
from conferral.statemachine.guards.waiting_party import *
