"""Phones: what happens when a leg is dialed, scripted or played by hand."""

from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal

from conferral.sandbox.model import inputs

Outcome = Literal["answer", "busy", "no-answer", "reject", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneScript:
    """What a phone does automatically, in seconds of sandbox time.

    Without `answer_after_s` and `outcome`, it rings until acted on, or until Twilio's timeout.
    """

    ring_after_s: float = 0.0  #: From being dialed to ringing.
    answer_after_s: float | None = None  #: From ringing to being answered, rejected, or found busy.
    outcome: Outcome | None = None
    hang_up_after_s: float | None = None  #: From the answer.
    digits: str = ""  #: Keys pressed after the answer.
    digits_after_s: float = 0.5  #: From the answer.
    keys: tuple[str, ...] = ()  #: Pressed at each `<Gather>` in turn, empty for none: `("", "1")` skips the first.
    keys_after_s: float = 0.5  #: From the start of the `<Gather>`.

    @property
    def has_actions(self) -> bool:
        """Whether it does more than ring."""
        return self.answer_after_s is not None if self.outcome is None else self.outcome != "no-answer"

    def __str__(self) -> str:
        if not self.has_actions:
            return "rings until you answer"
        if self.outcome not in {None, "answer"}:
            return {"busy": "is busy", "reject": "declines", "fail": "is unreachable"}[str(self.outcome)]
        does = [f"answers after {self.answer_after_s or 0:g} s"]
        if self.digits or any(self.keys):
            does.append(f"presses {', '.join(filter(None, (self.digits, *self.keys)))}")
        if self.hang_up_after_s is not None:
            does.append(f"hangs up {self.hang_up_after_s:g} s later")
        return ", ".join(does)

    def steps_before_answer(self, call_sid: str) -> list[tuple[float, inputs.Input]]:
        """Return the steps from being dialed: seconds from now, and the input."""
        outcome = self.outcome or ("answer" if self.answer_after_s is not None else "no-answer")
        at_s = self.ring_after_s + (self.answer_after_s or 0.0)
        rings: tuple[float, inputs.Input] = (self.ring_after_s, inputs.PhoneRings(call_sid))
        match outcome:
            case "answer":
                return [rings, (at_s, inputs.PhoneAnswers(call_sid))]
            case "reject":
                return [rings, (at_s, inputs.PhoneRejects(call_sid))]
            case "busy":
                return [(at_s, inputs.PhoneBusy(call_sid))]
            case "fail":
                return [(at_s, inputs.PhoneFails(call_sid))]
            case "no-answer":
                return [rings]

    def steps_after_answer(self, call_sid: str) -> list[tuple[float, inputs.Input]]:
        """Return the steps after the answer: seconds from it, and the input."""
        steps: list[tuple[float, inputs.Input]] = []
        if self.digits:
            steps.append((self.digits_after_s, inputs.PhonePresses(call_sid, self.digits)))
        if self.hang_up_after_s is not None:
            steps.append((self.hang_up_after_s, inputs.PhoneHangsUp(call_sid)))
        return steps

    def on_gather(self, call_sid: str, index: int) -> list[tuple[float, inputs.Input]]:
        """Return the steps at the leg's `<Gather>` with this index, from 0."""
        keys = self.keys[index] if index < len(self.keys) else ""
        return [(self.keys_after_s, inputs.PhonePresses(call_sid, keys))] if keys else []


@dataclass(slots=True)
class Phone:
    """One address: its script, and its legs."""

    address: str
    default: PhoneScript = field(default_factory=PhoneScript)
    name: str = ""  #: Display name; empty to show the address.
    is_manual: bool = False  #: Whether a person plays it; its script is then ignored.
    next_scripts: deque[PhoneScript] = field(default_factory=deque)
    call_sids: list[str] = field(default_factory=list)  #: Dialed to it, oldest first, including ended ones.
    placed_call_sids: list[str] = field(default_factory=list)  #: Placed from it, likewise.
    active_scripts: dict[str, PhoneScript] = field(default_factory=dict)  #: By leg.
    gather_counts: dict[str, int] = field(default_factory=dict)  #: By leg.

    def script(self, *, keys: str | Sequence[str] = (), times: int | None = None, **does: Any) -> "Phone":
        """Set the script from the next call on, or for `times` calls only.

        `keys` as text is for the first `<Gather>`; `does` are other fields of `PhoneScript`.
        """
        script = PhoneScript(keys=(keys,) if isinstance(keys, str) else tuple(keys), **does)
        if times is None:
            self.default = script
        else:
            self.next_scripts.extend([script] * times)
        return self

    def script_in_turn(self, *scripts: PhoneScript) -> "Phone":
        """Set one script for each of its next calls; the last one stays."""
        self.next_scripts = deque(scripts[:-1])
        self.default = scripts[-1]
        return self

    def on_dialed(self, call_sid: str) -> PhoneScript:
        """Add a dialed leg; return its script."""
        script = PhoneScript() if self.is_manual else self.next_scripts.popleft() if self.next_scripts else self.default
        self.call_sids.append(call_sid)
        self.active_scripts[call_sid] = script
        return script

    def on_gather(self, call_sid: str) -> list[tuple[float, inputs.Input]]:
        """Return the steps at a leg's `<Gather>`: seconds from now, and the input."""
        index = self.gather_counts.get(call_sid, 0)
        self.gather_counts[call_sid] = index + 1
        return [] if self.is_manual else self.active_scripts[call_sid].on_gather(call_sid, index)

    def forget(self, call_sids: Set[str]) -> None:
        """Remove these calls, which the model has pruned."""
        self.call_sids = [sid for sid in self.call_sids if sid not in call_sids]
        self.placed_call_sids = [sid for sid in self.placed_call_sids if sid not in call_sids]
        for sid in call_sids & self.active_scripts.keys():
            del self.active_scripts[sid]
        for sid in call_sids & self.gather_counts.keys():
            del self.gather_counts[sid]


def phone_address(to: str) -> str:
    """Return an address without a browser's parameters (`client:alice?x=1`)."""
    return to.partition("?")[0] if to.startswith("client:") else to
