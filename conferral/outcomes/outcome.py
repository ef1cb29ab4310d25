"""Outcome: the one description of what other systems learn about a call.

A worker writes it to the outcomes stream; webhooks, the API, the client, the report, and the reference of Redis's keys
derive from it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, TypedDict, get_args, get_type_hints

import msgspec

from conferral.outcomes.durations import DURATIONS, Timeline, durations_of
from conferral.runtime.json_decoding import decode_json
from conferral.runtime.text import split_list
from conferral.statemachine.parts import Attempt
from conferral.statemachine.record import CODE, BaseRecord, Hidden, about
from conferral.statemachine.states import OutcomeKind
from conferral.statemachine.step import Conclusion
from conferral.storage.codecs.text_codec import from_iso, to_iso

#: Agents of one session whom its outcome names (count).
AGENTS_MAX = 30
#: What a header can hold. Our ids have this form, other programs' may not.
_HEADER_VALUE = re.compile(r"[!-~]{1,256}")
#: Fields that are as the state machine decided them.
_AS_DECIDED = ("id", "kind", "by", "ref", "customer", "direction", "result", "reason", "code", "mode", "to",
               "landed_on", "source", "url")  # fmt: skip
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class OutcomeAttempt(TypedDict, total=False):
    """One who was rung."""

    to: Annotated[str | None, about("the address")]
    label: Annotated[str | None, about("its participant label at Twilio")]
    result: Annotated[str | None, about("`answered`, or why not, such as `no-answer`")]
    rang_s: Annotated[_Seconds | None, about("until the answer, or the end of the attempt, seconds")]
    at: Annotated[str | None, about("when it was dialed")]


class OutcomeAgent(TypedDict, total=False):
    """An agent who took part in a session."""

    address: Annotated[str | None, about("empty if 20 others left since")]
    talk_s: Annotated[_Seconds | None, about("how long agent and customer heard each other, seconds")]
    holds: Annotated[
        _Count | None, about("how often the customer was put on hold; parking and blind transfers don't count")
    ]


class OutcomeRecord(BaseRecord, frozen=True, kw_only=True):
    """A finished transfer, an ended session, a message, or a recording.

    Words are text, because a newer worker may write words that this version doesn't know.
    """

    #: In the stream; a client's `outcomes` continues after it.
    position: str = ""
    id: Annotated[str, about("the same in every repetition, and used by no other entry")] = ""
    kind: Annotated[str, about("`transfer`, `session`, `voicemail`, or `recording`")] = ""
    session: Annotated[str, about("the session's id")] = ""
    by: Annotated[str, about("transfer: who sent the command; session: who started it, if a command did")] = ""
    ref: Annotated[
        str, about("the session's reference then: that of its hand-off, or newest `call` or `transfer` with one")
    ] = ""
    customer: Annotated[Hidden[str], about("the customer's address")] = ""
    number: Annotated[Hidden[str], about("our number that was called, or that the customer sees")] = ""
    direction: Annotated[str, about("`inbound` or `outbound`")] = ""
    result: Annotated[
        str,
        about(
            "transfer: `completed`, `failed`, `recalled` (failed, and the agent has the customer back), or `cancelled`;"
            " session: `ended`; voicemail: `recorded`; recording: `completed`, or `absent` or `failed` (no media)"
        ),
    ] = ""
    reason: Annotated[str, about("transfer: why it failed or was canceled; session: its `end_reason`")] = ""
    code: Annotated[int | None, about(CODE)] = None
    mode: Annotated[
        str, about("transfer: as requested; also `park` (and what follows an expired park) or `retrieve`")
    ] = ""
    to: Annotated[Hidden[tuple[str, ...]], about("transfer: as requested, with commas; names as addresses")] = ()
    landed_on: Annotated[
        Hidden[str],
        about(
            "transfer: what took the customer in the end, if not the target: `recall`, the fallback's destination or "
            "URL, `voicemail`, or `end` (a message, then hang-up). Empty if the customer left before, or the agent kept"
            " them. Session: the same for a caller who had no transfer"
        ),
    ] = ""
    hold_s: Annotated[float | None, about("transfer: how long the customer was on hold")] = None
    consult_s: Annotated[float | None, about("transfer: how long agent and target talked meanwhile")] = None
    answer_s: Annotated[
        float | None, about("transfer, session: until the first attempt with the result `answered` was answered")
    ] = None
    queued_s: Annotated[float | None, about("session: time in a queue, with its rings")] = None
    bridged_s: Annotated[
        float | None, about("session: from the answer to the first join (0 if that came first), or to the end")
    ] = None
    conference_s: Annotated[float | None, about("session: from the first join to the session's end")] = None
    participant_s: Annotated[
        float | None, about("session: time in the conference, summed over all legs, supervisors included")
    ] = None
    held_s: Annotated[float | None, about("session: time on hold in the conference, summed over all legs")] = None
    alone_s: Annotated[
        float | None,
        about("session: one party in the conference, supervisors aside, no one dialed, not parked or queued"),
    ] = None
    attempts: Annotated[
        Hidden[tuple[OutcomeAttempt, ...]],
        about("JSON, everyone who was rung, oldest first. Session: for the call itself and for its fallback"),
    ] = ()
    closed: Annotated[bool | None, about("session: `true` if the call came outside the number's hours")] = None
    recordings: Annotated[tuple[str, ...], about("session: JSON, the SIDs of its recordings")] = ()
    agents: Annotated[Hidden[tuple[OutcomeAgent, ...]], about("session: JSON, who took part as an agent")] = ()
    recording_sid: Annotated[
        str,
        about(
            "voicemail, recording: Twilio's SID. The entry is written when Twilio has it, maybe after the session's; "
            "there is no voicemail's if Twilio kept nothing"
        ),
    ] = ""
    duration_s: Annotated[float, about("voicemail, recording: the length, without what was paused")] = 0
    source: Annotated[str, about("recording: `call` or `conference`")] = ""
    channels: Annotated[int | None, about("recording: how many")] = None
    url: Annotated[str, about("recording: Twilio's address of the media; empty if there is none")] = ""
    started_at: Annotated[datetime | None, about("ISO 8601, UTC")] = None
    ended_at: Annotated[datetime | None, about("ISO 8601, UTC")] = None
    #: Names of the fields that can't be read, and are empty here.
    damaged: tuple[str, ...] = ()

    @classmethod
    def of(cls, position: str, fields: Mapping[str, str]) -> "OutcomeRecord":
        """Return a stream's entry."""
        found: dict[str, Any] = {}
        damaged = []
        for name, field in _FIELDS.items():
            try:
                if text := fields.get(name):
                    found[name] = field.decode(text)
            except ValueError:
                damaged.append(name)
        return cls(position=position, damaged=tuple(damaged), **found)


