"""Transition table: what follows from each event.

Read this first, then `commands`, `stages`, `automatic`, and `unsettled`, which says when Twilio is asked.

Terms:

- *Parent* and *child* are the two calls of a bridge: the parent's `<Dial>` created the child. A conversion redirects the
  child; the action of that `<Dial>` then moves the parent.
- The *gate* is TwiML for a dialed party that must hear a message, or press a key, before it joins.

A row is `in, phase, event, when, to, do`: in this state or stage, and this phase, if the guards `when` hold, the event
leads to the state or stage `to`, and the actions `do` run. A session has these dimensions:

- State: `B` bridged (a plain `<Dial>`), `V` converting, `C` conferenced, `T` transferring, `E` ended. `LIVE` is all but
  `E`, which hangs up the legs that are still Conferral's, and ends the conference. What no row names follows
  from `DEFAULT`.
- Stage: what a transfer waits for (`S.DIALING`; implies `T`, except that one which awaits a conversion has
  `S.CONVERTING`), or a conference from the start (`O.DIALING`; implies `C`).
- Phase: how the customer is served. A transfer begins as `WARM` (all three talk), `CONSULT` (agent and target talk, the
  customer is on hold until a `swap` or `merge`), or `BLIND` (the agent leaves first). `PARK`, `PARKED`, `RETRIEVE`,
  `RECALL`, `FALLBACK`, and `VOICEMAIL` have no agent either. A bridge is `RINGING`, then `CONNECTED`; a conference is
  `CONNECTED` when it is settled: no one waits, and no transfer runs.
- The transfer's status, which few rows need: after a `merge`, the phase stays `CONSULT` (`when.is_merged`).
- Desired and confirmed state: an action only wants a hold, a mute, or end-on-exit (`desired_hold`), and `reconcile`
  requests one update per party. `held` is what Twilio has confirmed, and only that lets a transfer go on.

`step` decides an event in this order:

1. An unknown session accepts only the events that open it. A duplicate, an event that no state uses, or a timer that
   was canceled or set again meanwhile only raises the session's version. A command that was refused earlier, such as for
   its destination, is only reported.
2. The event closes the read, hangup, or timer that it reports.
3. `relevance` ignores an event that comes too late, or is not about the session's calls. Then step 4 is skipped.
4. Of the event's rows for the state, the first whose stage, phase, and guards hold is taken: first its actions run, then
   the state changes. The last row has no condition. A refusal undoes all changes.
5. The rows of `automatic`, which need no event, are tried from top to bottom, and again after each that was taken,
   until none holds. So a callback's row only records a fact, whatever the order of callbacks; what follows is
   decided here.
6. Derived timers are set.

What the table does not show:

- Facts in any order: `legs.note_facts` alone writes what is known of a leg, and its module says what wins. What a read
  says of a participant with a newer fact is replaced before the table is asked (`with_newer_facts`); guards about calls
  ask `overtakes`.
- What is unsettled, and when Twilio is asked about it: `unsettled`. The rows of `CallsRead` say what follows.
- The next phase: no column has it, actions set it. `begin_accepted_transfer` takes it from the transfer's mode;
  `continue_alone` continues without the agent, as `BLIND` or `PARK`.
- Names of parties: guards and actions find a party by the name that it has now, and actions change names. The first of
  a ring group to answer becomes `target` (`choose_winner`). When the transfer completes, the target becomes `agent`,
  and the former agent gets a number: `agent-1` (`complete_transfer`).
- The ring time: it starts with the dial's first callback or result, since the request may wait in the rate limiter.
  When it is over, `DialOverdue` reads Twilio before the dial counts as failed (`check_dials`).
- Timers: a row that leads to a stage with a limit sets `StageOverdue`. After each event, `machine` sets these for what
  may become overdue next, and cancels those of states that are over:
  - `ReadOverdue`: what is unsettled.
  - `DialOverdue`: the dials.
  - `PendingCommandOverdue`: pending commands, and the deadline of a transfer.
  - `HoldOverdue`: parties on hold.
  - `LoneOverdue`: a party that is alone.
  - `ParkOverdue`: a parked call, or a caller in a queue.
  - `AgeOverdue`: the session.

A consult, once the call is conferenced: `transfer` (`commands`) leads to `S.CLEARING_END_ON_EXIT`, and its action sets
the phase `CONSULT`. The rest is in `stages`, top to bottom; the other commands are in `commands`:

- `S.CLEARING_END_ON_EXIT`: agent and customer talk, until Twilio has confirmed that the agent may leave.
- `S.HOLDING_CUSTOMER`: the customer hears music on hold, and a recording of the conference is paused. Only when Twilio
  has confirmed both is the target dialed: customer and target never hear each other.
- `S.DIALING`: the agent hears ringing, on hold if the target must pass the gate. No one joins: `S.RETURNING_CUSTOMER`.
- `S.TALKING`: agent and target talk; `transfer` is reported as done. `swap` holds one party before it unholds the
  other; `merge` lets all three talk. Both wait in `S.UNHOLDING` for those who are to talk.
- `complete`: all are taken off hold (`S.COMPLETING`), then the agent is hung up (`S.RELEASING_AGENT`). The target
  becomes the agent, and the state is `C` again.
- `cancel`: the target is hung up (`S.CANCELLING`), then the customer is taken off hold (`S.RETURNING_CUSTOMER`): `C`.
- The customer leaves: `E` (`when.customer_has_left` in `automatic`). The agent leaves: before the target joins, the phase becomes `BLIND`, from
  `S.HOLDING_CUSTOMER` on; later, as by `complete`. The target leaves: as by `cancel`. Both leave: the fallback follows.

docs/reference/ has this package as pages and a diagram: statemachine.md, state-*.md, statemachine.svg.
"""

