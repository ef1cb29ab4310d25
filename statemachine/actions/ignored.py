"""Ignored events: logged, with no change to the session."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Event, ParticipantLeft
from conferral.statemachine.step import Outcome


def ignore_late(draft: Draft, _event: Event) -> None:
    """Ignore: newer facts are known."""
    draft.ignore(Outcome.STALE, "out of date, ignored")


def ignore_unknown_call(draft: Draft, event: Event) -> None:
    """Ignore: the call does not belong to the session."""
    draft.ignore(Outcome.UNEXPECTED, "the call does not belong to the session")
    _note_ended(draft, event)


def ignore_former_party(draft: Draft, event: Event) -> None:
    """Ignore: the event is about a party that left or was given up."""
    before = draft.session.former_calls
    _note_ended(draft, event)
    is_news = draft.session.former_calls is not before
    draft.ignore(Outcome.STAYED if is_news else Outcome.STALE, "the party has left")


def _note_ended(draft: Draft, event: Event) -> None:
    """Remember a call that is over: if a read still shows it, it doesn't count as a party."""
    former = draft.session.former_calls
    if isinstance(event, ParticipantLeft) and event.hung_up and event.call_sid not in former:
        draft.change(former_calls=(*former, event.call_sid))


def log_only(draft: Draft, _event: Event) -> None:
    """Log the event only."""
