"""The outcome events of an effect."""

from typing import Any

from conferral.runtime.errors import ProviderError, ProviderGoneError
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import EffectFailed, EffectSucceeded, EffectUnknown


def succeeded(effect: Effect, call_sid: str = "", queue_ms: int = 0, recording_sid: str = "") -> EffectSucceeded:
    """Return a success, with the call or the recording that it made."""
    return EffectSucceeded(**_about(effect), call_sid=call_sid, queue_ms=queue_ms, recording_sid=recording_sid)


def failed(effect: Effect, error: ProviderError | None) -> EffectFailed:
    """Return a failure, with Twilio's last answer; without one, nothing was sent."""
    return EffectFailed(
        **_about(effect),
        http_status=error.http_status if error else 0,
        code=error.code if error else 0,
        gone=isinstance(error, ProviderGoneError),
    )


def unknown(effect: Effect) -> EffectUnknown:
    """Return that a request may have taken effect."""
    return EffectUnknown(**_about(effect))


def _about(effect: Effect) -> dict[str, Any]:
    return {
        "session_id": effect.session_id,
        "token": f"{effect.effect_id}:outcome",  # deduplicates an outcome that is written twice
        "effect_id": effect.effect_id,
        "kind": effect.kind,
        "party": effect.party,
        "detail": effect.detail,
    }
