"""Questions about who is in the conference with whom, and about whoever waits there for somebody."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import CreateParticipant, UpdateParticipant
from conferral.statemachine.events import (
    CallProgressed,
    CallsRead,
    ConferenceEnded,
    DialEnded,
    EffectFailed,
    Event,
    ParticipantJoined,
    ParticipantLeft,
)
from conferral.statemachine.guards.calls import party_of_dial
from conferral.statemachine.guards.conference import is_another_conference
from conferral.statemachine.guards.conversion import was_moved_recently
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, Party, Session
from conferral.statemachine.states import CallStatus, Opening, PartyStatus, Phase, State

_LONE = "lone"
#: Times that a look at who is there is waited for, before what is known has to do (count): half a minute in all.
#: Whoever is alone would else be billed for as long as looks fail.
_PRESENCE_READS_MAX = 15


def present_parties(session: Session) -> tuple[Party, ...]:
    """Those in the conference who count when it is asked whether somebody is alone: all but who merely listens."""
    return tuple(party for party in session.participants if not party.is_gone and not _only_listens(party))


def _only_listens(party: Party) -> bool:
    return party.is_supervisor or (party.is_muted_guest and party.muted)


def someone_is_being_dialed(session: Session) -> bool:
    """Whether somebody may still come in who was dialled, or is about to be."""
    rings = any(_is_being_dialed(party) for party in session.parties.values())
    return rings or any(command.name == "add" and command.awaits_end_on_exit for command in session.pending_commands)


def _is_being_dialed(party: Party) -> bool:
    # Whoever took part and was put out by somebody else is not on the way in.
    was_in = party.answered and party.status is PartyStatus.CONNECTED
    return bool(party.dial_id) and not (party.is_gone or party.is_leaving or was_in or party.is_supervisor)


def waiting_party_name(session: Session) -> str:
    """Who waits in a conference from the start: whoever has called, or the agent who was called first."""
    return CUSTOMER if session.direction == INBOUND else AGENT


def waiting_party(draft: Draft) -> Party | None:
    """Who waits alone in the conference, as is intended; None when nobody is to."""
    session = draft.session
    if session.phase is Phase.PARKED:
        return session.parties[CUSTOMER]
    return session.parties[waiting_party_name(session)] if session.opening is not Opening.OVER else None


def customer_waits_in_silence(draft: Draft, _event: Event) -> bool:
    """Whether the customer, who is to hear a tune until somebody comes, is alone in a conference that has started.

    Wait music is over there for good. Whoever was answered and is about to come in ends the silence by himself.
    """
    session = draft.session
    customer = session.parties[CUSTOMER]
    is_left_alone = (
        customer.in_conference and bool(customer.wait_audio) and not (customer.waits_for_start or customer.desired_hold)
    )
    comes = any(_is_being_dialed(party) and party.answered for party in session.parties.values())
    return is_left_alone and present_parties(session) == (customer,) and not comes


def parked_customer_hold_failed(draft: Draft, event: EffectFailed) -> bool:
    """Whether the customer of a parked call is alone, and can't be held because the conference has not started."""
    return draft.session.phase is Phase.PARKED and customer_hold_failed(draft, event)


def customer_hold_failed(draft: Draft, event: EffectFailed) -> bool:
    """Whether that is so of the customer, who is to hear a tune."""
    customer = draft.session.parties[CUSTOMER]
    is_his = (
        event.kind == UpdateParticipant.kind and event.before_start and customer.update_effect_id == event.effect_id
    )
    return (
        is_his and customer.desired_hold and bool(customer.wait_audio) and present_parties(draft.session) == (customer,)
    )


def parked_customer_waits_in_silence(draft: Draft, event: Event) -> bool:
    """Whether that is so of a parked call."""
    return draft.session.phase is Phase.PARKED and customer_waits_in_silence(draft, event)


def expected_party(draft: Draft) -> Party:
    """Whom a conference from the start is waiting for."""
    return draft.session.parties[AGENT if waiting_party_name(draft.session) == CUSTOMER else CUSTOMER]


# ---- alone -------------------------------------------------------------------------------------------------------


def is_empty(draft: Draft, _event: Event) -> bool:
    """Whether the conference is empty but for supervisors."""
    return waiting_party(draft) is None and not present_parties(draft.session)


