"""A handle on one leg: act on it, and check what it heard."""

from http import HTTPStatus
from typing import TYPE_CHECKING

from conferral.sandbox.model import inputs
from conferral.sandbox.model.audibility import Sound, SoundInterval
from conferral.sandbox.model.state import Call

if TYPE_CHECKING:
    from conferral.sandbox.runtime import SandboxRuntime


class CallHandle:
    """One leg of a sandbox; it stays usable after the leg has ended."""

    def __init__(self, sandbox: "SandboxRuntime", sid: str) -> None:
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
        """What the leg hears now; None before its answer and after its end."""
        return self._sandbox.model.audibility.current(self.sid)

    @property
    def sounds_heard(self) -> tuple[SoundInterval, ...]:
        """Everything that the leg has heard, in order of time."""
        return self._sandbox.model.audibility.intervals(self.sid)

    def silence_s(self, since_s: float = 0.0, until_s: float | None = None) -> float:
        """Return the seconds of silence in an interval, by default all."""
        end_s = self._sandbox.now_s if until_s is None else until_s
        return self._sandbox.model.audibility.silence_s(self.sid, since_s, end_s)

    def longest_silence_s(self) -> float:
        """Return the longest stretch of silence, in seconds of sandbox time."""
        return self._sandbox.model.audibility.longest_silence_s(self.sid, 0.0, self._sandbox.now_s)

    def has_heard(self, other: "CallHandle") -> bool:
        """Whether this leg ever heard the other one."""
        return self._sandbox.model.audibility.has_heard(self.sid, other.sid)

    def move(self, *, url: str = "", twiml: str = "") -> None:
        """Move the leg to other TwiML, as another program does by REST.

        Raise ValueError if Twilio would refuse it. The request log doesn't show it.
        """
        if bool(url) == bool(twiml):
            raise ValueError("give either url or twiml")
        params = (("Url", url),) if url else (("Twiml", twiml),)
        answer = self._sandbox.apply(inputs.RestRequest("POST", f"/Calls/{self.sid}.json", params)).rest
        if answer is not None and answer.status != HTTPStatus.OK:
            raise ValueError((answer.body or {})["message"])

    def answer(self) -> None:
        """Answer; ignored unless it was dialed and is unanswered."""
        self._sandbox.apply(inputs.PhoneAnswers(self.sid))

    def reject(self) -> None:
        """Decline (SIP 603); ignored unless it was dialed and is unanswered."""
        self._sandbox.apply(inputs.PhoneRejects(self.sid))

    def hang_up(self) -> None:
        """Hang up; ignored if the leg has ended."""
        self._sandbox.apply(inputs.PhoneHangsUp(self.sid))

    def press(self, digits: str) -> None:
        """Press these keys (`0` to `9`, `*`, `#`) one after the other."""
        self._sandbox.apply(inputs.PhonePresses(self.sid, digits))

    def speak(self) -> None:
        """Start speaking; conferences with the event `speaker` report it."""
        self._sandbox.apply(inputs.PhoneSpeaks(self.sid))

    def fall_silent(self) -> None:
        """Stop speaking; reported like the start."""
        self._sandbox.apply(inputs.PhoneFallsSilent(self.sid))
