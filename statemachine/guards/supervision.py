"""Questions about whoever supervises: what is to be asked of Twilio, and whether the coached agent may leave."""

from conferral.statemachine.session import AGENT, END_ON_EXIT_UPDATES, SUPERVISOR, ParticipantUpdate, Party, Session
from conferral.statemachine.states import SuperviseMode

#: Updates of a supervisor that Twilio may refuse in a row, before nothing more is asked (count).
_REFUSED_MAX = 4
#: Looks after which a coached agent is let go though Twilio does not confirm that the supervisor is muted (count).
_CONFIRMATION_READS_MAX = 2


def confirmed_supervise_mode(session: Session, party: Party) -> str:
    """How somebody supervises by what Twilio has confirmed: one of `SuperviseMode`, or empty for none of them."""
    if not party.coaches:
        return SuperviseMode.MONITOR if party.muted else SuperviseMode.BARGE
    agent = session.parties.get(AGENT)
    coaches_agent = agent is not None and not agent.is_gone and party.coaches == agent.call_sid
    return SuperviseMode.WHISPER if coaches_agent and not party.muted else ""


def next_supervisor_update(session: Session, party: Party) -> ParticipantUpdate | None:
    """What is to be asked of Twilio about a supervisor; None when he is heard by whom he should be.

    Who whispers to somebody who leaves, or is about to, would be heard by all: he is muted until the next agent is
    there.
    """
    wanted = party.supervises
    if wanted == SuperviseMode.WHISPER and not _agent_stays(session):
        wanted = SuperviseMode.MONITOR
    if confirmed_supervise_mode(session, party) == wanted or party.refused_updates >= _REFUSED_MAX:
        return None
    return ParticipantUpdate(wanted)


def whispers_to_leaving_agent(session: Session, party: Party) -> bool:
    """Whether Twilio is being asked to let somebody whisper to an agent who leaves: he would be heard by all."""
    return party.pending_update == ParticipantUpdate.WHISPER and not _agent_stays(session)


def _agent_stays(session: Session) -> bool:
    agent = session.parties.get(AGENT)
    return agent is not None and agent.in_conference and not (agent.is_gone or agent.is_leaving)


def may_hang_up(session: Session, party: Party) -> bool:
    """Whether somebody who is to leave may be hung up: not the agent while a supervisor whispers to him, and nobody who
    would take the others along while somebody is about to be dialled for them.

    Source: Twilio docs, Participant resource, `CallSidToCoach` and `EndConferenceOnExit`.
    """
    if not (party.is_leaving and party.call_sid) or party.hang_up_requested or party.is_gone:
        return False
    if _would_end_conference(session, party):
        return False
    coach = session.parties.get(SUPERVISOR)
    is_there = coach is not None and coach.in_conference and not coach.is_gone and party.name == AGENT
    # Callbacks may not tell whom he coaches: while he is being muted, or made to whisper, he may be heard.
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
    """Whether somebody's leaving ends the conference in which somebody is about to be dialled.

    Not for long: where the flag can't be cleared, nobody is dialled, and the command has failed.
    """
    somebody_comes = any(command.awaits_end_on_exit for command in session.pending_commands)
    is_open = party.end_on_exit or party.pending_update in END_ON_EXIT_UPDATES
    return somebody_comes and party.in_conference and is_open
