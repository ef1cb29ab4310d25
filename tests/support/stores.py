"""The stores of a worker, with what a test does not care about."""

from typing import Any

from conferral.runtime.metrics import Metrics
from conferral.storage.call_index import CallIndex
from conferral.storage.connection.client import BlockingReads
from conferral.storage.dial_limits import DialLimits
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import CommitStore
from conferral.storage.partition.partition_store import PartitionStore


def commit_store_of(client: Any, keys: Keys, *, session_ttl_s: int = 3600) -> CommitStore:
    return CommitStore(
        client,
        keys,
        call_index=CallIndex(keys, session_ttl_s),
        outcomes_kept=100_000,
        metrics=Metrics(),
    )


def partition_store_of(
    client: Any, keys: Keys, *, blocking: Any = None, dial_limits: DialLimits | None = None
) -> PartitionStore:
    reads, index = BlockingReads(blocking or client), CallIndex(keys)
    return PartitionStore(client, reads, keys, call_index=index, dial_limits=dial_limits or DialLimits(keys))
