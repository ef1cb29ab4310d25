"""A worker's core, with what a test gives it."""

from typing import Any

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.policy import Policy
from conferral.storage.call_index import CallIndex
from conferral.storage.keys import Keys
from conferral.worker.core import WorkerCore
from tests.support.stores import commit_store_of, partition_store_of


def core_of(client: Any, keys: Keys, clock: Clock, name: str = "me", **more: Any) -> WorkerCore:
    given = {
        "store_clock": StoreClock(clock),
        "metrics": Metrics(),
        "partition_store": partition_store_of(client, keys),
        "commit_store": commit_store_of(client, keys, session_ttl_s=60),
        "policy": Policy,
    } | more
    return WorkerCore(client, client, keys, name, clock, call_index=CallIndex(keys), **given)
