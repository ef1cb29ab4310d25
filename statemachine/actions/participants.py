"""Reconciliation of participants: requests updates from Twilio until the confirmed state matches the desired state.

A party has desired values (`desired_hold`, `desired_end_on_exit`) and values confirmed by a callback or a read (`held`,
`end_on_exit`). Each difference is requested, one update at a time. If an update is not confirmed in time, Twilio is
read, and the update is requested again if the read shows that it did not happen.
"""

from typing import Any

from conferral.statemachine.actions.reads import read_calls
from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import UpdateParticipant
from conferral.statemachine.events import (
    CallsRead,
    ConfirmOverdue,
    EffectFailed,
    EffectOutcome,
    EffectSucceeded,
    Event,
    ParticipantChanged,
    ParticipantSeen,
)
from conferral.statemachine.guards.participants import next_update
from conferral.statemachine.guards.supervision import confirmed_supervise_mode
from conferral.statemachine.guards.waiting_party import someone_is_being_dialed
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, ParticipantUpdate, Party
from conferral.statemachine.states import WaitAudio

#: Reads after which an `EndConferenceOnExit` that Twilio does not set is given up: it is only a safety net.
_END_ON_EXIT_READS_MAX = 3
#: What is known of a participant once a response has confirmed an update.
_SHOWN: dict[str, dict[str, bool]] = {
    ParticipantUpdate.HOLD: {"held": True},
    ParticipantUpdate.UNHOLD: {"held": False},
    ParticipantUpdate.MUTE: {"muted": True},
    ParticipantUpdate.UNMUTE: {"muted": False},
}
_SUPERVISES = frozenset({ParticipantUpdate.MONITOR, ParticipantUpdate.WHISPER, ParticipantUpdate.BARGE})


def request_hold(draft: Draft, name: str, wait_audio: WaitAudio) -> None:
    """Request a hold with this audio; while held, the party's leaving does not end the conference."""
    draft.change_party(draft.session.parties[name], desired_hold=True, wait_audio=wait_audio, desired_end_on_exit=False)


def hold_customer_for_audio(draft: Draft, _event: Event) -> None:
    """Hold the customer to play audio: the conference no longer plays wait music."""
    request_hold(draft, CUSTOMER, draft.session.parties[CUSTOMER].wait_audio)


def unhold_waiting_customer(draft: Draft, _event: Event) -> None:
    """Request an unhold while the customer has company; the wait audio stays, for when they are alone again."""
    draft.change_party(draft.session.parties[CUSTOMER], desired_hold=False)


def request_unhold(draft: Draft, name: str) -> None:
    """Request an unhold."""
    draft.change_party(draft.session.parties[name], desired_hold=False, wait_audio=WaitAudio.NONE)


def unhold_all(draft: Draft, _event: Event) -> None:
    """Take everyone off hold."""
    for name in tuple(draft.session.parties):
        request_unhold(draft, name)


def set_end_on_exit(draft: Draft, *, agent: bool = True) -> None:
    """Request `EndConferenceOnExit` for customer and agent if they are alone in a settled conference.

    This is a safety net under the lone-participant rule.

    Args:
        agent: False if the agent must be able to leave without ending the conference.
    """
    pair = {CUSTOMER, AGENT}
    session = draft.session
    inside = {party.name for party in session.participants if not party.is_gone}
    supervisor = session.parties.get(SUPERVISOR)
    is_supervised = supervisor is not None and not supervisor.is_gone
    comes = (
        is_supervised
        or someone_is_being_dialed(session)
        or any(command.awaits_end_on_exit for command in session.pending_commands)
    )
    alone = inside <= pair and not (comes or session.is_group)
    # A customer who continues at the `after` URL must be able to outlast the agent.
    agent = agent and not session.attributes.after_url
    for party in tuple(draft.session.parties.values()):
        wanted = alone and party.name in pair and (agent or party.name != AGENT)
        if party.desired_end_on_exit != wanted:
            draft.change_party(party, desired_end_on_exit=wanted)


def clear_end_on_exit(draft: Draft) -> None:
    """Request that no party's leaving ends the conference."""
    for party in tuple(draft.session.parties.values()):
        if party.desired_end_on_exit:
            draft.change_party(party, desired_end_on_exit=False)


# ---- requests ----------------------------------------------------------------------------------------------------


def reconcile(draft: Draft, _event: Event) -> None:
    """Request an update for each difference between desired and confirmed state."""
    for party in tuple(draft.session.parties.values()):
        update = next_update(draft.session, party)
        if update is not None:
            _request_update(draft, party, update)
    # No one waits for the flags of a settled conference, which are only a safety net.
    pending = {party.pending_update for party in draft.session.parties.values()}
    is_urgent = not pending <= {"", ParticipantUpdate.SET_END_ON_EXIT}
    wait_ms = draft.policy.confirm_ms if is_urgent else draft.policy.flag_confirm_ms
    known_ms = draft.session.timers.get(ConfirmOverdue.timer)
    if known_ms is None or known_ms > draft.now_ms + wait_ms:
        draft.set_timer(ConfirmOverdue, wait_ms)


