"""Questions about what is wanted of participants, and what Twilio has confirmed."""

from conferral.statemachine.events import Event
from conferral.statemachine.guards.supervising import begins_to_whisper_in_vain, may_hang_up, supervisor_wish
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import FLAGS, Ask, Party, Session


def has_call_to_hang_up(scratch: Scratch, _event: Event) -> bool:
    """Whether somebody who is to leave has a call that was not told so yet."""
    session = scratch.session
    return any(party.is_leaving and may_hang_up(session, party) for party in session.parties.values())


def differs_from_wanted(scratch: Scratch, _event: Event) -> bool:
    """Whether a participant is not as wanted and nothing was asked of Twilio about it."""
    session = scratch.session
    return any(party.in_room and next_ask(session, party) for party in session.parties.values())


def has_started(session: Session) -> bool:
    """Whether nothing says that the conference has not started."""
    return not session.is_idle and not any(party.waits for party in session.in_room)


def next_ask(session: Session, party: Party) -> Ask | None:
    """What is to be asked of Twilio about a participant next; None when it is as wanted, or an answer is awaited.

    A hold that is no longer wanted is undone without waiting for its confirmation, and holds and unholds overtake
    flags: requests of one session are sent in order. A held party's flag stays as it is: Twilio ignores changes of it.
    Before the conference starts, Twilio changes no one.

    Source: twilio-professional-services/flex-dialpad-addon-plugin, issue 60; Twilio docs, Errors, 16099.
    """
    if party.is_gone or not party.in_room or not has_started(session):
        return None
    if party.asked == Ask.HOLD and not party.hold_wanted:
        return Ask.UNHOLD
    if party.held != party.hold_wanted and (not party.asked or party.asked in FLAGS):
        return Ask.HOLD if party.hold_wanted else Ask.UNHOLD
    if begins_to_whisper_in_vain(session, party):
        return Ask.MONITOR
    if party.asked:
        return None
    if party.ends_conference != party.end_wanted and not party.held:
        return Ask.SET_END if party.end_wanted else Ask.CLEAR_END
    if party.is_supervisor:
        return supervisor_wish(session, party)
    if party.muted != party.mute_wanted:
        return Ask.MUTE if party.mute_wanted else Ask.UNMUTE
    return None


def is_confirmed(scratch: Scratch, _event: Event) -> bool:
    """Whether a confirmation was waited for and everything is as wanted now."""
    session = scratch.session
    return "confirm" in session.timers and all(
        party.is_gone
        or not party.in_room
        or (not party.asked and next_ask(session, party) is None and (party.answered or not party.dial_id))
        for party in session.parties.values()
    )
