"""The look before a repetition: whether an order that may have been sent has happened.

A blind repetition would take a leg out of the room that it has just joined, ring somebody twice, or record a call
twice.
"""

from dataclasses import dataclass
from typing import Protocol

from conferral.statemachine.effects import (
    CreateCall,
    CreateParticipant,
    Effect,
    PlayAnnouncement,
    RedirectCall,
    StartRecording,
)
from conferral.telephony.redirect_check import RedirectResult, RedirectSeen, check_redirect


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look found."""

    verdict: RedirectResult
    #: Of a dial that has happened: the call.
    call_sid: str = ""
    #: Of a recording that has begun: which.
    recording_sid: str = ""
    #: Of a dial that is in no room: calls that are over and may have come of it all the same.
    ended_calls: tuple[str, ...] = ()


class Verifier(Protocol):
    """Who looks; `telephony.calls.Calls` in earnest."""

    async def find_redirect(self, effect: RedirectCall) -> RedirectSeen:
        """Looks whether a redirect has happened; raises `ProviderError`."""
        ...

    async def find_dial(self, effect: CreateParticipant) -> str:
        """SID of the call that has the dial's label in its room, ringing or not; empty when there is none.

        Raises:
            ProviderError: as of any request.
        """
        ...

    async def find_ended_dials(self, effect: CreateParticipant, since_ms: int) -> tuple[str, ...]:
        """SIDs of calls that are over and may have come of the dial, ordered at this moment in Unix milliseconds.

        Raises:
            ProviderError: as of any request.
        """
        ...

    async def find_recording(self, effect: StartRecording) -> str:
        """SID of the recording of the call that runs by request; empty when none does.

        Raises:
            ProviderError: as of any request.
        """
        ...


#: What can be looked up.
VERIFIABLE = (RedirectCall, CreateParticipant, StartRecording)
#: What can't be, and must not happen twice: somebody would be rung, or hear the same, again. Everything else may simply
#: be repeated.
AT_MOST_ONCE = (CreateCall, PlayAnnouncement)


async def verify(
    effect: Effect, verifier: Verifier, elapsed_s: float, settle_s: float, committed_at_ms: int
) -> Verification:
    """Looks once.

    Args:
        effect: One of `VERIFIABLE`.
        verifier: Who looks.
        elapsed_s: Seconds since the last moment at which the request could have been sent.
        settle_s: Seconds after which what was carried out shows.
        committed_at_ms: When it was ordered, Unix milliseconds.

    Raises:
        ProviderError: as of any request.
        TypeError: the effect can't be looked up, a fault of ours.
    """
    match effect:
        case RedirectCall():
            return Verification(check_redirect(await verifier.find_redirect(effect), elapsed_s, settle_s))
        case CreateParticipant():
            call_sid = await verifier.find_dial(effect)
            if call_sid:
                return Verification(RedirectResult.HAPPENED, call_sid)
            if _verdict_if_absent(elapsed_s, settle_s) is RedirectResult.WAIT:
                return Verification(RedirectResult.WAIT)
            # Whoever was busy, or has come and gone, is in no room any more, and would be rung again.
            return Verification(
                RedirectResult.NOT_HAPPENED, ended_calls=await verifier.find_ended_dials(effect, committed_at_ms)
            )
        case StartRecording():
            recording_sid = await verifier.find_recording(effect)
            if recording_sid:
                return Verification(RedirectResult.HAPPENED, recording_sid=recording_sid)
            return Verification(_verdict_if_absent(elapsed_s, settle_s))
    raise TypeError(effect.kind)


def _verdict_if_absent(elapsed_s: float, settle_s: float) -> RedirectResult:
    """What it says that something is in no list: a list may miss what is new."""
    return RedirectResult.NOT_HAPPENED if elapsed_s >= settle_s else RedirectResult.WAIT