def encode_outcome(
    conclusion: Conclusion,
    timeline: Timeline | None = None,
    addresses: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return the fields of an outcome's entry, empty where they don't apply.

    Args:
        timeline: The session's; None if its log lacks entries.
        addresses: Of the session's parties, by label.
    """
    durations = durations_of(conclusion, timeline)
    known = {
        **{name: getattr(conclusion, name) for name in _AS_DECIDED},
        "session": conclusion.session_id,
        "number": conclusion.our_number,
        "started_at": conclusion.started_at_ms,
        "ended_at": conclusion.ended_at_ms,
        **{f"{name}_s": durations[name] / 1000 for name in DURATIONS if name in durations},
    }
    if conclusion.kind in (OutcomeKind.VOICEMAIL, OutcomeKind.RECORDING):
        known |= {"recording_sid": conclusion.recording_sid, "duration_s": conclusion.duration_s}
        if conclusion.channels:
            known["channels"] = conclusion.channels
    else:
        known["attempts"] = [_attempt_of(one, conclusion.ended_at_ms) for one in conclusion.attempts]
    if conclusion.closed:
        known["closed"] = True
    if conclusion.kind == OutcomeKind.SESSION:
        known["recordings"] = conclusion.recordings
        if timeline is not None:
            known["agents"] = _agents_of(timeline, durations, addresses)
    return {name: field.encode(known[name]) if name in known else "" for name, field in _FIELDS.items()}


def _attempt_of(attempt: Attempt, until_ms: int) -> OutcomeAttempt:
    """Return an attempt's public fields; who still rings did until then."""
    end_ms = attempt.answered_at_ms or attempt.ended_at_ms or until_ms
    return {
        "to": attempt.to,
        "label": attempt.label,
        "result": attempt.result,
        "rang_s": max(0, end_ms - attempt.started_at_ms) / 1000,
        "at": to_iso(attempt.started_at_ms),
    }


def _agents_of(timeline: Timeline, talk_ms: Mapping[str, int], addresses: Mapping[str, str]) -> list[OutcomeAgent]:
    """Return who took part as an agent; one who was called back counts once.

    An address is empty if its leg left so long ago that the session no longer has it.
    """
    totals: dict[str, tuple[int, int]] = {}
    for label, holds in timeline.holds.items():
        known = label
        while known not in addresses and known in timeline.rung_again:
            known = timeline.rung_again[known]
        before_ms, before = totals.get(address := addresses.get(known, ""), (0, 0))
        totals[address] = before_ms + talk_ms.get(label, 0), before + holds
    agents: list[OutcomeAgent] = [
        {"address": address, "talk_s": ms / 1000, "holds": holds} for address, (ms, holds) in totals.items()
    ]
    return agents[:AGENTS_MAX]


def outcome_data(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return an outcome's `data`: its public JSON.

    Seconds and `code` are numbers, `attempts`, `agents`, and `recordings` lists, the rest texts. An empty one is None.

    >>> found = outcome_data({"duration_s": "12.5", "recordings": '["RE1"]', "of_a_later_version": "x"})
    >>> {name: value for name, value in found.items() if value is not None}
    {'recordings': ('RE1',), 'duration_s': 12.5, 'of_a_later_version': 'x'}
    """
    known = {name: _FIELDS.get(name, _TEXT).public(text) for name, text in fields.items()}
    return dict.fromkeys(_FIELDS) | known


def json_types() -> dict[str, Any]:
    """Return the types of the fields in their public JSON."""
    return {name: field.json_type for name, field in _FIELDS.items()}


def outcome_message(entry_id: str, fields: Mapping[str, str]) -> tuple[str, str]:
    """Return an outcome's id and its JSON, as sent to other systems.

    Source: Standard Webhooks, "Payload structure".
    """
    data, name = outcome_data(fields), fields.get("id", "")
    kind = f"{fields.get('kind', '')}.{fields.get('result', '')}"
    body = msgspec.json.encode({"type": kind, "timestamp": data["ended_at"], "data": data}).decode()
    return (name if _HEADER_VALUE.fullmatch(name) else entry_id), body


class _Field(NamedTuple):
    """How a field is written and read; both raise ValueError."""

    encode: Callable[[Any], str] = str
    decode: Callable[[str], Any] = str
    #: Its type in JSON, where what is empty is null.
    json_type: Any = str | None

    def public(self, text: str) -> Any:
        """Return its value in JSON; None for what can't be read."""
        if not text or self.json_type == _TEXT.json_type:
            return text or None
        try:
            return self.decode(text)
        except ValueError:
            return None


_TEXT = _Field()


def _number_of(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError("no number")
    return float(text) if "." in text else int(text)


def _time_of(text: str) -> datetime:
    return datetime.fromtimestamp(from_iso(text) / 1000, UTC)


def _flag_of(text: str) -> bool:
    if text != "true":
        raise ValueError("no flag that is set")
    return True


def _field_of(name: str, hint: Any) -> _Field:
    """Return how a field of a type is written and read."""
    if name == "to":
        return _Field(",".join, split_list)
    if hint == datetime | None:
        return _Field(to_iso, _time_of)
    if hint is str:
        return _TEXT
    if hint == bool | None:
        return _Field(lambda value: "true" if value else "", _flag_of, hint)
    if hint in (int | None, float | None, float):
        return _Field(str, _number_of, hint | None)
    item = get_args(hint)[0]
    lacking = {} if item is str else dict.fromkeys(item.__annotations__)

    def decode(text: str) -> tuple[Any, ...]:
        rows = msgspec.convert(decode_json(text), hint)
        return tuple(lacking | row for row in rows) if lacking else rows

    return _Field(lambda value: msgspec.json.encode(value).decode(), decode, hint | None)


_HINTS = get_type_hints(OutcomeRecord)
#: All that is stored.
_FIELDS = {
    name: _field_of(name, _HINTS[name])
    for name in OutcomeRecord.__struct_fields__
    if name not in ("position", "damaged")
}
