"""Timers that follow from the session, so no action sets them."""

from collections.abc import Iterable

from conferral.statemachine.events import DialOverdue, LoneOverdue, OpeningOverdue, PendingCommandOverdue, TimerExpired
from conferral.statemachine.guards.transfer import early_read_at_ms
from conferral.statemachine.guards.waiting_party import is_alone, waiting_party
from conferral.statemachine.states import Opening, State
from conferral.statemachine.step import Draft


def set_derived_timers(draft: Draft) -> None:
    """Set the timers of dials, pending commands, lone and missing parties."""
    _set_to_first(draft, DialOverdue, _dial_dues(draft))
    _set_to_first(draft, PendingCommandOverdue, [command.due_ms for command in draft.session.pending_commands])
    if draft.state is State.CONFERENCED:
        _time_lone_party(draft)
        _time_missing_party(draft)


def _time_lone_party(draft: Draft) -> None:
    """Give others time to join a lone party (`CONFERRAL_LONE_GRACE`)."""
    if not is_alone(draft):
        draft.cancel_timers(LoneOverdue)
    elif LoneOverdue.timer not in draft.session.timers:
        draft.change(presence_reads=0)
        draft.set_timer(LoneOverdue, draft.policy.lone_grace_ms)


def _time_missing_party(draft: Draft) -> None:
    """Limit how long the waiting party may take, unless it is being dialed."""
    waiting, is_timed = waiting_party(draft), OpeningOverdue.timer in draft.session.timers
    if waiting is None or waiting.in_conference:
        if is_timed:
            draft.cancel_timers(OpeningOverdue)
            draft.change(repair_attempted=False)
    elif not is_timed and draft.session.opening is not Opening.CALLING:
        draft.set_timer(OpeningOverdue, draft.policy.arrive_timeout_ms)


def _dial_dues(draft: Draft) -> Iterable[int]:
    """Yield when dialed calls must be checked or read, 0 for never."""
    if draft.state is State.CONVERTING:
        return  # no one is dialed by REST
    for party in draft.session.parties.values():
        # Who took part was reached, though a talking agent's call may still be searched for.
        was_reached = party.takes_part or (party.answered and party.is_connected and not party.dial_check)
        if party.dial_id and not (party.is_gone or party.is_leaving or was_reached):
            yield party.dial_check_at_ms
            yield early_read_at_ms(draft, party)


def _set_to_first(draft: Draft, timer: type[TimerExpired], dues: Iterable[int]) -> None:
    due_ms = min(filter(None, dues), default=None)
    known_ms = draft.session.timers.get(timer.timer)
    if due_ms is None:
        draft.cancel_timers(timer)
    # A timer that is due now has been set for now, and may already be on its way.
    elif known_ms is None or not (known_ms == due_ms or due_ms < known_ms <= draft.now_ms):
        draft.set_timer(timer, due_ms - draft.now_ms)
