"""Verification, before a retry: whether an unanswered request took effect.

A blind retry would pull a leg out of its conference, ring a person twice, or record a call twice. A failed verification
raises `ProviderError`.
"""

from dataclasses import dataclass
from enum import Enum

from conferral.statemachine import effects
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus
from conferral.telephony.twilio_queries import RedirectSeen, TwilioQueries

#: From a request until its participant is listed, seconds: new TwiML runs within 0.7 s, but a list may lag.
SETTLE_S = 2.0


class Verdict(Enum):
    """Whether a request took effect."""

    HAPPENED = "happened"
    #: The call is over, so there is nothing to redirect.
    GONE = "gone"
    #: Enough time has passed without a trace: the request may be sent.
    NOT_HAPPENED = "not-happened"
    #: Too early, or the call's status is inconclusive.
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification."""

    verdict: Verdict
    #: Of a direct dial that took effect.
    call_sid: str = ""
    recording_sid: str = ""
    #: Calls that a dial without a participant may have placed.
    possible_calls: tuple[str, ...] = ()


#: Not a gated dial: it has no label, so a later call to the address may be another's.
VERIFIABLE = (effects.RedirectCall, effects.CreateParticipant, effects.StartRecording)


async def verify(
    effect: effects.Effect,
    twilio: TwilioQueries,
    *,
    elapsed_s: float,
    search_from_ms: int,
) -> Verification:
    """Ask Twilio once whether a `VERIFIABLE` effect's request took effect.

    Args:
        elapsed_s: Since the request could last have been sent.
        search_from_ms: When a dial could first have been sent, Unix milliseconds of Twilio's time.
    """
    match effect:
        case effects.RedirectCall():
            return Verification(_redirect_verdict(await twilio.check_redirect(effect), elapsed_s))
        case effects.CreateParticipant():
            if call_sid := await twilio.find_dial(effect):
                return Verification(Verdict.HAPPENED, call_sid)
            if _verdict_if_absent(elapsed_s) is Verdict.WAIT:
                return Verification(Verdict.WAIT)
            # A target that was busy, or left, is in no conference any more, and must not be rung again.
            return Verification(
                Verdict.NOT_HAPPENED,
                possible_calls=await twilio.find_possible_calls(effect, search_from_ms),
            )
        case effects.StartRecording():
            recording_sid = await twilio.find_recording(effect)
            if recording_sid:
                return Verification(Verdict.HAPPENED, recording_sid=recording_sid)
            return Verification(_verdict_if_absent(elapsed_s))
    raise TypeError(effect.kind)


def _redirect_verdict(seen: RedirectSeen, elapsed_s: float) -> Verdict:
    """Return a redirect's verdict: only a participant shows that it happened."""
    if seen.in_conference:
        return Verdict.HAPPENED
    if seen.call_status in FINAL_CALL_STATUSES:
        return Verdict.GONE
    if seen.call_status == CallStatus.IN_PROGRESS:
        return _verdict_if_absent(elapsed_s)
    return Verdict.WAIT


def _verdict_if_absent(elapsed_s: float) -> Verdict:
    """Return the verdict on what a list lacks: a list may miss what is new."""
    return Verdict.NOT_HAPPENED if elapsed_s >= SETTLE_S else Verdict.WAIT
