"""Dialling somebody by REST, and what is heard of it until they take part or can't be reached."""

import re
from dataclasses import replace

from conferral.statemachine.actions.parties import note_gone, note_over
from conferral.statemachine.effects import CreateCall, CreateParticipant, FindCall, HangUpCall
from conferral.statemachine.events import (
    Add,
    Call,
    CallProgressed,
    DialOverdue,
    EffectFailed,
    EffectOutcome,
    EffectSucceeded,
    EffectUnknown,
    Event,
    GateDecided,
    GateReached,
    Retrieve,
    Supervise,
    Transfer,
)
from conferral.statemachine.guards.calls import party_of_call, party_of_dial, searched_party
from conferral.statemachine.guards.ended import is_unknown_dial
from conferral.statemachine.guards.supervising import may_hang_up
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, Party
from conferral.statemachine.states import CallStatus, PartyStatus, Phase, Stage, TransferStatus
from conferral.statemachine.transfer import Attempt, DialOptions

#: Source: Twilio docs, "Format phone numbers" (E.164).
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
#: How long a character takes to be said, at most.
_MS_A_CHARACTER = 100
#: Length of the sentence that an agent hears who is rung again, in any language (characters).
_RECALL_SENTENCE_MAX = 80
_RANKS = (PartyStatus.DIALING, PartyStatus.RINGING, PartyStatus.CONFIRMING)


def dial(
    scratch: Scratch,
    name: str,
    to: str,
    *,
    label: str,
    options: DialOptions,
    gated: bool,
    early_media: bool = False,
    contest: str = "",
    recalled_for: str = "",
    is_urgent: bool = True,
    supervises: str = "",
    is_attempt: bool = True,
) -> None:
    """Dials somebody, who becomes a party of that name.

    Straight into the conference where nothing stands in between; else to our gate. Where it `is_attempt` to reach
    somebody for a transfer, that keeps it in mind.
    """
    scratch.change(dials=scratch.session.dials + 1)
    party = Party(
        name,
        label,
        address=to,
        is_gated=gated,
        early_media=early_media,
        brief=options.brief,
        confirm=options.confirm or must_confirm(scratch, to),
        ring_timeout_s=options.timeout_s or scratch.policy.ring_timeout_ms // 1000,
        digits=options.digits,
        contest=contest,
        recalled_for=recalled_for,
        caller_id=options.caller_id or _caller_id(scratch),
        supervises=supervises,
    )
    _place(scratch, party, is_urgent=is_urgent)
    transfer = scratch.session.transfer
    if is_attempt and transfer is not None and transfer.runs:
        placed = scratch.session.parties[name]
        attempt = Attempt(name, to, placed.dial_id, scratch.now_ms)
        scratch.change_transfer(attempts=(*transfer.attempts, attempt))


def options_of(event: Call | Transfer | Retrieve | Add | Supervise) -> DialOptions:
    """The dial options that a command gives."""
    return DialOptions(event.brief, event.confirm, event.timeout_s, event.digits, event.caller_id)


def next_label(scratch: Scratch, name: str) -> str:
    """A participant label for somebody who takes that name, under which another leg may have taken part."""
    number = scratch.session.dials + 1
    former = scratch.session.parties.get(name)
    if former is not None and former.call_sid and former.label == f"{name}-{number}":
        number += 1  # its own leg came in, or was dialled by TwiML: that is no dial
    return f"{name}-{number}"


def must_confirm(scratch: Scratch, to: str) -> bool:
    """Whether whoever is dialled there has to press 1 although nobody asked for it."""
    return scratch.policy.confirm_phones and to.startswith("+")