def is_alone(draft: Draft) -> bool:
    """Whether one is in the conference with nobody being dialled."""
    session = draft.session
    return waiting_party(draft) is None and len(present_parties(session)) < 2 and not someone_is_being_dialed(session)


def is_newly_alone(draft: Draft, _event: Event) -> bool:
    """Whether somebody is alone whose grace has not begun."""
    return _LONE not in draft.session.timers and is_alone(draft)


def presence_is_uncertain(draft: Draft, _event: Event) -> bool:
    """Whether something of the conference was not heard, and no look has shown since who is there.

    Callbacks are lost, and an older copy of Redis knows nothing of those who came later. Twilio does not promise that
    its numbers have no gaps, so a gap is only a reason to look. Looks that fail for half a minute are not waited for.
    """
    session = draft.session
    return session.presence_reads < _PRESENCE_READS_MAX and session.seen.has_gap(
        session.conference_sid, session.verified_sequence
    )


def parked_call_was_retrieved(draft: Draft, _event: Event) -> bool:
    """Whether an agent is with the customer of a parked call, though nobody knows any more who rang him."""
    session = draft.session
    agent, customer = session.parties.get(AGENT), session.parties.get(CUSTOMER)
    is_there = agent is not None and agent.takes_part and not agent.is_leaving
    return session.phase is Phase.PARKED and is_there and customer is not None and customer.in_conference


def is_no_longer_alone(draft: Draft, _event: Event) -> bool:
    """Whether somebody who was alone is so no longer."""
    return _LONE in draft.session.timers and not is_alone(draft)


def customer_left_for_after_url(draft: Draft, event: DialEnded) -> bool:
    """Whether the customer has come out of the conference by himself, and the action's document leads him on."""
    party = draft.session.find_party(call_sid=event.call_sid)
    is_customer = party is not None and party.name == CUSTOMER and not event.party_is_gone
    comes_out = event.dial == "conference" and waiting_party(draft) is None
    return bool(draft.session.attributes.after_url) and is_customer and comes_out


def has_after_url(draft: Draft, _event: Event) -> bool:
    """Whether the one who is alone is the customer, for whom the directory names something to go on with."""
    left = present_parties(draft.session)
    return bool(draft.session.attributes.after_url) and len(left) == 1 and left[0].name == CUSTOMER


# ---- waiting -----------------------------------------------------------------------------------------------------


def waiting_party_has_left(draft: Draft, _event: Event) -> bool:
    """Whether whoever waits has hung up, or could not be reached in the first place."""
    found = waiting_party(draft)
    return found is not None and found.is_gone


def waiting_party_is_missing(draft: Draft, _event: Event) -> bool:
    """Whether whoever waits is not in the conference (any more), and is to be looked after."""
    found = waiting_party(draft)
    rings = draft.session.opening is Opening.CALLING
    return found is not None and not rings and not found.in_conference and "opening" not in draft.session.timers


def waiting_party_is_present(draft: Draft, _event: Event) -> bool:
    """Whether whoever was looked after for not being in the conference is in it."""
    found = waiting_party(draft)
    return "opening" in draft.session.timers and (found is None or found.in_conference)


def waiting_party_has_joined(draft: Draft, _event: Event) -> bool:
    """Whether the other one may be dialled."""
    found = waiting_party(draft)
    before = (Opening.CALLING, Opening.ARRIVING)
    is_there = found is not None and found.in_conference and not found.is_leaving
    return is_there and draft.session.opening in before


def expected_party_takes_part(draft: Draft, _event: Event) -> bool:
    """Whether whoever was dialled for the one who waits talks to him."""
    found = waiting_party(draft)
    return (
        draft.session.opening is Opening.DIALING
        and found is not None
        and found.in_conference
        and expected_party(draft).takes_part
    )


def next_agent_is_due(draft: Draft, event: Event) -> bool:
    """Whether another agent is to be tried."""
    session = draft.session
    return expected_party_failed(draft, event) and session.agent_number + 1 < len(session.agents)


def expected_party_failed(draft: Draft, _event: Event) -> bool:
    """Whether whoever was dialled could not be reached."""
    return draft.session.opening is Opening.DIALING and expected_party(draft).is_gone


def will_rejoin(draft: Draft, party: Party, event: ParticipantLeft) -> bool:
    """Whether the call of someone who waits goes on, so that the action of its `<Dial>` is answered with a join.

    Twilio may report like a hang-up that their wait document could not be fetched.
    """
    found = waiting_party(draft)
    waits = party.name == (CUSTOMER if draft.state is State.TRANSFERRING else found.name if found else "")
    return event.goes_on and waits and not party.is_leaving


