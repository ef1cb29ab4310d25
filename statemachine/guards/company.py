"""Questions about who is in the conference with whom, and about whoever waits there for somebody."""

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
from conferral.statemachine.guards.converting import is_too_soon
from conferral.statemachine.guards.room import is_another_room
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, Party, Session
from conferral.statemachine.states import CallStatus, Opening, PartyStatus, Phase, State

_LONE = "lone"
#: Times that a look at who is there is waited for, before what is known has to do (count): half a minute in all.
#: Whoever is alone would else be billed for as long as looks fail.
_LOOKS_MAX = 15


def company(session: Session) -> tuple[Party, ...]:
    """Those in the conference who count when it is asked whether somebody is alone: all but who merely listens."""
    return tuple(party for party in session.in_room if not party.is_gone and not _only_listens(party))


def _only_listens(party: Party) -> bool:
    return party.is_supervisor or (party.listens and party.muted)


def is_being_dialled(session: Session) -> bool:
    """Whether somebody may still come in who was dialled, or is about to be."""
    rings = any(_is_dialled(party) for party in session.parties.values())
    return rings or any(order.name == "add" and order.is_clearing for order in session.orders)


def _is_dialled(party: Party) -> bool:
    # Whoever took part and was put out by somebody else is not on the way in.
    was_in = party.answered and party.status is PartyStatus.CONNECTED
    return bool(party.dial_id) and not (party.is_gone or party.is_leaving or was_in or party.is_supervisor)


def waiter_name(session: Session) -> str:
    """Who waits in a conference from the start: whoever has called, or the agent who was called first."""
    return CUSTOMER if session.direction == INBOUND else AGENT


def waiter(scratch: Scratch) -> Party | None:
    """Who waits alone in the conference, as is intended; None when nobody is to."""
    session = scratch.session
    if session.phase is Phase.PARKED:
        return session.parties[CUSTOMER]
    return session.parties[waiter_name(session)] if session.opening is not Opening.OVER else None


def waits_in_silence(scratch: Scratch, _event: Event) -> bool:
    """Whether the customer, who is to hear a tune until somebody comes, is alone in a conference that has started.

    Wait music is over there for good. Whoever was answered and is about to come in ends the silence by himself.
    """
    session = scratch.session
    customer = session.parties[CUSTOMER]
    is_left_alone = customer.in_room and bool(customer.tune) and not (customer.waits or customer.hold_wanted)
    comes = any(_is_dialled(party) and party.answered for party in session.parties.values())
    return is_left_alone and company(session) == (customer,) and not comes


def waiter_is_not_held(scratch: Scratch, event: EffectFailed) -> bool:
    """Whether the customer of a parked call is alone, and can't be held because the conference has not started."""
    return scratch.session.phase is Phase.PARKED and customer_is_not_held(scratch, event)


def customer_is_not_held(scratch: Scratch, event: EffectFailed) -> bool:
    """Whether that is so of the customer, who is to hear a tune."""
    customer = scratch.session.parties[CUSTOMER]
    is_his = event.kind == UpdateParticipant.kind and event.before_start and customer.updating == event.effect_id
    return is_his and customer.hold_wanted and bool(customer.tune) and company(scratch.session) == (customer,)


def parked_in_silence(scratch: Scratch, event: Event) -> bool:
    """Whether that is so of a parked call."""
    return scratch.session.phase is Phase.PARKED and waits_in_silence(scratch, event)


def awaited_party(scratch: Scratch) -> Party:
    """Whom a conference from the start is waiting for."""
    return scratch.session.parties[AGENT if waiter_name(scratch.session) == CUSTOMER else CUSTOMER]


# ---- alone -------------------------------------------------------------------------------------------------------


def nobody_is_there(scratch: Scratch, _event: Event) -> bool:
    """Whether the conference is empty but for supervisors."""
    return waiter(scratch) is None and not company(scratch.session)


def is_alone(scratch: Scratch) -> bool:
    """Whether one is in the conference with nobody being dialled."""
    session = scratch.session
    return waiter(scratch) is None and len(company(session)) < 2 and not is_being_dialled(session)


def is_alone_since_now(scratch: Scratch, _event: Event) -> bool:
    """Whether somebody is alone whose grace has not begun."""
    return _LONE not in scratch.session.timers and is_alone(scratch)


