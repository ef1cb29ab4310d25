"""Phones: what answers when a leg is dialled, by a script or by hand."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Literal

from sandbox.exchange import (
    Input,
    PhoneAnswers,
    PhoneBusy,
    PhoneFails,
    PhoneHangsUp,
    PhonePresses,
    PhoneRejects,
    PhoneRings,
)

Outcome = Literal["answer", "busy", "no-answer", "reject", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneScript:
    """What a phone does by itself. Times are the exchange's seconds, so they shrink with the sandbox's speed.

    Without `answer_after_s` and `outcome` it rings until told, or until Twilio gives up.
    """

    ring_after_s: float = 0.0
    """From being dialled to ringing."""
    answer_after_s: float | None = None
    """From ringing to being picked up, refused, or found busy."""
    outcome: Outcome | None = None
    hang_up_after_s: float | None = None
    """From the answer."""
    digits: str = ""
    """Keys pressed after the answer."""
    digits_after_s: float = 0.5
    """From the answer."""

    def before_answer(self, call_sid: str) -> list[tuple[float, Input]]:
        """What happens from the dialling on: seconds from now, and what."""
        outcome = self.outcome or ("answer" if self.answer_after_s is not None else "no-answer")
        at_s = self.ring_after_s + (self.answer_after_s or 0.0)
        rings: tuple[float, Input] = (self.ring_after_s, PhoneRings(call_sid))
        match outcome:
            case "answer":
                return [rings, (at_s, PhoneAnswers(call_sid))]
            case "reject":
                return [rings, (at_s, PhoneRejects(call_sid))]
            case "busy":
                return [(at_s, PhoneBusy(call_sid))]
            case "fail":
                return [(at_s, PhoneFails(call_sid))]
            case "no-answer":
                return [rings]

    def after_answer(self, call_sid: str) -> list[tuple[float, Input]]:
        """What happens from the answer on."""
        steps: list[tuple[float, Input]] = []
        if self.digits:
            steps.append((self.digits_after_s, PhonePresses(call_sid, self.digits)))
        if self.hang_up_after_s is not None:
            steps.append((self.hang_up_after_s, PhoneHangsUp(call_sid)))
        return steps


@dataclass(slots=True)
class Phone:
    """One address: its script, and the legs that it has."""

    address: str
    default: PhoneScript = field(default_factory=PhoneScript)
    once: deque[PhoneScript] = field(default_factory=deque)
    call_sids: list[str] = field(default_factory=list)
    """Legs that were dialled to it, oldest first, those that are over too."""
    playing: dict[str, PhoneScript] = field(default_factory=dict)
    """The script of each leg."""

    def script(
        self,
        *,
        ring_after_s: float = 0.0,
        answer_after_s: float | None = None,
        outcome: Outcome | None = None,
        hang_up_after_s: float | None = None,
        digits: str = "",
        digits_after_s: float = 0.5,
        times: int | None = None,
    ) -> Phone:
        """What it does from the next call on, or (with `times`) only for so many calls, then as before."""
        script = PhoneScript(
            ring_after_s=ring_after_s,
            answer_after_s=answer_after_s,
            outcome=outcome,
            hang_up_after_s=hang_up_after_s,
            digits=digits,
            digits_after_s=digits_after_s,
        )
        if times is None:
            self.default = script
        else:
            self.once.extend(replace(script) for _ in range(times))
        return self

    def dialled(self, call_sid: str) -> PhoneScript:
        """A leg reaches it: the script for it."""
        script = self.once.popleft() if self.once else self.default
        self.call_sids.append(call_sid)
        self.playing[call_sid] = script
        return script


def phone_address(to: str) -> str:
    """The address of a phone without the parameters that a browser is given: `client:alice?x=1` is `client:alice`."""
    return to.partition("?")[0] if to.startswith("client:") else to
