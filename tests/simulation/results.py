"""Results by the model of Twilio: who left first, and how attempts ended, next to what a session reports."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from msgspec.json import decode

from offhook.model.state import FINAL, Call
from offhook.phones import phone_address

#: What happens within this time is in either order, seconds.
NEAR_S = 1.0
#: What Twilio's clock distinguishes, which has whole seconds.
CLOCK_S = 2.0
#: No other program moves calls here, and no call is as long as Twilio allows.
_NEVER = frozenset({"moved", "time-limit"})
#: How a call ended that no one answered, by its SIP code.
_REFUSALS = {486: "busy", 600: "rejected", 603: "rejected", 404: "failed"}
#: Results of those who answered at the gate, and were not connected.
_AT_GATE = frozenset({
    "no-confirmation", "answering-machine", "rejected", "hung-up", "no-answer", "cancelled", "failed", "unknown",
    "taken", "too-late",
})  # fmt: skip
#: Commands that begin and end a wait without an agent.
_PARKING = frozenset({"park", "retrieve"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What the model saw of a session, and what was reported to the session up to its end."""

    calls: Mapping[str, Call]
    #: When someone hung up, by the call's SID; other calls end as a consequence, or by a request of ours.
    hung_up_s: Mapping[str, float]
    #: When messages were recorded, by the call's SID.
    recorded: Mapping[str, Sequence[tuple[float, float | None]]]
    ended_s: float
    #: The session's log, the entry of its end last.
    log: Sequence[Mapping[str, str]]

    def left_s(self, call_sid: str) -> float | None:
        """When someone hung up, or their call ended before the session did."""
        call = self.calls.get(call_sid)
        ended_s = call.ended_at_s if call is not None else None
        if ended_s is not None and ended_s > self.ended_s + NEAR_S:
            ended_s = None  # we hung up
        return self.hung_up_s.get(call_sid, ended_s)

    def tone_s(self, call_sid: str) -> float | None:
        """When someone heard the tone who hung up during their message."""
        left_s = self.hung_up_s.get(call_sid)
        spans = self.recorded.get(call_sid, ()) if left_s is not None else ()
        return next((at_s for at_s, until_s in spans if at_s <= left_s <= (until_s or left_s)), None)

    def reported_end(self, name: str) -> int:
        """Return which entry of the log first said that a party had left; the number of entries if none did."""
        for number, entry in enumerate(self.log):
            details = decode(entry.get("details") or b"{}")
            is_about = details.get("party") == name
            match entry["event"]:
                case "call_progressed" if is_about and details.get("status") in FINAL | {"rejected"}:
                    return number
                case "participant_left" if is_about:
                    return number
                case "calls_read" if details["calls"].get(name) in FINAL:
                    return number
        return len(self.log)

    def was_handed_over(self, name: str) -> bool:
        """Whether a party was said to have left before the end of a transfer, or of a park; or the caller waited."""
        reported = min(self.reported_end(name), self.reported_action(name))
        parked = [one["event"] for one in self.log[:reported] if one["event"] in _PARKING and one["from"] != one["to"]]
        was_transferring = any(
            "transferring" in (one["from"], one["to"]) for one in self.log[reported:] or self.log[-1:]
        )
        changes = [decode(one.get("changes") or b"{}") for one in self.log]
        ended_in_queue = "queued" in [one["phase"] for one in changes if "phase" in one][-2:]
        return was_transferring or ended_in_queue or parked[-1:] == ["park"]

    def has_order(self, first: str, apart_s: float, then: str) -> bool:
        """Whether events said who of two left first, by their order, or by Twilio's clock."""
        reported_first, reported_then = self.reported_end(first), self.reported_end(then)
        if reported_first < min(reported_then, self.reported_action(then)):
            return True
        return max(reported_first, reported_then) < len(self.log) and apart_s > CLOCK_S

    def reported_action(self, name: str) -> int:
        """Return which entry of the log was the action of a party's `<Dial>`, which has no time of Twilio's."""
        for number, entry in enumerate(self.log):
            if entry["event"] == "dial_ended" and decode(entry.get("details") or b"{}").get("party") == name:
                return number
        return len(self.log)

    def has_status(self, name: str, status: str) -> bool:
        """Whether a callback said how a party's call ended; a read does not distinguish a refusal from a busy line."""
        details = (decode(one.get("details") or b"{}") for one in self.log if one["event"] == "call_progressed")
        return any(one.get("party") == name and one.get("status") == status for one in details)

    def was_hung_up(self, name: str, *, before_end: bool = False) -> bool:
        """Whether the session requested to hang up a party, or found its dial after a command had canceled it.

        With `before_end`, only as long as it did not know that the party's call was over.
        """
        log = self.log[: self.reported_end(name)] if before_end else self.log
        effects = (one for entry in log for one in decode(entry.get("effects") or b"[]"))
        found = (one for one in log if one.get("reason") == "its dial was abandoned")
        return any((one["kind"], one["party"]) == ("hang_up_call", name) for one in effects) or any(
            decode(one["details"])["party"] == name for one in found
        )

    def has_tone(self) -> bool:
        """Whether an event said that a message had begun; a recording of the call says nothing about it."""
        details = (decode(one.get("details") or b"{}") for one in self.log if one["event"] == "recording_changed")
        return any(one.get("of_voicemail") for one in details)


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a result, and whether what is right was reported."""

    words: str
    is_known: bool = True


def wrong_reason(record: Mapping[str, str], seen: Seen) -> Mistake | None:
    """Return what is wrong with an end reason, or None."""
    reason = record["end_reason"]
    if reason in _NEVER:
        return Mistake(f"no one was {reason}")
    if reason == "alone":
        left = [one for one in ("customer", "agent") if seen.reported_end(one) < len(seen.log)]
        if left and all(map(seen.was_handed_over, left)):
            return None  # the agent had handed over, and a guest left
        return Mistake("who left first is unknown", bool(left))
    for name, other in (("customer", "agent"), ("agent", "customer")):
        own_sid, other_sid = (record.get(f"party.{one}.call_sid", "") for one in (name, other))
        if reason == f"{name}-left":
            return _wrong_leaving(name, own_sid, other, other_sid, seen)
        if reason.startswith(f"{name}-"):
            return _wrong_failure(reason.removeprefix(f"{name}-"), name, own_sid, other, other_sid, seen)
    return None


def _wrong_leaving(name: str, own_sid: str, other: str, other_sid: str, seen: Seen) -> Mistake | None:
    left_s, other_s = seen.left_s(own_sid), seen.hung_up_s.get(other_sid)
    if left_s is None:
        return Mistake(f"the {name} was still there")
    if name == "customer" and (tone_s := seen.tone_s(own_sid)) is not None and tone_s < left_s - NEAR_S:
        return Mistake(f"the customer heard the tone {left_s - tone_s:.1f} s before they hung up", seen.has_tone())
    if other_s is not None and other_s < left_s - NEAR_S and not seen.was_handed_over(other):
        apart_s = left_s - other_s
        words = f"the {other} hung up {apart_s:.1f} s before the {name}"
        return Mistake(words, seen.has_order(other, apart_s, name))
    return None


def _wrong_failure(word: str, name: str, own_sid: str, other: str, other_sid: str, seen: Seen) -> Mistake | None:
    call, other_s = seen.calls.get(own_sid), seen.hung_up_s.get(other_sid)
    if call is None or call.ended_at_s is None:
        return None  # it was never placed, or Twilio refused it
    if other_s is not None and other_s < call.ended_at_s - NEAR_S:
        apart_s = call.ended_at_s - other_s
        words = f"the {other} gave up {apart_s:.1f} s before that"
        return Mistake(words, seen.has_order(other, apart_s, name))
    # A command removed it: known to be live, it failed for that.
    is_removed = result_of(call) == "cancelled" or seen.was_hung_up(name, before_end=True)
    expected = "failed" if is_removed else result_of(call)
    # Only the callback distinguishes a refusal from a busy line.
    is_busy = word == call.status == "busy" and not seen.has_status(name, expected)
    if call.answered_at_s is None and word != expected and not (is_busy or _is_near(other_s, call)):
        words = f"the call ended as {call.status}, {call.sip_code}: {expected}"
        return Mistake(words, seen.reported_end(name) < len(seen.log))
    return None


def _is_near(at_s: float | None, call: Call) -> bool:
    return at_s is not None and call.ended_at_s is not None and abs(at_s - call.ended_at_s) <= NEAR_S


def result_of(call: Call) -> str:
    """Return how an attempt ended that no one answered."""
    return _REFUSALS.get(call.sip_code) or {"canceled": "cancelled"}.get(call.status, call.status)


def wrong_attempts(record: Mapping[str, str], seen: Seen) -> Iterator[Mistake]:
    """Yield what is wrong with the attempts of a session and its newest transfer."""
    attempts = decode(record.get("attempts") or "[]") + decode(record.get("transfer.attempts") or "[]")
    attempts.sort(key=lambda one: one.get("started_at_ms", 0))  # an agent may be rung again between two transfers
    placed: dict[str, list[Call]] = defaultdict(list)
    for call in seen.calls.values():
        if call.direction != "inbound":
            placed[phone_address(call.to)].append(call)
    for to in dict.fromkeys(one["to"] for one in attempts):
        asked = [one for one in attempts if one["to"] == to]
        if len(asked) != len(placed[to]):
            continue  # one was refused, is in an earlier transfer, or placed for something else: which one is unknown
        for attempt, call in zip(asked, placed[to], strict=True):
            if (call.ended_at_s or inf) * 1000 < attempt.get("started_at_ms", 0):
                continue  # the call is of an earlier transfer, and this attempt was never placed
            result, expected = attempt.get("result", ""), _expected_results(call, attempt["party"], seen)
            if sum(one["party"] == attempt["party"] for one in attempts) > 1 and call.status == "busy":
                expected |= {"busy"}  # the callback of a refusal may be about another of this name
            if result not in expected:
                is_known = any(seen.has_status(attempt["party"], one) for one in expected)
                words = f"the attempt to {to} is {result or 'open'}, not {' or '.join(sorted(expected))}"
                yield Mistake(words, is_known)


def _expected_results(call: Call, party: str, seen: Seen) -> frozenset[str]:
    if call.answered_at_s is not None:
        return _AT_GATE | {"answered"}
    assert call.ended_at_s is not None  # the session is over
    expected = {result_of(call), "unknown"}
    caller_s = seen.hung_up_s.get(call.parent_sid, inf)
    if _is_near(caller_s, call) and call.sip_code not in _REFUSALS:
        return frozenset({"cancelled"})  # the caller gave up; a refusal would be the phone's own
    someone_left_s = min(seen.hung_up_s.get(sid, seen.ended_s) for sid in seen.calls)
    # Someone had left, and it was about to be hung up.
    if min(someone_left_s - NEAR_S, caller_s - CLOCK_S) < call.ended_at_s or seen.was_hung_up(party):
        expected.add("cancelled")
    if call.status == "busy" and not seen.has_status(party, "rejected"):
        expected.add("busy")  # only the callback distinguishes a refusal from a busy line
    return frozenset(expected)
