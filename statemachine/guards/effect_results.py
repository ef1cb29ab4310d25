"""Questions about what came of effects."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import (
    ChangeRecording,
    CreateCall,
    CreateParticipant,
    PlayAnnouncement,
    ReadCalls,
    RedirectCall,
    RedirectToUrl,
    SayAndHangUp,
    StartRecording,
    UpdateParticipant,
)
from conferral.statemachine.events import EffectFailed, EffectOutcome, EffectSucceeded
from conferral.statemachine.guards.calls import is_of_current_dial, party_of_dial
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.states import TransferStage

_DIALS = frozenset({CreateParticipant.kind, CreateCall.kind})
#: Twilio did not take the request at all; repeating it is the executor's matter.
_TOO_MANY_REQUESTS = 429


def is_dial_result(draft: Draft, event: EffectOutcome) -> bool:
    """Whether it is about dialling somebody who is still waited for."""
    return event.kind in _DIALS and is_of_current_dial(draft, event)


def is_of_replaced_dial(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether a call was placed whose party was dialled anew meanwhile."""
    session = draft.session
    is_new = session.find_party(call_sid=event.call_sid) is None and event.call_sid not in session.former_calls
    return event.kind in _DIALS and bool(event.call_sid) and is_new and not is_of_current_dial(draft, event)


def caller_id_was_refused(draft: Draft, event: EffectFailed) -> bool:
    """Whether Twilio refused a dial that would have shown another number than ours: it may take it with ours."""
    party = party_of_dial(draft, event) if event.kind in _DIALS else None
    client_error = 400 <= event.http_status < 500 and event.http_status != _TOO_MANY_REQUESTS
    # A call that has shown itself was placed, whatever the answer says: it is not placed again.
    shows_another = party is not None and bool(party.caller_id) and not party.caller_id_refused
    may_repeat = party is not None and shows_another and not party.is_leaving and not party.call_sid
    return may_repeat and client_error


def is_update_result(_scratch: Draft, event: EffectOutcome) -> bool:
    """Whether it is about holding a participant or what its leaving does."""
    return event.kind == UpdateParticipant.kind


def is_update_of_gone_participant(_scratch: Draft, event: EffectFailed) -> bool:
    """Whether the participant was not in the conference any more."""
    return event.kind == UpdateParticipant.kind and event.gone


def is_update_before_start(_scratch: Draft, event: EffectFailed) -> bool:
    """Whether nothing can be changed of a participant because the conference has not started."""
    return event.kind == UpdateParticipant.kind and event.before_start


def is_dial_before_start(draft: Draft, event: EffectFailed) -> bool:
    """Whether Twilio adds no one because the conference has not started. A call that has shown itself was placed."""
    return event.before_start and _is_not_added(draft, event)


def is_dial_into_ended_conference(draft: Draft, event: EffectFailed) -> bool:
    """Whether Twilio adds no one because the conference is over. A call that has shown itself was placed."""
    return event.gone and _is_not_added(draft, event)


def _is_not_added(draft: Draft, event: EffectFailed) -> bool:
    """Whether a party who is still wanted is not in the conference, since this dial failed."""
    party = party_of_dial(draft, event) if event.kind == CreateParticipant.kind else None
    return party is not None and not (party.is_leaving or party.call_sid)


def is_recording_result(_scratch: Draft, event: EffectOutcome) -> bool:
    """Whether it is about a recording."""
    return event.kind in (StartRecording.kind, ChangeRecording.kind)


def is_announcement_result(_scratch: Draft, event: EffectOutcome) -> bool:
    """Whether it is about an announcement."""
    return event.kind == PlayAnnouncement.kind


def supervisor_update_was_refused(draft: Draft, event: EffectFailed) -> bool:
    """Whether Twilio did not take what was asked for about somebody who supervises."""
    return event.kind == UpdateParticipant.kind and any(
        party.is_supervisor and party.update_effect_id == event.effect_id for party in draft.session.parties.values()
    )


def is_redirect_result(_scratch: Draft, event: EffectOutcome) -> bool:
    """Whether it is about moving a leg into the conference."""
    return event.kind == RedirectCall.kind


def is_redirect_of_gone_call(_scratch: Draft, event: EffectFailed) -> bool:
    """Whether the leg was gone when it should have been moved (21220): the conversion came too late."""
    return event.kind == RedirectCall.kind and event.gone


def is_first_redirect(draft: Draft, event: EffectFailed) -> bool:
    """Whether the refused redirect was the conversion's first step, so that the two still talk as before."""
    session = draft.session
    return event.kind == RedirectCall.kind and not (
        session.repaired or session.participants or session.dial_call_status
    )


def is_refused_move_from_bridge(draft: Draft, event: EffectFailed) -> bool:
    """Whether Twilio refused to move the customer of a blind transfer away from the bridge: the two still talk."""
    return (
        draft.transfer.stage is TransferStage.MOVING_CUSTOMER
        and event.party == CUSTOMER
        and not event.gone
        and is_first_redirect(draft, event)
    )


def is_read_result(_scratch: Draft, event: EffectOutcome) -> bool:
    """Whether it is about looking at the session's calls."""
    return event.kind == ReadCalls.kind


def sentence_failed(_scratch: Draft, event: EffectOutcome) -> bool:
    """Whether the sentence that should have ended a call could not be said, and the call may go on."""
    return event.kind == SayAndHangUp.kind and not (isinstance(event, EffectFailed) and event.gone)


def redirect_to_url_failed(draft: Draft, event: EffectOutcome) -> bool:
    """Whether the customer, whom the others have left, could not be taken to what he was to go on with."""
    return event.kind == RedirectToUrl.kind and bool(draft.session.conference_sid)


def is_awaited_hang_up(draft: Draft, event: EffectOutcome) -> bool:
    """Whether an ending that somebody waits for is meant."""
    return event.effect_id in draft.session.end_effect_ids
