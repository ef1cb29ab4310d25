"""What is wrong with a call, and whether a person has to act."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from conferral.operations import catalog
from conferral.operations.explain import people
from conferral.operations.explain.waits import timer_effect
from conferral.statemachine.events import HoldOverdue
from conferral.statemachine.session import Session
from conferral.statemachine.states import State, TransferMode, TransferStatus

#: How long before its end by `CONFERRAL_HOLD_LIMIT` a hold is marked, milliseconds.
HOLD_LIMIT_NEAR_MS = 60_000
#: Ranks, worst first. RECOVERED: the caller is talking again, so the session is marked, but no one has to act.
#: HOLD_LIMIT: a hold ends within a minute. REFUSED: a transfer command was refused, and nothing has changed.
OVERDUE, LONE, FAILING, RECOVERED, HOLD_LIMIT, REFUSED = 1, 2, 3, 4, 5, 6
#: A timer counts as overdue this long after its due time, in milliseconds. Workers poll due timers every second.
OVERDUE_AFTER_MS = 2_000
#: How long a failed transfer is reported, in milliseconds.
RECENT_FAILURE_MS = 300_000
_EXPECTED_LONE_PHASES = frozenset(
    {"ringing", "blind", "park", "parked", "queued", "retrieve", "recall", "fallback", "voicemail"}
)


#: Of a failure in `Attention`: a list shows the mark of a failure next to it.
_COMMON_BEGINNING = re.compile(r"^(?:transfer|park|retrieve) (?:failed|refused): ")


@dataclass(frozen=True, slots=True)
class Attention:
    """A session's current or past problem."""

    rank: int
    #: One short sentence, for instance `transfer failed: target was busy` or `alone in the conference: agent`.
    text: str

    @property
    def label(self) -> str:
        """Return it for a list, which cuts its end: what differs comes first."""
        return _COMMON_BEGINNING.sub("", self.text)

    @property
    def needs_attention(self) -> bool:
        """Whether a person has to act."""
        return self.rank < RECOVERED


def attention_of(session: Session, now_ms: int, clock: Callable[[int], str] = catalog.utc_clock) -> Attention | None:
    """Return a session's worst problem, by Redis's clock; None without one."""
    if session.is_ended:
        reason = session.end_reason
        return Attention(FAILING, f"ended: {catalog.reason_text(reason)}") if catalog.is_bad_end(reason) else None
    if overdue := _describe_overdue(session, now_ms):
        return Attention(OVERDUE, overdue)
    if is_lone(session):
        return Attention(LONE, f"alone in the conference: {_participants(session)[0]}")
    if failure := _describe_failed_transfer(session, now_ms):
        return Attention(RECOVERED if _has_recovered(session) else FAILING, failure)
    hold_ends_ms = session.timers.get(HoldOverdue.timer)
    if hold_ends_ms is not None and hold_ends_ms - now_ms <= HOLD_LIMIT_NEAR_MS:
        return Attention(HOLD_LIMIT, f"hold limit at {clock(hold_ends_ms)}")
    if session.refused_transfer and 0 <= now_ms - session.refused_transfer_at_ms <= RECENT_FAILURE_MS:
        reason = catalog.reason_text(session.refused_transfer)
        return Attention(REFUSED, f"transfer refused: {reason}")
    return None


def sort_key(session: Session, now_ms: int) -> tuple[int, int, str]:
    """Return a key that sorts the worst sessions first, then the newest."""
    trouble = attention_of(session, now_ms)
    rank = trouble.rank if trouble and trouble.needs_attention else RECOVERED
    return rank, -session.created_at_ms, session.id


def is_lone(session: Session) -> bool:
    """Whether to show one party as unexpectedly alone; decides nothing."""
    if session.state not in (State.CONFERENCED, State.TRANSFERRING) or session.phase in _EXPECTED_LONE_PHASES:
        return False
    if any(party.status in catalog.CONNECTING for party in session.parties.values()):
        return False
    return len(_participants(session)) == 1


def _has_recovered(session: Session) -> bool:
    """Whether the caller talks again, or the fallback is under way."""
    if session.phase in catalog.RECOVERIES:
        return True
    if session.state not in (State.BRIDGED, State.CONFERENCED) or session.phase in _EXPECTED_LONE_PHASES:
        return False
    return len(_participants(session)) >= 2


def _participants(session: Session) -> list[str]:
    parties = people.connected(session)
    return [name for name, party in parties.items() if not party.supervises and not party.is_leaving]


def _describe_overdue(session: Session, now_ms: int) -> str:
    """Describe an overdue timer, or that a live session has none; else empty."""
    timers = session.timers
    if not timers:
        return "overdue: nothing is pending, not even a timer"
    name = min(timers, key=timers.__getitem__)
    if now_ms - timers[name] <= OVERDUE_AFTER_MS:
        return ""
    return f"overdue by {catalog.format_age(timers[name], now_ms)}: {timer_effect(name, session)}"


def _describe_failed_transfer(session: Session, now_ms: int) -> str:
    """Describe a transfer that failed lately, or what follows; else empty."""
    transfer = session.public_transfer
    if transfer is None or session.running_transfer is session.internal_transfer is not None:
        return ""
    why = f": {catalog.transfer_failure(transfer.reason, transfer.code)}" if transfer.reason else ""
    if recovery := catalog.RECOVERIES.get(session.phase):
        return f"transfer failed{why}; {recovery}"
    if transfer.status != TransferStatus.FAILED:
        return ""
    # Without a dial, its time is not stored: the session's last change is the latest it can be.
    failed_ms = max((one.ended_at_ms for one in transfer.attempts), default=0) or session.updated_at_ms
    if not 0 <= now_ms - failed_ms <= RECENT_FAILURE_MS:
        return ""
    return f"{transfer.mode if transfer.mode in (TransferMode.PARK, TransferMode.RETRIEVE) else 'transfer'} failed{why}"
