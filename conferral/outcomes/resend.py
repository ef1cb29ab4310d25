"""Repetition of outcomes that were sent, or given up."""

from collections.abc import Collection

from conferral.operations.errors import CommandNotDoneError
from conferral.storage.connection.client import CHUNK
from conferral.storage.entries import parse_entry_id
from conferral.storage.outcome_queue import OutcomeQueue
from conferral.storage.queries.session_reader import SessionReader, last_id_before


async def resend_since(reader: SessionReader, start_ms: int) -> int:
    """Send all outcomes since a time again (Unix ms); return their count.

    Those that were never sent are not counted: they will be. Raises CommandNotDoneError if none can be sent.
    """
    queue, count, after = OutcomeQueue(reader.client, reader.keys), 0, last_id_before(start_ms)
    position = (await queue.read_state()).position
    if not position:
        raise CommandNotDoneError("no worker has CONFERRAL_OUTCOMES_URL: set it, then restart the workers")
    end = parse_entry_id(position)
    while found := [one for one in await reader.outcomes(after) if parse_entry_id(one[0]) <= end]:
        await queue.resend(found)
        count, after = count + len(found), found[-1][0]
    await queue.resume()
    return count


async def resend_undelivered(reader: SessionReader, ids: Collection[str] | None = None) -> int:
    """Send undelivered outcomes again, by default all; return their count."""
    queue, count = OutcomeQueue(reader.client, reader.keys), 0
    chosen = [one for one in await queue.undelivered(-1) if ids is None or one in ids]
    chosen.sort(key=parse_entry_id)
    for start in range(0, len(chosen), CHUNK):
        if found := await queue.read(chosen[start : start + CHUNK]):
            await queue.resend(found)
            count += len(found)
    return count
