"""What the client shows of sessions, their logs and outcomes: read-only pictures of one moment.

Words such as states and reasons are text, because a newer worker may know more of them than this version. No repr holds
a number or a name of a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from conferral.operations.session_queries import Fields
from conferral.operations.session_queries import LogEntry as RawEntry


@dataclass(frozen=True, slots=True)
class Party:
    """One of those who take part."""

    #: `customer`, `agent`, `target`, `supervisor`, or the name given with `add`.
    name: str
    #: `dialing`, `ringing`, `confirming`, `connected` or `left`.
    status: str = ""
    #: E.164, `client:NAME`, `sip:URI`, or what Twilio says of a caller who withholds the number.
    address: str = field(default="", repr=False)
    call_sid: str = ""
    #: Participant label in Twilio.
    label: str = ""
    held: bool = False
    muted: bool = False
    left_reason: str = ""
    #: Of a supervisor: what was asked for, `monitor`, `whisper` or `barge`.
    supervises: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether the party's call is over."""
        return self.status == "left"


@dataclass(frozen=True, slots=True)
class Transfer:
    """The newest transfer of a session."""

    #: `warm`, `consult`, `blind`; of a parked call `park`, then `retrieve`.
    mode: str
    #: How far it has come: `dialing` … `completed`, `failed`, `cancelled`.
    status: str
    #: Why it failed or was cancelled.
    reason: str = ""
    #: The destinations as they were named.
    to: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Recording:
    """The newest recording of a session."""

    #: Twilio's SID; empty while Twilio has not told it.
    sid: str = ""
    #: In Twilio's words: `in-progress`, `paused`, `stopped`, `processing`, `completed`, `absent`, `failed`.
    status: str = ""
    #: Where Twilio keeps it.
    url: str = ""
    #: Its length, seconds; 0 before its end.
    duration_s: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it was when it was read."""

    id: str
    #: `bridged`, `converting`, `conferenced`, `transferring` or `ended`.
    state: str
    #: What the state is at, for instance `ringing`, `parked` or `consult`; empty for none.
    phase: str = ""
    #: Grows by one with every committed event.
    version: int = 0
    #: `inbound` or `outbound`.
    direction: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str = ""
    conference_sid: str = ""
    #: Friendly name of the conference: the id, or a name that Conferral made if someone chose the id.
    conference_name: str = ""
    #: How the calls were connected first: `bridge` or `conference`.
    mode: str = "bridge"
    #: By name, those who have left included.
    parties: Mapping[str, Party] = field(default_factory=dict)
    #: None before the first.
    transfer: Transfer | None = None
    #: None before the first.
    recording: Recording | None = None
    #: Until when a parked call waits; None for one that is not parked.
    parked_until: datetime | None = None
    #: The hash as it stands in Redis, all text: fields of which this version knows nothing, too.
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state != "ended"

    @property
    def customer(self) -> Party | None:
        """The party `customer`."""
        return self.parties.get("customer")

    @property
    def agent(self) -> Party | None:
        """The party `agent`: who has the call now."""
        return self.parties.get("agent")

    @classmethod
    def of(cls, fields: Fields) -> "Session":
        """The session of a hash; what can't be understood is as if it were not told."""
        names = {name[6:-7] for name in fields if name.startswith("party.") and name.endswith(".status")}
        return cls(
            id=fields.get("id", ""),
            state=fields.get("state", ""),
            phase=fields.get("phase", ""),
            version=parse_count(fields.get("version", "")),
            direction=fields.get("direction", ""),
            created_at=parse_time(fields.get("created_at", "")),
            updated_at=parse_time(fields.get("updated_at", "")),
            ended_at=parse_time(fields.get("ended_at", "")),
            end_reason=fields.get("end_reason", ""),
            conference_sid=fields.get("conference_sid", ""),
            conference_name=fields.get("conference_name", ""),
            mode=fields.get("mode") or "bridge",
            parties={name: _party(name, fields) for name in sorted(names)},
            transfer=_transfer(fields),
            recording=_recording(fields),
            parked_until=parse_time(fields.get("parked_until", "")),
            fields=dict(fields),
        )


def _party(name: str, fields: Fields) -> Party:
    def is_true(of: str) -> str:
        return fields.get(f"party.{name}.{of}", "")

    return Party(
        name=name,
        status=is_true("status"),
        address=is_true("address"),
        call_sid=is_true("call_sid"),
        label=is_true("label"),
        held=is_true("held") == "true",
        muted=is_true("muted") == "true",
        left_reason=is_true("left_reason"),
        supervises=is_true("supervises"),
    )


def _transfer(fields: Fields) -> Transfer | None:
    if not fields.get("transfer.mode"):
        return None
    return Transfer(
        mode=fields["transfer.mode"],
        status=fields.get("transfer.status", ""),
        reason=fields.get("transfer.reason", ""),
        to=tuple(filter(None, fields.get("transfer.to", "").split(","))),
    )