def dial_again_as_business(scratch: Scratch, event: EffectFailed) -> None:
    """Twilio refused the caller ID: once more, with the number that was called, or else with our own."""
    party = party_of_dial(scratch, event)
    assert party is not None  # the guard has found it
    shown = scratch.session.called_number if _shows_customer(scratch, party) else ""
    if party.name == AGENT and scratch.session.options.caller_id == party.caller_id:
        # The customer of a `call` was to see the same number, and of a `<Dial>` Twilio does not say why it fails.
        scratch.change(options=replace(scratch.session.options, caller_id=""))
    _dial_again(scratch, party, caller_id=shown, caller_id_refused=True)


def dial_again_at_gate(scratch: Scratch, event: EffectFailed) -> None:
    """Twilio adds no one to a conference that has not started: once more, as a call whose document joins it.

    Source: Twilio docs, Errors, 16099.
    """
    party = party_of_dial(scratch, event)
    assert party is not None  # the guard has found it
    _dial_again(scratch, party, is_gated=True, early_media=False)


def _dial_again(scratch: Scratch, party: Party, **changes: object) -> None:
    before = party.dial_id
    scratch.change_party(party, **changes)
    _place(scratch, scratch.session.parties[party.name], is_urgent=True)
    after = scratch.session.parties[party.name].dial_id
    transfer = scratch.session.transfer
    if transfer is not None:
        scratch.change_transfer(attempts=transfer.with_attempt(before, dial_id=after))


def _place(scratch: Scratch, party: Party, *, is_urgent: bool) -> None:
    timeout_s = party.ring_timeout_s
    token = scratch.session.call_token if _shows_customer(scratch, party) else ""
    if party.is_gated:
        dial_id = scratch.order(
            CreateCall, party=party.name, to=party.address, timeout_s=timeout_s, caller_id=party.caller_id,
            call_token=token, digits=party.digits, is_urgent=is_urgent,
        )  # fmt: skip
    else:
        dial_id = scratch.order(
            CreateParticipant, party=party.name, to=party.address, timeout_s=timeout_s, caller_id=party.caller_id,
            call_token=token, room=scratch.session.room, label=party.label,
            early_media=party.early_media, is_urgent=is_urgent, supervises=party.is_supervisor,
            attributes=scratch.session.attributes,
        )  # fmt: skip
    # It may have to wait for its turn, so its time begins with what is heard of it first: the request always has an
    # outcome.
    scratch.change_party(party, dial_id=dial_id, dialled_at_ms=scratch.now_ms, dial_due_ms=0, doubt="")
    watch_dials(scratch)


def _ring_due_ms(scratch: Scratch, party: Party) -> int:
    """When somebody who begins to ring now should have answered, or failed."""
    return scratch.now_ms + party.ring_timeout_s * 1000 + scratch.policy.dial_slack_ms


def _caller_id(scratch: Scratch) -> str:
    """What a dialed party sees unless the command says otherwise."""
    customer = scratch.session.parties.get(CUSTOMER)
    shows = scratch.policy.shows_customer and scratch.session.direction == INBOUND and scratch.session.call_token
    if shows and customer is not None and _E164.fullmatch(customer.address):
        return customer.address
    return scratch.session.called_number


def _shows_customer(scratch: Scratch, party: Party) -> bool:
    """Whether the dialed party sees the customer's number, which takes the call's token."""
    customer = scratch.session.parties.get(CUSTOMER)
    return bool(party.caller_id) and customer is not None and party.caller_id == customer.address


# ---- what is heard of it -----------------------------------------------------------------------------------------


def note_dialled(scratch: Scratch, event: EffectSucceeded) -> None:
    """Twilio has taken the dial; from here on its call is known."""
    party = party_of_dial(scratch, event) or searched_party(scratch, event)
    if party is None or not event.call_sid:
        return
    party = _with_presence_of_guest(scratch, party, event.call_sid)
    due_ms = party.dial_due_ms if party.answered else _ring_due_ms(scratch, party) + event.queue_ms
    if party.status is PartyStatus.CONNECTED and not party.in_room:
        due_ms = 0  # an agent who talks over the bridge, and whose call a rollback of Redis has lost
    scratch.change_party(party, call_sid=party.call_sid or event.call_sid, doubt="", dial_due_ms=due_ms)
    watch_dials(scratch)


