"""What a session's log shows: silences, order, delays, error codes."""

from collections.abc import Sequence

from conferral.canary.findings import FlowResult, Span
from conferral.storage.codecs.log_codec import LogEntry

#: Events that are Twilio's callbacks; a bridge's end is the request for its action.
_CALLBACKS = frozenset({
    "call_received", "call_progressed", "dial_ended", "conference_started", "conference_ended", "participant_joined",
    "participant_left", "participant_changed", "conference_event_ignored", "announcement_ended", "recording_changed",
})  # fmt: skip
#: Who hears something from the first callback on, until the second: see docs/canary.md.
SPANS = {
    "bridge": (("caller hears ringing", "call_received", "agent in-progress"),),
    "convert": (
        ("caller hears silence", "dial_ended bridge", "conference_started"),
        ("agent hears silence", "agent participant_joined", "conference_started"),
    ),
    "hold": (("caller hears hold music", "customer participant-hold", "customer participant-unhold"),),
    "consult": (
        ("agent waits for the target", "customer participant-hold", "target participant_joined"),
        ("caller hears hold music", "customer participant-hold", "customer participant-unhold"),
    ),
    "blind": (
        ("caller hears silence", "dial_ended bridge", "customer participant_joined"),
        ("caller hears ringing", "customer participant_joined", "conference_started"),
    ),
    "cleanup": (("caller is alone", "agent participant_left", "customer participant_left"),),
}


def describe(entry: LogEntry) -> str:
    """Return a callback in words, such as `agent in-progress`."""
    details, party = entry.details, str(entry.details.get("party", ""))
    if entry.event == "dial_ended":
        return f"dial_ended {details.get('dial_kind', '')}"
    what = details.get("status") if entry.event == "call_progressed" else details.get("kind")
    return f"{party} {what or entry.event}".strip()


def callbacks_of(log: Sequence[LogEntry]) -> list[LogEntry]:
    """Return the entries that are Twilio's callbacks."""
    return [entry for entry in log if entry.event in _CALLBACKS]


def position(log: Sequence[LogEntry], *what: str) -> int | None:
    """Return where the first such callback is; None if there is none."""
    return next((number for number, entry in enumerate(callbacks_of(log)) if describe(entry) in what), None)


def first_of(log: Sequence[LogEntry], one: Sequence[str], other: Sequence[str]) -> bool | None:
    """Whether one callback arrived before the other; None if one is missing."""
    first, second = position(log, *one), position(log, *other)
    return None if first is None or second is None else first < second


def observe(result: FlowResult, log: Sequence[LogEntry]) -> None:
    """Add what a session's log shows to the result of its flow."""
    found = callbacks_of(log)
    by_name: dict[str, LogEntry] = {}
    for entry in found:
        by_name.setdefault(describe(entry), entry)
    for who, first, last in SPANS[result.flow]:
        if first in by_name and last in by_name and by_name[last].at_ms >= by_name[first].at_ms:
            ms = by_name[last].at_ms - by_name[first].at_ms
            result.spans.append(Span(who, first, last, ms))
    result.order += [describe(entry) for entry in found]
    result.delay_ms = max([result.delay_ms, *(one.at_ms - one.happened_at_ms for one in found if one.happened_at_ms)])
    codes = [str(entry.details["code"]) for entry in log if entry.details.get("code")]
    codes += [report["code"] for entry in log for report in entry.reports if report["code"]]
    result.codes = list(dict.fromkeys([*result.codes, *codes]))
    result.logs.append(log)
