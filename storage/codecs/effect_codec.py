"""Effects and chores to the JSON of an outbox entry and back."""

from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Any

import orjson

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.effects import EFFECTS, Effect
from conferral.statemachine.step import CommandReport, CommandStatus, OutcomeRecord
from conferral.statemachine.transfer import Attempt
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.codecs.hash_codec import from_known_fields

_BY_KIND: dict[str, type[Effect]] = {effect.kind: effect for effect in EFFECTS}


@dataclass(frozen=True, slots=True)
class ReportCommand:
    """A chore: write a command's outcome, which lies outside the partition's slot of a cluster."""

    session_id: str
    report: CommandReport

    @property
    def write_id(self) -> str:
        """Its name in the outbox: the same whenever it is decided again."""
        return f"report:{self.report.command_id}:{self.report.status.value}"


@dataclass(frozen=True, slots=True)
class ExpireCalls:
    """A chore: let the call index of an ended session expire with it."""

    session_id: str
    call_sids: tuple[str, ...]

    @property
    def write_id(self) -> str:
        """Its name in the outbox."""
        return f"expire:{self.session_id}"


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """A chore: tell other systems of a finished transfer or an ended session."""

    #: Holds addresses, so it is in no repr.
    outcome_record: OutcomeRecord = field(repr=False)

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.outcome_record.session_id

    @property
    def write_id(self) -> str:
        """Its name in the outbox: the same whenever it is decided again."""
        return f"outcome:{self.outcome_record.id}"


PostCommitWrite = ReportCommand | ExpireCalls | PublishOutcome


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """What stands in the outbox: an effect or a chore, and when it was ordered."""

    #: Some effects hold addresses and more that nobody else is to see, so it is in no repr.
    work: Effect | PostCommitWrite = field(repr=False)
    #: Redis's time when it was committed, Unix milliseconds.
    committed_at_ms: int
    #: Redis's time when it was marked as one that may have been sent, Unix milliseconds; None while it was not. Only
    #: an effect that can't be looked up is marked.
    sent_at_ms: int | None = None


def encode(entry: OutboxEntry) -> bytes:
    """The JSON of an outbox entry."""
    work = entry.work
    # The mark stands first, where the script puts it that marks an entry.
    body: dict[str, Any] = {} if entry.sent_at_ms is None else {"sent_at_ms": entry.sent_at_ms}
    body["committed_at_ms"] = entry.committed_at_ms
    if isinstance(work, ReportCommand):
        report = work.report
        body |= {"kind": "report_command", "session_id": work.session_id, "command_id": report.command_id,
                 "status": report.status.value, "reason": report.reason}  # fmt: skip
    elif isinstance(work, ExpireCalls):
        body |= {"kind": "expire_calls", "session_id": work.session_id, "call_sids": list(work.call_sids)}
    elif isinstance(work, PublishOutcome):
        body |= {"kind": "publish_outcome", "outcome_record": work.outcome_record}
    else:
        body |= {"kind": work.kind} | {field.name: getattr(work, field.name) for field in fields_of(work)}
        if body.get("attributes") == DEFAULT_ATTRIBUTES:
            del body["attributes"]
    return orjson.dumps(body)


def decode(body: bytes) -> OutboxEntry | None:
    """The outbox entry of a JSON; None when it is only the mark that its effect is done.

    Raises:
        BadEntryError: it makes no sense.
    """
    if body == b"done":
        return None
    try:
        record = orjson.loads(body)
        committed_at_ms = int(record.pop("committed_at_ms"))
        sent_at_ms = record.pop("sent_at_ms", None)
        return OutboxEntry(_decode_work(record), committed_at_ms, None if sent_at_ms is None else int(sent_at_ms))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadEntryError("an outbox entry makes no sense") from None


def _decode_work(data: dict[str, Any]) -> Effect | PostCommitWrite:
    kind = data.pop("kind")
    if kind == "report_command":
        report = CommandReport(data["command_id"], CommandStatus(data["status"]), data["reason"])
        return ReportCommand(data["session_id"], report)
    if kind == "expire_calls":
        return ExpireCalls(data["session_id"], tuple(data["call_sids"]))
    if kind == "publish_outcome":
        outcome_record = data["outcome_record"]
        outcome_record["attempts"] = tuple(
            from_known_fields(Attempt, attempt) for attempt in outcome_record["attempts"]
        )
        return PublishOutcome(from_known_fields(OutcomeRecord, outcome_record))
    # JSON has lists in place of tuples.
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in data.items()}
    if "attributes" in values:
        values["attributes"] = from_known_fields(ConferenceAttributes, values["attributes"])
    work: Effect = from_known_fields(_BY_KIND[kind], values)
    return work
