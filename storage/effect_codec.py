"""Effects and chores to the JSON of an outbox entry and back."""

from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Any

import orjson

from conferral.statemachine.attributes import PLAIN, Attributes
from conferral.statemachine.effects import EFFECTS, Effect
from conferral.statemachine.step import CommandReport, CommandStatus, Conclusion
from conferral.statemachine.transfer import Attempt
from conferral.storage.event_codec import BadEntryError
from conferral.storage.record import known_part

_BY_KIND: dict[str, type[Effect]] = {effect.kind: effect for effect in EFFECTS}


@dataclass(frozen=True, slots=True)
class TellCommand:
    """A chore: write a command's outcome, which lies outside the partition's slot of a cluster."""

    session_id: str
    report: CommandReport

    @property
    def chore_id(self) -> str:
        """Its name in the outbox: the same whenever it is decided again."""
        return f"tell:{self.report.command_id}:{self.report.status.value}"


@dataclass(frozen=True, slots=True)
class ForgetCalls:
    """A chore: let the call index of an ended session expire with it."""

    session_id: str
    call_sids: tuple[str, ...]

    @property
    def chore_id(self) -> str:
        """Its name in the outbox."""
        return f"forget:{self.session_id}"


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """A chore: tell other systems of a finished transfer or an ended session."""

    #: Holds addresses, so it is in no repr.
    conclusion: Conclusion = field(repr=False)

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.conclusion.session_id

    @property
    def chore_id(self) -> str:
        """Its name in the outbox: the same whenever it is decided again."""
        return f"outcome:{self.conclusion.id}"


Chore = TellCommand | ForgetCalls | PublishOutcome


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """What stands in the outbox: an effect or a chore, and when it was ordered."""

    #: Some effects hold addresses and more that nobody else is to see, so it is in no repr.
    work: Effect | Chore = field(repr=False)
    #: Redis's time when it was committed, Unix milliseconds.
    ordered_at_ms: int
    #: Redis's time when it was marked as one that may have been sent, Unix milliseconds; None while it was not. Only
    #: an effect that can't be looked up is marked.
    sent_at_ms: int | None = None


def encode(entry: OutboxEntry) -> bytes:
    """The JSON of an outbox entry."""
    work = entry.work
    # The mark stands first, where the script puts it that marks an entry.
    body: dict[str, Any] = {} if entry.sent_at_ms is None else {"sent_at_ms": entry.sent_at_ms}
    body["ordered_at_ms"] = entry.ordered_at_ms
    if isinstance(work, TellCommand):
        report = work.report
        body |= {"kind": "tell_command", "session_id": work.session_id, "command_id": report.command_id,
                 "status": report.status.value, "reason": report.reason}  # fmt: skip
    elif isinstance(work, ForgetCalls):
        body |= {"kind": "forget_calls", "session_id": work.session_id, "call_sids": list(work.call_sids)}
    elif isinstance(work, PublishOutcome):
        body |= {"kind": "publish_outcome", "conclusion": work.conclusion}
    else:
        body |= {"kind": work.kind} | {field.name: getattr(work, field.name) for field in fields_of(work)}
        if body.get("attributes") == PLAIN:
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
        ordered_at_ms = int(record.pop("ordered_at_ms"))
        sent_at_ms = record.pop("sent_at_ms", None)
        return OutboxEntry(_work_of(record), ordered_at_ms, None if sent_at_ms is None else int(sent_at_ms))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadEntryError("an outbox entry makes no sense") from None


def _work_of(record: dict[str, Any]) -> Effect | Chore:
    kind = record.pop("kind")
    if kind == "tell_command":
        report = CommandReport(record["command_id"], CommandStatus(record["status"]), record["reason"])
        return TellCommand(record["session_id"], report)
    if kind == "forget_calls":
        return ForgetCalls(record["session_id"], tuple(record["call_sids"]))
    if kind == "publish_outcome":
        conclusion = record["conclusion"]
        conclusion["attempts"] = tuple(known_part(Attempt, attempt) for attempt in conclusion["attempts"])
        return PublishOutcome(known_part(Conclusion, conclusion))
    # JSON has lists in place of tuples.
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in record.items()}
    if "attributes" in values:
        values["attributes"] = known_part(Attributes, values["attributes"])
    work: Effect = known_part(_BY_KIND[kind], values)
    return work
