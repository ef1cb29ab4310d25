"""Actions: what an event changes in the draft (parties, effects, timers).

They can't fail and do no I/O: the worker executes the effects after the commit. The table names the functions.
"""

from conferral.statemachine.actions.bridge import *
from conferral.statemachine.actions.commands import *
from conferral.statemachine.actions.conference import *
from conferral.statemachine.actions.dials import *
from conferral.statemachine.actions.loss import *
from conferral.statemachine.actions.observe import *
from conferral.statemachine.actions.outage import *
from conferral.statemachine.actions.participants import *
from conferral.statemachine.actions.parties import *
from conferral.statemachine.actions.queue import *
from conferral.statemachine.actions.recording import *
from conferral.statemachine.actions.reports import *
from conferral.statemachine.actions.session_end import *
from conferral.statemachine.actions.transfer import *
from conferral.statemachine.actions.transfer_start import *
