"""What the parts of a worker share: name, clocks, and Redis."""

from dataclasses import dataclass

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.metrics import Metrics
from conferral.storage.config import SchemaVersion
from conferral.storage.connection.client import Client
from conferral.storage.coordinator import LIFETIME_MS
from conferral.storage.keys import Keys


@dataclass(slots=True)
class WorkerCore:
    """What the parts of a worker share."""

    client: Client
    #: A separate pool, so that commits and leases never wait for outcomes being written.
    reserved: Client
    keys: Keys
    name: str
    clock: Clock
    store_clock: StoreClock
    metrics: Metrics
    #: If this version can't read the schema, the worker holds no lease and is no member.
    schema: SchemaVersion
    #: What others wait for, at least, before they call this worker dead.
    lease_ms: int = LIFETIME_MS
    #: Whether another worker should do this one's work (`worker.credentials`).
    is_on_standby: bool = False

    @property
    def lifetime_s(self) -> float:
        """How long a tick counts if Redis answers quickly, seconds."""
        return self.lease_ms / 1000

    @property
    def takes_nothing(self) -> bool:
        """Whether it must hold no lease, and is no member."""
        return self.schema.is_too_new or self.is_on_standby
