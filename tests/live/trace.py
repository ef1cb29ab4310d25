"""What a run shows of a Twilio, without numbers and SIDs: times, order, error codes, and billed seconds."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.live.program import Request

_SID = re.compile(r"\b([A-Z]{2})[0-9a-f]{32}\b")
_NUMBER = re.compile(r"\+?\d{7,}")
#: Parameters whose values are Twilio's words, or SIDs, which are replaced.
_FIELDS = frozenset({
    "CallStatus", "Direction", "StatusCallbackEvent", "SequenceNumber", "ReasonParticipantLeft",
    "ReasonConferenceEnded", "ParticipantCallStatus", "CallSid", "ConferenceSid", "CallSidEndingConference", "Hold",
    "Muted", "Coaching", "EndConferenceOnExit", "StartConferenceOnEnter", "SipResponseCode", "CallDuration",
    "CallbackSource", "DialCallStatus", "ErrorCode", "RecordingStatus",
})  # fmt: skip
#: Who hears something from the first callback on, until the second one: of the same call, if both have one.
_SPANS = (
    ("hears silence before the conference", "in-progress", "participant-join"),
    ("is alone in the conference", "participant-join", "conference-start"),
    ("hears hold music", "participant-hold", "participant-unhold"),
    ("is alone after a leave", "participant-leave", "conference-end"),
)


class Replacements:
    """Replaces SIDs and numbers by words: the first call's is `CA-1`."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    def of(self, text: str) -> str:
        """Return a text without them."""
        return _NUMBER.sub(self._word, _SID.sub(self._word, text))

    def _word(self, found: re.Match[str]) -> str:
        kind = found[1] if found.re is _SID else "number"
        count = sum(word.startswith(f"{kind}-") for word in self._words.values())
        return self._words.setdefault(found[0], f"{kind}-{count + 1}")


def trace_of(
    name: str, requests: Sequence[Request], codes: Sequence[int], billed_s: Mapping[str, int]
) -> dict[str, Any]:
    """Return what a test has shown, as JSON."""
    words = Replacements()
    started_s = requests[0].at_s if requests else 0.0
    callbacks = [
        {"after_ms": round((one.at_s - started_s) * 1000), "path": one.path}
        | {key: words.of(value) for key, value in one.fields.items() if key in _FIELDS}
        for one in requests
    ]
    found = [one.fields["ErrorCode"] for one in requests if one.fields.get("ErrorCode")]
    return {
        "test": name,
        "callbacks": callbacks,
        "spans": spans_of(callbacks),
        "codes": [*map(str, codes), *found],
        "billed_s": {words.of(sid): seconds for sid, seconds in billed_s.items()},
    }


def spans_of(callbacks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return how long each call heard what."""
    spans = []
    for what, first, last in _SPANS:
        for number, begin in enumerate(callbacks):
            if _event(begin) != first:
                continue
            sid = begin.get("CallSid")
            later = (one for one in callbacks[number + 1 :] if _event(one) == last and one.get("CallSid", sid) == sid)
            if end := next(later, None):
                spans.append({"call": sid, "what": what, "ms": end["after_ms"] - begin["after_ms"]})
    return spans


def _event(callback: Mapping[str, Any]) -> str:
    return str(callback.get("StatusCallbackEvent") or callback.get("CallStatus", ""))


def lines_of(trace: Mapping[str, Any]) -> list[str]:
    """Return a test's trace as lines for the terminal."""
    order = ", ".join(f"{_event(one) or one['path']} {one['after_ms']}" for one in trace["callbacks"])
    spans = [f"  {one['call']} {one['what']}: {one['ms']} ms" for one in trace["spans"]]
    codes = [f"  error codes: {', '.join(trace['codes'])}"] if trace["codes"] else []
    return [trace["test"], f"  order, ms: {order}", *spans, *codes, f"  billed: {sum(trace['billed_s'].values())} s"]