def _with_presence_of_guest(scratch: Scratch, party: Party, call_sid: str) -> Party:
    """A dial that was decided again finds a call whose join had come before: it looked like somebody else's guest."""
    guest = scratch.session.party_of(call_sid=call_sid)
    if guest is None or guest.name == party.name or guest.is_gone or guest.name in (CUSTOMER, AGENT):
        return party
    rest = {one.name: one for one in scratch.session.parties.values() if one.name != guest.name}
    found = replace(
        party, call_sid=call_sid, in_room=guest.in_room, held=guest.held, muted=guest.muted, coaches=guest.coaches,
        ends_conference=guest.ends_conference, room_sequence=guest.room_sequence,
    )  # fmt: skip
    scratch.change(parties={**rest, party.name: found})
    if found.in_room and not found.early_media:
        note_answered(scratch, party.name)
    return scratch.session.parties[party.name]


def note_dial_failed(scratch: Scratch, event: EffectFailed) -> None:
    """Twilio refused to dial."""
    party = party_of_dial(scratch, event)
    assert party is not None  # the guard has found it
    if party.call_sid:
        return  # a callback has told of the call already: an earlier copy of the request was carried out
    note_gone(scratch, party.name, "failed")
    watch_dials(scratch)


def doubt_dial(scratch: Scratch, event: EffectUnknown) -> None:
    """Nobody knows whether it was dialled. It is never dialled again: a callback may tell, then the list of calls."""
    party = party_of_dial(scratch, event)
    assert party is not None  # the guard has found it
    if party.call_sid:
        return  # a callback has told already
    if party.is_leaving or not party.is_gated:
        # A straight one was looked up for as long as it is worth it; should it show up later, it is hung up.
        note_gone(scratch, party.name, "unknown")
    else:
        scratch.change_party(party, doubt="unknown", dial_due_ms=scratch.now_ms + scratch.policy.dial_doubt_ms)
    watch_dials(scratch)


def note_not_found(scratch: Scratch, event: EffectOutcome) -> None:
    """The list of calls does not show it, or could not be had."""
    party = searched_party(scratch, event)
    assert party is not None  # the guard has found it
    note_gone(scratch, party.name, "unknown")
    watch_dials(scratch)


def note_progress(scratch: Scratch, event: CallProgressed) -> None:
    """The call of one of the parties goes on, or is over."""
    party = party_of_call(scratch, event)
    if party is None:
        return
    if event.is_final:
        note_over(scratch, party, event)
    elif event.status == CallStatus.IN_PROGRESS:
        scratch.change_party(party, call_sid=event.call_sid, doubt="")
        note_answered(scratch, party.name)
    else:
        rings = event.status == CallStatus.RINGING and party.status is PartyStatus.DIALING
        status = PartyStatus.RINGING if rings else party.status
        due_ms = max(party.dial_due_ms, _ring_due_ms(scratch, party)) if party.dial_id else 0
        scratch.change_party(party, call_sid=event.call_sid, status=status, doubt="", dial_due_ms=due_ms)
    watch_dials(scratch)
    show_progress(scratch)


def note_answered(scratch: Scratch, name: str) -> None:
    """Somebody who was dialled picked up: whoever is in the conference too takes part now."""
    party = scratch.session.parties[name]
    if not party.answered:
        _change_attempt(scratch, party.dial_id, answered_at_ms=scratch.now_ms)
    status = PartyStatus.CONNECTED if party.in_room else party.status
    if party.confirm and not party.in_room:
        status = PartyStatus.CONFIRMING
    # At our gate somebody may take as long as the gate does; everybody else comes in at once.
    wait_ms = scratch.policy.arrive_timeout_ms
    if party.is_gated:
        wait_ms = scratch.policy.gate_timeout_ms + _briefing_ms(party)
    answered_at_ms = party.answered_at_ms or scratch.now_ms
    due_ms = scratch.now_ms + wait_ms
    scratch.change_party(party, answered=True, answered_at_ms=answered_at_ms, status=status, dial_due_ms=due_ms)


