"""Dials of parties by REST, until each joins or fails."""

import re
from typing import Any

from conferral.statemachine import events, guards
from conferral.statemachine.actions.participants import suspect
from conferral.statemachine.actions.parties import finish_call, note_gone
from conferral.statemachine.effects import CreateCall, CreateParticipant, FindCall, HangUpCall
from conferral.statemachine.events import Event
from conferral.statemachine.legs import note_facts
from conferral.statemachine.parts import AGENTS_CONFIRM_FOR_S, CONFIRM_FOR_S, DialOptions
from conferral.statemachine.reasons import NOT_DIALED, EndReason, Reason
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET, Party
from conferral.statemachine.states import (
    WITHOUT_AGENT,
    CallStatus,
    PartyStatus,
    Phase,
    State,
    TransferStage,
    TransferStatus,
)
from conferral.statemachine.step import Draft, not_none

#: A destination that is a number, or a SIP address whose user part is one.
_NUMBER_DIALED = re.compile(r"(?:\+|sip:(?:\+|%2[Bb])?)(?P<digits>[0-9]{7,15})(?:@.*)?")
#: Longest speaking time per character.
_MS_PER_CHARACTER = 100
#: Length of the longest sentence that a recalled agent hears, in any language (characters).
RECALL_SENTENCE_MAX = 84
_STATUSES_BY_PROGRESS = (PartyStatus.DIALING, PartyStatus.RINGING, PartyStatus.CONFIRMING)


def dial(
    draft: Draft,
    name: str,
    to: str,
    *,
    options: DialOptions,
    gated: bool = False,
    early_media: bool = False,
    ring_group: str = "",
    rung_again_because: str = "",
    supervises: str = "",
    muted: bool = False,
) -> None:
    """Dial a party under that name, into the conference or to the gate.

    The gate is used if `gated`, or if the options or settings need it. There, an agent who is rung again hears why
    (`rung_again_because`). With `early_media`, the participants hear the phone ring, but not one at the gate. The first
    of a `ring_group` to accept wins. `supervises` is a supervisor's mode; others may join `muted`. A running transfer
    records the dials of its targets and of the agent as attempts, a session its first ones.
    """
    options = options_for(draft, to, options)
    gated = gated or options.needs_gate
    base, number = TARGET if ring_group else name, draft.session.highest_label_number + 1
    # By a leg that came in, or that TwiML dialed. One that is still there may be this dial's, if Redis lost writes.
    used = {one.label for one in draft.session.parties.values() if one.is_gone and (one.call_sid or one.dial_id)}
    if f"{base}-{number}" in used:
        number += 1
    draft.change(highest_label_number=number)
    former = draft.session.parties.get(name)
    if former is not None and former.call_sid:
        draft.change(former_calls=(*draft.session.former_calls, former.call_sid))
    party = Party(
        name,
        f"{base}-{number}",
        address=to,
        is_gated=gated,
        early_media=early_media and not gated,
        options=options,
        ring_group=ring_group,
        rung_again_because=rung_again_because,
        supervises=supervises,
        desired_mute=muted,
    )
    draft.change(parties={**draft.session.parties, name: party})
    _place_dial(draft, party)
    if name == AGENT or (name == CUSTOMER if draft.session.running_transfer is None else party.is_target):
        draft.add_attempt(draft.session.parties[name])


def agent_options(draft: Draft, address: str) -> DialOptions:
    """Return how to dial an agent: phones press a key, and take no data."""
    options, is_phone = draft.session.options, address.startswith("+")
    is_asked = is_phone and (options.confirm or draft.policy.confirm_phones)
    default_s = AGENTS_CONFIRM_FOR_S if draft.session.customer_is_parent else CONFIRM_FOR_S
    return replace(
        options,
        confirm=options.confirm and is_phone,
        confirm_for_s=(options.confirm_for_s or default_s) if is_asked else 0,
        params="" if is_phone else options.params,
    )


def options_for(draft: Draft, to: str, options: DialOptions) -> DialOptions:
    """Return the options for a destination, with the settings' defaults."""
    confirm = options.confirm or (draft.policy.confirm_phones and to.startswith("+"))
    return replace(
        options,
        confirm=confirm,
        confirm_for_s=(options.confirm_for_s or CONFIRM_FOR_S) if confirm else 0,
        timeout_s=options.timeout_s or draft.policy.ring_timeout_ms // 1000,
        amd=options.amd and not to.startswith("client:"),
        caller_id=_caller_id(draft, to, options),
    )


