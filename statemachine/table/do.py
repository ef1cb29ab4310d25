"""The actions of the table, under one name: `do.begin_command`."""

from conferral.statemachine.actions.bridge import *
from conferral.statemachine.actions.conference import *
from conferral.statemachine.actions.conversion import *
from conferral.statemachine.actions.dials import *
from conferral.statemachine.actions.guests import *
from conferral.statemachine.actions.ignored import *
from conferral.statemachine.actions.lone_party import *
from conferral.statemachine.actions.participants import *
from conferral.statemachine.actions.party_commands import *
from conferral.statemachine.actions.reads import *
from conferral.statemachine.actions.recording import *
from conferral.statemachine.actions.recovery import *
from conferral.statemachine.actions.reports import *
from conferral.statemachine.actions.session_end import *
from conferral.statemachine.actions.session_start import *
from conferral.statemachine.actions.transfer.consult import *
from conferral.statemachine.actions.transfer.handover import *
from conferral.statemachine.actions.transfer.park import *
from conferral.statemachine.actions.transfer.start import *
from conferral.statemachine.actions.waiting_party import *
