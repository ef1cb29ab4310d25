"""What follows when nothing does: the event is kept in the log and changes nothing."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Event, ParticipantLeft
from conferral.statemachine.step import Outcome


def ignore_late(draft: Draft, _event: Event) -> None:
    """More than this is known already."""
    draft.ignore(Outcome.STALE, "late: more than this is known already")


def ignore_unknown_call(draft: Draft, event: Event) -> None:
    """The call is none of the session's."""
    draft.ignore(Outcome.UNEXPECTED, "the call is none of the session's")
    _note_ended(draft, event)


def ignore_former_party(draft: Draft, event: Event) -> None:
    """It is of somebody who has left, or was given up, and whose place somebody else may have."""
    before = draft.session.former_calls
    _note_ended(draft, event)
    is_news = draft.session.former_calls is not before
    draft.ignore(Outcome.STAYED if is_news else Outcome.STALE, "of somebody who has left")


def _note_ended(draft: Draft, event: Event) -> None:
    """Should a look still show a call that is over, it is nobody's company."""
    former = draft.session.former_calls
    if isinstance(event, ParticipantLeft) and event.hung_up and event.call_sid not in former:
        draft.change(former_calls=(*former, event.call_sid))


def log_only(draft: Draft, _event: Event) -> None:
    """It is kept in the log and changes nothing."""