def _request_update(draft: Draft, party: Party, update: ParticipantUpdate) -> None:
    if update is ParticipantUpdate.HOLD and (
        party.end_on_exit or party.pending_update == ParticipantUpdate.SET_END_ON_EXIT
    ):
        _update(draft, party, end_on_exit=False)  # Twilio ignores this flag once the party is on hold
    hold = {ParticipantUpdate.HOLD: True, ParticipantUpdate.UNHOLD: False}.get(update)
    effect_id = _update(
        draft,
        party,
        hold=hold,
        wait_audio=party.wait_audio.value if hold else "",
        end_on_exit={ParticipantUpdate.SET_END_ON_EXIT: True, ParticipantUpdate.CLEAR_END_ON_EXIT: False}.get(update),
        muted={ParticipantUpdate.MUTE: True, ParticipantUpdate.UNMUTE: False}.get(update),
        supervises=update.value if update in _SUPERVISES else "",
        coaches=draft.session.parties[AGENT].call_sid if update is ParticipantUpdate.WHISPER else "",
    )
    draft.change_party(party, pending_update=update.value, pending_since_ms=draft.now_ms, update_effect_id=effect_id)


def _update(draft: Draft, party: Party, **changes: Any) -> str:
    conference = draft.session.conference_sid
    return draft.emit(
        UpdateParticipant, party=party.name, call_sid=party.call_sid, conference_sid=conference, **changes
    )


def finish_reconciliation(draft: Draft, _event: Event) -> None:
    """Stop the confirmation timer: Twilio has confirmed the desired state."""
    draft.cancel_timers(ConfirmOverdue)
    draft.change(confirmation_reads=0)


def read_participants(draft: Draft, event: ConfirmOverdue) -> None:
    """Read Twilio because a callback is missing; repeat every two seconds until settled."""
    reads = draft.session.confirmation_reads + 1
    draft.change(confirmation_reads=reads)
    if reads > _END_ON_EXIT_READS_MAX:
        _cancel_end_on_exit(draft)
    read_calls(draft, event)
    draft.set_timer(ConfirmOverdue, draft.policy.confirm_interval_ms)


def _cancel_end_on_exit(draft: Draft) -> None:
    for party in tuple(draft.session.parties.values()):
        is_due = party.pending_update in ("", ParticipantUpdate.SET_END_ON_EXIT)
        if is_due and party.desired_end_on_exit and not party.end_on_exit:
            draft.change_party(party, desired_end_on_exit=False, pending_update="", update_effect_id="")


# ---- results -----------------------------------------------------------------------------------------------------


def note_update_result(draft: Draft, event: EffectOutcome) -> None:
    """Record the update's outcome; the response, a callback, or a read shows whether it worked."""
    party = _party_updated(draft, event)
    if party is None:
        return
    shown = _SHOWN.get(party.pending_update) if isinstance(event, EffectSucceeded) and event.is_confirmed else None
    changes = {**shown, "pending_update": ""} if shown else {}
    draft.change_party(party, update_effect_id="", **changes)


def await_conference_start(draft: Draft, event: EffectFailed) -> None:
    """Wait for the conference to start before requesting more updates: Twilio refuses them until then."""
    party = _party_updated(draft, event)
    if party is not None:
        draft.change_party(party, pending_update="", update_effect_id="")
    draft.change(awaits_conference_start=True)


def _party_updated(draft: Draft, event: EffectOutcome) -> Party | None:
    return next((party for party in draft.session.parties.values() if party.update_effect_id == event.effect_id), None)


def note_participant_changed(draft: Draft, event: ParticipantChanged) -> None:
    """Record a participant's confirmed hold, mute, and other attributes."""
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    if party is None:
        return
    _take_attributes(draft, party, event, event.sequence)
    shows_undone = event.kind in ("participant-unhold", "participant-unmute")
    _settle_update(draft, party.name, is_certain=False, shows_undone=shows_undone)


def apply_participants(draft: Draft, event: CallsRead) -> None:
    """Take participant states from a read; differences are requested again."""
    for seen in event.participants:
        party = draft.session.find_party(call_sid=seen.call_sid, label=seen.label)
        if party is None or party.is_gone:
            continue
        _take_attributes(draft, party, seen)
        # A request still in progress may not show yet.
        _settle_update(draft, party.name, is_certain=not party.update_effect_id, shows_undone=False)


def _take_attributes(
    draft: Draft, party: Party, seen: ParticipantChanged | ParticipantSeen, sequence: int | None = None
) -> None:
    draft.change_party(
        party,
        held=seen.held,
        muted=seen.muted,
        end_on_exit=seen.end_on_exit,
        coaches=seen.coaches,
        is_muted_guest=party.is_muted_guest and seen.muted,
        conference_sequence=party.conference_sequence if sequence is None else sequence,
    )


def _settle_update(draft: Draft, name: str, *, is_certain: bool, shows_undone: bool) -> None:
    party = draft.session.parties[name]
    # A hold may still be queued before the unhold, and a callback may be older than the mute: until the request has an
    # outcome, not being held or muted proves nothing.
    is_undone = shows_undone or not party.update_effect_id
    is_as_requested = {
        "": True,
        ParticipantUpdate.HOLD: party.held,
        ParticipantUpdate.UNHOLD: not party.held and is_undone,
        ParticipantUpdate.SET_END_ON_EXIT: party.end_on_exit,
        ParticipantUpdate.CLEAR_END_ON_EXIT: not party.end_on_exit,
        ParticipantUpdate.MUTE: party.muted,
        ParticipantUpdate.UNMUTE: not party.muted and is_undone,
    }.get(party.pending_update)
    if is_as_requested is None:  # a supervisor's mode
        is_as_requested = confirmed_supervise_mode(draft.session, party) == party.pending_update
    if is_as_requested or is_certain:
        draft.change_party(party, pending_update="", refused_updates=0 if is_as_requested else party.refused_updates)