def may_have_company(scratch: Scratch, _event: Event) -> bool:
    """Whether something of the conference was not heard, and no look has shown since who is there.

    Callbacks are lost, and an older copy of Redis knows nothing of those who came later. Twilio does not promise that
    its numbers have no gaps, so a gap is only a reason to look. Looks that fail for half a minute are not waited for.
    """
    session = scratch.session
    return session.company_looks < _LOOKS_MAX and session.seen.misses(session.conference_sid, session.checked_sequence)


def somebody_has_taken_up(scratch: Scratch, _event: Event) -> bool:
    """Whether an agent is with the customer of a parked call, though nobody knows any more who rang him."""
    session = scratch.session
    agent, customer = session.parties.get(AGENT), session.parties.get(CUSTOMER)
    is_there = agent is not None and agent.takes_part and not agent.is_leaving
    return session.phase is Phase.PARKED and is_there and customer is not None and customer.in_room


def has_company_again(scratch: Scratch, _event: Event) -> bool:
    """Whether somebody who was alone is so no longer."""
    return _LONE in scratch.session.timers and not is_alone(scratch)


def customer_goes_on_alone(scratch: Scratch, event: DialEnded) -> bool:
    """Whether the customer has come out of the conference by himself, and the action's document leads him on."""
    party = scratch.session.party_of(call_sid=event.call_sid)
    is_customer = party is not None and party.name == CUSTOMER and not event.party_is_gone
    comes_out = event.dial == "conference" and waiter(scratch) is None
    return bool(scratch.session.attributes.after) and is_customer and comes_out


def goes_on_elsewhere(scratch: Scratch, _event: Event) -> bool:
    """Whether the one who is alone is the customer, for whom the directory names something to go on with."""
    left = company(scratch.session)
    return bool(scratch.session.attributes.after) and len(left) == 1 and left[0].name == CUSTOMER


# ---- waiting -----------------------------------------------------------------------------------------------------


def waiter_has_left(scratch: Scratch, _event: Event) -> bool:
    """Whether whoever waits has hung up, or could not be reached in the first place."""
    found = waiter(scratch)
    return found is not None and found.is_gone


def waiter_is_out(scratch: Scratch, _event: Event) -> bool:
    """Whether whoever waits is not in the conference (any more), and is to be looked after."""
    found = waiter(scratch)
    rings = scratch.session.opening is Opening.CALLING
    return found is not None and not rings and not found.in_room and "opening" not in scratch.session.timers


def waiter_is_in(scratch: Scratch, _event: Event) -> bool:
    """Whether whoever was looked after for not being in the conference is in it."""
    found = waiter(scratch)
    return "opening" in scratch.session.timers and (found is None or found.in_room)


def waiter_has_arrived(scratch: Scratch, _event: Event) -> bool:
    """Whether the other one may be dialled."""
    found = waiter(scratch)
    before = (Opening.CALLING, Opening.ARRIVING)
    is_there = found is not None and found.in_room and not found.is_leaving
    return is_there and scratch.session.opening in before


def awaited_takes_part(scratch: Scratch, _event: Event) -> bool:
    """Whether whoever was dialled for the one who waits talks to him."""
    found = waiter(scratch)
    return (
        scratch.session.opening is Opening.DIALING
        and found is not None
        and found.in_room
        and awaited_party(scratch).takes_part
    )


def next_agent_is_due(scratch: Scratch, event: Event) -> bool:
    """Whether another agent is to be tried."""
    session = scratch.session
    return awaited_has_failed(scratch, event) and session.agent_number + 1 < len(session.agents)


def awaited_has_failed(scratch: Scratch, _event: Event) -> bool:
    """Whether whoever was dialled could not be reached."""
    return scratch.session.opening is Opening.DIALING and awaited_party(scratch).is_gone


def comes_back(scratch: Scratch, party: Party, event: ParticipantLeft) -> bool:
    """Whether the call of someone who waits goes on, so that the action of its `<Dial>` is answered with a join.

    Twilio may report like a hang-up that their wait document could not be fetched.
    """
    found = waiter(scratch)
    waits = party.name == (CUSTOMER if scratch.state is State.TRANSFERRING else found.name if found else "")
    return event.goes_on and waits and not party.is_leaving


