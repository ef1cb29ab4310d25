"""Appends a worker's own events to their sessions' partitions; webhooks use `storage.ingest.writer`."""

from collections.abc import Sequence

from conferral.statemachine.events import Event
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys

#: Events per pipeline, count.
CHUNK = 200


async def append_events(client: Client, keys: Keys, events: Sequence[Event]) -> None:
    """Append events in order. Safe to repeat for events that carry a token or a sequence.

    Raises:
        StoreUnreachableError: Redis did not answer; any of the events may be stored.
        StoreError: Redis refused one of them.
    """
    for start in range(0, len(events), CHUNK):
        with store_errors():
            pipeline = client.pipeline(transaction=False)
            for event in events[start : start + CHUNK]:
                stream = keys.events(keys.partition_of(event.session_id))
                pipeline.xadd(stream, event_codec.encode(event))
            await pipeline.execute()
