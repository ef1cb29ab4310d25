"""What is wanted of participants, and asking Twilio until it is so.

A party has what is wanted (`desired_hold`, `desired_end_on_exit`) and what a callback or a read has confirmed (`held`,
`end_on_exit`). Whatever differs is asked for, one thing at a time; what is not confirmed in time is looked at, and
asked for again when the look shows that it did not happen.
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
    Event,
    ParticipantChanged,
    ParticipantSeen,
)
from conferral.statemachine.guards.participants import next_update
from conferral.statemachine.guards.supervision import confirmed_supervise_mode
from conferral.statemachine.guards.waiting_party import someone_is_being_dialed
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, ParticipantUpdate, Party
from conferral.statemachine.states import WaitAudio

#: Looks after which a flag that Twilio does not set is left alone: it is only a second net.
_END_ON_EXIT_READS_MAX = 3
_SUPERVISES = frozenset({ParticipantUpdate.MONITOR, ParticipantUpdate.WHISPER, ParticipantUpdate.BARGE})


def request_hold(draft: Draft, name: str, wait_audio: WaitAudio) -> None:
    """The party hears that tune and nothing else, no one hears it, and its leaving ends nothing."""
    draft.change_party(draft.session.parties[name], desired_hold=True, wait_audio=wait_audio, desired_end_on_exit=False)


def hold_customer_for_audio(draft: Draft, _event: Event) -> None:
    """The customer waits where no wait music is played any more: he is held to hear what he is to hear."""
    request_hold(draft, CUSTOMER, draft.session.parties[CUSTOMER].wait_audio)


def request_unhold(draft: Draft, name: str) -> None:
    """Somebody shall hear the others again."""
    draft.change_party(draft.session.parties[name], desired_hold=False, wait_audio=WaitAudio.NONE)


def request_unhold_all(draft: Draft) -> None:
    """Nobody shall be on hold."""
    for name in tuple(draft.session.parties):
        request_unhold(draft, name)


def set_end_on_exit(draft: Draft, *, agent: bool = True) -> None:
    """Customer and agent alone in a settled room: the leaving of each ends it, as a second net under the lone rule.

    Args:
        draft: The sheet.
        agent: False where the agent is to leave without ending it.
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
    # Whoever goes on elsewhere, when the agent has left, has to be able to.
    agent = agent and not session.attributes.after_url
    for party in tuple(draft.session.parties.values()):
        wanted = alone and party.name in pair and (agent or party.name != AGENT)
        if party.desired_end_on_exit != wanted:
            draft.change_party(party, desired_end_on_exit=wanted)


def clear_end_on_exit(draft: Draft) -> None:
    """Nobody's leaving shall end the conference."""
    for party in tuple(draft.session.parties.values()):
        if party.desired_end_on_exit:
            draft.change_party(party, desired_end_on_exit=False)


def clear_agent_end_on_exit(draft: Draft) -> None:
    """The agent's leaving shall not end the conference."""
    draft.change_party(draft.session.parties[AGENT], desired_end_on_exit=False)


# ---- asking ------------------------------------------------------------------------------------------------------


def reconcile(draft: Draft, _event: Event) -> None:
    """Asks for whatever differs from what is wanted."""
    for party in tuple(draft.session.parties.values()):
        update = next_update(draft.session, party)
        if update is not None:
            _request_update(draft, party, update)
    if ConfirmOverdue.timer not in draft.session.timers:
        draft.set_timer(ConfirmOverdue.timer, draft.policy.confirm_ms)


def _request_update(draft: Draft, party: Party, update: ParticipantUpdate) -> None:
    if update is ParticipantUpdate.HOLD and (
        party.end_on_exit or party.pending_update == ParticipantUpdate.SET_END_ON_EXIT
    ):
        _update(draft, party, end_on_exit=False)  # Twilio ignores it once the party is on hold
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
    """Everything is as wanted, and Twilio has confirmed it."""
    draft.cancel_timer(ConfirmOverdue.timer)
    draft.change(confirmation_reads=0)


