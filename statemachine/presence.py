"""Presence of agents: who is skipped, and in which order agents are rung."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: The order of agents in which the one who has had no call for longest comes first.
IDLE = "idle"
#: Since when an agent who is in a call has had none: after all others.
IN_A_CALL_MS = 1 << 62
#: Begins the address of an agent who may have a desk.
_CLIENT = "client:"


@dataclass(frozen=True, slots=True)
class Presence:
    """What desks say at one moment; agents by address."""

    #: Who takes no calls.
    away: frozenset[str] = field(default=frozenset(), repr=False)
    #: Whose desk is ready or in a call, and since when it has had no call, Unix milliseconds.
    idle_since_ms: Mapping[str, int] = field(default_factory=dict, repr=False)
    #: Whether presence is kept, so that a desk which is not known is not there.
    is_kept: bool = False
    #: Our numbers whose callers wait in a queue; empty for `TWILIO_NUMBER`.
    queued_numbers: frozenset[str] = field(default=frozenset(), repr=False)

    def in_ringing_order(self, agents: Sequence[str], order: str) -> tuple[tuple[str, ...], int]:
        """Return agents in the order in which they are rung now.

        Also return how many of these are skipped, from the first on.
        """
        if order == IDLE:
            desks = sorted((one for one in agents if one in self.idle_since_ms), key=self.idle_since_ms.__getitem__)
            agents = (*desks, *(one for one in agents if one not in self.idle_since_ms))
        present = (index for index, one in enumerate(agents) if one not in self.away)
        return tuple(agents), next(present, len(agents))

    def has_desk(self, agents: Sequence[str]) -> bool:
        """Whether a desk of these agents is ready or in a call, as far as known."""
        desks = [one for one in agents if one.startswith(_CLIENT)]
        return any(one in self.idle_since_ms or not (self.is_kept or one in self.away) for one in desks)


#: Nothing is known: no one is skipped.
UNKNOWN_PRESENCE = Presence()
