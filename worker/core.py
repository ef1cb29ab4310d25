"""What the parts of a worker share: clocks, Redis, policy."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.policy import Policy
from conferral.storage.call_index import CallIndex
from conferral.storage.connection.client import Client
from conferral.storage.coordinator import TASKS, WORKER_LIFETIME_MS
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import CommitStore
from conferral.storage.partition.partition_store import PartitionStore

#: Pause while Redis is unreachable, seconds.
REDIS_PAUSE_S = 0.2
#: Between two ticks, seconds.
TICK_S = 0.5


async def no_checkpoint(_point: str, _detail: object) -> None:
    """Do nothing, where a test may end the process."""


@dataclass(slots=True)
class WorkerCore:
    """What the parts of a worker share."""

    client: Client
    #: A separate pool: commits and leases find a connection even if everything else uses up the other.
    reserved: Client
    keys: Keys
    name: str
    clock: Clock
    store_clock: StoreClock
    metrics: Metrics
    call_index: CallIndex
    partition_store: PartitionStore
    commit_store: CommitStore
    policy: Callable[[], Policy]
    #: How long a tick counts if Redis answers quickly, seconds: what others wait for before they call this worker dead.
    lifetime_s: float = WORKER_LIFETIME_MS / 1000
    #: Which tasks it can do: without a URL, it sends no outcomes, and must not keep another worker from it.
    tasks: tuple[str, ...] = TASKS
    #: Nothing is sent for a lease that was not confirmed later, monotonic seconds: Redis may be an older copy since.
    confirm_from_s: float = float("-inf")
    #: Held while entries are decided of which one may have ended another worker: so a death tells of its partition.
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Whether Twilio refuses our credentials: until it accepts them, this worker owns nothing.
    is_refused: bool = False
    #: Twilio's time, Unix milliseconds; None without an answer of Twilio's yet.
    twilio_now_ms: Callable[[], int | None] = lambda: None
    #: The identities of those who work at desks, by the directory.
    people: Callable[[], Collection[str]] = tuple
    #: Lets tests end the process between steps.
    checkpoint: Callable[[str, int], Awaitable[None]] = no_checkpoint
