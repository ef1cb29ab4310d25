"""Guards on conference events, and on updates of participants."""

from conferral.statemachine import events
from conferral.statemachine.events import Event, ParticipantJoined
from conferral.statemachine.guards.outage import legs_may_show
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, Party, Session
from conferral.statemachine.states import END_ON_EXIT_UPDATES, ParticipantUpdate, SuperviseMode, UnsettledName
from conferral.statemachine.step import Draft

#: After how long a coached agent is disconnected although the supervisor's mute is unconfirmed, and an
#: `EndConferenceOnExit` that Twilio does not set is given up, milliseconds.
_MUTE_MAX_MS = 3_000
_END_ON_EXIT_MAX_MS = 7_000


def is_another_conference(draft: Draft, event: events.ConferenceEvent) -> bool:
    """Whether the event is about a conference other than the session's."""
    return bool(draft.session.conference_sid) and event.conference_sid != draft.session.conference_sid


def joins_another_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether a leg joined a second conference while the first is in use."""
    return is_another_conference(draft, event) and bool(draft.session.participants)


def precedes_repair(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the join is late: a repair has moved the party from there."""
    # The conference in use has others, so a repair moves no one out of it into another.
    party = draft.session.subject_of(event)
    was_moved = party is not None and party.in_conference and bool(party.repair_moved_at_ms)
    return was_moved and is_another_conference(draft, event)


