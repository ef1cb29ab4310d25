"""Reconciliation of participants' states, and reads of Twilio.

Each difference between, say, `desired_hold` and `held` is requested, one update of a party at a time. A callback or a
read confirms it; Twilio's response also confirms a hold or a mute. If nothing does in time, Twilio is read, and the
update is requested again if it did not happen.
"""

from operator import attrgetter
from typing import Any

from conferral.statemachine import events, guards
from conferral.statemachine.effects import ReadCalls, UpdateParticipant
from conferral.statemachine.events import Event
from conferral.statemachine.legs import note_facts, overtake_reads
from conferral.statemachine.reasons import Reason
from conferral.statemachine.session import AGENT, CUSTOMER, Party
from conferral.statemachine.states import (
    ParticipantUpdate,
    Phase,
    State,
    SuperviseMode,
    TransferMode,
    UnsettledName,
    WaitAudio,
)
from conferral.statemachine.step import Draft, not_none

#: What an update changes about a participant: the attribute of the party, and its value afterwards. Others set a mode.
_VALUE_AFTER: dict[str, tuple[str, bool]] = {
    ParticipantUpdate.HOLD: ("held", True),
    ParticipantUpdate.UNHOLD: ("held", False),
    ParticipantUpdate.SET_END_ON_EXIT: ("end_on_exit", True),
    ParticipantUpdate.CLEAR_END_ON_EXIT: ("end_on_exit", False),
    ParticipantUpdate.MUTE: ("muted", True),
    ParticipantUpdate.UNMUTE: ("muted", False),
}


def want_hold(draft: Draft, name: str, wait_audio: WaitAudio) -> None:
    """Want a party on hold, with this audio; `reconcile` sends the update.

    Before the conference starts, it plays without a hold. Webhooks look it up at each of Twilio's requests.
    """
    party = draft.session.parties[name]
    draft.change_party(
        party, desired_hold=not party.waits_for_start, hold_found=False, wait_audio=wait_audio,
        desired_end_on_exit=False,
    )  # fmt: skip


def hold_party_in_silence(draft: Draft, _event: Event) -> None:
    """Hold the party who waits alone in silence, to play ringing or music."""
    party, phase = not_none(guards.party_in_silence(draft, _event)), draft.session.phase
    # In these phases, the party may still have the audio of an earlier hold.
    audio = {Phase.CONNECTED: WaitAudio.RINGBACK, Phase.PARKED: WaitAudio.MUSIC}.get(phase, party.wait_audio)
    if phase is Phase.CONNECTED and not guards.someone_is_being_dialed(draft.session):
        audio = WaitAudio.MUSIC  # until the fallback after an outage
    want_hold(draft, party.name, audio or WaitAudio.MUSIC)


def end_needless_hold(draft: Draft, _event: Event) -> None:
    """Want the party off hold, since another is there; keep the audio."""
    draft.change_party(not_none(guards.party_on_needless_hold(draft, _event)), desired_hold=False)


def want_unhold(draft: Draft, name: str) -> None:
    """Want a party off hold, with no more wait audio."""
    draft.change_party(draft.session.parties[name], desired_hold=False, wait_audio=WaitAudio.NONE)


def unhold_all(draft: Draft, _event: Event) -> None:
    """Take everyone off hold."""
    for name in tuple(draft.session.parties):
        want_unhold(draft, name)


def end_overdue_holds(draft: Draft, event: Event) -> None:
    """Take parties off hold that were held for `CONFERRAL_HOLD_LIMIT`."""
    for name in guards.overdue_holds(draft, event):
        want_unhold(draft, name)
        draft.reason = Reason.HOLD_LIMIT


def set_end_on_exit(draft: Draft) -> None:
    """Request `EndConferenceOnExit` for customer and agent, if alone.

    It is a safety net under the lone-participant rule.
    """
    session, pair = draft.session, (CUSTOMER, AGENT)
    others = any(not party.is_leaving for name, party in session.present.items() if name not in pair)
    are_alone = not (others or any(command.awaits_end_on_exit_cleared for command in session.pending_commands))
    # The agent of a pending transfer must be able to leave, and a customer who continues at the `after` URL to stay.
    transfer = session.running_transfer
    agent_may_leave = transfer is not None or bool(session.attributes.after_url)
    # The request contains `Hold=false`, and might undo a hold that a transfer needs.
    is_held_next = transfer is not None and transfer.mode is not TransferMode.WARM
    for party in session.parties.values():
        # A lost agent is rung again.
        stays = party.name == AGENT and (agent_may_leave or party.has_desk)
        wanted = are_alone and party.name in pair and not (stays or is_held_next)
        draft.change_party(party, desired_end_on_exit=wanted)


def restore_end_on_exit(draft: Draft) -> None:
    """Request it again in a settled conference: someone who joined has left."""
    if guards.is_settled(draft) and len(guards.present_parties(draft.session)) > 1:
        set_end_on_exit(draft)


def clear_end_on_exit(draft: Draft) -> None:
    """Request that no party's leaving ends the conference."""
    for party in draft.session.parties.values():
        draft.change_party(party, desired_end_on_exit=False)


