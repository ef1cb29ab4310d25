"""Questions about whoever supervises: what is to be asked of Twilio, and whether the coached agent may leave."""

from conferral.statemachine.session import AGENT, FLAGS, SUPERVISOR, Ask, Party, Session
from conferral.statemachine.states import SuperviseMode

#: Updates of a supervisor that Twilio may refuse in a row, before nothing more is asked (count).
_REFUSED_MAX = 4
#: Looks after which a coached agent is let go though Twilio does not confirm that the supervisor is muted (count).
_LOOKS_MAX = 2


def supervises_as(session: Session, party: Party) -> str:
    """How somebody supervises by what Twilio has confirmed: one of `SuperviseMode`, or empty for none of them."""
    if not party.coaches:
        return SuperviseMode.MONITOR if party.muted else SuperviseMode.BARGE
    agent = session.parties.get(AGENT)
    coaches_agent = agent is not None and not agent.is_gone and party.coaches == agent.call_sid
    return SuperviseMode.WHISPER if coaches_agent and not party.muted else ""


def supervisor_wish(session: Session, party: Party) -> Ask | None:
    """What is to be asked of Twilio about a supervisor; None when he is heard by whom he should be.

    Who whispers to somebody who leaves, or is about to, would be heard by all: he is muted until the next agent is
    there.
    """
    wanted = party.supervises
    if wanted == SuperviseMode.WHISPER and not _agent_stays(session):
        wanted = SuperviseMode.MONITOR
    if supervises_as(session, party) == wanted or party.refused_updates >= _REFUSED_MAX:
        return None
    return Ask(wanted)


def begins_to_whisper_in_vain(session: Session, party: Party) -> bool:
    """Whether Twilio is being asked to let somebody whisper to an agent who leaves: he would be heard by all."""
    return party.asked == Ask.WHISPER and not _agent_stays(session)


def _agent_stays(session: Session) -> bool:
    agent = session.parties.get(AGENT)
    return agent is not None and agent.in_room and not (agent.is_gone or agent.is_leaving)


def may_hang_up(session: Session, party: Party) -> bool:
    """Whether somebody who is to leave may be hung up: not the agent while a supervisor whispers to him, and nobody who
    would take the others along while somebody is about to be dialled for them.

    Source: Twilio docs, Participant resource, `CallSidToCoach` and `EndConferenceOnExit`.
    """
    if not (party.is_leaving and party.call_sid) or party.is_hung_up or party.is_gone:
        return False
    if _takes_others_along(session, party):
        return False
    coach = session.parties.get(SUPERVISOR)
    is_there = coach is not None and coach.in_room and not coach.is_gone and party.name == AGENT
    # Callbacks may not tell whom he coaches: while he is being muted, or made to whisper, he may be heard.
    coaches = is_there and coach is not None and (bool(coach.coaches) or coach.asked in (Ask.WHISPER, Ask.MONITOR))
    gives_up = session.confirm_looks >= _LOOKS_MAX or (coach is not None and coach.refused_updates >= _REFUSED_MAX)
    return not coaches or gives_up


def _takes_others_along(session: Session, party: Party) -> bool:
    """Whether somebody's leaving ends the conference in which somebody is about to be dialled.

    Not for long: where the flag can't be cleared, nobody is dialled, and the command has failed.
    """
    somebody_comes = any(order.is_clearing for order in session.orders)
    is_open = party.ends_conference or party.asked in FLAGS
    return somebody_comes and party.in_room and is_open