def redial_with_business_number(draft: Draft, event: events.EffectFailed) -> None:
    """Dial again with a business number: Twilio refused the caller ID."""
    party = not_none(guards.party_of_dial(draft, event))
    shown = draft.session.called_number if _uses_customer_number(draft, party) else ""
    if party.name == AGENT:
        # The customer of a `call` was to see the same number, and Twilio does not say why a `<Dial>` fails.
        options = replace(draft.session.options, caller_id="")
        number = draft.session.number if draft.session.customer_is_parent else draft.policy.own_number
        draft.change(options=options, number=number)
    _redial(draft, party, options=replace(party.options, caller_id=shown), caller_id_refused=True)


def redial_at_gate(draft: Draft, event: events.EffectFailed) -> None:
    """Dial again through the gate: there is no conference now."""
    # Source: Twilio docs, Errors, 16099.
    _redial(draft, not_none(guards.party_of_dial(draft, event)), is_gated=True, early_media=False)


def _redial(draft: Draft, party: Party, **changes: object) -> None:
    draft.change_party(party, **changes)
    _place_dial(draft, draft.session.parties[party.name], is_redial=True)
    draft.change_attempt(party.dial_id, dial_id=draft.session.parties[party.name].dial_id)


def _place_dial(draft: Draft, party: Party, *, is_redial: bool = False) -> None:
    dialed: dict[str, Any] = {
        "party": party.name, "to": party.address, "options": party.options,
        "call_token": draft.session.call_token if _uses_customer_number(draft, party) else "",
        "is_signed_address": party.name == AGENT and party.address == draft.session.signed_address,
        "is_redial": is_redial,
        "is_offer": draft.session.phase is Phase.QUEUED and party.name == AGENT,
    }  # fmt: skip
    if party.is_gated:
        dial_id = draft.emit(CreateCall, **dialed)
    else:
        dial_id = draft.emit(
            CreateParticipant, **dialed, label=party.label,
            conference=draft.session.conference_sid or draft.session.conference_name,
            early_media=party.early_media, supervises=party.is_supervisor, muted=party.desired_mute,
            attributes=draft.session.attributes,
        )  # fmt: skip
    # The request may wait in the rate limiter, so the ring time starts with the first callback or result; a result
    # always comes.
    draft.change_party(party, dial_id=dial_id, dialed_at_ms=draft.now_ms, dial_check_at_ms=0, dial_check="")


def _ring_due_ms(draft: Draft, party: Party) -> int:
    if party.left_reason:  # the conference could not add it: the end of its call is due
        return party.dial_check_at_ms or draft.now_ms + draft.policy.leave_timeout_ms
    return draft.now_ms + party.options.timeout_s * 1000 + draft.policy.ring_slack_ms


def _caller_id(draft: Draft, to: str, options: DialOptions) -> str:
    """Return the caller ID of a dial; empty for `TWILIO_NUMBER`.

    It is never the number that is dialed: a call from it might open that number's voicemail.
    """
    session, number = draft.session, _NUMBER_DIALED.fullmatch(to)
    shows_customer = draft.policy.shows_customer_number and session.has_caller_id
    default = session.customer.address if shows_customer else session.called_number
    shown = (options.caller_id or default, session.called_number)
    return next((one for one in shown if number is None or one != f"+{number['digits']}"), "")


def _uses_customer_number(draft: Draft, party: Party) -> bool:
    """Whether a dial shows the customer's number, and sends the CallToken.

    Without one, Twilio decides: browsers and SIP phones see any number, phones only verified ones.
    """
    return bool(party.options.caller_id) and party.options.caller_id == draft.session.customer.address


# ---- progress ----------------------------------------------------------------------------------------------------


def note_dial_placed(draft: Draft, event: events.EffectSucceeded) -> None:
    """Record the call SID of a placed or found dial; start its ring time."""
    party = guards.party_of_dial(draft, event) or guards.searched_party(draft, event)
    if party is None or not event.call_sid:
        return
    _forget_guest(draft, party, event.call_sid)
    due_ms = party.dial_check_at_ms if party.answered else _ring_due_ms(draft, party) + event.queue_ms
    if party.status is PartyStatus.CONNECTED and not party.in_conference:
        due_ms = 0  # an agent who talks over the bridge, and whose call SID Redis lost
    note_facts(draft, party, call_sid=event.call_sid, dial_check="", dial_check_at_ms=due_ms)


