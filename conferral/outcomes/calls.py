"""Calls, as a team's lead counts them: across the visits of a caller.

All sessions of one inbound call to one number are one call: a caller who comes back in the same call is no further
one, and waits since the first session.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Self

from conferral.outcomes.outcome import OutcomeRecord
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.reasons import NOT_DIALED, EndReason
from conferral.statemachine.states import Place

#: Who leaves sooner has not waited: a wrong number, or a change of mind (seconds).
SHORT_S = 5.0
#: What inbound calls are counted as, in the order in which people read it.
COUNTED = (
    "inbound", "offered", "answered", "answered_within", "abandoned", "voicemail", "returned", "outside_hours",
)  # fmt: skip
_OUTBOUND = "outbound"


def call_key(session: str, number: str) -> tuple[str, str]:
    """Return what all sessions of one call to one number share."""
    return call_of_visit(session) or session, number


@dataclass(slots=True)
class CallSummary:
    """One call, as its sessions' outcomes tell of it; times are Unix seconds."""

    number: str = ""
    is_inbound: bool = True
    started_s: float = inf
    ended_s: float = 0.0
    #: When the first person answered; infinite before.
    answered_s: float = inf
    #: Within the number's hours, a person was rung, or the caller waited in a queue.
    is_offered: bool = False
    #: It came outside of them.
    is_closed: bool = False
    #: In queues, in all sessions; None if it never was in one.
    queued_s: float | None = None
    #: Of the last session.
    reason: str = ""
    landed_on: str = ""

    @classmethod
    def of(cls, sessions: Iterable[OutcomeRecord]) -> Self:
        """Return the call of these sessions."""
        call = cls()
        for one in sessions:
            call.add(one)
        return call

    def add(self, session: OutcomeRecord) -> None:
        """Add a session, in any order."""
        started_s, ended_s = (at.timestamp() if at else 0.0 for at in (session.started_at, session.ended_at))
        self.number, self.is_inbound = session.number, session.direction != _OUTBOUND
        self.started_s = min(self.started_s, started_s)
        if session.answer_s is not None:
            self.answered_s = min(self.answered_s, started_s + session.answer_s)
        if session.queued_s is not None:
            self.queued_s = round((self.queued_s or 0.0) + session.queued_s, 3)
        if session.closed:
            self.is_closed = True
        elif session.queued_s is not None or any(attempt["result"] not in NOT_DIALED for attempt in session.attempts):
            self.is_offered = self.is_inbound
        if ended_s >= self.ended_s:
            self.ended_s, self.reason, self.landed_on = ended_s, session.reason, session.landed_on

    @property
    def is_answered(self) -> bool:
        """Whether a person took it."""
        return self.answered_s < inf

    @property
    def wait_s(self) -> float:
        """How long the caller waited: until the answer, or the end."""
        return round(min(self.answered_s, self.ended_s) - self.started_s, 3)

    @property
    def is_abandoned(self) -> bool:
        """Whether the caller had waited, and left before an answer."""
        has_left = self.reason == EndReason.CUSTOMER_LEFT and self.landed_on != Place.VOICEMAIL
        return self.is_offered and not self.is_answered and has_left and self.wait_s > SHORT_S

    def counted_as(self, within_s: float) -> tuple[str, ...]:
        """Return what it counts as; outbound calls count as nothing."""
        found = ["inbound"] if self.is_inbound else []
        if self.is_closed:
            found.append("outside_hours")
        if self.is_offered:
            found.append("offered")
        if self.is_answered:
            if self.is_offered:
                found += ["answered", "answered_within"] if self.wait_s <= within_s else ["answered"]
        elif self.is_abandoned:
            found.append("abandoned")
        elif Place.VOICEMAIL in (self.reason, self.landed_on):
            found.append("voicemail")
        elif self.reason == EndReason.RETURNED:
            found.append("returned")
        return tuple(found)
