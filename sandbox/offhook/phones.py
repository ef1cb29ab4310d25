"""Phones, scripted or played by hand, and handles on their legs."""

import re
from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Literal, Protocol, TypedDict, TypeVar, Unpack, get_args

from offhook.faults import Seconds
from offhook.model import messages
from offhook.model.state import Call
from offhook.real_time import RealTimeModel
from offhook.request_log import DialEntry
from offhook.twilio_time import Timer

T = TypeVar("T")
CARD_NUMBER_MIN = 12  #: So many keys may be a card's, whose keys no page shows.
Outcome = Literal["answer", "busy", "no-answer", "reject", "fail"]
MACHINES = {"mailbox": "a mailbox", "mailbox-with-beep": "a mailbox with a beep", "fax": "a fax"}
MACHINE_ANSWERS_AFTER_S, MACHINE_HANGS_UP_AFTER_S = 12.0, 120.0  #: Unless its script says otherwise.
SCREENED = "screened-person"
SCREENING_ENDS_AFTER_S = 30.0  #: From the answer, if its person doesn't pick up, and unless its script says otherwise.


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneScript:
    """What a phone does automatically, in seconds of sandbox time.

    Without `answer_after_s` and `outcome`, a person's phone rings until acted on, or until Twilio's timeout. A mailbox
    or a fax answers, and hangs up late; it presses no keys, and says nothing. A phone that screens calls answers, and
    asks who calls; its person picks up later, or not at all. What a phone does in a call it does however the call was
    answered, and in calls that it places, too: they are answered when Twilio answers.
    """

    kind: messages.PhoneKind = "person"
    ring_after_s: Seconds = 0.0  #: From being dialed to ringing.
    answer_after_s: Seconds | None = None  #: From ringing to being answered, rejected, or found busy.
    outcome: Outcome | None = None
    picks_up_after_s: Seconds | None = None  #: From the answer of a phone that screens calls; None for never.
    hang_up_after_s: Seconds | None = None  #: From the answer.
    digits: str = ""  #: Keys pressed after the answer.
    digits_after_s: Seconds = 0.5  #: From the answer.
    keys: tuple[str, ...] = ()  #: Pressed at each `<Gather>`, and each field of a `<Pay>`, in turn; empty for none.
    keys_after_s: Seconds = 0.5  #: From when they are asked for.
    speaks: tuple[str, ...] = ()  #: Said at each `<Record>`, and each `<Gather>` of speech, in turn; empty for nothing.
    speaks_after_s: Seconds = 0.5  #: From the start of the `<Record>` or `<Gather>`.

    def __post_init__(self) -> None:
        self._check_values()
        is_machine, is_screened = self.kind in MACHINES, self.kind == SCREENED
        answers = is_machine or is_screened
        if self.picks_up_after_s is not None and not is_screened:
            raise ValueError(f"picks_up_after_s is for a {SCREENED}, whose phone answers first")
        if is_screened and self.picks_up_after_s is None and (self.digits or any(self.keys) or any(self.speaks)):
            raise ValueError(f"a {SCREENED} without picks_up_after_s never picks up, so they can't act")
        if is_machine and (self.digits or any(self.keys) or any(self.speaks)):
            raise ValueError(f"{MACHINES[self.kind]} presses no keys, and answers no question")
        if self.outcome in {"busy", "reject", "fail"} and (self.acts_in_calls or answers):
            raise ValueError(f"a phone with the outcome {self.outcome!r} is in no call, so it can't act in one")
        if self.outcome == "no-answer" and (self.answer_after_s is not None or answers):
            raise ValueError("a phone with the outcome 'no-answer' can't answer by itself")
        defaults: dict[str, float] = {}
        if is_machine:
            defaults = {"answer_after_s": MACHINE_ANSWERS_AFTER_S, "hang_up_after_s": MACHINE_HANGS_UP_AFTER_S}
        elif is_screened:
            is_left = self.picks_up_after_s is None
            defaults = {"answer_after_s": 0.0} | ({"hang_up_after_s": SCREENING_ENDS_AFTER_S} if is_left else {})
        for name, seconds in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, seconds)

    def _check_values(self) -> None:
        """Raise ValueError for a field that no phone can have."""
        for keys in (self.digits, *self.keys):
            check_keys(keys)
        for name, value, allowed in (
            ("kind", self.kind, get_args(messages.PhoneKind)),
            ("outcome", self.outcome, (None, *get_args(Outcome))),
        ):
            if value not in allowed:
                raise ValueError(f"no phone has the {name} {value!r}: there are {', '.join(filter(None, allowed))}")
        for name in _TIMES:
            if not (getattr(self, name) or 0) >= 0:  # nor is NaN a time
                raise ValueError(f"{name} is {getattr(self, name)!r}: a time is at least 0 s")
        if self.digits and self.hang_up_after_s is not None and self.digits_after_s >= self.hang_up_after_s:
            raise ValueError("a phone can't press digits after it hangs up: digits_after_s must be less")

    @property
    def has_actions(self) -> bool:
        """Whether it does more than ring."""
        return self.answer_after_s is not None if self.outcome is None else self.outcome != "no-answer"

    @property
    def acts_in_calls(self) -> bool:
        """Whether it does something once a call is answered."""
        return bool(self.digits or any(self.keys) or any(self.speaks)) or self.hang_up_after_s is not None

    def __str__(self) -> str:
        if self.outcome not in {None, "answer"}:
            return {
                "busy": "is busy",
                "reject": "declines",
                "fail": "is unreachable",
                "no-answer": "rings until you answer",
            }[str(self.outcome)]
        what = f" as {MACHINES[self.kind]}" if self.kind in MACHINES else ""
        does = [f"answers after {self.answer_after_s or 0:g} s{what}" if self.has_actions else "rings until you answer"]
        if self.kind == SCREENED:
            does.append("asks who calls")
        if self.picks_up_after_s is not None:
            does.append(f"is picked up {self.picks_up_after_s:g} s later")
        if self.digits or any(self.keys):
            keys = [*filter(None, (self.digits, *self.keys))]
            is_card = any(len(it) >= CARD_NUMBER_MIN for it in keys)
            does.append("presses a card's keys" if is_card else f"presses {', '.join(keys)}")
        if any(self.speaks):
            does.append(f"says {', '.join(f'“{text}”' for text in self.speaks if text)}")
        if self.hang_up_after_s is not None:
            does.append(f"hangs up {self.hang_up_after_s:g} s later")
        return ", ".join(does)

    def steps_before_answer(self, call_sid: str) -> list[tuple[float, messages.Input]]:
        """Return the steps from being dialed: seconds from now, and the input."""
        outcome = self.outcome or ("answer" if self.answer_after_s is not None else "no-answer")
        at_s = self.ring_after_s + (self.answer_after_s or 0.0)
        rings: tuple[float, messages.Input] = (self.ring_after_s, messages.PhoneRings(call_sid))
        match outcome:
            case "answer":
                return [rings, (at_s, messages.PhoneAnswers(call_sid, self.kind))]
            case "reject":
                return [rings, (at_s, messages.PhoneRefuses(call_sid, 603))]
            case "busy" | "fail":
                return [(at_s, messages.PhoneRefuses(call_sid, 486 if outcome == "busy" else 404))]
            case "no-answer":
                return [rings]

    def steps_after_answer(self, call_sid: str, greeting_s: float) -> list[tuple[float, messages.Input]]:
        """Return the steps after the answer: seconds from it, and the input."""
        steps: list[tuple[float, messages.Input]] = []
        person_at_s = self.picks_up_after_s or 0.0
        if self.kind.startswith("mailbox") or self.kind == SCREENED:
            until_s = min(greeting_s, person_at_s or greeting_s)
            steps += [(0.0, messages.PhoneSpeaks(call_sid)), (until_s, messages.PhoneFallsSilent(call_sid))]
        if self.digits:
            steps.append((person_at_s + self.digits_after_s, messages.PhonePresses(call_sid, self.digits)))
        if self.hang_up_after_s is not None:
            steps.append((self.hang_up_after_s, messages.PhoneHangsUp(call_sid)))
        return steps


