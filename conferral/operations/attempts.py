"""Attempts: how many requests an effect took, and why some failed."""

import re
from collections.abc import Sequence

from conferral.storage.codecs.text_codec import parse_texts
from conferral.storage.queries.session_reader import LogEntry

#: A count of an entry: of an hour's requests there are fewer than that.
_SMALL = re.compile(r"[1-9][0-9]{0,5}")
#: The results of requests: `503 x2`, `429 code 20429 x1`, `no-answer x1`.
_FAILED_ATTEMPT = re.compile(r"(no-answer|[0-9]{3}(?: code [0-9]{1,6})?) x([1-9][0-9]{0,5})")
_UNANSWERED = "no-answer"
_TIMES = {"1": "once", "2": "twice"}


def effect_attempt_count(entry: LogEntry) -> int:
    """Return how many requests an effect took; 0 if its entry does not say."""
    return int(entry["attempts"]) if _SMALL.fullmatch(entry["attempts"]) else 0


def describe_effect_attempts(entry: LogEntry) -> str:
    """Describe requests as `3 attempts: HTTP 503 twice`; empty if unrecorded."""
    count = effect_attempt_count(entry)
    if not count:
        return ""
    found = map(_FAILED_ATTEMPT.fullmatch, parse_texts(entry["failed_attempts"]))
    known = [(one[1], one[2]) for one in found if one is not None]
    # A request that a check found to have worked is not repeated.
    is_found_done = _was_found_done(entry, count, known)
    notes = [_failed_attempt_note(answer, "" if is_found_done and count == 1 else times) for answer, times in known]
    attempts = f"{count} attempt{'s' if count > 1 else ''}"
    text = f"{attempts}: {', '.join(notes)}" if notes else attempts
    return f"{text}, but a check showed that it worked" if is_found_done else text


def has_failed_attempt(entry: LogEntry) -> bool:
    """Whether one of an effect's requests failed."""
    return any(map(_FAILED_ATTEMPT.fullmatch, parse_texts(entry["failed_attempts"])))


def failed_attempt_code(entry: LogEntry) -> int:
    """Return the first error code of an effect's failed requests; or 0."""
    found = filter(None, map(_FAILED_ATTEMPT.fullmatch, parse_texts(entry["failed_attempts"])))
    return next((int(code) for one in found if (code := one[1].partition(" code ")[2])), 0)


def _was_found_done(entry: LogEntry, count: int, failed_attempts: Sequence[tuple[str, str]]) -> bool:
    """Whether no request succeeded, but a check found that one had worked."""
    # A request answered with 429 had no effect.
    has_unknown_outcome = any(not answer.startswith("429") for answer, _ in failed_attempts)
    is_done = entry["event"] == "effect_succeeded"
    return is_done and has_unknown_outcome and sum(int(times) for _, times in failed_attempts) == count


def _failed_attempt_note(answer: str, times: str) -> str:
    status, _, code = answer.partition(" code ")
    shown = "no answer" if status == "no-answer" else f"HTTP {status}{f' ({code})' if code else ''}"
    return " ".join(filter(None, (shown, _TIMES.get(times, times and f"{times} times"))))