from collections.abc import Mapping

from conferral.statemachine import actions as do
from conferral.statemachine import events as on
from conferral.statemachine.events import Event
from conferral.statemachine.states import State
from conferral.statemachine.table.automatic import AUTOMATIC, GROUPS
from conferral.statemachine.table.commands import COMMANDS
from conferral.statemachine.table.effect_results import EFFECT_RESULTS, READS, TIMERS
from conferral.statemachine.table.facts import CALLS, CONFERENCE
from conferral.statemachine.table.row import Action, Row, Transition, expand
from conferral.statemachine.table.stages import LIMITS, TRANSFER_STAGES
from conferral.statemachine.table.unsettled import UNSETTLED

__all__ = ["DEFAULT", "GROUPS", "LIMITS", "ROWS", "TABLE", "TRANSFER_STAGES", "UNSETTLED", "Row", "Transition"]

ROWS: tuple[Row, ...] = (
    *COMMANDS, *CALLS, *CONFERENCE, *EFFECT_RESULTS, *READS, *TIMERS, *AUTOMATIC,
)  # fmt: skip
_EVENT_ORDER = {event: position for position, event in enumerate((*on.EVENTS, on.Automatic))}
_STATE_ORDER = {state: position for position, state in enumerate(State)}
#: What follows from an event that no row of its state names: a fact is out of date, while the answer to a request, or a
#: timer, has no further effect than what `machine` does with it. A command has a row in each state.
DEFAULT: Mapping[type[Event], Action] = {
    event: do.log_only if issubclass(event, on.EffectResult | on.CallsRead | on.TimerExpired) else do.ignore_late
    for event in on.EVENTS
    if not (event.ignored_because or issubclass(event, on.Command))
}
_named = tuple(expand(ROWS))
_decided = {(one.source, one.event) for one in _named if one.is_unconditional}
_defaults = (
    Transition.unconditional(state, event, action)
    for event, action in DEFAULT.items()
    for state in State
    if (state, event) not in _decided
)
#: One transition for each row, state, and event; the last of each pair, maybe the default, has no condition.
TABLE: tuple[Transition, ...] = tuple(
    sorted((*_named, *_defaults), key=lambda one: (_STATE_ORDER[one.source], _EVENT_ORDER[one.event]))
)
