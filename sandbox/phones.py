"""Phones: what answers when a leg is dialled, by a script or by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Literal

from conferral.sandbox.model import (
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
    def has_actions(self) -> bool:
        """Whether it does more than ring."""
        return self.answer_after_s is not None if self.outcome is None else self.outcome != "no-answer"

    def __str__(self) -> str:
        """What it does, in words."""
        if not self.has_actions:
            return "rings until somebody picks up"
        if self.outcome not in {None, "answer"}:
            return {"busy": "is busy", "reject": "refuses", "fail": "can't be reached"}[str(self.outcome)]
        does = [f"picks up after {self.answer_after_s or 0:g} s"]
        if self.digits or any(self.keys):
            does.append(f"presses {', '.join(filter(None, (self.digits, *self.keys)))}")
        if self.hang_up_after_s is not None:
            does.append(f"hangs up {self.hang_up_after_s:g} s later")
        return ", ".join(does)

    def steps_before_answer(self, call_sid: str) -> list[tuple[float, Input]]:
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

    def steps_after_answer(self, call_sid: str) -> list[tuple[float, Input]]:
        """What happens from the answer on."""
        steps: list[tuple[float, Input]] = []
        if self.digits:
            steps.append((self.digits_after_s, PhonePresses(call_sid, self.digits)))
        if self.hang_up_after_s is not None:
            steps.append((self.hang_up_after_s, PhoneHangsUp(call_sid)))
        return steps

    def on_gather(self, call_sid: str, time: int) -> list[tuple[float, Input]]:
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
    is_manual: bool = False
    """Whether a person plays it: it then does nothing by itself, whatever its script says."""
    next_scripts: deque[PhoneScript] = field(default_factory=deque)
    call_sids: list[str] = field(default_factory=list)
    """Legs that were dialled to it, oldest first, those that are over too."""
    placed_call_sids: list[str] = field(default_factory=list)
    """Likewise the calls that were placed from it."""
    active_scripts: dict[str, PhoneScript] = field(default_factory=dict)
    """The script of each leg."""
    gather_counts: dict[str, int] = field(default_factory=dict)
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
            self.next_scripts.extend(replace(script) for _ in range(times))
        return self

    def script_in_turn(self, *scripts: PhoneScript) -> Phone:
        """What it does at its next calls, one script for each; the last one stays. What was said before is forgotten.

        `phone.script_in_turn(PhoneScript(outcome="busy"), PhoneScript(answer_after_s=1))` is busy, then answers.
        """
        self.next_scripts = deque(scripts[:-1])
        self.default = scripts[-1]
        return self

    def on_dialed(self, call_sid: str) -> PhoneScript:
        """A leg reaches it: the script for it."""
        script = PhoneScript() if self.is_manual else self.next_scripts.popleft() if self.next_scripts else self.default
        self.call_sids.append(call_sid)
        self.active_scripts[call_sid] = script
        return script

    def on_gather(self, call_sid: str) -> list[tuple[float, Input]]:
        """A `<Gather>` begins on one of its legs: seconds from now, and what it does."""
        time = self.gather_counts.get(call_sid, 0)
        self.gather_counts[call_sid] = time + 1
        return [] if self.is_manual else self.active_scripts[call_sid].on_gather(call_sid, time)

    def forget(self, call_sids: Set[str]) -> None:
        """Nobody knows these calls any more."""
        self.call_sids = [sid for sid in self.call_sids if sid not in call_sids]
        self.placed_call_sids = [sid for sid in self.placed_call_sids if sid not in call_sids]
        for sid in call_sids & self.active_scripts.keys():
            del self.active_scripts[sid]
        for sid in call_sids & self.gather_counts.keys():
            del self.gather_counts[sid]


def phone_address(to: str) -> str:
    """The address of a phone without the parameters that a browser is given: `client:alice?x=1` is `client:alice`."""
    return to.partition("?")[0] if to.startswith("client:") else to
