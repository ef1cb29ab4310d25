"""Guards on the desired and the confirmed state of participants."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Event
from conferral.statemachine.guards.supervision import may_hang_up, next_supervisor_update, whispers_to_leaving_agent
from conferral.statemachine.session import END_ON_EXIT_UPDATES, ParticipantUpdate, Party, Session


def leaving_party_can_be_hung_up(draft: Draft, _event: Event) -> bool:
    """Whether a party that is being removed can be hung up now."""
    session = draft.session
    return any(may_hang_up(session, party) for party in [one for one in session.parties.values() if one.is_leaving])


def differs_from_desired(draft: Draft, _event: Event) -> bool:
    """Whether a participant differs from the desired state and no update is open."""
    session = draft.session
    # After most events, no one differs; with up to 250 parties, asking `next_update` about each would take too long.
    may_differ = [
        party
        for party in session.parties.values()
        if party.in_conference
        and (
            party.pending_update
            or party.supervises
            or party.held is not party.desired_hold
            or party.muted is not party.desired_mute
            or party.end_on_exit is not party.desired_end_on_exit
        )
    ]
    return any(next_update(session, party) for party in may_differ)


def next_update(session: Session, party: Party) -> ParticipantUpdate | None:
    """Return the next update to request for a participant; None if it matches or an update is open.

    A hold or a flag that is no longer desired is undone without waiting for its confirmation, and holds and unholds
    overtake `EndConferenceOnExit`: requests of one session are sent in order. The flag of a held party is left alone,
    because Twilio ignores changes to it. Twilio updates no one before the conference starts.

    Source: twilio-professional-services/flex-dialpad-addon-plugin, issue 60; Twilio docs, Errors, 16099.
    """
    if not party.in_conference:
        return None
    update = _next_difference(session, party)
    # Checked last: after most events, no participant differs.
    return update if update and _has_started(session) else None


def _has_started(session: Session) -> bool:
    return not session.awaits_conference_start and not any(one.waits_for_start for one in session.participants)


def _next_difference(session: Session, party: Party) -> ParticipantUpdate | None:
    if party.pending_update == ParticipantUpdate.HOLD and not party.desired_hold:
        return ParticipantUpdate.UNHOLD
    if party.held != party.desired_hold and (not party.pending_update or party.pending_update in END_ON_EXIT_UPDATES):
        return ParticipantUpdate.HOLD if party.desired_hold else ParticipantUpdate.UNHOLD
    if party.pending_update == ParticipantUpdate.SET_END_ON_EXIT and not party.desired_end_on_exit:
        return ParticipantUpdate.CLEAR_END_ON_EXIT
    if party.pending_update:
        return ParticipantUpdate.MONITOR if whispers_to_leaving_agent(session, party) else None
    if party.end_on_exit != party.desired_end_on_exit and not party.held:
        return ParticipantUpdate.SET_END_ON_EXIT if party.desired_end_on_exit else ParticipantUpdate.CLEAR_END_ON_EXIT
    if party.is_supervisor:
        return next_supervisor_update(session, party)
    if party.muted != party.desired_mute:
        return ParticipantUpdate.MUTE if party.desired_mute else ParticipantUpdate.UNMUTE
    return None


def is_reconciled(draft: Draft, _event: Event) -> bool:
    """Whether a confirmation was pending and every participant now matches the desired state."""
    session = draft.session
    return "confirm" in session.timers and all(
        not party.in_conference
        or (not party.pending_update and next_update(session, party) is None and (party.answered or not party.dial_id))
        for party in session.parties.values()
    )
