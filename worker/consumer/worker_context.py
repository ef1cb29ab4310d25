"""What all partitions of a worker share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from conferral.runtime.clock import Clock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.policy import Policy
from conferral.storage.partition.partition_store import PartitionStore
from conferral.storage.partition.session_store import SessionStore
from conferral.worker.consumer.batch import Decision
from conferral.worker.consumer.session_cache import SESSIONS_MAX
from conferral.worker.executor.executor import Executor, no_checkpoint


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What all partitions of a worker share."""

    partition_store: PartitionStore
    session_store: SessionStore
    executor: Executor
    clock: Clock
    metrics: Metrics
    #: The times and choices by which sessions are driven; a batch is decided by those of its beginning.
    policy: Callable[[], Policy]
    #: How long the calls of an ended session are remembered, seconds.
    session_ttl_s: int
    #: Sessions kept in memory for one partition, count.
    sessions_max: int = SESSIONS_MAX
    #: For tests that end the process between the steps.
    checkpoint: Callable[[str, int], Awaitable[None]] = no_checkpoint
    #: Called with every batch's decisions once they are committed.
    on_committed: Callable[[list[Decision]], None] = lambda _decisions: None
