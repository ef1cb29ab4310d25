"""Time that legs spend alone in a conference or in silence."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from conferral.sandbox.model.audibility import Audibility
from conferral.sandbox.model.state import Call, State


@dataclass(slots=True)
class DurationTally:
    """Total seconds of all legs, and the legs whose time is running."""

    total_s: float = 0.0
    since_s: dict[str, float] = field(default_factory=dict)  #: Start time by call SID.

    def update(self, sid: str, is_running: bool, now_s: float) -> None:
        """Start or stop a leg's time; ignored if it already runs, or does not."""
        if is_running:
            self.since_s.setdefault(sid, now_s)
        elif (since_s := self.since_s.pop(sid, None)) is not None:
            self.total_s += max(0.0, now_s - since_s)

    def seconds(self, now_s: float) -> float:
        """Return the total up to now."""
        return self.total_s + sum(max(0.0, now_s - since_s) for since_s in self.since_s.values())


@dataclass(slots=True)
class AloneTime:
    """Billed time of no use to anyone, without other applications' calls."""

    in_conference: DurationTally = field(default_factory=DurationTally)  #: As the only participant, waiting or not.
    in_silence: DurationTally = field(default_factory=DurationTally)  #: In a conference or not.

    def update(self, state: State, legs: Iterable[str], audibility: Audibility, now_s: float) -> None:
        """Start or stop these legs' times, once `audibility` is up to date."""
        for sid in legs:
            call = state.calls.get(sid)
            if call is None or call.is_foreign:
                continue
            heard = audibility.current(sid)
            self.in_conference.update(sid, _is_alone(state, call), now_s)
            self.in_silence.update(sid, heard is not None and heard.kind == "silence", now_s)


def _is_alone(state: State, call: Call) -> bool:
    conference = state.conferences.get(call.conference_sid)
    return conference is not None and not call.is_final and [it.call_sid for it in conference.joined()] == [call.sid]