def waiter_lost_room(scratch: Scratch, _event: ConferenceEnded) -> bool:
    """Whether somebody waited there alone who has not hung up: the action of his `<Dial>` leads him into another."""
    found = waiter(scratch)
    return found is not None and not found.is_gone


def finds_waiters_room_over(scratch: Scratch, event: EffectFailed) -> bool:
    """Whether nobody can be dialled into the conference in which somebody waits: it is over, and nothing has told so.

    Believed once of each conference, so that nobody is dialled for ever into one of which Twilio says so and which a
    look shows.
    """
    session = scratch.session
    is_into_room = event.kind == CreateParticipant.kind and event.gone and session.opening is Opening.DIALING
    room = session.conference_sid
    is_new = bool(room) and room not in session.former_rooms
    return is_into_room and is_new and party_of_dial(scratch, event) == awaited_party(scratch)


def waiter_is_in_another_room(scratch: Scratch, event: ParticipantJoined) -> bool:
    """Whether he is in the other one already, before the end of the first one was told."""
    found = waiter(scratch)
    return found is not None and event.call_sid == found.call_sid and is_another_room(scratch, event)


def shows_waiter_astray(scratch: Scratch, event: CallsRead) -> bool:
    """Whether whoever waits is alive and not in the conference.

    Of whom nothing was ever heard there may have got another document, and be talking: nobody moves him.
    """
    found = waiter(scratch)
    return (
        found is not None
        and not (found.in_room or found.is_leaving)
        # Until our gate has let him in, he is not to be there.
        and scratch.session.opening is not Opening.CALLING
        and has_been_heard_of(scratch, found)
        and bool(found.call_sid)
        and not scratch.session.redirecting
        and not is_too_soon(scratch, event)
        and event.status_of(found.call_sid) == CallStatus.IN_PROGRESS
        and all(seen.call_sid != found.call_sid for seen in event.participants)
    )


def has_been_heard_of(scratch: Scratch, found: Party) -> bool:
    """Whether the party has come to the conference, or come back from it."""
    return found.was_out or found.answered or found.room_sequence >= 0 or bool(scratch.session.former_rooms)


def waiter_comes_out(scratch: Scratch, event: DialEnded) -> bool:
    """Whether the `<Dial>` has ended that should have brought whoever waits in; its action leads him there again."""
    found = waiter(scratch)
    return found is not None and event.call_sid == found.call_sid and event.dial == "conference"


def tells_of_bridge(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether a `<Dial>` of the webhook's own has called whoever is awaited: Redis had stored the call though its reply
    was lost, and the caller was bridged.
    """
    found, session = waiter(scratch), scratch.session
    if found is None or session.opening is not Opening.ARRIVING or has_been_heard_of(scratch, found):
        return False
    return not event.dial and event.party == awaited_party(scratch).name


def shows_waiter_elsewhere(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the conference in which somebody waits is over, though nobody has told so. A new one may not show yet."""
    found, session = waiter(scratch), scratch.session
    is_new = scratch.now_ms - session.moved_at_ms < scratch.policy.look_again_ms
    is_there = found is not None and found.in_room and event.status_of(found.call_sid) == CallStatus.IN_PROGRESS
    return is_there and bool(session.conference_sid) and event.conference_sid != session.conference_sid and not is_new


def shows_waiter_astray_again(scratch: Scratch, event: CallsRead) -> bool:
    """Whether he is so although he was moved once more."""
    return scratch.session.repaired and shows_waiter_astray(scratch, event)


def shows_room_over(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the conference is over though nobody has told so. One that is new may not be listed yet."""
    session = scratch.session
    is_new = scratch.now_ms - session.moved_at_ms < scratch.policy.look_again_ms
    return bool(session.conference_sid) and not event.conference_sid and waiter(scratch) is None and not is_new


def is_of_second_call(scratch: Scratch, event: Event) -> bool:
    """Whether another call asks for a session that exists."""
    return scratch.session.party_of(call_sid=getattr(event, "call_sid", "")) is None


def park_ends_it(scratch: Scratch, _event: Event) -> bool:
    """Whether nobody is to be tried when a call was parked for too long."""
    return scratch.policy.fallback == "end"
