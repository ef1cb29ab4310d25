"""Effect codec: effects and post-commit writes as JSON for the outbox."""

from typing import TYPE_CHECKING, Union

import msgspec

from conferral.statemachine.effects import EFFECTS, Effect
from conferral.statemachine.record import BaseRecord, Hidden, snake_case
from conferral.statemachine.step import CommandReport, OutcomeRecord
from conferral.storage.codecs.event_codec import BadEntryError


class ReportCommand(BaseRecord, frozen=True, tag_field="kind", tag=snake_case):
    """Post-commit write: store a command's outcome, in another cluster slot."""

    session_id: str
    report: CommandReport

    @property
    def write_id(self) -> str:
        """Field name in the outbox; the same when the decision is repeated."""
        return f"report:{self.report.command_id}:{self.report.status.value}"


class ExpireCalls(BaseRecord, frozen=True, tag_field="kind", tag=snake_case):
    """Post-commit write: let an ended session's call index expire with it."""

    session_id: str
    call_sids: tuple[str, ...]

    @property
    def write_id(self) -> str:
        """Field name in the outbox."""
        return f"expire:{self.session_id}"


class PublishOutcome(BaseRecord, frozen=True, tag_field="kind", tag=snake_case):
    """Post-commit write: report a finished transfer or an ended session."""

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
if TYPE_CHECKING:
    _Work = Effect | PostCommitWrite
else:  # JSON names the `kind`
    _Work = Union[(*EFFECTS, ReportCommand, ExpireCalls, PublishOutcome)]


class OutboxEntry(BaseRecord, frozen=True):
    """An effect or post-commit write in the outbox."""

    #: Excluded from the repr: effects hold addresses and other private data.
    work: Hidden[_Work]
    #: Redis's time of the commit, Unix milliseconds.
    committed_at_ms: int
    #: When a dial or announcement was first sent, Unix milliseconds of Twilio's time; None: not yet, if marks are kept.
    #: The script `mark_sent` adds it.
    sent_at_ms: int | None = None
    #: An effect's place in its session: version, and number within. A hash keeps no order; times may repeat.
    place: tuple[int, int] = (0, 0)
    #: The span of its decision, as in `runtime.tracing`; empty without one.
    traceparent: str = ""


_DECODER = msgspec.json.Decoder(OutboxEntry)


def encode(entry: OutboxEntry) -> bytes:
    """Return the JSON of an outbox entry."""
    return msgspec.json.encode(entry)


def decode(body: bytes) -> OutboxEntry:
    """Decode an entry; raise BadEntryError if it is invalid."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadEntryError("an outbox entry can't be decoded") from None
