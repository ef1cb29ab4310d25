"""What a model forgets that runs for days."""

import re
from collections.abc import Set

from offhook.model.twilio_model import TwilioModel

_SID = re.compile(r"C[AF][0-9a-f]{32}")


def prune_finished(model: TwilioModel, limit: int, referenced: Set[str] = frozenset()) -> set[str]:
    """Remove the oldest of what has ended; return the calls' SIDs.

    Keeps `limit` finished calls and conferences each, `referenced` calls, and what live state mentions.
    """
    state = model.state
    live = [state.calls[sid] for sid in state.live_calls]
    live_conferences = [state.conferences[sid] for sid in state.conference_sids.values()]
    kept = [it for it in state.recordings.values() if it.status not in {"completed", "absent"}]
    mentioned = repr((live, live_conferences, kept, state.timers, state.fetches))
    needed = {*_SID.findall(mentioned), *referenced}
    ended = [sid for sid, call in state.calls.items() if call.is_final and sid not in needed]
    calls = set(ended[: max(0, len(state.calls) - len(live) - limit)])
    over = [sid for sid, it in state.conferences.items() if it.status == "completed" and sid not in needed]
    removed = {*calls, *over[: max(0, len(state.conferences) - len(live_conferences) - limit)]}
    for sid in removed:
        state.calls.pop(sid, None)
        state.conferences.pop(sid, None)
        model.audibility.history.pop(sid, None)
    for sid in list(state.messages)[: max(0, len(state.messages) - limit)]:
        del state.messages[sid]
    for sid, it in list(state.recordings.items()):
        if removed & {it.call_sid, it.leg_sid, it.conference_sid}:
            del state.recordings[sid]
    return calls
