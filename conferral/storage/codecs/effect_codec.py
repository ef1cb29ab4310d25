"""Effect codec: effects and post-commit writes as JSON for the outbox."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from conferral.statemachine.effects import EFFECTS, Effect
from conferral.statemachine.record import BaseRecord, Hidden
from conferral.statemachine.step import CommandReport, OutcomeRecord
from conferral.storage.codecs.event_codec import BadEntryError


class ReportCommand(BaseRecord, frozen=True):
    """Post-commit write: store a command's outcome, in another cluster slot."""

    kind: ClassVar[str] = "report_command"

    session_id: str
    report: CommandReport

    @property
    def write_id(self) -> str:
        """Field name in the outbox; the same when the decision is repeated."""
        return f"report:{self.report.command_id}:{self.report.status.value}"


class ExpireCalls(BaseRecord, frozen=True):
    """Post-commit write: let an ended session's call index expire with it."""

    kind: ClassVar[str] = "expire_calls"

    session_id: str
    call_sids: tuple[str, ...]

    @property
    def write_id(self) -> str:
        """Field name in the outbox."""
        return f"expire:{self.session_id}"


class PublishOutcome(BaseRecord, frozen=True):
    """Post-commit write: report a finished transfer or an ended session."""

    kind: ClassVar[str] = "publish_outcome"

    outcome_record: Hidden[OutcomeRecord]

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
    """An effect or post-commit write in the outbox."""

    #: Excluded from the repr: effects hold addresses and other private data.
    work: Effect | PostCommitWrite = field(repr=False)
    #: Redis's time of the commit, Unix milliseconds.
    committed_at_ms: int
    #: When a dial or announcement was first sent, Unix milliseconds of Twilio's time; None: not yet, if marks are kept.
    sent_at_ms: int | None = None
    #: An effect's place in its session: version, and number within. A hash keeps no order; times may repeat.
    place: tuple[int, int] = (0, 0)
    #: The span of its decision, as in `runtime.tracing`; empty without one.
    traceparent: str = ""


class _Stored(BaseRecord, frozen=True, kw_only=True):
    """An entry in JSON; the script `mark_sent` puts the mark first."""

    sent_at_ms: int | None = None
    kind: str
    committed_at_ms: int
    place: tuple[int, int] = (0, 0)
    traceparent: str = ""
    work: msgspec.Raw


_DECODER = msgspec.json.Decoder(_Stored)
_KINDS: tuple[Any, ...] = (*EFFECTS, ReportCommand, ExpireCalls, PublishOutcome)
_DECODERS = {kind.kind: msgspec.json.Decoder(kind) for kind in _KINDS}


def encode(entry: OutboxEntry) -> bytes:
    """Return the JSON of an outbox entry."""
    stored = _Stored(
        kind=entry.work.kind,
        committed_at_ms=entry.committed_at_ms,
        sent_at_ms=entry.sent_at_ms,
        place=entry.place,
        traceparent=entry.traceparent,
        work=msgspec.Raw(msgspec.json.encode(entry.work)),
    )
    return msgspec.json.encode(stored)


def decode(body: bytes) -> OutboxEntry | None:
    """Decode an entry, None if done; raise BadEntryError if it is invalid."""
    if body == b"done":
        return None
    try:
        stored = _DECODER.decode(body)
        work = _DECODERS[stored.kind].decode(stored.work)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        raise BadEntryError("an outbox entry can't be decoded") from None
    return OutboxEntry(work, stored.committed_at_ms, stored.sent_at_ms, stored.place, stored.traceparent)