def waiting_party_lost_conference(draft: Draft, _event: ConferenceEnded) -> bool:
    """Whether somebody waited there alone who has not hung up: the action of his `<Dial>` leads him into another."""
    found = waiting_party(draft)
    return found is not None and not found.is_gone


def dial_shows_conference_over(draft: Draft, event: EffectFailed) -> bool:
    """Whether nobody can be dialled into the conference in which somebody waits: it is over, and nothing has told so.

    Believed once of each conference, so that nobody is dialled for ever into one of which Twilio says so and which a
    look shows.
    """
    session = draft.session
    is_into_room = event.kind == CreateParticipant.kind and event.gone and session.opening is Opening.DIALING
    conference = session.conference_sid
    is_new = bool(conference) and conference not in session.former_conferences
    return is_into_room and is_new and party_of_dial(draft, event) == expected_party(draft)


def waiting_party_joined_another_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether he is in the other one already, before the end of the first one was told."""
    found = waiting_party(draft)
    return found is not None and event.call_sid == found.call_sid and is_another_conference(draft, event)


def shows_waiting_party_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether whoever waits is alive and not in the conference.

    Of whom nothing was ever heard there may have got another document, and be talking: nobody moves him.
    """
    found = waiting_party(draft)
    return (
        found is not None
        and not (found.in_conference or found.is_leaving)
        # Until our gate has let him in, he is not to be there.
        and draft.session.opening is not Opening.CALLING
        and has_reached_conference(draft, found)
        and bool(found.call_sid)
        and not draft.session.open_redirects
        and not was_moved_recently(draft, event)
        and event.status_of(found.call_sid) == CallStatus.IN_PROGRESS
        and all(seen.call_sid != found.call_sid for seen in event.participants)
    )


def has_reached_conference(draft: Draft, found: Party) -> bool:
    """Whether the party has come to the conference, or come back from it."""
    return (
        found.has_rejoined or found.answered or found.conference_sequence >= 0 or bool(draft.session.former_conferences)
    )


def waiting_party_left_conference(draft: Draft, event: DialEnded) -> bool:
    """Whether the `<Dial>` has ended that should have brought whoever waits in; its action leads him there again."""
    found = waiting_party(draft)
    return found is not None and event.call_sid == found.call_sid and event.dial == "conference"


def is_actually_bridged(draft: Draft, event: CallProgressed) -> bool:
    """Whether a `<Dial>` of the webhook's own has called whoever is awaited: Redis had stored the call though its reply
    was lost, and the caller was bridged.
    """
    found, session = waiting_party(draft), draft.session
    if found is None or session.opening is not Opening.ARRIVING or has_reached_conference(draft, found):
        return False
    return not event.dial and event.party == expected_party(draft).name


def shows_waiting_conference_over(draft: Draft, event: CallsRead) -> bool:
    """Whether the conference in which somebody waits is over, though nobody has told so. A new one may not show yet."""
    found, session = waiting_party(draft), draft.session
    is_new = draft.now_ms - session.moved_at_ms < draft.policy.reread_interval_ms
    is_there = found is not None and found.in_conference and event.status_of(found.call_sid) == CallStatus.IN_PROGRESS
    return is_there and bool(session.conference_sid) and event.conference_sid != session.conference_sid and not is_new


def shows_waiting_party_still_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether he is so although he was moved once more."""
    return draft.session.repaired and shows_waiting_party_missing(draft, event)


def shows_conference_over(draft: Draft, event: CallsRead) -> bool:
    """Whether the conference is over though nobody has told so. One that is new may not be listed yet."""
    session = draft.session
    is_new = draft.now_ms - session.moved_at_ms < draft.policy.reread_interval_ms
    return bool(session.conference_sid) and not event.conference_sid and waiting_party(draft) is None and not is_new


def is_of_second_call(draft: Draft, event: Event) -> bool:
    """Whether another call asks for a session that exists."""
    return draft.session.find_party(call_sid=getattr(event, "call_sid", "")) is None


def park_timeout_ends_session(draft: Draft, _event: Event) -> bool:
    """Whether nobody is to be tried when a call was parked for too long."""
    return draft.policy.fallback == "end"