def note_gate_reached(scratch: Scratch, event: GateReached) -> None:
    """A call that was placed stands at our gate, so it was answered."""
    party = party_of_dial(scratch, event)
    if party is None:
        return
    scratch.change_party(party, call_sid=event.call_sid, doubt="")
    note_answered(scratch, party.name)
    watch_dials(scratch)
    show_progress(scratch)


def note_let_in(scratch: Scratch, event: GateDecided) -> None:
    """Our gate let the call in; it takes part once it has joined."""
    party = party_of_dial(scratch, event)
    if party is None:
        return
    scratch.change_party(party, call_sid=event.call_sid, doubt="")
    note_answered(scratch, party.name)
    # Whoever was asked for a key has heard before what it is about.
    briefing_ms = 0 if party.confirm else _briefing_ms(party)
    due_ms = scratch.now_ms + scratch.policy.arrive_timeout_ms + briefing_ms
    scratch.change_party(scratch.session.parties[party.name], dial_due_ms=due_ms)
    watch_dials(scratch)


def _briefing_ms(party: Party) -> int:
    """How long is said at the gate what it is about."""
    return _MS_A_CHARACTER * (len(party.brief) + (_RECALL_SENTENCE_MAX if party.recalled_for else 0))


def note_turned_away(scratch: Scratch, event: GateDecided) -> None:
    """Our gate turned the call away: it hears a sentence and is hung up by its document."""
    party = party_of_dial(scratch, event)
    if party is None:
        return
    scratch.change_party(party, call_sid=event.call_sid, is_hung_up=True)
    note_gone(scratch, party.name, event.decision)
    watch_dials(scratch)


def show_progress(scratch: Scratch) -> None:
    """`transfer.status` tells how far the furthest of those who are dialled has come."""
    transfer = scratch.session.transfer
    if transfer is None or transfer.stage is not Stage.DIALING:
        return
    # Whoever takes a parked call up is to be the agent; an agent who is rung again is shown by his own status alone.
    retrieves = scratch.session.phase is Phase.RETRIEVE
    dialled = (scratch.session.parties[AGENT],) if retrieves else scratch.session.targets
    waiting = [party.status for party in dialled if party.status in _RANKS]
    if waiting:
        furthest = max(waiting, key=_RANKS.index)
        scratch.change_transfer(status=TransferStatus(furthest.value))


# ---- what is overdue ---------------------------------------------------------------------------------------------


def watch_dials(scratch: Scratch) -> None:
    """Sets the timer to the first of those who are dialled of whom something should have been heard by then."""
    due = [
        party.dial_due_ms
        for party in scratch.session.parties.values()
        if party.dial_id and party.dial_due_ms and not party.is_gone and not party.takes_part and not party.is_leaving
    ]
    if not due:
        scratch.cancel_timer(DialOverdue.timer)
    elif scratch.session.timers.get(DialOverdue.timer) != min(due):
        scratch.set_timer(DialOverdue.timer, max(0, min(due) - scratch.now_ms))


def find_dialled(scratch: Scratch, party: Party) -> None:
    """No callback has told whether a dial was placed: the list of calls is asked."""
    scratch.order(
        FindCall,
        party=party.name,
        dial_id=party.dial_id,
        to=party.address,
        since_ms=party.dialled_at_ms,
        caller_id=party.caller_id,
    )
    due_ms = scratch.now_ms + 2 * scratch.policy.dial_slack_ms
    scratch.change_party(party, doubt="searched", dial_due_ms=due_ms)


