"""The queue: a caller hears music while desks are rung in turn."""

from conferral.statemachine import events
from conferral.statemachine.actions import reports
from conferral.statemachine.actions.conference import stop_waiting
from conferral.statemachine.actions.dials import agent_options, dial
from conferral.statemachine.actions.participants import want_hold
from conferral.statemachine.actions.transfer import begin_place
from conferral.statemachine.events import Event
from conferral.statemachine.reasons import EndReason, Reason
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.statemachine.states import Phase, Place, TransferMode, TransferStatus, WaitAudio
from conferral.statemachine.step import CommandStatus, Draft, not_none


def skip_queue(draft: Draft, _event: Event) -> None:
    """Leave out the queue: no desk of the number is there."""
    fallback = tuple(place for place in draft.transfer.fallback if place != Place.QUEUE)
    draft.change_transfer(fallback=fallback)


def begin_queue(draft: Draft, _event: Event) -> None:
    """Let the caller wait in the queue: the fallback is over until then."""
    begin_place(draft, Phase.QUEUED)
    reports.conclude_transfer(draft, "failed")
    want_hold(draft, CUSTOMER, WaitAudio.MUSIC)
    since_ms = draft.now_ms - 1000 * draft.session.queued_before_s
    draft.change(
        queued_since_ms=since_ms,
        parked_until_ms=since_ms + 1000 * draft.session.queue.limit_s,
        open_redirects=(),
        repair_attempted=False,
        first_to_leave="",
    )


def offer(draft: Draft, event: events.Offer) -> None:
    """Ring a desk for the caller who waits."""
    draft.report(event.command_id, CommandStatus.DONE)
    dial(draft, AGENT, event.to, options=agent_options(draft, event.to))


def note_taken_from_queue(draft: Draft, _event: Event) -> None:
    """Record that a desk has taken the caller from the queue."""
    draft.change(left_queue=True)


def leave_queue_at_limit(draft: Draft, _event: Event) -> None:
    """Continue the fallback: no desk took the caller in time."""
    _leave_queue(draft, EndReason.QUEUE_LIMIT)


def leave_queue_without_desk(draft: Draft, _event: events.DesksLeft) -> None:
    """Continue the fallback: no desk has been there for a while."""
    _leave_queue(draft, Reason.AWAY)


def _leave_queue(draft: Draft, why: Reason | EndReason) -> None:
    places = not_none(draft.session.transfer).places_left
    stop_waiting(draft)
    draft.change(phase=Phase.FALLBACK)
    draft.begin_transfer(
        TransferMode.INBOUND, to=(), status=TransferStatus.FAILED, reason=why, unreached=why, fallback=places
    )
