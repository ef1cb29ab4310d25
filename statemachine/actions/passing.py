"""What follows when nothing does: the event is kept in the log and changes nothing."""

from conferral.statemachine.events import Event, ParticipantLeft
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.step import Outcome


def pass_over_late(scratch: Scratch, _event: Event) -> None:
    """More than this is known already."""
    scratch.pass_over(Outcome.STALE, "late: more than this is known already")


def pass_over_unknown_call(scratch: Scratch, event: Event) -> None:
    """The call is none of the session's."""
    scratch.pass_over(Outcome.UNEXPECTED, "the call is none of the session's")
    _note_over(scratch, event)


def pass_over_former(scratch: Scratch, event: Event) -> None:
    """It is of somebody who has left, or was given up, and whose place somebody else may have."""
    before = scratch.session.former_calls
    _note_over(scratch, event)
    is_news = scratch.session.former_calls is not before
    scratch.pass_over(Outcome.STAYED if is_news else Outcome.STALE, "of somebody who has left")


def _note_over(scratch: Scratch, event: Event) -> None:
    """Should a look still show a call that is over, it is nobody's company."""
    former = scratch.session.former_calls
    if isinstance(event, ParticipantLeft) and event.hung_up and event.call_sid not in former:
        scratch.change(former_calls=(*former, event.call_sid))


def note_only(scratch: Scratch, _event: Event) -> None:
    """It is kept in the log and changes nothing."""
