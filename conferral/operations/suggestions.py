"""Suggestions after a command: what to type next."""

from collections.abc import Mapping, Sequence

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
    given = fields or {}
    kind, action = given.get("type", ""), given.get("action", "")
    follows, needs = _FOLLOW_UPS.get(f"{kind} {action}".strip(), ("", ""))
    if follows in useful:
        first, more = follows, needs.format_map(given)
    others = [name for name in names if name != first and name not in _REQUIRED_OPTIONS]
    full_command = " ".join(filter(None, (command_line, first, session_id, more)))
    return f"{full_command}; also: {', '.join(others)}" if others else full_command
