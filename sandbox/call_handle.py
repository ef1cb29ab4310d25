"""A handle on one leg, for tests and the page: act on it, and check what it heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conferral.sandbox.model import inputs
from conferral.sandbox.model.audibility import Sound, SoundInterval
from conferral.sandbox.model.state import Call

if TYPE_CHECKING:
    from conferral.sandbox.runtime import SandboxRuntime


class CallHandle:
    """One leg of a sandbox; it stays usable after the leg has ended."""

    def __init__(self, sandbox: SandboxRuntime, sid: str) -> None:
        self._sandbox = sandbox
        self.sid = sid

    def __repr__(self) -> str:
        return f"<SandboxCall {self.sid[:10]} {self.status} hears {self.hears_now}>"

    @property
    def record(self) -> Call:
        """The model's record of the leg."""
        return self._sandbox.model.state.calls[self.sid]

    @property
    def status(self) -> str:
        """Twilio's call status."""
        return self.record.status

    @property
    def hears_now(self) -> Sound | None:
        """What it hears now; None if no one listens."""
        return self._sandbox.model.audibility.current(self.sid)

    @property
    def sounds_heard(self) -> tuple[SoundInterval, ...]:
        """Everything that it heard."""
        return self._sandbox.model.audibility.intervals(self.sid)

    def silence_s(self, since_s: float = 0.0, until_s: float | None = None) -> float:
        """Return how many seconds of silence it heard, in sandbox time; by default, in its whole life."""
        end_s = self._sandbox.now_s if until_s is None else until_s
        return self._sandbox.model.audibility.silence_s(self.sid, since_s, end_s)

    def longest_silence_s(self) -> float:
        """Return the longest stretch of silence that it heard, in seconds of sandbox time."""
        return self._sandbox.model.audibility.longest_silence_s(self.sid, 0.0, self._sandbox.now_s)

    def has_heard(self, other: CallHandle) -> bool:
        """Whether it ever heard the other leg."""
        return self._sandbox.model.audibility.has_heard(self.sid, other.sid)

    def answer(self) -> None:
        """Answer; ignored unless it rings."""
        self._sandbox.apply(inputs.PhoneAnswers(self.sid))

    def reject(self) -> None:
        """Reject the call."""
        self._sandbox.apply(inputs.PhoneRejects(self.sid))

    def hang_up(self) -> None:
        """Hang up; ignored if it has ended."""
        self._sandbox.apply(inputs.PhoneHangsUp(self.sid))

    def press(self, digits: str) -> None:
        """Press keys."""
        self._sandbox.apply(inputs.PhonePresses(self.sid, digits))

    def speak(self) -> None:
        """Start speaking; only conferences subscribed to the event `speaker` report it."""
        self._sandbox.apply(inputs.PhoneSpeaks(self.sid))

    def fall_silent(self) -> None:
        """Stop speaking."""
        self._sandbox.apply(inputs.PhoneFallsSilent(self.sid))
