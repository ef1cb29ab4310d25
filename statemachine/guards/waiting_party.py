"""Guards on who is in the conference with whom, and on the waiting party."""

from conferral.statemachine import events
from conferral.statemachine.effects import CreateParticipant
from conferral.statemachine.events import Event
from conferral.statemachine.guards.calls import leg_may_be_moving, outbound_is_still_bridged, party_of_dial
from conferral.statemachine.guards.conference import is_another_conference
from conferral.statemachine.guards.loss import agent_is_awaited, lost_agent
from conferral.statemachine.guards.outage import is_found_guest, was_left_in_outage
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, Party, Session
from conferral.statemachine.states import (
    KEPT_WAITING,
    WITHOUT_AGENT,
    CallStatus,
    Opening,
    PartyStatus,
    Phase,
    State,
    SuperviseMode,
    TransferMode,
    TransferStage,
    WaitAudio,
)
from conferral.statemachine.step import Draft

#: Phases in which the customer waits; while parked, for someone to retrieve the call.
_WAITING = WITHOUT_AGENT | KEPT_WAITING
#: Stages in which a customer without an agent waits for an answer.
_WAITS_FOR_ANSWER = (TransferStage.DIALING, TransferStage.WAITING_TO_RECALL)
#: Presence reads that show another conference without company before a lone party, who is billed, is alone (count).
_PRESENCE_READS_MAX = 15


def present_parties(session: Session) -> tuple[Party, ...]:
    """Return the participants except supervisors and muted guests."""
    present = (party for party in session.participants if not party.supervises)
    return tuple(party for party in present if not (party.is_muted_guest and party.muted))


def someone_is_being_dialed(session: Session) -> bool:
    """Whether a dialed party, or one about to be dialed, may still join."""
    rings = any(is_being_dialed(party) for party in session.parties.values())
    return rings or any(
        command.name == "add" and command.awaits_end_on_exit_cleared for command in session.pending_commands
    )


def is_being_dialed(party: Party) -> bool:
    """Whether a dialed party may still join."""
    # One that took part and was removed by another app won't.
    was_in = party.answered and party.status is PartyStatus.CONNECTED
    return bool(party.dial_id) and not (party.is_gone or party.is_leaving or was_in or party.is_supervisor)


def possible_starters(session: Session) -> tuple[Party, ...]:
    """Return who may have answered and started the conference, unseen.

    A start proves that another party is in, whose join or answer may be reported later. A participant that does not
    wait for a start explains it alone. Left out are phones with early media, which start it while they still ring, and
    parties known to have answered: they count as company already (`has_company`).
    """
    if not all(one.waits_for_start for one in session.participants if not one.is_supervisor):
        return ()
    dialed = (one for one in session.parties.values() if is_being_dialed(one))
    return tuple(one for one in dialed if not (one.in_conference or one.early_media or _may_join(one)))


def waiting_party(draft: Draft) -> Party | None:
    """Return the party that waits alone on purpose; None if there is none.

    It is the customer whom the agent has left or is leaving; or, from the start, the parent, for whom the child is
    dialed.
    """
    session = draft.session
    if session.phase in _WAITING:
        return None if session.is_in_voicemail else session.customer
    return None if session.opening is Opening.OVER else session.parent