def reconcile(draft: Draft, _event: Event) -> None:
    """Request an update for each difference between the two states."""
    # Supervisors, who alone have a mode, come last: Twilio refuses to coach an agent who is still on hold.
    for party in sorted(draft.session.parties.values(), key=attrgetter("supervises")):
        update = guards.next_update(draft.session, party)
        if update is not None:
            _request_update(draft, party, update)


def _request_update(draft: Draft, party: Party, update: ParticipantUpdate) -> None:
    effect_id = draft.emit(
        UpdateParticipant,
        party=party.name,
        call_sid=party.call_sid,
        conference_sid=draft.session.conference_sid,
        update=update.value,
        wait_audio=party.wait_audio.value if update is ParticipantUpdate.HOLD else "",
        coaches=draft.session.agent.call_sid if update is ParticipantUpdate.WHISPER else "",
        keeps_hold=update is ParticipantUpdate.CLEAR_END_ON_EXIT and party.desired_hold,
    )
    draft.change_party(party, pending_update=update.value, pending_since_ms=draft.now_ms, update_effect_id=effect_id)
    overtake_reads(draft, party)


def give_up_end_on_exit(draft: Draft, event: Event) -> None:
    """Want no more `EndConferenceOnExit` that Twilio has not set in time."""
    party = not_none(guards.party_with_overdue_end_on_exit(draft, event))
    draft.change_party(party, desired_end_on_exit=False, pending_update="", update_effect_id="")


def note_update_result(draft: Draft, event: events.EffectResult) -> None:
    """Record an update's result, which confirms a hold or a mute."""
    if event.may_unhold_later and event.party in draft.session.parties:
        draft.change_party(draft.session.parties[event.party], late_unhold_ms=draft.now_ms)
    party = _party_of_update(draft, event)
    if party is None:
        return
    code = event.code_text if isinstance(event, events.EffectFailed) else ""
    changes: dict[str, Any] = {"update_effect_id": "", "update_code": code}
    shown: dict[str, Any] = {}
    if isinstance(event, events.EffectFailed) and party.supervises not in ("", SuperviseMode.MONITOR):
        # Such as for want of an agent to coach: from now on, the supervisor only listens.
        changes |= {"pending_update": "", "supervises": SuperviseMode.MONITOR.value}
    if isinstance(event, events.EffectSucceeded) and event.is_confirmed and party.pending_update in _VALUE_AFTER:
        changes["pending_update"], shown = "", dict([_VALUE_AFTER[party.pending_update]])
    draft.change_party(party, **changes)
    note_facts(draft, party, **shown)
    overtake_reads(draft, party)


def _party_of_update(draft: Draft, event: events.EffectResult) -> Party | None:
    """Return the update's party; None if a later update replaced it."""
    return next((party for party in draft.session.parties.values() if party.update_effect_id == event.effect_id), None)


def note_participant_changed(draft: Draft, event: events.ParticipantChanged) -> None:
    """Record a participant's confirmed hold, mute, and other attributes."""
    party = not_none(draft.session.subject_of(event))
    note_facts(draft, party, conference_sequence=event.sequence, **_shown_by(event))
    _keep_what_loss_forgot(draft, party.name)
    shows_undone = event.kind in ("participant-unhold", "participant-unmute")
    _settle_update(draft, party.name, is_certain=False, shows_undone=shows_undone)


def apply_participants(draft: Draft, event: events.CallsRead) -> None:
    """Take participant states from a read; differences are requested again."""
    for seen in event.participants:
        party = draft.session.subject_of(seen)
        if party is None or party.is_gone or party.overtakes(event):
            continue
        note_facts(draft, party, **_shown_by(seen))
        _keep_what_loss_forgot(draft, party.name)
        # A request still in progress may not show yet.
        _settle_update(draft, party.name, is_certain=not party.update_effect_id, shows_undone=False)


def _shown_by(seen: events.ParticipantChanged | events.ParticipantSeen) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in ("held", "muted", "end_on_exit", "coaches")}


def _keep_what_loss_forgot(draft: Draft, name: str) -> None:
    """Want what Twilio shows, if nothing was requested since a loss.

    What the loss forgot may have asked for it: a hold or a mute stays as if a person had ordered it.
    """
    party = draft.session.parties[name]
    if not guards.may_have_lost_order(draft.session, party):
        return
    if party.is_supervisor:
        mode = guards.confirmed_supervise_mode(draft.session, party)
        draft.change_party(party, supervises=mode or party.supervises)
        return
    if party.held != party.desired_hold:
        order_found_hold(draft, name, is_held=party.held)
    draft.change_party(party, desired_mute=party.muted)


def note_outage(draft: Draft) -> None:
    """Note that Redis lost what was decided, if that is news."""
    if not draft.session.lost_at_ms:
        draft.change(lost_at_ms=draft.now_ms)
        for name in draft.session.parties:
            _keep_what_loss_forgot(draft, name)


def order_found_hold(draft: Draft, name: str, *, is_held: bool) -> None:
    """Want a hold, or none, that a loss of Redis forgot, as if it was ordered."""
    audio = WaitAudio.MUSIC if is_held else WaitAudio.NONE
    draft.change_party(draft.session.parties[name], desired_hold=is_held, wait_audio=audio, hold_found=is_held)


