"""What the partitions of a worker share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from conferral.statemachine.policy import Policy
from conferral.storage.partition.partition_store import PartitionStore
from conferral.storage.partition.session_store import SessionStore
from conferral.worker.consumer.batch import Decision
from conferral.worker.core import WorkerCore, no_checkpoint
from conferral.worker.executor.executor import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """Dependencies that all partitions of a worker share."""

    core: WorkerCore
    partition_store: PartitionStore
    session_store: SessionStore
    executor: Executor
    policy: Callable[[], Policy]
    #: Lets tests end the process between steps.
    checkpoint: Callable[[str, int], Awaitable[None]] = no_checkpoint
    #: Twilio's time, Unix milliseconds; None without an answer of Twilio's yet.
    twilio_now_ms: Callable[[], int | None] = lambda: None
    on_committed: Callable[[list[Decision]], None] = lambda _decisions: None