def _forget_guest(draft: Draft, party: Party, call_sid: str) -> None:
    """Forget the guest that the call was until its dial was decided again."""
    guest = draft.session.find_party(call_sid=call_sid)
    if guest is not None and guest.name != party.name and guards.is_found_guest(guest):
        draft.change(parties={name: one for name, one in draft.session.parties.items() if one is not guest})
        suspect(draft, draft.event)  # where it is


def note_dial_failed(draft: Draft, event: events.EffectFailed) -> None:
    """Record that Twilio refused the dial."""
    party = not_none(guards.party_of_dial(draft, event))
    if party.call_sid:
        return  # a callback has already reported the call: an earlier copy of the request took effect
    # Only such an address may have a form that Twilio does not dial, although it called in from there.
    is_signed = party.name == AGENT and party.address == draft.session.signed_address
    refused = Reason.REFUSED if is_signed else Reason.FAILED
    reason = event.reason if event.reason in NOT_DIALED else refused
    note_gone(draft, party.name, reason, event.code_text)


def note_dial_unknown(draft: Draft, event: events.EffectUnknown) -> None:
    """Record a dial with an unknown result. It is never retried."""
    party = not_none(guards.party_of_dial(draft, event))
    if party.call_sid:
        return  # a callback has already reported the call
    if party.is_leaving and party.is_gated:
        find_dialed_call(draft, party)
    if not party.is_gated or (party.is_leaving and draft.state is not State.BRIDGED):
        # The worker has already searched for a direct dial. If its call shows up later, it is hung up.
        note_gone(draft, party.name, Reason.UNKNOWN)
    elif not party.is_leaving:
        draft.change_party(party, dial_check="unknown", dial_check_at_ms=draft.now_ms + draft.policy.settle_ms)


def note_search_result(draft: Draft, event: events.EffectResult) -> None:
    """Record the call that a search found; without one, search once more."""
    party = not_none(guards.searched_party(draft, event))
    if isinstance(event, events.EffectSucceeded) and event.call_sid:
        note_dial_placed(draft, event)
    elif party.is_connected:  # an agent who talks over the bridge
        due_ms = draft.now_ms + draft.policy.reread_interval_ms
        draft.change_party(party, dial_check="unknown", dial_check_at_ms=due_ms)
    elif party.dial_check == "searching":
        due_ms = draft.now_ms + draft.policy.arrive_timeout_ms - draft.policy.settle_ms
        draft.change_party(party, dial_check="unlisted", dial_check_at_ms=due_ms)
    else:
        draft.change_party(party, dial_check_at_ms=0)
        note_gone(draft, party.name, Reason.UNKNOWN)


def note_call_progress(draft: Draft, event: events.CallProgressed) -> None:
    """Record the progress or the end of a party's call."""
    note_desk(draft, event)
    party = not_none(draft.session.subject_of(event))
    if event.is_final:
        note_facts(draft, party, call_sid=event.call_sid, left_s=event.ended_s)
        # In a conference, the leave usually comes first, and does not say how long the call was.
        reached_limit = draft.state is State.BRIDGED and event.reached_time_limit
        note_gone(draft, party.name, EndReason.TIME_LIMIT if reached_limit else event.reported_status)
    elif event.status == CallStatus.IN_PROGRESS:
        if draft.session.is_in_bridge and party == draft.session.child:
            if guards.passes_bridge_gate(party):
                note_bridge_gate(draft, party, event.call_sid)
            else:
                note_talking(draft, event.call_sid)
            return
        note_answered(draft, party, event.call_sid)
    else:
        rings = event.status == CallStatus.RINGING and party.status is PartyStatus.DIALING
        changes: dict[str, Any] = {"status": PartyStatus.RINGING} if rings else {}
        if party.dial_id:
            changes |= {"dial_check": "", "dial_check_at_ms": max(party.dial_check_at_ms, _ring_due_ms(draft, party))}
        note_facts(draft, party, call_sid=event.call_sid, **changes)
    update_transfer_status(draft)


def note_desk(draft: Draft, event: events.CallProgressed) -> None:
    """Record that the party has a desk, and may be rung again; or had one."""
    party = not_none(draft.session.subject_of(event))
    if event.signed_out:
        draft.change_party(party, has_desk=False)
    elif event.desk and not party.has_desk:
        note_facts(draft, party, has_desk=True)
        draft.change_party(party, desired_end_on_exit=party.desired_end_on_exit and party.name != AGENT)


