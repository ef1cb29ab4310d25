"""How somebody is dialled by REST: whether it may be done at all, and what Twilio is told.

Source: Twilio docs, Call resource, "Create a Call"; Participants subresource, "Create a Participant".
"""

from dataclasses import dataclass, field
from typing import Any

import structlog

from conferral.runtime.errors import ProviderRefusedError
from conferral.statemachine.effects import CreateCall, CreateParticipant, Dial
from conferral.telephony.addresses import AddressError, AllowList, parse_address
from conferral.telephony.callback_urls import CallbackUrls, CallCallback, ConferenceCallback, Gate, RecordingCallback
from conferral.telephony.parameters.conference import participant_attributes
from conferral.telephony.twiml import CALL_EVENTS, TwimlBuilder

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CallSetup:
    """What orders need beyond what they say themselves."""

    urls: CallbackUrls
    twiml: TwimlBuilder
    #: Shown to those who are dialled, E.164 (`TWILIO_NUMBER`).
    own_number: str = field(repr=False)
    #: What may be dialled: nothing unless somebody says so.
    allowed: AllowList = field(default_factory=AllowList, repr=False)


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """A call that was placed, or looked for."""

    #: Empty where a search found none.
    call_sid: str
    #: How long Twilio expects to keep it waiting before it places it, milliseconds.
    queue_ms: int = 0


def check_dial_allowed(effect: Dial, setup: CallSetup) -> None:
    """The last word on whom we dial, whoever has checked it before.

    Raises:
        ProviderRefusedError: it is no address, or not on the allow-list. Status and code are 0: Twilio was not asked.
    """
    try:
        setup.allowed.check(parse_address(effect.to))
    except AddressError as error:
        log.warning(
            "destination_not_allowed",
            effect=effect.kind,
            effect_id=effect.effect_id,
            session_id=effect.session_id,
            party=effect.party,
            reason=error.reason,
        )
        raise ProviderRefusedError from None


def participant_parameters(effect: CreateParticipant, setup: CallSetup) -> dict[str, Any]:
    """Dials straight into the conference.

    No wait music, and leaving ends nothing, as with every leg that joins by TwiML; and beeps, callbacks and the rest of
    the conference's setup are theirs, since only the first participant's count. A supervisor comes in muted and starts
    nothing.
    """
    urls, session_id = setup.urls, effect.session_id
    return {
        **_common_parameters(effect, setup),
        "label": effect.label,
        "early_media": effect.early_media,
        "start_conference_on_enter": not effect.supervises,
        "end_conference_on_exit": False,
        "wait_url": "",
        **({"muted": True} if effect.supervises else {}),
        **participant_attributes(effect.attributes, recording_url=urls.recording(RecordingCallback(session_id))),
        "conference_status_callback": urls.conference(ConferenceCallback(session_id)),
        "conference_status_callback_method": "POST",
        "conference_status_callback_event": list(setup.twiml.conference_events),
    }


def call_parameters(effect: CreateCall, setup: CallSetup) -> dict[str, Any]:
    """Dials to our gate; where that does not answer, the fallback does."""
    digits = {"send_digits": effect.digits} if effect.digits else {}
    return {
        **_common_parameters(effect, setup),
        "url": setup.urls.gate(Gate(effect.session_id, effect.effect_id)),
        "method": "POST",
        "fallback_url": setup.urls.fallback(),
        "fallback_method": "POST",
        **digits,
    }


def _common_parameters(effect: Dial, setup: CallSetup) -> dict[str, Any]:
    callback = CallCallback(effect.session_id, effect.party, effect.effect_id)
    token = {"call_token": effect.call_token} if effect.call_token else {}
    return {
        "to": effect.to,
        "from_": effect.caller_id or setup.own_number,
        "timeout": effect.timeout_s,
        "status_callback": setup.urls.call(callback),
        "status_callback_method": "POST",
        # One field for each event: Twilio drops a list in one field without a word in its answer (21626).
        "status_callback_event": list(CALL_EVENTS),
        **token,
    }
