"""A trace: what was observed, without anything personal.

Only listed fields are written. In these, SIDs and numbers are replaced, each by the same word everywhere.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from conferral.canary.findings import FlowResult
from conferral.storage.codecs.log_codec import LogEntry

_SID = re.compile(r"\b([A-Z]{2})[0-9a-f]{32}\b")
_NUMBER = re.compile(r"\+?\d{7,}")
#: Of callbacks, parameters whose values are Twilio's words.
_FIELDS = frozenset({
    "CallStatus", "Direction", "StatusCallbackEvent", "SequenceNumber", "ReasonParticipantLeft",
    "ReasonConferenceEnded", "ParticipantCallStatus", "CallSid", "ConferenceSid", "CallSidEndingConference", "Hold",
    "Muted", "Coaching", "EndConferenceOnExit", "StartConferenceOnEnter", "SipResponseCode", "CallDuration",
    "CallbackSource",
})  # fmt: skip


class Replacements:
    """Replaces SIDs and numbers by words: the first call's is `CA-1`."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    def text(self, value: str) -> str:
        """Return a text without them."""
        return _NUMBER.sub(self._word, _SID.sub(self._word, value))

    def _word(self, found: re.Match[str]) -> str:
        kind = found[1] if found.re is _SID else "number"
        count = sum(word.startswith(f"{kind}-") for word in self._words.values())
        return self._words.setdefault(found[0], f"{kind}-{count + 1}")

    def of(self, value: Any) -> Any:
        """Return a JSON value without them."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.of(one) for name, one in value.items()}
        return [self.of(one) for one in value] if isinstance(value, list | tuple) else value


def trace_of(version: str, results: Iterable[FlowResult]) -> dict[str, Any]:
    """Return a trace of a run as JSON."""
    flows = [
        result.public()
        | {
            "logs": [[_entry(entry, log[0].at_ms) for entry in log] for log in result.logs],
            "callbacks": [{name: one[name] for name in one if name in _FIELDS} for one in result.callbacks],
        }
        for result in results
    ]
    replaced: dict[str, Any] = Replacements().of({"version": version, "flows": flows})
    return replaced


def _entry(entry: LogEntry, started_ms: int) -> dict[str, Any]:
    """Return a log entry with times since the call's start, milliseconds."""
    return {
        "at_ms": entry.at_ms - started_ms,
        "happened_at_ms": entry.happened_at_ms - started_ms if entry.happened_at_ms else None,
        "event": entry.event,
        "from": entry.state_before,
        "to": entry.state_after,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "details": dict(entry.details),
        "effects": [{name: one[name] for name in ("kind", "party", "detail") if name in one} for one in entry.effects],
        "reports": [{name: one[name] for name in ("type", "status", "reason", "code")} for one in entry.reports],
        "attempts": entry.attempts,
        "unknown_parameters": sorted(entry.other),
    }