def _change_attempt(scratch: Scratch, dial_id: str, **changes: object) -> None:
    transfer = scratch.session.transfer
    if transfer is not None and dial_id:
        scratch.change_transfer(attempts=transfer.with_attempt(dial_id, **changes))


# ---- those whom nobody waits for any more ------------------------------------------------------------------------


def let_late_dial_go(scratch: Scratch, event: CallProgressed | GateReached | GateDecided) -> None:
    """A call shows up whose dial was given up: it is hung up."""
    party = scratch.session.party_of(call_sid=event.call_sid, dial=event.dial)
    if party is None:
        scratch.change(former_calls=(*scratch.session.former_calls, event.call_sid))
    else:
        scratch.change_party(party, call_sid=event.call_sid, is_hung_up=True)
    scratch.order(HangUpCall, party=party.name if party is not None else "", call_sid=event.call_sid)
    scratch.reason = "its dial was given up"


def let_placed_call_go(scratch: Scratch, event: EffectSucceeded) -> None:
    """Twilio has placed a call whose party was dialled anew meanwhile: it is hung up."""
    scratch.change(former_calls=(*scratch.session.former_calls, event.call_sid))
    scratch.order(HangUpCall, call_sid=event.call_sid)
    scratch.reason = "its dial was given up"


def let_party_go(scratch: Scratch, party: Party) -> None:
    """Somebody is to leave: hung up as soon as the call is known."""
    scratch.change_party(party, is_leaving=True)
    if party.doubt in ("unknown", "searched") and not party.call_sid:
        # Nobody knows of a call, so there is nothing to wait for; should one show up, it is hung up.
        note_gone(scratch, party.name, "cancelled")
    watch_dials(scratch)


def give_up_call(scratch: Scratch, name: str) -> None:
    """Somebody is not waited for any more: the call is hung up if it is known; else as soon as it shows up."""
    party = scratch.session.parties[name]
    if party.call_sid:
        _hang_up(scratch, party)
    else:
        scratch.change_party(party, is_hung_up=False)


def let_late_call_go(scratch: Scratch, event: CallProgressed | GateReached | GateDecided | EffectSucceeded) -> None:
    """A call that was dialled for a session that has ended since: it is hung up."""
    scratch.order(HangUpCall, call_sid=event.call_sid)
    scratch.reason = "dialled for a session that has ended"


def doubt_unknown_calls(scratch: Scratch) -> None:
    """After a rollback of Redis, a dial of which no call is known may have placed one: if the session ends, it is
    searched for.
    """
    for party in tuple(scratch.session.parties.values()):
        if is_unknown_dial(party) and not party.is_gone and not party.doubt:
            scratch.change_party(party, doubt="rolled-back")


def let_found_call_go(scratch: Scratch, event: EffectSucceeded) -> None:
    """The search after the end has found a call: it is hung up, and an `end` waits for that too."""
    hanging_up = scratch.order(HangUpCall, call_sid=event.call_sid)
    awaited = tuple(hanging_up if one == event.effect_id else one for one in scratch.session.ending_effects)
    scratch.change(ending_effects=awaited)
    scratch.reason = "dialled for a session that has ended"


def find_unknown_calls(scratch: Scratch, _event: Event) -> None:
    """The list of calls is asked for calls that dials of an ended session may have placed."""
    for party in tuple(scratch.session.parties.values()):
        if is_unknown_dial(party):
            find_dialled(scratch, party)


def hang_up_leaving(scratch: Scratch, _event: Event) -> None:
    """Whoever is to leave is hung up as soon as the call is known."""
    for party in tuple(scratch.session.parties.values()):
        if may_hang_up(scratch.session, party):
            _hang_up(scratch, party)


def _hang_up(scratch: Scratch, party: Party) -> None:
    effect_id = scratch.order(HangUpCall, party=party.name, call_sid=party.call_sid)
    scratch.change_party(party, is_hung_up=True, hanging_up=effect_id)
