"""Entries of the outcomes stream.

States, reasons, and the like are strings, because a newer worker may send values that this version doesn't know. No
repr contains a phone number or a person's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from datetime import datetime
from typing import Any

from conferral.operations.session_queries import Fields
from conferral.outcomes.outcome import outcome_data


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """A finished transfer, an ended session, or a message in the voicemail."""

    #: The same in every redelivery of the entry.
    id: str = ""
    #: Its position in the stream; `outcomes` continues after it.
    position: str = ""
    #: `transfer`, `session`, or `voicemail`.
    kind: str = ""
    session: str = ""
    #: For a transfer `completed`, `failed`, `recalled`, or `cancelled`; for a session `ended`; else `recorded`.
    result: str = ""
    #: Why a transfer failed or was canceled; for a session, its `end_reason`.
    reason: str = ""
    #: Twilio's error code, if there was one.
    code: int | None = None
    #: Who sent the command for the transfer, or for the session; empty if unknown.
    by: str = ""
    ref: str = ""
    #: The customer's address, our number that was called or that they see, and `inbound` or `outbound`.
    customer: str = field(default="", repr=False)
    number: str = field(default="", repr=False)
    direction: str = ""
    mode: str = ""
    to: tuple[str, ...] = field(default=(), repr=False)
    #: What took the customer in the end, if not the target or an agent: `recall`, a destination, `voicemail`, or `end`.
    landed_on: str = field(default="", repr=False)
    #: Transfers, in seconds: on hold, consulting, and until someone took the call. None if it never came to that.
    hold_s: float | None = None
    consult_s: float | None = None
    #: Also sessions: until the first answer; then bridged, and from the first join of the conference on.
    answer_s: float | None = None
    bridged_s: float | None = None
    conference_s: float | None = None
    #: Sessions: in the conference, summed over all legs; on hold, likewise; and with one party only.
    participant_s: float | None = None
    held_s: float | None = None
    alone_s: float | None = None
    #: Everyone who was rung, as the stream has them: `to`, `label`, `result`, `rang_s`, and `at`.
    attempts: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    #: SIDs of a session's recordings.
    recordings: tuple[str, ...] = ()
    #: A session's agents, as the stream has them: `address`, `talk_s`, and `holds`.
    agents: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    #: Of a message, whose length is in seconds.
    recording_sid: str = ""
    duration_s: float = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @classmethod
    def of(cls, position: str, fields: Fields) -> "OutcomeRecord":
        """Parse an entry of the outcome stream."""
        known = {one.name for one in fields_of(cls)}
        found = {name: value for name, value in outcome_data(fields).items() if name in known and value is not None}
        found |= {name: tuple(found.get(name, ())) for name in ("attempts", "recordings", "agents")}
        found |= {name: parse_time(fields.get(name, "")) for name in ("started_at", "ended_at")}
        found["to"] = tuple(filter(None, fields.get("to", "").split(",")))
        return cls(**found | {"position": position})


def parse_time(text: str) -> datetime | None:
    """Parse a time as Redis stores it; None if it is empty or invalid.

    >>> parse_time("2027-01-15T08:00:00.000Z")
    datetime.datetime(2027, 1, 15, 8, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
