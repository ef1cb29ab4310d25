"""What a command that is done has brought about, in a word, and what can be typed next."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

#: What has happened when a command is done; of some its mode or its action says it.
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
    "hold": "held",
    "unhold": "off hold",
    "mute": "muted",
    "unmute": "heard again",
    "supervise monitor": "listening",
    "supervise whisper": "whispering",
    "supervise barge": "heard by all",
    "announce": "announced",
    "record start": "recording",
    "record pause": "recording paused",
    "record resume": "recording resumed",
    "record stop": "recording stopped",
    "end": "ended",
}
#: The commands that lead on from where a session stands, the likeliest first.
_BY_LIKELIHOOD = ("retrieve", "transfer", "complete", "merge", "swap", "cancel", "convert", "park", "end")
#: Those of them that need more than the session.
_REQUIRED_OPTIONS = {"retrieve": "--to ADDRESS", "transfer": "--to ADDRESS --mode consult"}
#: What undoes a command, or follows it sooner or later: the next command and its options.
_FOLLOW_UPS = {
    "add": ("remove", "--party {party}"),
    "hold": ("unhold", "--party {party}"),
    "mute": ("unmute", "--party {party}"),
    "supervise": ("remove", "--party supervisor"),
    "record start": ("record", "--action pause"),
    "record pause": ("record", "--action resume"),
    "record resume": ("record", "--action stop"),
}
#: By state: what is allowed there but changes nothing, like the conversion of what is a conference already, or only
#: waits, like a transfer before both are in it.
_NOT_SUGGESTED = {"bridged": (), "conferenced": ("convert",)}
_NOT_SUGGESTED_BY_DEFAULT = ("convert", "transfer", "park")


def result_word(fields: Mapping[str, str]) -> str:
    """What has happened, in a word.

    >>> done_word({"type": "record", "action": "start"}), done_word({"type": "hold", "party": "bob"})
    ('recording', 'held')
    """
    return _entry_for(_RESULT_WORDS, fields) or "done"


def suggest_next(
    allowed: Sequence[str],
    session_id: str,
    command_line: str,
    fields: Mapping[str, str] | None = None,
    state: str = "bridged",
) -> str:
    """What can be typed next: the likeliest command whole, the others by name.

    Args:
        allowed: Names of the commands that the session would take now.
        session_id: Its id.
        command_line: How this program is called.
        fields: The fields of the command that was just done.
        state: The session's.

    >>> next_step(("complete", "cancel", "end"), "CA1", "conferral")
    'conferral complete CA1, or cancel, end or watch in place of complete'
    """
    useful = [name for name in allowed if name not in _NOT_SUGGESTED.get(state, _NOT_SUGGESTED_BY_DEFAULT)]
    names = [*(name for name in _BY_LIKELIHOOD if name in useful), "watch"]
    first, more = names[0], _REQUIRED_OPTIONS.get(names[0], "")
    follows, needs = _entry_for(_FOLLOW_UPS, fields or {}) or ("", "")
    if follows in useful:
        first, more = follows, needs.format_map(fields or {})
    others = [name for name in names if name != first and name not in _REQUIRED_OPTIONS]
    full_command = " ".join(filter(None, (command_line, first, session_id, more)))
    if not others:
        return full_command
    if more:  # "in place of" would leave options that the others do not have
        return f"{full_command}; {_join(others, 'and')} {'needs' if len(others) == 1 else 'need'} the session only"
    return f"{full_command}, or {_join(others, 'or')} in place of {first}"


def _join(names: Sequence[str], word: str) -> str:
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _entry_for(table: Mapping[str, T], fields: Mapping[str, str]) -> T | None:
    """The entry of a command: by its name and mode or action, else by its name alone."""
    kind = fields.get("type", "")
    return table.get(f"{kind} {fields.get('mode') or fields.get('action', '')}") or table.get(kind)
