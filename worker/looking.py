"""The look before a repetition: whether an order that may have been sent has happened.

A blind repetition would take a leg out of the room that it has just joined, or ring somebody twice.
"""

from dataclasses import dataclass
from typing import Protocol

from statemachine.effects import CreateParticipant, Effect, RedirectCall
from telephony.look import RedirectSeen, Verdict, verdict


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found."""

    verdict: Verdict
    #: Of a dial that has happened: the call.
    call_sid: str = ""


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


#: What can be looked up. Everything else may simply be repeated, or never.
CAN_BE_LOOKED_UP = (RedirectCall, CreateParticipant)


async def look(effect: Effect, lookup: Lookup, since_s: float, settle_s: float) -> Found:
    """Looks once.

    Args:
        effect: One of `CAN_BE_LOOKED_UP`.
        lookup: Who looks.
        since_s: Seconds since the last moment at which the request could have been sent.
        settle_s: Seconds after which what was carried out shows.

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
            return Found(Verdict.NOT_HAPPENED if since_s >= settle_s else Verdict.WAIT)
    raise TypeError(effect.kind)