def party_in_silence(draft: Draft, _event: Event) -> Party | None:
    """Return who waits alone, off hold, in a conference that plays no music.

    It is the customer, for whom someone is or will be dialed, or the last party while an added party rings or is in
    the gate. Next to a customer on hold, it is the only one off hold: an added party of a parked call, or the agent of
    a consult who hears no ringing. While an agent whose leg was lost is rung again, it is the one who is left alone.
    """
    session = draft.session
    keeps_hold = keeps_found_hold(draft, session.customer)
    is_apart = session.phase in (Phase.PARKED, Phase.CONSULT) or keeps_hold
    found = [party for party in present_parties(session) if not (is_apart and party.desired_hold)]
    party = found[0] if len(found) == 1 else None  # Twilio never plays wait music in a started conference again
    if party is None or party.waits_for_start or party.desired_hold or has_company(session, party):
        return None
    if agent_is_awaited(session) or keeps_hold:
        return party
    if session.phase in _WAITING and party.name == CUSTOMER:
        return party if party.wait_audio else None
    # An open command decides itself who is on hold, or plays something.
    if any(one.party == party.name or one.name == events.Announce.name for one in session.pending_commands):
        return None
    if session.phase is Phase.PARKED:
        return None if _held_for_park(session) else party  # the two will talk
    if session.phase is Phase.CONSULT:
        return party if party.name == AGENT and party.wait_audio is WaitAudio.RINGBACK else None
    # Twilio ignores changes of a held party's flag.
    is_changing = party.pending_update or party.end_on_exit
    rings = any(is_being_dialed(one) for one in session.parties.values())
    is_left = party.name == CUSTOMER and was_left_in_outage(draft)
    return party if is_settled(draft) and (is_left or (rings and not is_changing)) else None


def party_on_needless_hold(draft: Draft, _event: Event) -> Party | None:
    """Return who is on hold for a dial, but could talk to another, or soon."""
    party = party_on_hold(draft)
    return party if party is not None and has_company(draft.session, party) else None


def party_on_hold(draft: Draft) -> Party | None:
    """Return who is on hold because no one else is there yet, or None."""
    session, party = draft.session, None
    if session.phase in WITHOUT_AGENT:
        party = session.customer if draft.transfer.stage in _WAITS_FOR_ANSWER else None
        party = None if party is not None and keeps_found_hold(draft, party) else party
    elif session.phase is Phase.QUEUED:
        party = session.customer
    elif session.phase is Phase.PARKED:
        party = _held_for_park(session)
    elif session.phase is Phase.WARM:  # the agent was lost before the target answered
        party = session.customer
    elif session.phase is Phase.CONSULT or is_settled(draft):
        hear_ringing = (one for one in session.participants if one.wait_audio is WaitAudio.RINGBACK)
        party = next((one for one in hear_ringing if one.desired_hold), None)
        if is_settled(draft) and session.agent.is_gone and lost_agent(session) is None:
            party = party or next((one for one in session.participants if one.is_on_found_hold), None)
    is_held = party is not None and party.desired_hold and not party.waits_for_start  # or it hears wait audio
    return party if is_held else None


def keeps_found_hold(draft: Draft, party: Party) -> bool:
    """Whether a hold from before an outage outlasts the agent's lost leg.

    Whom the customer was not to hear is still there, and the agent is rung again.
    """
    guests = (one for one in present_parties(draft.session) if is_found_guest(one) and not one.is_leaving)
    is_rung = draft.session.phase is Phase.RECALL and draft.transfer.mode is TransferMode.LOSS
    is_awaited = is_rung or (is_settled(draft) and lost_agent(draft.session) is not None)
    return is_awaited and party.is_on_found_hold and any(guests)


def has_company(session: Session, party: Party) -> bool:
    """Whether a party has, or will soon have, someone to talk or listen to."""
    others = (one for one in present_parties(session) if one.name != party.name and not one.is_leaving)
    can_talk = any(not one.desired_hold and (one.answered or not one.dial_id) for one in others)
    # Who answered, and is not held back by the gate, is about to join: that callback may take seconds.
    arriving = (one for one in session.parties.values() if one.may_be_inside or _may_join(one))
    return can_talk or any(map(is_being_dialed, arriving)) or _hears_supervisor(session, party)


def _may_join(party: Party) -> bool:
    return party.answered and (party.has_passed_gate or not party.is_gated)


def _held_for_park(session: Session) -> Party | None:
    """Return who is on hold because a parked call left them alone, or None."""
    others = (party for party in present_parties(session) if party.name != CUSTOMER)
    return next((party for party in others if party.desired_hold), None)


