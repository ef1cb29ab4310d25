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
from conferral.telephony.look import RedirectSeen, Verdict, verdict


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found."""

    verdict: Verdict
    #: Of a dial that has happened: the call.
    call_sid: str = ""
    #: Of a recording that has begun: which.
    recording_sid: str = ""
    #: Of a dial that is in no room: calls that are over and may have come of it all the same.
    gone_calls: tuple[str, ...] = ()


class Lookup(Protocol):
    """Who looks; `telephony.calls.Calls` in earnest."""

    async def look_for(self, effect: RedirectCall) -> RedirectSeen:
        """Looks whether a redirect has happened; raises `ProviderError`."""
        ...

    async def look_for_dial(self, effect: CreateParticipant) -> str:
        """SID of the call that has the dial's label in its room, ringing or not; empty when there is none.

        Raises:
            ProviderError: as of any request.
        """
        ...

    async def look_for_gone_dial(self, effect: CreateParticipant, since_ms: int) -> tuple[str, ...]:
        """SIDs of calls that are over and may have come of the dial, ordered at this moment in Unix milliseconds.

        Raises:
            ProviderError: as of any request.
        """
        ...

    async def look_for_recording(self, effect: StartRecording) -> str:
        """SID of the recording of the call that runs by request; empty when none does.

        Raises:
            ProviderError: as of any request.
        """
        ...


#: What can be looked up.
CAN_BE_LOOKED_UP = (RedirectCall, CreateParticipant, StartRecording)
#: What can't be, and must not happen twice: somebody would be rung, or hear the same, again. Everything else may simply
#: be repeated.
NEVER_REPEATED = (CreateCall, PlayAnnouncement)


async def look(effect: Effect, lookup: Lookup, since_s: float, settle_s: float, ordered_at_ms: int) -> Found:
    """Looks once.

    Args:
        effect: One of `CAN_BE_LOOKED_UP`.
        lookup: Who looks.
        since_s: Seconds since the last moment at which the request could have been sent.
        settle_s: Seconds after which what was carried out shows.
        ordered_at_ms: When it was ordered, Unix milliseconds.

    Raises:
        ProviderError: as of any request.
        TypeError: the effect can't be looked up, a fault of ours.
    """
    match effect:
        case RedirectCall():
            return Found(verdict(await lookup.look_for(effect), since_s, settle_s))
        case CreateParticipant():
            call_sid = await lookup.look_for_dial(effect)
            if call_sid:
                return Found(Verdict.HAPPENED, call_sid)
            if _not_seen(since_s, settle_s) is Verdict.WAIT:
                return Found(Verdict.WAIT)
            # Whoever was busy, or has come and gone, is in no room any more, and would be rung again.
            return Found(Verdict.NOT_HAPPENED, gone_calls=await lookup.look_for_gone_dial(effect, ordered_at_ms))
        case StartRecording():
            recording_sid = await lookup.look_for_recording(effect)
            if recording_sid:
                return Found(Verdict.HAPPENED, recording_sid=recording_sid)
            return Found(_not_seen(since_s, settle_s))
    raise TypeError(effect.kind)


def _not_seen(since_s: float, settle_s: float) -> Verdict:
    """What it says that something is in no list: a list may miss what is new."""
    return Verdict.NOT_HAPPENED if since_s >= settle_s else Verdict.WAIT