class ScriptFields(TypedDict, total=False):
    """What `script` takes: the fields of `PhoneScript`, and `times`."""

    kind: messages.PhoneKind
    ring_after_s: Seconds
    answer_after_s: Seconds | None
    outcome: Outcome | None
    picks_up_after_s: Seconds | None
    hang_up_after_s: Seconds | None
    digits: str
    digits_after_s: Seconds
    keys: str | Sequence[str]
    keys_after_s: Seconds
    speaks: str | Sequence[str]
    speaks_after_s: Seconds
    times: int | None


_FIELDS = dict.fromkeys(it.name for it in fields(PhoneScript))
_TIMES = tuple(name for name in _FIELDS if name.endswith("_s"))


@dataclass(slots=True)
class Phone:
    """One address: its script, and its legs."""

    address: str
    default: PhoneScript = field(default_factory=PhoneScript)
    name: str = ""  #: Display name; empty to show the address.
    is_manual: bool = False  #: Whether a person plays it; its script is then ignored.
    next_scripts: deque[PhoneScript] = field(default_factory=deque)
    call_sids: list[str] = field(default_factory=list)  #: To it and from it, oldest first, including ended ones.

    def script(self, **does: Unpack[ScriptFields]) -> "Phone":
        """Set the script from the next call on, or for `times` calls only.

        A single text in `keys` or `speaks` is for the first time. Calls from the phone count if the script does
        something in them. Raise ValueError for a script that can't act.
        """
        given: dict[str, Any] = dict(does)
        times = given.pop("times", None)
        if times is not None and times < 1:
            raise ValueError(f"a script for {times} calls can't act")
        if unknown := given.keys() - _FIELDS.keys():
            raise TypeError(f"a script has no field {min(unknown)!r}: there are {', '.join(_FIELDS)}")
        script = PhoneScript(**given | {name: _in_turn(given.get(name, ())) for name in ("keys", "speaks")})
        if times is None:
            self.default = script
        else:
            self.next_scripts.extend([script] * times)
        return self

    def script_in_turn(self, *scripts: PhoneScript) -> "Phone":
        """Set one script for each of its next calls; the last one stays.

        Raise ValueError for none.
        """
        if not scripts:
            raise ValueError("give at least one script")
        self.next_scripts = deque(scripts[:-1])
        self.default = scripts[-1]
        return self

    def next_script_of_caller(self) -> PhoneScript:
        """Return the script of a call from it; one for calls to it stays."""
        script = self.next_scripts[0] if self.next_scripts else self.default
        return self.next_script() if script.acts_in_calls else PhoneScript()

    def next_script(self) -> PhoneScript:
        """Return the script of a call to it."""
        if self.is_manual:
            return PhoneScript()
        return self.next_scripts.popleft() if self.next_scripts else self.default

    def forget(self, call_sids: Set[str]) -> None:
        """Remove these calls, which the model has pruned."""
        self.call_sids = [sid for sid in self.call_sids if sid not in call_sids]


