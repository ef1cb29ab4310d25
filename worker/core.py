"""What the parts of a worker share: name, clocks, and Redis."""

from dataclasses import dataclass

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.metrics import Metrics
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.partition.lease import LEASE_MS
from conferral.storage.schema import SchemaVersion


@dataclass(frozen=True, slots=True)
class WorkerCore:
    """What the parts of a worker share."""

    client: Client
    keys: Keys
    name: str
    clock: Clock
    store_clock: StoreClock
    metrics: Metrics
    #: If this version can't read the schema, the worker holds no lease and is no member.
    schema: SchemaVersion
    lease_ms: int = LEASE_MS
