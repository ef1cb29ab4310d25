"""Prune the oldest finished calls and conferences, for runs of days."""

from itertools import islice

from conferral.sandbox.model.state import State
from conferral.sandbox.model.twilio_model import TwilioModel


def prune_finished(model: TwilioModel, most: int, referenced: frozenset[str] = frozenset()) -> set[str]:
    """Prune all but the newest; return the calls' SIDs.

    Keeps `most` finished calls and conferences each, `referenced` calls, and what live state needs.
    """
    state, hearing = model.state, model.audibility
    needed = _needed_by_live_state(state) | referenced
    surplus = len(state.calls) - len(state.live_calls) - most
    ended = (sid for sid, call in state.calls.items() if call.is_final and sid not in needed)
    calls = set(islice(ended, max(0, surplus)))
    ended_conferences = (
        sid for sid, conference in state.conferences.items() if conference.status == "completed" and sid not in needed
    )
    conferences = set(islice(ended_conferences, max(0, len(state.conferences) - len(state.conference_sids) - most)))
    for sid in calls:
        del state.calls[sid]
        hearing.history.pop(sid, None)
    for sid in conferences:
        del state.conferences[sid]
    removed = calls | conferences
    for sid, one in list(state.recordings.items()):
        if removed & {one.call_sid, one.leg_sid, one.conference_sid}:
            del state.recordings[sid]
    return calls


def _needed_by_live_state(state: State) -> set[str]:
    """Return the SIDs that live state, timers, and requests refer to."""
    needed = {sid for sid, _ in state.timers}
    for fetch in state.fetches.values():
        needed |= {fetch.call_sid, fetch.conference_sid}
    for sid in state.live_calls:
        call = state.calls[sid]
        needed |= {call.parent_sid, call.conference_sid}
        if call.dial is not None:
            needed |= {*call.dial.children, call.dial.winner_sid}
    for sid in state.conference_sids.values():
        conference = state.conferences[sid]
        needed |= {sid, conference.call_sid_ending}
        for member in conference.participants.values():
            needed |= {member.call_sid, member.coach_sid}
    for one in state.recordings.values():
        if one.ended_at_s is None or one.sid in needed:
            needed |= {one.call_sid, one.leg_sid, one.conference_sid}
    return needed