def _in_turn(texts: str | Sequence[str]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def check_keys(keys: str) -> None:
    """Raise ValueError for keys that no phone has."""
    if wrong := re.sub(r"[0-9*#]", "", keys):
        raise ValueError(f"no phone has the key {wrong[0]!r}: there are 0 to 9, *, and #")


def phone_address(to: str) -> str:
    """Return an address without parameters or headers (`client:alice?x=1`)."""
    return to.partition("?")[0]


def phone_of(call: Call) -> str:
    """Return the address of a leg's phone: the caller's, or the dialed one."""
    return phone_address(call.from_ if call.direction == "inbound" else call.to)


class SandboxWithPhones(RealTimeModel, Protocol):
    """The sandbox that phones belong to."""

    phones: dict[str, Phone]

    def phone_at(self, address: str) -> Phone:
        """Return the phone at an address; it may be new."""

    def run(self, act: Callable[[], T]) -> T:
        """Run this in the sandbox's thread; return its result."""


@dataclass(slots=True)
class _RunningScript:
    """The script of a live leg, and how far it has come."""

    script: PhoneScript
    is_screened: bool = False  #: Whether the phone asks who calls, and its person has not picked up.
    keys_count: int = 0
    speaks_count: int = 0


class PhoneScripts:
    """The scripts that run, by leg.

    `ring_browsers` returns whether browsers ring for a leg; a person answers there, and no script.
    """

    def __init__(self, sandbox: SandboxWithPhones, ring_browsers: Callable[[Call], bool]) -> None:
        self._sandbox = sandbox
        self._ring_browsers = ring_browsers
        self.timers: dict[str, list[Timer]] = {}
        self._running: dict[str, _RunningScript] = {}

    def clear(self) -> None:
        """Stop the scripts of all legs."""
        for call_sid in list(self.timers):
            self.stop(call_sid)
        self._running.clear()

    def ring(self, ring: messages.RingPhone) -> None:
        """Log a dialed leg, and run its phone's script."""
        call = self._sandbox.model.state.calls[ring.call_sid]
        label = call.join_settings.label if call.join_settings else ""
        entry = DialEntry(self._sandbox.now_s, ring.call_sid, ring.to, label, call.direction)
        self._sandbox.request_log.dials.append(entry)
        if call.far_sid:  # the number's voice URL answers, not a phone
            return
        script = self._begin(call)
        self._schedule(ring.call_sid, script.steps_before_answer(ring.call_sid))

    def place(self, call_sid: str) -> None:
        """Begin the script of a caller."""
        self._begin(self._sandbox.model.state.calls[call_sid])

    def _begin(self, call: Call) -> PhoneScript:
        phone = self._sandbox.phone_at(phone_of(call))
        phone.call_sids.append(call.sid)
        if call.direction == "inbound":
            script = phone.next_script_of_caller()
        elif self._ring_browsers(call):
            script = PhoneScript()
        else:
            script = phone.next_script()
        if not call.is_final:
            self._running[call.sid] = _RunningScript(
                script, is_screened=script.kind == SCREENED and call.direction != "inbound"
            )
        return script

    def stop(self, call_sid: str) -> bool:
        """Stop a leg's script; return whether it was running."""
        timers = self.timers.pop(call_sid, [])
        for timer in timers:
            timer.cancel()
        return bool(timers)

    def release(self, call_sid: str) -> None:
        """Stop the script of a leg that has ended, and forget it."""
        self.stop(call_sid)
        self._running.pop(call_sid, None)

    def on_connected(self, call_sid: str) -> None:
        """Go on with the script of a leg that was answered."""
        if running := self._controlled(call_sid):
            greeting_s = self._sandbox.model.behavior.greeting_s
            self._schedule(call_sid, running.script.steps_after_answer(call_sid, greeting_s))
            if running.is_screened and running.script.picks_up_after_s is not None:
                self._call_later(call_sid, running.script.picks_up_after_s, partial(self._pick_up, call_sid))

    def _pick_up(self, call_sid: str) -> None:
        """Let a screened person go on; they answer what is asked just now."""
        if (running := self._controlled(call_sid)) is None:
            return
        running.is_screened = False
        call = self._sandbox.model.state.calls[call_sid]
        if call.gather is not None and call.gather.takes("dtmf"):
            self.press_next(call_sid)
        if call.takes_speech:
            self.speak_next(call_sid)

    def press_next(self, call_sid: str) -> None:
        """Press the script's next keys, if any, at a `<Gather>` of this leg."""
        if (running := self._controlled(call_sid)) and not running.is_screened:
            script, running.keys_count = running.script, running.keys_count + 1
            if keys := "".join(script.keys[running.keys_count - 1 : running.keys_count]):
                self._schedule(call_sid, [(script.keys_after_s, messages.PhonePresses(call_sid, keys))])

    def speak_next(self, call_sid: str) -> None:
        """Say the script's next sentence, if any, on this leg."""
        if (running := self._controlled(call_sid)) and not running.is_screened:
            script, running.speaks_count = running.script, running.speaks_count + 1
            if text := "".join(script.speaks[running.speaks_count - 1 : running.speaks_count]):
                self._schedule(call_sid, [(script.speaks_after_s, messages.PhoneSpeaks(call_sid, text))])

    def _controlled(self, call_sid: str) -> _RunningScript | None:
        """Return the leg's script, unless it has none or a person plays it."""
        running = self._running.get(call_sid)
        if running is None or self._sandbox.phone_at(phone_of(self._sandbox.model.state.calls[call_sid])).is_manual:
            return None
        return running

    def _schedule(self, call_sid: str, steps: list[tuple[float, messages.Input]]) -> None:
        """Run each step after its seconds of sandbox time."""
        for after_s, step in steps:
            self._call_later(call_sid, after_s, partial(self._sandbox.apply, step))

    def _call_later(self, call_sid: str, after_s: float, act: Callable[[], object]) -> None:
        self.timers.setdefault(call_sid, []).append(self._sandbox.time.call_later(after_s, act))
