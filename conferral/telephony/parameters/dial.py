"""Dials by REST: the final allow-list check, and the parameters.

Source: Twilio docs, Call resource, "Create a Call"; Participants subresource, "Create a Participant".
"""

from dataclasses import dataclass, field
from typing import Any

import structlog

from conferral.runtime.errors import ProviderRefusedError
from conferral.statemachine.effects import CreateCall, CreateParticipant, Dial
from conferral.telephony.addresses import AddressError, AllowList, parse_address
from conferral.telephony.callback_urls import CallbackUrls, CallCallback, Gate
from conferral.telephony.parameters.conference import participant_attributes
from conferral.telephony.twiml import CALL_EVENTS, TwimlBuilder

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CallSetup:
    """What effects need besides their own fields."""

    urls: CallbackUrls
    twiml: TwimlBuilder
    #: Default caller ID, E.164 (`TWILIO_NUMBER`).
    own_number: str = field(repr=False)
    allowed: AllowList = field(default_factory=AllowList, repr=False)


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """A call that was placed or searched for."""

    #: Empty if a search found none.
    call_sid: str
    #: Twilio's expected queue time before it places the call, milliseconds.
    queue_ms: int = 0


def check_dial_allowed(effect: Dial, setup: CallSetup) -> None:
    """Raise ProviderRefusedError if the allow-list does not permit a dial."""
    try:
        if effect.is_signed_address:
            setup.allowed.check_signed(effect.to)
        else:
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
    """Return the parameters of a dial straight into the conference.

    Callbacks and attributes match those of legs that join by TwiML, because only the first participant's count.
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
        **participant_attributes(effect.attributes, recording_url=urls.recording(session_id)),
        "conference_status_callback": urls.conference(session_id),
        "conference_status_callback_method": "POST",
        "conference_status_callback_event": list(setup.twiml.conference_events),
    }


def call_parameters(effect: CreateCall, setup: CallSetup) -> dict[str, Any]:
    """Return the parameters of a dial to the gate, with the fallback URL."""
    return {
        **_common_parameters(effect, setup),
        "url": setup.urls.of(Gate(effect.session_id, effect.effect_id)),
        "method": "POST",
        "fallback_url": setup.urls.fallback(),
        "fallback_method": "POST",
        **({"send_digits": effect.digits} if effect.digits else {}),
    }


def _common_parameters(effect: Dial, setup: CallSetup) -> dict[str, Any]:
    return {
        "to": effect.to,
        "from_": effect.caller_id or setup.own_number,
        "timeout": effect.timeout_s,
        "status_callback": setup.urls.of(CallCallback(effect.session_id, effect.party, effect.effect_id)),
        "status_callback_method": "POST",
        # One field per event: Twilio silently drops a list in one field (21626).
        "status_callback_event": list(CALL_EVENTS),
        **({"call_token": effect.call_token} if effect.call_token else {}),
    }