def read_participants(draft: Draft, event: ConfirmOverdue) -> None:
    """A callback is missing: Twilio is asked, every two seconds until it is settled."""
    looks = draft.session.confirmation_reads + 1
    draft.change(confirmation_reads=looks)
    if looks > _END_ON_EXIT_READS_MAX:
        _give_up_end_on_exit(draft)
    read_calls(draft, event)
    draft.set_timer(ConfirmOverdue.timer, draft.policy.confirm_interval_ms)


def _give_up_end_on_exit(draft: Draft) -> None:
    for party in tuple(draft.session.parties.values()):
        is_due = party.pending_update == ParticipantUpdate.SET_END_ON_EXIT or not (party.pending_update or party.held)
        if is_due and party.desired_end_on_exit and not party.end_on_exit:
            draft.change_party(party, desired_end_on_exit=False, pending_update="", update_effect_id="")


# ---- what came of it ---------------------------------------------------------------------------------------------


def note_update_result(draft: Draft, event: EffectOutcome) -> None:
    """The request has an outcome; whether it did what it should is told by a callback or a look."""
    party = _party_updated(draft, event)
    if party is not None:
        draft.change_party(party, update_effect_id="")


def await_conference_start(draft: Draft, event: EffectFailed) -> None:
    """Twilio changes no one before the conference starts: what is wanted is asked for once it has."""
    party = _party_updated(draft, event)
    if party is not None:
        draft.change_party(party, pending_update="", update_effect_id="")
    draft.change(awaits_conference_start=True)


def read_after_update(draft: Draft, event: EffectFailed) -> None:
    """The participant was not in the conference any more: Twilio is asked what became of the call."""
    note_update_result(draft, event)
    read_calls(draft, event)


def _party_updated(draft: Draft, event: EffectOutcome) -> Party | None:
    return next((party for party in draft.session.parties.values() if party.update_effect_id == event.effect_id), None)


def note_participant_changed(draft: Draft, event: ParticipantChanged) -> None:
    """A participant was held, unheld, muted or given other flags."""
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    if party is None:
        return
    draft.change_party(
        party,
        held=event.held,
        muted=event.muted,
        end_on_exit=event.end_on_exit,
        coaches=event.coaches,
        is_muted_guest=party.is_muted_guest and event.muted,
        conference_sequence=event.sequence if event.sequence is not None else party.conference_sequence,
    )
    tells_undone = event.kind in ("participant-unhold", "participant-unmute")
    _settle_update(draft, party.name, is_certain=False, shows_undone=tells_undone)


def apply_participants(draft: Draft, event: CallsRead) -> None:
    """How the participants are is taken from a look; what is not as asked for is asked for again."""
    for seen in event.participants:
        party = draft.session.find_party(call_sid=seen.call_sid, label=seen.label)
        if party is None or party.is_gone:
            continue
        _apply_participant(draft, party, seen)


def _apply_participant(draft: Draft, party: Party, seen: ParticipantSeen) -> None:
    draft.change_party(
        party,
        held=seen.held,
        muted=seen.muted,
        end_on_exit=seen.end_on_exit,
        coaches=seen.coaches,
        is_muted_guest=party.is_muted_guest and seen.muted,
    )
    # A request that is still under way may not show yet.
    _settle_update(draft, party.name, is_certain=not party.update_effect_id, shows_undone=False)


def _settle_update(draft: Draft, name: str, *, is_certain: bool, shows_undone: bool) -> None:
    party = draft.session.parties[name]
    # A hold may still be on its way in front of the unhold: not being held proves nothing before that was sent.
    undone = shows_undone or not party.update_effect_id
    is_as_requested = {
        "": True,
        ParticipantUpdate.HOLD: party.held,
        ParticipantUpdate.UNHOLD: not party.held and undone,
        ParticipantUpdate.SET_END_ON_EXIT: party.end_on_exit,
        ParticipantUpdate.CLEAR_END_ON_EXIT: not party.end_on_exit,
        ParticipantUpdate.MUTE: party.muted,
        ParticipantUpdate.UNMUTE: not party.muted and undone,
    }.get(party.pending_update)
    if is_as_requested is None:  # of a supervisor
        is_as_requested = confirmed_supervise_mode(draft.session, party) == party.pending_update
    if is_as_requested or is_certain:
        draft.change_party(party, pending_update="", refused_updates=0 if is_as_requested else party.refused_updates)
