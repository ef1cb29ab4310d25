"""Phones: what answers when a leg is dialled, by a script or by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Literal

from conferral.sandbox.exchange import (
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
    keys: tuple[str, ...] = ()
    """Keys pressed at each `<Gather>` in turn, empty for none: `("", "1")` lets the first one pass."""
    keys_after_s: float = 0.5
    """From the `<Gather>`'s beginning."""

    @property
    def acts(self) -> bool:
        """Whether it does more than ring."""
        return self.answer_after_s is not None if self.outcome is None else self.outcome != "no-answer"

    def __str__(self) -> str:
        """What it does, in words."""
        if not self.acts:
            return "rings until somebody picks up"
        if self.outcome not in {None, "answer"}:
            return {"busy": "is busy", "reject": "refuses", "fail": "can't be reached"}[str(self.outcome)]
        does = [f"picks up after {self.answer_after_s or 0:g} s"]
        if self.digits or any(self.keys):
            does.append(f"presses {', '.join(filter(None, (self.digits, *self.keys)))}")
        if self.hang_up_after_s is not None:
            does.append(f"hangs up {self.hang_up_after_s:g} s later")
        return ", ".join(does)

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

    def when_asked(self, call_sid: str, time: int) -> list[tuple[float, Input]]:
        """What happens at a `<Gather>`, the first one being number 0: seconds from its beginning, and what."""
        keys = self.keys[time] if time < len(self.keys) else ""
        return [(self.keys_after_s, PhonePresses(call_sid, keys))] if keys else []


@dataclass(slots=True)
class Phone:
    """One address: its script, and the legs that it has."""

    address: str
    default: PhoneScript = field(default_factory=PhoneScript)
    name: str = ""
    """What people call it; empty for its address."""
    by_hand: bool = False
    """Whether a person plays it: it then does nothing by itself, whatever its script says."""
    once: deque[PhoneScript] = field(default_factory=deque)
    call_sids: list[str] = field(default_factory=list)
    """Legs that were dialled to it, oldest first, those that are over too."""
    placed_sids: list[str] = field(default_factory=list)
    """Likewise the calls that were placed from it."""
    playing: dict[str, PhoneScript] = field(default_factory=dict)
    """The script of each leg."""
    asked: dict[str, int] = field(default_factory=dict)
    """How often each leg was asked for keys by a `<Gather>` (count)."""

    def script(
        self,
        *,
        ring_after_s: float = 0.0,
        answer_after_s: float | None = None,
        outcome: Outcome | None = None,
        hang_up_after_s: float | None = None,
        digits: str = "",
        digits_after_s: float = 0.5,
        keys: str | Sequence[str] = (),
        keys_after_s: float = 0.5,
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
            keys=(keys,) if isinstance(keys, str) else tuple(keys),
            keys_after_s=keys_after_s,
        )
        if times is None:
            self.default = script
        else:
            self.once.extend(replace(script) for _ in range(times))
        return self

    def in_turn(self, *scripts: PhoneScript) -> Phone:
        """What it does at its next calls, one script for each; the last one stays. What was said before is forgotten.

        `phone.in_turn(PhoneScript(outcome="busy"), PhoneScript(answer_after_s=1))` is busy once and then answers.
        """
        self.once = deque(scripts[:-1])
        self.default = scripts[-1]
        return self

    def dialled(self, call_sid: str) -> PhoneScript:
        """A leg reaches it: the script for it."""
        script = PhoneScript() if self.by_hand else self.once.popleft() if self.once else self.default
        self.call_sids.append(call_sid)
        self.playing[call_sid] = script
        return script

    def asked_for_keys(self, call_sid: str) -> list[tuple[float, Input]]:
        """A `<Gather>` begins on one of its legs: seconds from now, and what it does."""
        time = self.asked.get(call_sid, 0)
        self.asked[call_sid] = time + 1
        return [] if self.by_hand else self.playing[call_sid].when_asked(call_sid, time)

    def forget(self, call_sids: Set[str]) -> None:
        """Nobody knows these calls any more."""
        self.call_sids = [sid for sid in self.call_sids if sid not in call_sids]
        self.placed_sids = [sid for sid in self.placed_sids if sid not in call_sids]
        for sid in call_sids & self.playing.keys():
            del self.playing[sid]
        for sid in call_sids & self.asked.keys():
            del self.asked[sid]


def phone_address(to: str) -> str:
    """The address of a phone without the parameters that a browser is given: `client:alice?x=1` is `client:alice`."""
    return to.partition("?")[0] if to.startswith("client:") else to