def _recording(fields: Fields) -> Recording | None:
    if not any(name.startswith("recording.") for name in fields):
        return None
    return Recording(
        sid=fields.get("recording.sid", ""),
        status=fields.get("recording.status", ""),
        url=fields.get("recording.url", ""),
        duration_s=parse_count(fields.get("recording.duration_s", "")),
    )


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One thing that happened to a session, and what followed."""

    session: str
    #: Its place in the session's log: `follow` goes on behind it.
    id: str
    at: datetime | None
    #: What happened: `call_received`, `participant_joined`, a command's name...
    event: str
    #: What the event's name does not tell: who, and with which status.
    detail: str = ""
    state_before: str = ""
    state_after: str = ""
    #: `moved`, `stayed`, `refused`, `stale` or `unexpected`.
    outcome: str = ""
    reason: str = ""
    #: The session's version then.
    version: int = 0
    #: Of a command: its id.
    command_id: str = ""
    #: What was ordered from Twilio, each with `id`, `kind`, `party` and `target`.
    effects: tuple[Mapping[str, str], ...] = ()
    #: What came of commands by it, each with `command`, `type`, `status` (`done`, `failed`, `rejected`) and `reason`.
    reports: tuple[Mapping[str, str], ...] = ()
    #: Of the outcome of an effect: the effect's id.
    effect_id: str = ""
    #: Of the outcome of an effect: how many requests it took (count), where something went wrong on the way; else 0.
    attempts: int = 0
    #: What those came to that were not the last word, with how often: `503 x2`, `429 code 20429 x1`, `no-answer x1`.
    failed_attempts: tuple[str, ...] = ()
    #: The session's fields that were changed by it, as the hash has them; None for one that is there no more.
    changes: Mapping[str, str | None] = field(default_factory=dict)
    #: Parameters of Twilio's callback that this version does not know.
    other: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_end(self) -> bool:
        """Whether the session ended by this."""
        return self.state_after == "ended" and self.state_before != "ended"

    @classmethod
    def of(cls, session_id: str, entry: RawEntry) -> "LogEntry":
        """An entry as the log has it."""
        return cls(
            session=session_id,
            id=entry.entry_id,
            at=parse_time(entry["at"]),
            event=entry["event"],
            detail=entry["detail"],
            state_before=entry["from"],
            state_after=entry["to"],
            outcome=entry["outcome"],
            reason=entry["reason"],
            version=parse_count(entry["version"]),
            command_id=entry["command"],
            effects=tuple(parse_rows(entry["effects"])),
            reports=tuple(parse_rows(entry["reports"])),
            effect_id=entry["effect"],
            attempts=parse_count(entry["attempts"]),
            failed_attempts=parse_texts(entry["failed_attempts"]),
            changes=parse_object(entry["changes"]),
            other=parse_object(entry["other"]),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a transfer to reach somebody."""

    party: str
    #: `answered`, or why not.
    result: str
    to: str = field(default="", repr=False)
    started_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """A transfer that is over, or a session that has ended."""

    #: The same in every repetition of the entry.
    id: str
    #: Its place in the stream: `outcomes` goes on behind it.
    position: str
    #: `transfer` or `session`.
    kind: str
    session: str
    #: Of a transfer `completed`, `failed`, `recalled` or `cancelled`; of a session `ended`.
    result: str
    #: Why a transfer failed or was cancelled; of a session its `end_reason`.
    reason: str = ""
    mode: str = ""
    to: tuple[str, ...] = field(default=(), repr=False)
    attempts: tuple[Attempt, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @classmethod
    def of(cls, position: str, fields: Fields) -> "OutcomeRecord":
        """An entry of the stream of outcomes."""
        return cls(
            id=fields.get("id", ""),
            position=position,
            kind=fields.get("kind", ""),
            session=fields.get("session", ""),
            result=fields.get("result", ""),
            reason=fields.get("reason", ""),
            mode=fields.get("mode", ""),
            to=tuple(filter(None, fields.get("to", "").split(","))),
            attempts=tuple(_attempt(row) for row in parse_rows(fields.get("attempts", ""))),
            started_at=parse_time(fields.get("started_at", "")),
            ended_at=parse_time(fields.get("ended_at", "")),
        )


def _attempt(row: Mapping[str, Any]) -> Attempt:
    return Attempt(
        party=str(row.get("party", "")),
        result=str(row.get("result", "")),
        to=str(row.get("to", "")),
        **{name: parse_time(str(row.get(name) or "")) for name in ("started_at", "answered_at", "ended_at")},
    )


def parse_time(text: str) -> datetime | None:
    """A time of a record; None where there is none, or none that can be understood.

    >>> moment("2027-01-15T08:00:00.000Z")
    datetime.datetime(2027, 1, 15, 8, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def parse_count(text: str) -> int:
    """A count of a record; 0 where it can't be understood."""
    return int(text) if text.isascii() and text.isdigit() else 0


def parse_object(text: str) -> Mapping[str, Any]:
    """An object in JSON; empty where it can't be understood."""
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def parse_texts(text: str) -> tuple[str, ...]:
    """The texts of a list in JSON; none where it can't be understood."""
    try:
        found = orjson.loads(text or "[]")
    except orjson.JSONDecodeError:
        return ()
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def parse_rows(text: str) -> list[Mapping[str, Any]]:
    """The rows of a list in JSON; none where it can't be understood."""
    try:
        found = orjson.loads(text or "[]")
    except orjson.JSONDecodeError:
        return []
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
