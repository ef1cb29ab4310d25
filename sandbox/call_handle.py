"""A handle on one leg, with which a test or a person acts and looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conferral.sandbox.model import (
    Call,
    PhoneAnswers,
    PhoneFallsSilent,
    PhoneHangsUp,
    PhonePresses,
    PhoneRejects,
    PhoneSpeaks,
    Sound,
    SoundInterval,
)

if TYPE_CHECKING:
    from conferral.sandbox.runtime import SandboxRuntime


class CallHandle:
    """One leg of a sandbox; it stays usable when the leg is over."""

    def __init__(self, sandbox: SandboxRuntime, sid: str) -> None:
        self._sandbox = sandbox
        self.sid = sid

    def __repr__(self) -> str:
        return f"<SandboxCall {self.sid[:10]} {self.status} hears {self.hears_now}>"

    @property
    def record(self) -> Call:
        """What the exchange knows of it."""
        return self._sandbox.model.state.calls[self.sid]

    @property
    def status(self) -> str:
        """Twilio's status."""
        return self.record.status

    @property
    def hears_now(self) -> Sound | None:
        """What it hears now; None when nobody listens."""
        return self._sandbox.model.audibility.current(self.sid)

    @property
    def sounds_heard(self) -> tuple[SoundInterval, ...]:
        """All that it heard."""
        return self._sandbox.model.audibility.intervals(self.sid)

    def silence_s(self, since_s: float = 0.0, until_s: float | None = None) -> float:
        """How many of the exchange's seconds it heard nobody and nothing; by default in all its life."""
        end_s = self._sandbox.now_s if until_s is None else until_s
        return self._sandbox.model.audibility.silence_s(self.sid, since_s, end_s)

    def longest_silence_s(self) -> float:
        """The longest time in one piece that it heard nobody and nothing, in the exchange's seconds."""
        return self._sandbox.model.audibility.longest_silence_s(self.sid, 0.0, self._sandbox.now_s)

    def has_heard(self, other: CallHandle) -> bool:
        """Whether it ever heard the other one."""
        return self._sandbox.model.audibility.has_heard(self.sid, other.sid)

    def answer(self) -> None:
        """Pick up; nothing happens if it doesn't ring."""
        self._sandbox.apply(PhoneAnswers(self.sid))

    def reject(self) -> None:
        """Refuse the call."""
        self._sandbox.apply(PhoneRejects(self.sid))

    def hang_up(self) -> None:
        """Hang up; nothing happens if it is over."""
        self._sandbox.apply(PhoneHangsUp(self.sid))

    def press(self, digits: str) -> None:
        """Press keys."""
        self._sandbox.apply(PhonePresses(self.sid, digits))

    def speak(self) -> None:
        """Begin to speak; only conferences with the event `speaker` tell of it."""
        self._sandbox.apply(PhoneSpeaks(self.sid))

    def fall_silent(self) -> None:
        """Stop speaking."""
        self._sandbox.apply(PhoneFallsSilent(self.sid))
