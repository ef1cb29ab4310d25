"""Effect codec: effects and post-commit writes to and from the JSON of an outbox entry."""

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
    """Post-commit write: store a command's outcome, which lives in another cluster slot than the partition."""

    session_id: str
    report: CommandReport

    @property
    def write_id(self) -> str:
        """Field name in the outbox; the same when the decision is repeated."""
        return f"report:{self.report.command_id}:{self.report.status.value}"


@dataclass(frozen=True, slots=True)
class ExpireCalls:
    """Post-commit write: let the call index of an ended session expire with it."""

    session_id: str
    call_sids: tuple[str, ...]

    @property
    def write_id(self) -> str:
        """Field name in the outbox."""
        return f"expire:{self.session_id}"


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """Post-commit write: report a finished transfer or an ended session to other systems."""

    #: Holds addresses, so it is excluded from the repr.
    outcome_record: OutcomeRecord = field(repr=False)

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.outcome_record.session_id

    @property
    def write_id(self) -> str:
        """Field name in the outbox; the same when the decision is repeated."""
        return f"outcome:{self.outcome_record.id}"


PostCommitWrite = ReportCommand | ExpireCalls | PublishOutcome


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An outbox entry: an effect or post-commit write, and when it was committed."""

    #: Some effects hold addresses and other private data, so it is excluded from the repr.
    work: Effect | PostCommitWrite = field(repr=False)
    #: Redis's time of the commit, Unix milliseconds.
    committed_at_ms: int
    #: Redis's time at which it was marked as possibly sent, Unix milliseconds; None without a mark. Only at-most-once
    #: effects are marked.
    sent_at_ms: int | None = None


def encode(entry: OutboxEntry) -> bytes:
    """Return the JSON of an outbox entry."""
    work = entry.work
    # The mark comes first, where the `mark_sent` script puts it.
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
    """Decode an outbox entry; return None for the mark of a finished effect.

    Raises:
        BadEntryError: The JSON is invalid.
    """
    if body == b"done":
        return None
    try:
        record = orjson.loads(body)
        committed_at_ms = int(record.pop("committed_at_ms"))
        sent_at_ms = record.pop("sent_at_ms", None)
        return OutboxEntry(_decode_work(record), committed_at_ms, None if sent_at_ms is None else int(sent_at_ms))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadEntryError("an outbox entry can't be decoded") from None


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
    # JSON has lists instead of tuples.
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in data.items()}
    if "attributes" in values:
        values["attributes"] = from_known_fields(ConferenceAttributes, values["attributes"])
    work: Effect = from_known_fields(_BY_KIND[kind], values)
    return work
