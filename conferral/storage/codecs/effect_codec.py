"""Effect codec: effects as JSON for the outbox."""

from typing import TYPE_CHECKING, Union

import msgspec

from conferral.runtime.json_decoding import json_decoder
from conferral.statemachine.effects import EFFECTS, Effect
from conferral.statemachine.record import BaseRecord, Hidden
from conferral.storage.codecs.event_codec import BadEntryError

if TYPE_CHECKING:
    _Effect = Effect
else:  # JSON names the `kind`
    _Effect = Union[(*EFFECTS,)]


class OutboxEntry(BaseRecord, frozen=True):
    """An effect in the outbox."""

    #: Excluded from the repr: effects hold addresses and other private data.
    effect: Hidden[_Effect]
    #: The workers' time of the commit, Unix milliseconds.
    committed_at_ms: int
    #: When a dial or announcement was first sent, Unix milliseconds of Twilio's time; None: not yet, if marks are kept.
    #: The script `mark_sent` adds it.
    sent_at_ms: int | None = None
    #: Its place in its session: version, and number within. A hash keeps no order; times may repeat.
    place: tuple[int, int] = (0, 0)
    #: The span of its decision, as in `runtime.tracing`; empty without one.
    traceparent: str = ""


_decode = json_decoder(OutboxEntry)


def encode(entry: OutboxEntry) -> bytes:
    """Return the JSON of an outbox entry."""
    return msgspec.json.encode(entry)


def decode(body: bytes) -> OutboxEntry:
    """Decode an entry; raise BadEntryError if it is invalid."""
    try:
        return _decode(body)
    except ValueError:
        raise BadEntryError("an outbox entry can't be decoded") from None