def is_known_to_have_joined(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the join is known, but not from a callback; or this is none."""
    party = draft.session.subject_of(event)
    if party is None or event.conference_sid != draft.session.conference_sid:
        return False
    is_reported = party.conference_sequence >= 0
    if is_reported and event.sequence is None:
        return party.in_conference  # a request for wait audio, on its way together with the callback
    return party.in_conference and not is_reported and (party.answered or not party.dial_id)


def is_no_longer_expected(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the party that joined is gone or leaving (`is_leaving`)."""
    party = draft.session.subject_of(event)
    if party is None:
        return event.call_sid in draft.session.former_calls
    is_former_agent = party.is_gone and party.name.startswith(f"{AGENT}-")
    return is_former_agent or (bool(party.dial_id) and (party.is_gone or party.is_leaving))


def both_have_joined(draft: Draft, _event: Event) -> bool:
    """Whether customer and agent are in the conference.

    Others do, once the agent has left. After an outage, a customer alone may have been moved by a lost command.
    """
    session = draft.session
    if not session.customer.in_conference or session.agent.in_conference:
        return session.customer.in_conference
    others = any(one.name != CUSTOMER and not one.is_supervisor for one in session.participants)
    return session.agent.is_gone and session.running_transfer is None and (others or legs_may_show(draft))


def leg_has_joined(draft: Draft, _event: Event) -> bool:
    """Whether a leg of a bridge is in our conference."""
    return bool(draft.session.participants)


def caller_joined_alone(draft: Draft, _event: Event) -> bool:
    """Whether a bridge's child is over, and its parent is in our conference."""
    return draft.session.child.is_gone and draft.session.parent.in_conference and not legs_may_show(draft)


# ---- guards on the desired and the confirmed state of participants -------------------------------------------------


def leaving_party_can_be_hung_up(draft: Draft, _event: Event) -> bool:
    """Whether a party that is being removed can be disconnected now."""
    return any(may_hang_up(draft, party) for party in draft.session.parties.values())


def differs_from_desired(draft: Draft, _event: Event) -> bool:
    """Whether a participant with no open update differs from what is desired."""
    return any(next_update(draft.session, party) for party in draft.session.participants)


def next_update(session: Session, party: Party) -> ParticipantUpdate | None:
    """Return a participant's next update; None if none is due or one is open.

    A hold or a flag no longer desired is undone before its confirmation, and holds and unholds overtake
    `EndConferenceOnExit`: requests of one session are sent in order. Twilio ignores changes to a held party's flag,
    which is therefore cleared before a hold, if Twilio takes it, and updates no one before the conference starts.

    Source: twilio-professional-services/flex-dialpad-addon-plugin, issue 60; Twilio docs, Errors, 16099.
    """
    has_started = not any(one.waits_for_start for one in session.participants)
    if not (has_started and party.in_conference):
        return None
    if party.pending_update == ParticipantUpdate.HOLD and not party.desired_hold:
        return ParticipantUpdate.UNHOLD
    # Requests of a flag contain `Hold=false`, so they wait until a read has shown holds that Redis lost.
    awaits_read = UnsettledName.LOSS.key(party.name) in session.unsettled_since_ms
    is_set = party.end_on_exit and not (party.pending_update or awaits_read)
    may_have_flag = is_set or party.pending_update == ParticipantUpdate.SET_END_ON_EXIT
    if may_have_flag and not (party.should_have_end_on_exit_now or party.held):
        return ParticipantUpdate.CLEAR_END_ON_EXIT
    if party.held != party.desired_hold and (not party.pending_update or party.pending_update in END_ON_EXIT_UPDATES):
        return ParticipantUpdate.HOLD if party.desired_hold else ParticipantUpdate.UNHOLD
    if party.pending_update:
        # When the agent has left, everyone would hear the whisper.
        whispers_to_no_one = party.pending_update == ParticipantUpdate.WHISPER and not agent_stays(session)
        return ParticipantUpdate.MONITOR if whispers_to_no_one else None
    if party.should_have_end_on_exit_now and not (party.end_on_exit or party.held or awaits_read):
        return ParticipantUpdate.SET_END_ON_EXIT
    if party.is_supervisor:
        return next_supervisor_update(session, party)
    if party.muted != party.desired_mute:
        return ParticipantUpdate.MUTE if party.desired_mute else ParticipantUpdate.UNMUTE
    return None


def may_be_unheld_late(draft: Draft, party: Party) -> bool:
    """Whether Twilio may soon carry out a request that undoes a party's hold."""
    return bool(party.late_unhold_ms) and draft.now_ms - party.late_unhold_ms < draft.policy.late_unhold_ms


def unsettled_ms(draft: Draft, key: str) -> int:
    """Return for how long something is unsettled, milliseconds."""
    return draft.now_ms - draft.session.unsettled_since_ms.get(key, draft.now_ms)


def party_with_overdue_end_on_exit(draft: Draft, _event: Event) -> Party | None:
    """Return whose `EndConferenceOnExit` Twilio has not set in time, or None.

    It is then given up: it is only a safety net, and the party's other updates wait for it.
    """
    for party in draft.session.participants:
        key = UnsettledName.OPEN_UPDATE.key(f"{party.name} {ParticipantUpdate.SET_END_ON_EXIT}")
        if party.desired_end_on_exit and unsettled_ms(draft, key) >= _END_ON_EXIT_MAX_MS:
            return party
    return None


def confirmed_supervise_mode(session: Session, party: Party) -> str:
    """Return the confirmed supervise mode, a `SuperviseMode` or empty."""
    if not party.coaches:
        return SuperviseMode.MONITOR if party.muted else SuperviseMode.BARGE
    coaches_agent = party.coaches == session.agent.call_sid and not session.agent.is_gone
    return SuperviseMode.WHISPER if coaches_agent and not party.muted else ""


def next_supervisor_update(session: Session, party: Party) -> ParticipantUpdate | None:
    """Return the next update of a supervisor; None if the mode is confirmed."""
    wanted = party.supervises
    if wanted == SuperviseMode.WHISPER and not agent_stays(session):
        # Everyone would hear the supervisor, who is muted until the next agent joins.
        wanted = SuperviseMode.MONITOR
    return None if confirmed_supervise_mode(session, party) == wanted else ParticipantUpdate(wanted)


def agent_stays(session: Session) -> bool:
    """Whether the agent is in the conference, and not about to leave."""
    agent = session.agent
    return agent.in_conference and not (agent.is_leaving or agent.is_gone)


def may_hang_up(draft: Draft, party: Party) -> bool:
    """Whether a party that is being removed may be disconnected now.

    Not the agent while a supervisor whispers to them, nor a party whose leaving ends a conference that another joins.

    Source: Twilio docs, Participant resource, `CallSidToCoach` and `EndConferenceOnExit`.
    """
    session = draft.session
    if not (party.is_leaving and party.call_sid) or party.hang_up_requested or party.is_gone:
        return False
    # Only for a while: if the flag can't be cleared, the command fails and dials no one.
    someone_will_join = any(command.awaits_end_on_exit_cleared for command in session.pending_commands)
    is_open = party.end_on_exit or party.pending_update in END_ON_EXIT_UPDATES
    if someone_will_join and party.in_conference and is_open:
        return False
    coach = session.present_party(SUPERVISOR)
    if coach is None or not coach.in_conference or party.name != AGENT:
        return True
    # Callbacks may not say whom a supervisor coaches; during a mute or whisper update, everyone may hear them.
    coaches = coach.coaches or coach.pending_update in (ParticipantUpdate.WHISPER, ParticipantUpdate.MONITOR)
    mute = UnsettledName.OPEN_UPDATE.key(f"{SUPERVISOR} {ParticipantUpdate.MONITOR}")
    return not coaches or unsettled_ms(draft, mute) >= _MUTE_MAX_MS
