"""For how long somebody was alone in a conference, or heard nobody and nothing: added up as it happens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from conferral.sandbox.model.audibility import Audibility
from conferral.sandbox.model.state import State


@dataclass(slots=True)
class DurationTally:
    """Seconds of all legs together, and those for whom they are running now."""

    total_s: float = 0.0
    since_s: dict[str, float] = field(default_factory=dict)
    """From when on, by call SID."""

    def update(self, sid: str, is_running: bool, now_s: float) -> None:
        """Whether it holds of a leg from this moment on."""
        if is_running:
            self.since_s.setdefault(sid, now_s)
        elif (since_s := self.since_s.pop(sid, None)) is not None:
            self.total_s += max(0.0, now_s - since_s)

    def seconds(self, now_s: float) -> float:
        """All of it up to this moment."""
        return self.total_s + sum(max(0.0, now_s - since_s) for since_s in self.since_s.values())


@dataclass(slots=True)
class AloneTime:
    """The time that nobody had anything of, though it is billed. Others' calls on the same account do not count."""

    in_conference: DurationTally = field(default_factory=DurationTally)
    """Being the only one who is in a conference, whatever was heard there: who waits for an agent counts too."""
    in_silence: DurationTally = field(default_factory=DurationTally)
    """Hearing nobody and nothing, wherever."""

    def update(self, state: State, legs: Iterable[str], audibility: Audibility, now_s: float) -> None:
        """Look at these legs after a change of the state; what they hear must have been noted before."""
        for sid in legs:
            call = state.calls.get(sid)
            if call is None or call.is_foreign:
                continue
            heard = audibility.current(sid)
            self.in_conference.update(sid, _is_alone(state, sid), now_s)
            self.in_silence.update(sid, heard is not None and heard.kind == "silence", now_s)


def _is_alone(state: State, sid: str) -> bool:
    conference = state.conferences.get(state.calls[sid].conference_sid)
    if conference is None or state.calls[sid].is_final:
        return False
    return [it.call_sid for it in conference.joined()] == [sid]
