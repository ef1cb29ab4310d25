"""Guards on supervisors: the next update to request, and whether the coached agent may be hung up."""

from conferral.statemachine.session import AGENT, END_ON_EXIT_UPDATES, SUPERVISOR, ParticipantUpdate, Party, Session
from conferral.statemachine.states import SuperviseMode

#: Consecutive supervisor updates that Twilio may refuse before Conferral stops requesting more (count).
_REFUSED_MAX = 4
#: Reads after which a coached agent is hung up even if Twilio does not confirm the supervisor's mute (count).
_CONFIRMATION_READS_MAX = 2


def confirmed_supervise_mode(session: Session, party: Party) -> str:
    """Return the supervise mode that Twilio has confirmed: a `SuperviseMode`, or empty for none."""
    if not party.coaches:
        return SuperviseMode.MONITOR if party.muted else SuperviseMode.BARGE
    agent = session.parties.get(AGENT)
    coaches_agent = agent is not None and not agent.is_gone and party.coaches == agent.call_sid
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
    agent = session.parties.get(AGENT)
    return agent is not None and agent.in_conference and not (agent.is_gone or agent.is_leaving)


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
    coach = session.parties.get(SUPERVISOR)
    is_there = coach is not None and coach.in_conference and not coach.is_gone and party.name == AGENT
    # Callbacks may not say whom a supervisor coaches; during a mute or whisper update, everyone may hear the
    # supervisor.
    coaches = (
        is_there
        and coach is not None
        and (bool(coach.coaches) or coach.pending_update in (ParticipantUpdate.WHISPER, ParticipantUpdate.MONITOR))
    )
    gives_up = session.confirmation_reads >= _CONFIRMATION_READS_MAX or (
        coach is not None and coach.refused_updates >= _REFUSED_MAX
    )
    return not coaches or gives_up


def _would_end_conference(session: Session, party: Party) -> bool:
    """Whether a party's leaving would end a conference into which a supervisor or a new party is about to be dialed.

    Only for a while: if `EndConferenceOnExit` can't be cleared, the command fails and dials no one.
    """
    someone_will_join = any(command.awaits_end_on_exit for command in session.pending_commands)
    is_open = party.end_on_exit or party.pending_update in END_ON_EXIT_UPDATES
    return someone_will_join and party.in_conference and is_open
