"""Effect codec: effects and post-commit writes to and from the JSON of an outbox entry."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

from conferral.statemachine.effects import EFFECTS, Effect
from conferral.statemachine.step import CommandReport, OutcomeRecord
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.codecs.json_codec import decoder, to_json, without_defaults


@dataclass(frozen=True, slots=True)
class ReportCommand:
    """Post-commit write: store a command's outcome, which lives in another cluster slot than the partition."""

    kind: ClassVar[str] = "report_command"

    session_id: str
    report: CommandReport

    @property
    def write_id(self) -> str:
        """Field name in the outbox; the same when the decision is repeated."""
        return f"report:{self.report.command_id}:{self.report.status.value}"


@dataclass(frozen=True, slots=True)
class ExpireCalls:
    """Post-commit write: let the call index of an ended session expire with it."""

    kind: ClassVar[str] = "expire_calls"

    session_id: str
    call_sids: tuple[str, ...]

    @property
    def write_id(self) -> str:
        """Field name in the outbox."""
        return f"expire:{self.session_id}"


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """Post-commit write: report a finished transfer or an ended session to other systems."""

    kind: ClassVar[str] = "publish_outcome"

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


_BY_KIND: dict[str, Any] = {
    **{effect.kind: effect for effect in EFFECTS},
    **{write.kind: write for write in (ReportCommand, ExpireCalls, PublishOutcome)},
}


def encode(entry: OutboxEntry) -> bytes:
    """Return the JSON of an outbox entry."""
    # The mark comes first, where the `mark_sent` script puts it.
    mark = {} if entry.sent_at_ms is None else {"sent_at_ms": entry.sent_at_ms}
    work = {"kind": entry.work.kind, **without_defaults(entry.work)}
    return to_json({**mark, "committed_at_ms": entry.committed_at_ms, **work}).encode()


def decode(body: bytes) -> OutboxEntry | None:
    """Decode an outbox entry; return None for the mark of a finished effect.

    Raises:
        BadEntryError: The JSON is invalid.
    """
    if body == b"done":
        return None
    try:
        record = orjson.loads(body)
        sent_at_ms = record.get("sent_at_ms")
        work = decoder(_BY_KIND[record["kind"]])(record)
        return OutboxEntry(work, int(record["committed_at_ms"]), None if sent_at_ms is None else int(sent_at_ms))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadEntryError("an outbox entry can't be decoded") from None
