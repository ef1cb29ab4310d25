"""Transition table over the five states, one file per kind of event.

The first row of an event whose guard agrees is taken; a row without a guard comes last. Then the rows of `automatic`
are tried, until none fits. `stages` divides `transferring`.

Every pair (state, event) is in `TABLE`, or in `IGNORED` with the reason; tests count them. `docs/statemachine.md` and
its diagram are generated from here.
"""

from conferral.statemachine.events import EVENTS, Automatic
from conferral.statemachine.states import State
from conferral.statemachine.table.automatic import AUTOMATIC
from conferral.statemachine.table.calls import CALLS
from conferral.statemachine.table.commands import COMMANDS
from conferral.statemachine.table.conference import CONFERENCE
from conferral.statemachine.table.effect_results import EFFECT_RESULTS
from conferral.statemachine.table.ignored import IGNORED
from conferral.statemachine.table.reads import READS
from conferral.statemachine.table.row import Ignored, Refuse, Row, Transition, expand
from conferral.statemachine.table.stages import LIMITS, STAGES, TIMEOUTS
from conferral.statemachine.table.timers import TIMERS

__all__ = ["IGNORED", "LIMITS", "ROWS", "STAGES", "TABLE", "Ignored", "Refuse", "Row", "Transition"]

ROWS: tuple[Row | Refuse, ...] = (
    *COMMANDS, *CALLS, *CONFERENCE, *EFFECT_RESULTS, *READS, *TIMEOUTS, *TIMERS, *AUTOMATIC,
)  # fmt: skip
_EVENT_ORDER = {event: position for position, event in enumerate((*EVENTS, Automatic))}
_STATE_ORDER = {state: position for position, state in enumerate(State)}
#: One transition for each row, state, and event.
TABLE: tuple[Transition, ...] = tuple(
    sorted(expand(ROWS), key=lambda one: (_STATE_ORDER[one.source], _EVENT_ORDER[one.event]))
)
