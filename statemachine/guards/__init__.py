"""Guards: yes-or-no questions about a draft and an event, which the table evaluates from top to bottom.

Each takes the draft (session, time, policy) and the event, and changes nothing. There is one file per part of a
conversation.
"""

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
