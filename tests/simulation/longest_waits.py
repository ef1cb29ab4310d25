"""The longest waits of a run, each with its cause: what went wrong meanwhile, and what ended the wait."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from conferral.sandbox.request_log import RequestLog
from conferral.storage.codecs.text_codec import from_iso

#: A callback lost this long before a wait began can still be its cause, seconds.
BEFORE_S = 6.0
ALONE, SILENT = "alone", "silent"

#: What is known of a session when it is judged: moments (seconds) in words.
Moments = Callable[[], tuple[list[tuple[float, str]], list[tuple[float, str]]]]


@dataclass(frozen=True, slots=True)
class Wait:
    """A time during which a caller was alone, or heard nothing."""

    kind: str
    session_id: str
    call_sid: str
    since_s: float
    until_s: float
    #: Faults that hit the session, and disturbances of the whole world, in words.
    faults: tuple[str, ...] = ()
    #: Timers and sweeps that the session met, and the last decision before the wait ended.
    bounded_by: tuple[str, ...] = ()

    @property
    def length_s(self) -> float:
        """How long it was, seconds."""
        return self.until_s - self.since_s

    def __str__(self) -> str:
        faults, bounds = ("; ".join(words) or "none" for words in (self.faults, self.bounded_by))
        where = f"{self.kind} {self.length_s:.1f} s, {self.call_sid} of {self.session_id} from {self.since_s:.1f} on"
        return f"{where}\n    faults: {faults}\n    bounded by: {bounds}"


@dataclass(slots=True)
class LongestWaits:
    """The longest waits of each kind; a session counts once for each."""

    most: int = 10
    by_kind: dict[str, list[Wait]] = field(default_factory=dict)

    def note(self, wait: Wait, moments: Moments) -> None:
        """Keep a wait if it is among the longest; only then are its causes collected."""
        kept = self.by_kind.setdefault(wait.kind, [])
        rival = next((one for one in kept if one.session_id == wait.session_id), None)
        if rival is not None and rival.length_s >= wait.length_s:
            return
        if rival is None and len(kept) >= self.most and kept[-1].length_s >= wait.length_s:
            return
        faults, decisions = moments()
        explained = Wait(
            wait.kind, wait.session_id, wait.call_sid, wait.since_s, wait.until_s,
            faults=_counted(words for at_s, words in faults if wait.since_s - BEFORE_S <= at_s <= wait.until_s),
            bounded_by=_counted(words for at_s, words in decisions if wait.since_s <= at_s <= wait.until_s),
        )  # fmt: skip
        kept[:] = sorted([*(one for one in kept if one is not rival), explained], key=lambda one: -one.length_s)
        del kept[self.most :]

    def lines(self, count: int) -> list[str]:
        """The longest of each kind in words, the longest first."""
        kept = (self.by_kind[kind][:count] for kind in sorted(self.by_kind))
        return [f"  {number}. {wait}" for waits in kept for number, wait in enumerate(waits, start=1)]


def faults_of_session(ledger: RequestLog, session_id: str, sids: set[str]) -> list[tuple[float, str]]:
    """What Twilio's side did wrong to a session: callbacks lost, failed, or late, and requests failed."""
    found = []
    for reported in ledger.deliveries:
        if reported.call_sid not in sids and session_id not in reported.url:
            continue
        if reported.fault == "lost" or (reported.attempts and not reported.attempts[-1].status):
            found.append((reported.at_s, f"{reported.event} lost"))
        else:
            late_s = max((attempt.at_s - reported.at_s for attempt in reported.attempts), default=0.0)
            if late_s > 1.0:
                found.append((reported.at_s, f"{reported.event} {late_s:.0f} s late"))
    for asked in ledger.rest:
        if asked.fault in ("", "latency"):
            continue
        if any(sid in asked.path for sid in sids) or session_id in str(asked.params):
            found.append((asked.at_s, f"{asked.method} {asked.path.split('/')[1].partition('.')[0]} {asked.fault}"))
    return found


def decisions_of(entries: Iterable[dict[bytes, bytes]]) -> list[tuple[float, str]]:
    """The events of a session's log about a timer, a sweep, or an outcome."""
    found: list[tuple[float, str]] = []
    for fields in entries:
        name = fields[b"event"].decode()
        if name.endswith("_overdue") or name in ("account_swept", "calls_read", "effect_failed", "effect_unknown"):
            details = fields.get(b"details", b"").decode()
            found.append((from_iso(fields[b"at"].decode()) / 1000, f"{name} {details}".strip()))
    return found


def _counted(words: Iterable[str]) -> tuple[str, ...]:
    counts: Counter[str] = Counter(words)
    return tuple(name if count == 1 else f"{name} ({count} times)" for name, count in counts.items())
