"""All that a worker reaches outside; simulations and tests replace it."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from conferral.runtime.clock import Clock, SystemClock
from conferral.runtime.lifecycle import process_name
from conferral.statemachine.effects import Effect
from conferral.statemachine.policy import Policy
from conferral.storage.config import SCHEMA_VERSION
from conferral.storage.connection.client import Client, make_client
from conferral.storage.coordinator import LIFETIME_MS
from conferral.telephony.http_client import PooledHttpClient, http_client
from conferral.worker.consumer.session_cache import SESSIONS_MAX
from conferral.worker.executor.execution import no_checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Everything a worker takes from the outside world."""

    name: Callable[[], str] = process_name
    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.Random)
    redis: Callable[..., Client] = make_client
    http: Callable[..., PooledHttpClient] = http_client
    #: Newest schema version supported; only tests of other releases set it.
    schema_version: int = SCHEMA_VERSION
    lease_ms: int = LIFETIME_MS
    sessions_max: int = SESSIONS_MAX
    #: By default, from the settings.
    policy: Policy | None = None
    #: Let tests end the process between steps of a batch, and around an effect's request.
    checkpoint: Callable[[str, int], Awaitable[None]] = no_checkpoint
    effect_checkpoint: Callable[[str, Effect], Awaitable[None]] = no_checkpoint
