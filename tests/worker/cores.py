"""A worker's core, with what a test gives it."""

from typing import Any

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.policy import Policy
from conferral.storage.call_index import CallIndex
from conferral.storage.config import SchemaVersion
from conferral.storage.connection.client import BlockingReads
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import CommitStore
from conferral.storage.partition.partition_store import PartitionStore
from conferral.worker.core import WorkerCore


def core_of(client: Any, keys: Keys, clock: Clock, name: str = "me", **more: Any) -> WorkerCore:
    given = {
        "store_clock": StoreClock(clock),
        "metrics": Metrics(),
        "schema": SchemaVersion(),
        "partition_store": PartitionStore(client, BlockingReads(client), keys),
        "commit_store": CommitStore(client, keys, session_ttl_s=60),
        "policy": Policy,
    } | more
    return WorkerCore(client, client, keys, name, clock, call_index=CallIndex(keys), **given)
