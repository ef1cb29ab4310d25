"""Time that legs spend alone in a conference or in silence, accumulated as it happens."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from conferral.sandbox.model.audibility import Audibility
from conferral.sandbox.model.state import State


@dataclass(slots=True)
class DurationTally:
    """Total seconds of all legs, and the legs whose time is running."""

    total_s: float = 0.0
    since_s: dict[str, float] = field(default_factory=dict)
    """Start time by call SID."""

    def update(self, sid: str, is_running: bool, now_s: float) -> None:
        """Start a leg's time, or stop it and add it to the total; no change if it already runs, or does not."""
        if is_running:
            self.since_s.setdefault(sid, now_s)
        elif (since_s := self.since_s.pop(sid, None)) is not None:
            self.total_s += max(0.0, now_s - since_s)

    def seconds(self, now_s: float) -> float:
        """Return the total up to now."""
        return self.total_s + sum(max(0.0, now_s - since_s) for since_s in self.since_s.values())


@dataclass(slots=True)
class AloneTime:
    """Billed time of no use to anyone. Other applications' calls in the same account don't count."""

    in_conference: DurationTally = field(default_factory=DurationTally)
    """Being the only participant of a conference, whatever is heard there; waiting for an agent counts, too."""
    in_silence: DurationTally = field(default_factory=DurationTally)
    """Hearing silence, in a conference or not."""

    def update(self, state: State, legs: Iterable[str], audibility: Audibility, now_s: float) -> None:
        """Start or stop these legs' times after a state change, once `audibility` is up to date."""
        for sid in legs:
            call = state.calls.get(sid)
            if call is None or call.is_foreign:
                continue
            heard = audibility.current(sid)
            self.in_conference.update(sid, _is_alone(state, sid), now_s)
            self.in_silence.update(sid, heard is not None and heard.kind == "silence", now_s)


def _is_alone(state: State, sid: str) -> bool:
    """Whether the leg is in a conference that no one else has joined."""
    conference = state.conferences.get(state.calls[sid].conference_sid)
    if conference is None or state.calls[sid].is_final:
        return False
    return [it.call_sid for it in conference.joined()] == [sid]
