"""Store, count, and log a dead letter."""

from typing import Any

import structlog

from conferral.storage.dead_letters import append_dead_letter
from conferral.storage.entries import Entry
from conferral.worker.core import WorkerCore

log = structlog.get_logger()


async def dead_letter(core: WorkerCore, key: str, entry: Entry, reason: str, **fields: Any) -> None:
    """Store, count, and log a dead letter; the caller removes its original.

    Args:
        key: Where the original is: a stream, or an outbox.
        reason: Why it is a dead letter.
        fields: For the log line, under keys of `runtime.log.KEYS`.
    """
    if refusal := await append_dead_letter(core.client, core.keys, key, entry, reason):
        core.metrics.writes_refused.labels("dead").inc()
        log.error("dead_letter_refused", entry_id=entry.entry_id, reason=refusal)
    else:
        core.metrics.dead_letters.labels(reason).inc()
        log.error("entry_dead_lettered", entry_id=entry.entry_id, reason=reason, **fields)
