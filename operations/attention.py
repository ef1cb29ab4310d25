"""Which sessions need attention from a person, and why."""

from dataclasses import dataclass

import orjson

from conferral.operations import pending, wording
from conferral.operations.damage import has_unknown_state
from conferral.operations.history.timeline import BAD_ENDS
from conferral.operations.session_queries import Fields

#: Ranks, worst first. RECOVERED means that the failure is over and the caller is talking again: such a session is
#: marked, but no one has to act.
OVERDUE, LONE, FAILING, RECOVERED = 1, 2, 3, 4
#: A timer counts as overdue this long after its due time, in milliseconds. Workers poll due timers every second.
OVERDUE_AFTER_MS = 2_000
#: How long a failed transfer is reported, in milliseconds.
RECENT_FAILURE_MS = 300_000
#: Phases in which a customer is expected to be alone for a while.
_EXPECTED_LONE_PHASES = frozenset({"ringing", "blind", "park", "parked", "retrieve", "recall"})
_CONNECTING = frozenset({"dialing", "ringing", "confirming"})
#: Why a transfer failed, as a sentence has it.
_FAILURE_REASONS = {
    "busy": "target was busy",
    "no-answer": "target did not answer",
    "rejected": "target declined",
    "failed": "target could not be reached",
    "no-confirmation": "target did not press 1",
    "customer-left": "the customer hung up",
    "hold-limit": "hold limit reached",
}


@dataclass(frozen=True, slots=True)
class Attention:
    """A session's current or past problem."""

    #: 1 is the worst.
    rank: int
    #: One short sentence, for instance `transfer failed: target was busy` or `alone in the conference: agent`.
    text: str

    @property
    def needs_attention(self) -> bool:
        """Whether a person has to act."""
        return self.rank < RECOVERED


def attention_of(fields: Fields, now_ms: int) -> Attention | None:
    """Return a session's worst problem; None without one.

    Args:
        fields: The session's hash.
        now_ms: Unix milliseconds by Redis's clock, on which timers run.
    """
    if has_unknown_state(fields):
        return Attention(OVERDUE, "damaged: the stored state can't be decoded")
    if fields.get("state") == "ended":
        reason = fields.get("end_reason", "")
        return Attention(FAILING, f"ended with {reason}") if reason in BAD_ENDS else None
    if overdue := _overdue(fields, now_ms):
        return Attention(OVERDUE, overdue)
    if is_lone(fields):
        return Attention(LONE, _remaining_party(fields))
    failing = _failed_transfer(fields, now_ms)
    if not failing:
        return None
    return Attention(RECOVERED if _has_recovered(fields) else FAILING, failing)


def sort_key(fields: Fields, now_ms: int) -> tuple[int, int, str]:
    """Return a key that sorts sessions that need attention first, worst on top, then the newest.

    Args:
        fields: The session's hash.
        now_ms: Unix milliseconds.
    """
    trouble = attention_of(fields, now_ms)
    rank = trouble.rank if trouble and trouble.needs_attention else RECOVERED
    return rank, -wording.parse_time_ms(fields.get("created_at", "")), fields.get("id", "")


def is_lone(fields: Fields) -> bool:
    """Whether one party is unexpectedly alone in a conference and no one is being dialed."""
    state, phase = fields.get("state", ""), fields.get("phase", "")
    if state not in ("conferenced", "transferring") or phase in _EXPECTED_LONE_PHASES:
        return False
    if not _CONNECTING.isdisjoint(fields.get(f"party.{party}.status", "") for party in wording.party_names(fields)):
        return False
    return len(_participants(fields)) == 1


def _has_recovered(fields: Fields) -> bool:
    """Whether the failure left no one waiting: the caller talks to someone, or the agent is being called back."""
    if fields.get("phase") == "recall":
        return True
    if fields.get("state") not in ("bridged", "conferenced") or fields.get("phase") in _EXPECTED_LONE_PHASES:
        return False
    return len(_participants(fields)) >= 2


def _participants(fields: Fields) -> list[str]:
    """Return the names of the connected parties, without supervisors and parties that are leaving."""
    return [
        party
        for party in wording.party_names(fields)
        if fields.get(f"party.{party}.status") == "connected" and _counts_as_party(fields, party)
    ]


def _counts_as_party(fields: Fields, party: str) -> bool:
    """Whether a party counts: supervisors and parties that are leaving don't."""
    of = {name: fields.get(f"party.{party}.{name}", "") for name in ("supervises", "is_leaving")}
    return not of["supervises"] and of["is_leaving"] != "true"


def _remaining_party(fields: Fields) -> str:
    who = next(iter(_participants(fields)), "a party")
    return f"alone in the conference: {who}"


def _overdue(fields: Fields, now_ms: int) -> str:
    timers = pending.timers(fields)
    if not timers:
        return "overdue: nothing is pending, not even a timer"
    name = min(timers, key=timers.__getitem__)
    late_ms = now_ms - timers[name]
    if late_ms <= OVERDUE_AFTER_MS:
        return ""
    return f"overdue for {wording.format_age(timers[name], now_ms)}: {pending.timer_effect(name, fields)}"


def _failed_transfer(fields: Fields, now_ms: int) -> str:
    """Describe the newest transfer's recent failure, or the recall after it; empty for neither."""
    why = _failure_reason(fields.get("transfer.reason", ""))
    if fields.get("phase") == "recall":
        return f"transfer failed{why}; calling the agent back"
    if fields.get("transfer.status") != "failed":
        return ""
    failed_ms = _failed_at_ms(fields)
    if not 0 <= now_ms - failed_ms <= RECENT_FAILURE_MS:
        return ""
    mode = fields.get("transfer.mode", "")
    return f"{mode if mode in ('park', 'retrieve') else 'transfer'} failed{why}"


def _failure_reason(reason: str) -> str:
    """Return why a transfer failed, to follow `failed`."""
    return f": {_FAILURE_REASONS.get(reason, reason)}" if reason else ""


def _failed_at_ms(fields: Fields) -> int:
    """Return when the newest transfer ended, in Unix milliseconds; without a dial, when the session last changed."""
    try:
        attempts = orjson.loads(fields.get("transfer.attempts") or "[]")
        ends = [int(one["ended_at_ms"]) for one in attempts if "ended_at_ms" in one]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        ends = []
    return max(ends, default=0) or wording.parse_time_ms(fields.get("updated_at", ""))