def _settle_update(draft: Draft, name: str, *, is_certain: bool, shows_undone: bool) -> None:
    """Close a party's pending update if what Twilio just showed confirms it.

    With `is_certain`, it is newer than the request: close the update anyway, so that it is requested again. With
    `shows_undone`, it came with Twilio's own callback of an unhold or unmute.
    """
    party = draft.session.parties[name]
    # A hold may still be queued, and a callback may be old: until the request has a result, not being held or muted
    # proves nothing.
    is_undone = shows_undone or not party.update_effect_id
    update = party.pending_update
    if update in _VALUE_AFTER:
        attribute, value = _VALUE_AFTER[update]
        needs_proof = update in (ParticipantUpdate.UNHOLD, ParticipantUpdate.UNMUTE)
        is_as_requested = getattr(party, attribute) is value and (is_undone or not needs_proof)
    else:  # a supervisor's mode, or none
        is_as_requested = not update or guards.confirmed_supervise_mode(draft.session, party) == update
    if is_as_requested or is_certain:
        draft.change_party(party, pending_update="")


# ---- reads of Twilio: `table.unsettled` says when -------------------------------------------------------------------


def suspect(draft: Draft, _event: Event, after_ms: int = 0, kind: UnsettledName = UnsettledName.SUSPICION) -> None:
    """Read all calls, by default at once; an open read began too early."""
    _suspect_all(draft, draft.now_ms + after_ms, kind)
    draft.change(asked_ms=0, open_read_id="", unread_calls=())


def suspect_later(draft: Draft) -> None:
    """Read all calls once Twilio's lists can't lag anymore."""
    _suspect_all(draft, draft.session.moved_at_ms + draft.policy.reread_interval_ms)


def _suspect_all(draft: Draft, due_ms: int, kind: UnsettledName = UnsettledName.SUSPICION) -> None:
    session, names = draft.session, [*draft.session.present] or [guards.ANYONE]
    suspicions = dict.fromkeys(map(kind.key, names), due_ms)
    draft.change(unsettled_since_ms={**guards.without_suspicions(session, names), **suspicions})


def read_calls(draft: Draft, _event: Event) -> None:
    """Read the session's calls and conference."""
    session = draft.session
    bridged = draft.state in (State.BRIDGED, State.CONVERTING)
    parent = session.parent.call_sid if bridged else ""
    others = [
        party
        for party in session.parties.values()
        if party.call_sid not in ("", parent)
        and not party.is_gone
        and (not session.unread_calls or party.call_sid in session.unread_calls)
    ]
    # Unanswered dials come first: while one seems to be in progress, no lone party is released.
    others.sort(key=lambda party: party.answered or not party.dial_id)
    open_read_id = draft.emit(
        ReadCalls,
        parent_call_sid=parent,
        call_sids=tuple(party.call_sid for party in others),
        unproven_sids=tuple(party.call_sid for party in others if _must_be_read(party)),
        # Bridges have no conference, but after a loss the two may be in one already.
        conference_name=session.conference_name,
        conference_sid=session.conference_sid,
        read_version=session.version + 1,
        is_background=guards.only_loss_is_unsettled(session),
    )
    draft.change(open_read_id=open_read_id, open_read_since_ms=draft.now_ms, unread_calls=())


def _must_be_read(party: Party) -> bool:
    """Whether the conference shows too little of a party's call.

    With early media, a participant proves no answer. None has an address, which a party has whose dial Redis lost.
    """
    return (party.early_media and not party.answered) or (bool(party.dial_id) and not party.address)


def read_after_finding(draft: Draft, event: events.AccountSwept) -> None:
    """Read Twilio: the sweep found a difference, or Redis lost writes."""
    party = draft.session.subject_of(event)
    if party is not None and party.is_gone:
        return  # the callback of the call's end was only late
    if event.is_loss:
        draft.change(lost_at_ms=draft.now_ms)
        for one in draft.session.parties.values():
            if guards.is_unknown_dial(one) and not one.is_gone and not one.dial_check:
                draft.change_party(one, dial_check="unknown")
        # Redis may have lost the stage's event, so the read comes first.
        due_ms = draft.session.timers.get(events.StageOverdue.timer)
        if due_ms is not None:
            draft.set_timer(events.StageOverdue, max(draft.policy.hold_timeout_ms, due_ms - draft.now_ms))
    suspect(draft, event, kind=UnsettledName.LOSS if event.is_loss else UnsettledName.SUSPICION)


def read_live_call(draft: Draft, event: events.AccountSwept) -> None:
    """Read who is with a call that goes on after the session's end."""
    draft.emit(
        ReadCalls,
        parent_call_sid="",
        call_sids=(event.call_sid,),
        conference_name=draft.session.conference_name,
        conference_sid=draft.session.conference_sid,
        read_version=draft.session.version + 1,
    )


def read_later(draft: Draft, _event: Event) -> None:
    """Read a bridge again later: this read settled nothing."""
    draft.set_timer(events.CallsOverdue, draft.policy.reread_interval_ms)