def _hears_supervisor(session: Session, party: Party) -> bool:
    """Whether a supervisor talks to the party; no whisper reaches a held one."""
    supervisor = session.parties.get(SUPERVISOR)
    if supervisor is None or not supervisor.in_conference:
        return False
    whispers = supervisor.supervises == SuperviseMode.WHISPER and party.name == AGENT
    return whispers or supervisor.supervises == SuperviseMode.BARGE


def is_settled(draft: Draft) -> bool:
    """Whether a conference has no transfer, opening, or parked call."""
    session = draft.session
    return draft.state is State.CONFERENCED and session.phase is Phase.CONNECTED and session.opening is Opening.OVER


def no_one_waits(draft: Draft) -> bool:
    """Whether no one waits, and no transfer runs: settled, or converting."""
    return draft.session.phase is Phase.NONE or is_settled(draft)


def customer_hold_failed(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether the lone customer's hold failed: the conference has not started."""
    session = draft.session
    customer = session.customer
    is_theirs = customer.update_effect_id == event.effect_id
    hears_nothing = customer.desired_hold and present_parties(session) == (customer,)
    return session.phase in _WAITING and is_theirs and event.code in events.NOT_STARTED and hears_nothing


def may_be_back(party: Party) -> bool:
    """Whether a party took part, left without hanging up, and may be back."""
    took_part = party.status is PartyStatus.CONNECTED and (party.answered or not party.dial_id)
    return took_part and not (party.in_conference or party.is_leaving)


def is_empty(draft: Draft, _event: Event) -> bool:
    """Whether the conference has no party but supervisors, and none waits.

    Two who left without hanging up may talk where no callback says so: the lone grace reads Twilio first.
    """
    session = draft.session
    if present_parties(session) or waiting_party(draft) is not None:
        return False
    may_talk = [party for party in session.parties.values() if not party.is_supervisor and may_be_back(party)]
    return len(may_talk) < 2


def is_alone(draft: Draft) -> bool:
    """Whether at most one party is present, no one is dialed, and none waits."""
    session = draft.session
    present = present_parties(session)
    return len(present) < 2 and waiting_party(draft) is None and not someone_is_being_dialed(session)


def presence_is_uncertain(draft: Draft) -> bool:
    """Whether an event may be missing, and no read made up for it.

    Callbacks get lost, and after a loss, Redis does not know later joins. Missing numbers only trigger a read, because
    Twilio does not promise gapless ones.
    """
    session, newest = draft.session, draft.event
    seen = session.seen.with_event(newest.source, newest.sequence, newest.token)
    if session.presence_reads >= _PRESENCE_READS_MAX:
        return False
    if seen.has_gap(session.conference_sid, session.verified_sequence):
        return True
    waits = waiting_party(draft)
    others = (party for party in session.parties.values() if not (party.is_supervisor or party is waits))
    return any(may_be_back(party) and party.known_version > session.verified_version for party in others)


def park_is_over(draft: Draft) -> bool:
    """Whether a parked call, or a caller in a queue, has waited long enough."""
    is_over = draft.session.phase in KEPT_WAITING and 0 < draft.session.parked_until_ms <= draft.now_ms
    return is_over and not someone_is_being_dialed(draft.session)  # in a queue, an offer is finished first


def no_one_retrieves(draft: Draft, _event: Event) -> bool:
    """Whether the park is over, and no missing callback may show otherwise."""
    return park_is_over(draft) and not presence_is_uncertain(draft)


def stays_alone(draft: Draft, _event: Event) -> bool:
    """Whether a party is alone after the grace, as far as callbacks show."""
    is_over = 0 < draft.session.lone_until_ms <= draft.now_ms and is_alone(draft)
    return is_over and not presence_is_uncertain(draft)


def customer_was_left_alone(draft: Draft, event: Event) -> bool:
    """Whether the customer stays alone since an outage."""
    return _only_customer_remains(draft.session) and was_left_in_outage(draft) and stays_alone(draft, event)


def customer_stays_alone(draft: Draft, event: Event) -> bool:
    """Whether it is the customer who stays alone, and there is an `after` URL."""
    has_url = bool(draft.session.attributes.after_url)
    return has_url and _only_customer_remains(draft.session) and stays_alone(draft, event)


def _only_customer_remains(session: Session) -> bool:
    return [party.name for party in present_parties(session)] == [CUSTOMER]


def parked_call_was_retrieved(draft: Draft, _event: Event) -> bool:
    """Whether an agent is with a customer who waited.

    In a queue, the agent was offered the call; of a parked call, Redis lost the retrieval.
    """
    session = draft.session
    return session.agent.takes_part and not session.agent.is_leaving and session.customer.in_conference


def customer_left_for_after_url(draft: Draft, event: events.DialEnded) -> bool:
    """Whether the customer left, and continues at the `after` URL."""
    party = draft.session.subject_of(event)
    is_customer = party is not None and party.name == CUSTOMER and not event.party_is_gone
    comes_out = event.dial_kind == "conference" and waiting_party(draft) is None
    return bool(draft.session.attributes.after_url) and is_customer and comes_out


def waiting_party_has_left(draft: Draft, _event: Event) -> bool:
    """Whether the waiting party hung up, or was never reached."""
    found = waiting_party(draft)
    return found is not None and found.is_gone


def waiting_party_has_joined(draft: Draft, _event: Event) -> bool:
    """Whether the waiting party is there, so the other can be dialed."""
    return draft.session.parent.in_conference and not draft.session.parent.is_leaving


def expected_party_takes_part(draft: Draft, _event: Event) -> bool:
    """Whether the expected party talks to the waiting party."""
    return draft.session.parent.in_conference and draft.session.child.takes_part


def next_agent_is_due(draft: Draft, event: Event) -> bool:
    """Whether the dialed agent was not reached, and there is another one."""
    session = draft.session
    return expected_party_failed(draft, event) and session.agent_number + 1 < len(session.agents)


def may_ring_next_agent(session: Session) -> bool:
    """Whether another agent may be rung from the conference: presence counts."""
    is_opening = session.opening in (Opening.ARRIVING, Opening.DIALING)
    return is_opening and session.agent_number + 1 < len(session.agents)


def expected_party_failed(draft: Draft, _event: Event) -> bool:
    """Whether the expected party could not be reached."""
    return draft.session.child.is_gone


def will_rejoin(draft: Draft, party: Party, event: events.ParticipantLeft) -> bool:
    """Whether the party waits and its call continues: its `<Dial>` rejoins it."""
    # Twilio may report a wait document that it could not fetch like a hangup.
    found = waiting_party(draft)
    if draft.state is State.CONFERENCED:
        waits = found is not None and party.name == found.name
    else:
        waits = party.name == CUSTOMER or (party.name == AGENT and draft.state is State.CONVERTING)
    return event.call_continues and waits and not party.is_leaving


def waiting_party_lost_conference(draft: Draft, _event: events.ConferenceEnded | events.ParticipantJoined) -> bool:
    """Whether a party waited in it alone: its `<Dial>` action joins another."""
    # Twilio removed it because the wait audio failed; or the agent, alone in the conference, left before it joined.
    found = waiting_party(draft)
    others = any(found is None or party.name != found.name for party in draft.session.participants)
    return found is not None and not (draft.state is State.TRANSFERRING and others)


def dial_lacks_conference(draft: Draft, event: events.EffectFailed) -> bool:
    """Whether a dial failed for want of a conference, which is about to start.

    It has not started; or it ended, and the waiting party is on the way to another.
    """
    lacks_one = event.code in events.NOT_STARTED or (event.gone and waiting_party(draft) is not None)
    party = party_of_dial(draft, event) if lacks_one and event.kind == CreateParticipant.kind else None
    return party is not None and not (party.is_leaving or party.call_sid)


def waiting_party_joined_another_conference(draft: Draft, event: events.ParticipantJoined) -> bool:
    """Whether the waiting party's join precedes the old conference's end."""
    found = waiting_party(draft)
    is_theirs = found is not None and event.call_sid == found.call_sid
    return is_theirs and is_another_conference(draft, event) and waiting_party_lost_conference(draft, event)


def shows_waiting_party_missing(draft: Draft, event: events.CallsRead) -> bool:
    """Whether a redirect is to bring in the waiting party, whose call is live."""
    return not draft.session.repair_attempted and _is_waiting_party_missing(draft, event)


def _is_waiting_party_missing(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the waiting party's call is live but not in the conference."""
    found = waiting_party(draft)
    if found is None or found.in_conference or found.is_leaving:
        return False
    if draft.state is State.TRANSFERRING:
        is_elsewhere = _is_still_bridged(draft, event)
    else:
        # Not expected in the conference until the gate accepts the call. A party that the conference never showed may
        # have gotten another document and be talking.
        is_elsewhere = draft.session.opening is Opening.CALLING or not has_reached_conference(draft, found)
    return (
        not is_elsewhere
        # Such a leg may not be listed yet; a second move would take it out again.
        and not leg_may_be_moving(draft, event)
        and event.status_of(found.call_sid) == CallStatus.IN_PROGRESS
        and not found.overtakes(event)
        and all(seen.call_sid != found.call_sid for seen in event.participants)
    )


def _is_still_bridged(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the agent's hangup has not ended the bridge, or only just."""
    # A redirect that crosses with the hangup would take the customer out of the conference again. The hangup and
    # the read are sent together, so the read may show the agent's call as completed while the customer is on the way.
    agent = draft.session.agent
    if outbound_is_still_bridged(draft, event):
        return False  # the customer's own redirect moves them, not the agent's hangup
    if agent.hang_up_effect_id:
        return event.status_of(agent.call_sid) == CallStatus.IN_PROGRESS
    return agent.hang_up_requested and not agent.is_gone and draft.transfer.stage is TransferStage.MOVING_CUSTOMER


def has_reached_conference(draft: Draft, party: Party) -> bool:
    """Whether a waiting party has ever been in the conference."""
    was_shown = party.has_rejoined or party.answered or party.conference_sequence >= 0
    return was_shown or bool(draft.session.former_conferences)


def is_actually_bridged(draft: Draft, event: events.CallProgressed) -> bool:
    """Whether a webhook without Redis bridged the call, as a callback shows."""
    found = waiting_party(draft)
    is_elsewhere = found is not None and not has_reached_conference(draft, found)
    return is_elsewhere and not event.dial and event.party == draft.session.child.name


def shows_waiting_conference_over(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the waiting party's conference ended without a callback."""
    found, session = waiting_party(draft), draft.session
    if found is None or not found.in_conference or found.overtakes(event):
        return False
    is_other = bool(session.conference_sid) and event.conference_sid != session.conference_sid
    goes_on = event.status_of(found.call_sid) == CallStatus.IN_PROGRESS
    return goes_on and is_other and not was_moved_lately(draft)


def shows_waiting_party_still_missing(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the conference lacks the waiting party after a second redirect."""
    # Without a conference, the read shows nothing: no list need have one that has not started.
    return bool(event.conference_sid) and draft.session.repair_attempted and _is_waiting_party_missing(draft, event)


def shows_customer_still_bridged(draft: Draft, event: events.CallsRead) -> bool:
    """Whether a redirect of unknown result left the customer in the bridge."""
    agent_is_there = event.status_of(draft.session.agent.call_sid) == CallStatus.IN_PROGRESS
    return agent_is_there and outbound_is_still_bridged(draft, event) and _is_waiting_party_missing(draft, event)


def shows_conference_over(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the conference ended without a callback."""
    is_over = bool(draft.session.conference_sid) and not event.conference_sid
    return is_over and waiting_party(draft) is None and not was_moved_lately(draft)


def was_moved_lately(draft: Draft) -> bool:
    """Whether a leg may not be listed yet."""
    return draft.now_ms - draft.session.moved_at_ms < draft.policy.reread_interval_ms