def note_bridge_gate(draft: Draft, agent: Party, call_sid: str) -> None:
    """Record that a bridge's agent hears a message, or is asked for a key."""
    status = PartyStatus.CONFIRMING if agent.options.confirm else PartyStatus.RINGING
    if not agent.answered_at_ms:
        draft.change_attempt(draft.session.dial_of(agent), answered_at_ms=draft.at_ms)
        draft.change_party(agent, answered_at_ms=draft.now_ms)
    note_facts(draft, agent, call_sid=call_sid, status=status)
    draft.set_timer(events.CallsOverdue, gate_ms(draft, agent))


def note_bridge_decision(draft: Draft, event: events.GateDecided) -> None:
    """Connect the agent of a bridge, or record why the agent was turned away."""
    if event.decision == events.GateDecision.ACCEPTED:
        note_talking(draft, event.call_sid)
    else:
        note_gone(draft, AGENT, event.decision)
        _await_child(draft)


def note_talking(draft: Draft, child_call_sid: str) -> None:
    """Record that the child of a bridge answered: both parties talk."""
    draft.add_attempt(draft.session.child)  # no callback may have reported that it rings
    note_facts(draft, draft.session.child, call_sid=child_call_sid, status=PartyStatus.CONNECTED)
    parent = draft.session.parent
    # After a loss, the call of a dialed agent may be unknown; it is still searched for.
    due_ms = 0 if parent.call_sid else parent.dial_check_at_ms
    note_facts(draft, parent, status=PartyStatus.CONNECTED, dial_check_at_ms=due_ms)
    draft.change(phase=Phase.CONNECTED)
    if not draft.session.dial_call_status:  # else, the end of both calls is awaited
        draft.cancel_timers(events.CallsOverdue)
    finish_call(draft, draft.event)


def note_answered(draft: Draft, party: Party, call_sid: str) -> None:
    """Record that a dialed party answered."""
    note_answer_time(draft, party)
    status = PartyStatus.CONNECTED if party.in_conference else party.status
    if party.options.confirm and not party.in_conference:
        status = PartyStatus.CONFIRMING
    if party.is_gated:
        wait_ms = draft.policy.gate_read_ms + _briefing_ms(party)
    else:  # joins immediately, and hears no one if the customer is on hold
        wait_ms = draft.policy.confirm_ms if draft.session.phase in WITHOUT_AGENT else draft.policy.arrive_timeout_ms
    note_facts(
        draft, party, call_sid=call_sid, answered=True, status=status, answered_at_ms=draft.now_ms,
        dial_check="", dial_check_at_ms=draft.now_ms + wait_ms,
    )  # fmt: skip


def note_answer_time(draft: Draft, party: Party) -> None:
    """Record when an attempt was answered, unless that is known."""
    if not party.answered:
        draft.change_attempt(party.dial_id, answered_at_ms=draft.at_ms)


def note_gate_reached(draft: Draft, event: events.GateReached) -> None:
    """Record that a dialed call reached the gate, so it was answered."""
    note_answered(draft, not_none(guards.party_of_dial(draft, event)), event.call_sid)
    update_transfer_status(draft)


def note_gate_accepted(draft: Draft, event: events.GateDecided) -> None:
    """Record that the gate accepted the call, which joins next."""
    party = not_none(guards.party_of_dial(draft, event))
    note_answered(draft, party, event.call_sid)
    # A party prompted for a key, or of a ring group, has already heard the briefing.
    briefing_ms = 0 if party.options.confirm or party.ring_group else _briefing_ms(party)
    due_ms = draft.now_ms + draft.policy.arrive_timeout_ms + briefing_ms
    note_facts(draft, party, has_passed_gate=not briefing_ms, dial_check_at_ms=due_ms)
    if draft.state is State.BRIDGED:  # the agent's document rings the customer
        note_facts(draft, party, status=PartyStatus.CONNECTED, dial_check_at_ms=0)
        note_child_rings(draft)


def note_child_rings(draft: Draft) -> None:
    """Record that a bridge rings its child; set the timer for its answer."""
    draft.add_attempt(draft.session.child)
    _await_child(draft)


def _await_child(draft: Draft) -> None:
    draft.set_timer(events.CallsOverdue, draft.policy.ring_timeout_ms + draft.policy.ring_slack_ms)


