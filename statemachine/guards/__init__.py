"""Guards: the table's yes-or-no questions, which change nothing."""

from conferral.statemachine.guards.calls import *
from conferral.statemachine.guards.conference import *
from conferral.statemachine.guards.conversion import *
from conferral.statemachine.guards.effect_results import *
from conferral.statemachine.guards.ended_session import *
from conferral.statemachine.guards.guests import *
from conferral.statemachine.guards.participants import *
from conferral.statemachine.guards.pending_commands import *
from conferral.statemachine.guards.reads import *
from conferral.statemachine.guards.recording import *
from conferral.statemachine.guards.recovery import *
from conferral.statemachine.guards.transfer import *
from conferral.statemachine.guards.waiting_party import *
