"""Suggestions after a command: its result, and what to type next."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

#: The result of each command in a word, for some by mode or action.
_RESULT_WORDS = {
    "call": "connected",
    "convert": "converted",
    "transfer warm": "joined",
    "transfer consult": "consulting",
    "transfer blind": "transferred",
    "complete": "completed",
    "cancel": "cancelled",
    "swap": "swapped",
    "merge": "merged",
    "park": "parked",
    "retrieve": "retrieved",
    "add": "added",
    "remove": "removed",
    "hold": "on hold",
    "unhold": "off hold",
    "mute": "muted",
    "unmute": "unmuted",
    "supervise monitor": "listening",
    "supervise whisper": "whispering",
    "supervise barge": "heard by everyone",
    "announce": "announced",
    "record start": "recording",
    "record pause": "recording paused",
    "record resume": "recording resumed",
    "record stop": "recording stopped",
    "end": "ended",
}
#: Commands that lead on from a session's state, the likeliest first.
_BY_LIKELIHOOD = ("retrieve", "transfer", "complete", "merge", "swap", "cancel", "convert", "park", "end")
_REQUIRED_OPTIONS = {"retrieve": "--to ADDRESS", "transfer": "--to ADDRESS --mode consult"}
#: The command that undoes or follows each command, with its options.
_FOLLOW_UPS = {
    "add": ("remove", "--party {party}"),
    "hold": ("unhold", "--party {party}"),
    "mute": ("unmute", "--party {party}"),
    "supervise": ("remove", "--party supervisor"),
    "record start": ("record", "--action pause"),
    "record pause": ("record", "--action resume"),
    "record resume": ("record", "--action stop"),
}
#: By state: allowed commands that change nothing, or only wait, as a transfer before both parties have joined.
_NOT_SUGGESTED = {"bridged": (), "conferenced": ("convert",)}
_NOT_SUGGESTED_BY_DEFAULT = ("convert", "transfer", "park")


def result_word(fields: Mapping[str, str]) -> str:
    """Return a command's result in a word, such as `recording` or `on hold`."""
    return _entry_for(_RESULT_WORDS, fields) or "done"


def suggest_next(
    allowed: Sequence[str],
    session_id: str,
    command_line: str,
    fields: Mapping[str, str] | None = None,
    state: str = "bridged",
) -> str:
    """Return what to type next, as `conferral complete CA1; also: cancel`."""
    useful = [name for name in allowed if name not in _NOT_SUGGESTED.get(state, _NOT_SUGGESTED_BY_DEFAULT)]
    names = [*(name for name in _BY_LIKELIHOOD if name in useful), "show"]
    first, more = names[0], _REQUIRED_OPTIONS.get(names[0], "")
    follows, needs = _entry_for(_FOLLOW_UPS, fields or {}) or ("", "")
    if follows in useful:
        first, more = follows, needs.format_map(fields or {})
    others = [name for name in names if name != first and name not in _REQUIRED_OPTIONS]
    full_command = " ".join(filter(None, (command_line, first, session_id, more)))
    return f"{full_command}; also: {', '.join(others)}" if others else full_command


def _entry_for(table: Mapping[str, T], fields: Mapping[str, str]) -> T | None:
    kind = fields.get("type", "")
    return table.get(f"{kind} {fields.get('mode') or fields.get('action', '')}") or table.get(kind)