def may_still_join(draft: Draft, party: Party) -> bool:
    """Whether a party answered so recently that it may be joining."""
    return party.answered and draft.now_ms - party.answered_at_ms < gate_ms(draft, party)


def gate_ms(draft: Draft, party: Party) -> int:
    """Return how long a party that answered may take until it joins."""
    return draft.policy.gate_timeout_ms + _briefing_ms(party) + 1000 * party.options.confirm_for_s


def _briefing_ms(party: Party) -> int:
    return _MS_PER_CHARACTER * (len(party.options.brief) + (RECALL_SENTENCE_MAX if party.rung_again_because else 0))


def note_gate_rejected(draft: Draft, event: events.GateDecided) -> None:
    """Record that the gate turned the call away and hangs up."""
    party = not_none(guards.party_of_dial(draft, event))
    note_facts(draft, party, call_sid=event.call_sid, hang_up_requested=True)
    # A party removed before it answered comes too late, but left because it was removed.
    was_removed = party.is_removed and event.decision == events.GateDecision.TOO_LATE
    note_gone(draft, party.name, Reason.CANCELLED if was_removed else event.decision)


def update_transfer_status(draft: Draft) -> None:
    """Set `transfer.status` to the dialed parties' most advanced status."""
    transfer = draft.session.transfer
    if transfer is None or transfer.stage is not TransferStage.DIALING or transfer.status is TransferStatus.FAILED:
        return  # a failed transfer stays failed, and reported as such, while its fallback is dialed
    # A retrieving party becomes the agent. A recalled agent shows only in the party's own status.
    dialed = (draft.session.agent,) if draft.session.phase is Phase.RETRIEVE else draft.session.targets
    waiting = [party.status for party in dialed if party.status in _STATUSES_BY_PROGRESS]
    if waiting:
        furthest = max(waiting, key=_STATUSES_BY_PROGRESS.index)
        draft.change_transfer(status=TransferStatus(furthest.value))


# ---- overdue dials -----------------------------------------------------------------------------------------------


def find_dialed_call(draft: Draft, party: Party) -> None:
    """Search Twilio's call list for the call of a dial."""
    draft.emit(
        FindCall,
        party=party.name,
        dial_id=party.dial_id,
        to=party.address,
        since_ms=party.dialed_at_ms,
        options=party.options,
    )
    due_ms = draft.now_ms + 2 * draft.policy.ring_slack_ms
    is_first = party.dial_check in ("unknown", "searching") and not party.is_leaving
    draft.change_party(party, dial_check="searching" if is_first else "searched", dial_check_at_ms=due_ms)


# ---- abandoned calls ---------------------------------------------------------------------------------------------


def hang_up_late_dial(draft: Draft, event: events.DialedCallEvent | events.EffectSucceeded) -> None:
    """Hang up a call whose dial was given up or repeated meanwhile."""
    party = draft.session.subject_of(event)
    if party is None:
        draft.change(former_calls=(*draft.session.former_calls, event.call_sid))
    else:
        note_facts(draft, party, call_sid=event.call_sid)
        draft.change_party(party, hang_up_requested=True)
    draft.emit(HangUpCall, party=party.name if party is not None else "", call_sid=event.call_sid)
    draft.reason = "its dial was abandoned"


def mark_leaving(draft: Draft, party: Party) -> None:
    """Mark a party as being removed."""
    draft.change_party(party, is_leaving=True)


def hang_up_party(draft: Draft, party: Party) -> None:
    """Hang up a party as soon as its call is known."""
    mark_leaving(draft, party)
    if party.dial_check in guards.UNKNOWN_DIAL and not party.call_sid:
        # No call is known, so there is nothing to wait for: one that shows up is hung up. Only the agent of a `call` is
        # waited for: the search, or the end of the call, ends the session.
        find_dialed_call(draft, draft.session.parties[party.name])
        if draft.state is not State.BRIDGED:
            note_gone(draft, party.name, Reason.CANCELLED)


def hang_up_leaving_parties(draft: Draft, _event: Event) -> None:
    """Hang up parties that are being removed, once their calls are known."""
    for party in draft.session.parties.values():
        if guards.may_hang_up(draft, party):
            hang_up(draft, party)


def hang_up(draft: Draft, party: Party) -> None:
    """Hang up a party's call, which is known."""
    effect_id = draft.emit(HangUpCall, party=party.name, call_sid=party.call_sid)
    draft.change_party(party, hang_up_requested=True, hang_up_effect_id=effect_id)
