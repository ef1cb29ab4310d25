"""Guards on the desired and the confirmed state of participants, supervisors included."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Event
from conferral.statemachine.session import AGENT, END_ON_EXIT_UPDATES, SUPERVISOR, ParticipantUpdate, Party, Session
from conferral.statemachine.states import SuperviseMode

#: Consecutive supervisor updates that Twilio may refuse before Conferral stops requesting more (count).
_REFUSED_MAX = 4
#: Reads after which a coached agent is hung up even if Twilio does not confirm the supervisor's mute (count).
_CONFIRMATION_READS_MAX = 2


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
    """Whether the conference is in progress, as far as known: Twilio updates no one before."""
    return not session.awaits_conference_start and not any(one.waits_for_start for one in session.participants)


def _next_difference(session: Session, party: Party) -> ParticipantUpdate | None:
    """Return the next update: hold, `EndConferenceOnExit`, supervision or mute; None if all match or one is open."""
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


# ---- supervisors, and the agent they coach -----------------------------------------------------------------------


def confirmed_supervise_mode(session: Session, party: Party) -> str:
    """Return the supervise mode that Twilio has confirmed: a `SuperviseMode`, or empty for none."""
    if not party.coaches:
        return SuperviseMode.MONITOR if party.muted else SuperviseMode.BARGE
    agent = session.present_party(AGENT)
    coaches_agent = agent is not None and party.coaches == agent.call_sid
    return SuperviseMode.WHISPER if coaches_agent and not party.muted else ""


def next_supervisor_update(session: Session, party: Party) -> ParticipantUpdate | None:
    """Return the update to request for a supervisor; None if Twilio has confirmed the desired mode.

    A supervisor who whispers to a leaving agent would be heard by everyone, so the supervisor is muted until the next
    agent joins.
    """
    wanted = party.supervises
    if wanted == SuperviseMode.WHISPER and not _agent_stays(session):
        wanted = SuperviseMode.MONITOR
    if confirmed_supervise_mode(session, party) == wanted or party.refused_updates >= _REFUSED_MAX:
        return None
    return ParticipantUpdate(wanted)


def whispers_to_leaving_agent(session: Session, party: Party) -> bool:
    """Whether an open update lets a supervisor whisper to a leaving agent: everyone would hear it."""
    return party.pending_update == ParticipantUpdate.WHISPER and not _agent_stays(session)


def _agent_stays(session: Session) -> bool:
    """Whether the agent is in the conference and not leaving."""
    agent = session.present_party(AGENT)
    return agent is not None and agent.in_conference and not agent.is_leaving


def may_hang_up(session: Session, party: Party) -> bool:
    """Whether a party that is being removed may be hung up now.

    Not the agent while a supervisor whispers to them, and not a party whose leaving ends the conference while another
    is about to be dialed.

    Source: Twilio docs, Participant resource, `CallSidToCoach` and `EndConferenceOnExit`.
    """
    if not (party.is_leaving and party.call_sid) or party.hang_up_requested or party.is_gone:
        return False
    if _would_end_conference(session, party):
        return False
    coach = session.present_party(SUPERVISOR)
    if coach is None or not coach.in_conference or party.name != AGENT:
        return True
    # Callbacks may not say whom a supervisor coaches; during a mute or whisper update, everyone may hear the
    # supervisor.
    coaches = coach.coaches or coach.pending_update in (ParticipantUpdate.WHISPER, ParticipantUpdate.MONITOR)
    gives_up = session.confirmation_reads >= _CONFIRMATION_READS_MAX or coach.refused_updates >= _REFUSED_MAX
    return gives_up or not coaches


def _would_end_conference(session: Session, party: Party) -> bool:
    """Whether a party's leaving would end a conference into which a supervisor or a new party is about to be dialed.

    Only for a while: if `EndConferenceOnExit` can't be cleared, the command fails and dials no one.
    """
    someone_will_join = any(command.awaits_end_on_exit for command in session.pending_commands)
    is_open = party.end_on_exit or party.pending_update in END_ON_EXIT_UPDATES
    return someone_will_join and party.in_conference and is_open
