"""What a worker has of the world outside: time, chance, its own name, and the ways to Redis and to Twilio.

In earnest the defaults. Whoever runs workers in a world of their own, where time is virtual and all chance comes from a
seed, gives others; nothing else in a worker reaches outside.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from conferral.runtime.clock import Clock, SystemClock
from conferral.runtime.lifecycle import process_name
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.storage.connection.client import Client, make_client
from conferral.storage.schema import SCHEMA_VERSION
from conferral.telephony.http_client import PooledHttpClient, http_client


class RedisClientFactory(Protocol):
    """Makes clients of Redis; `storage.connection.make_client` in earnest."""

    def __call__(self, url: str, *, blocking: bool = False, max_connections: int = 64) -> Client:
        """A client for commands, or for blocking reads."""
        ...


class HttpClientFactory(Protocol):
    """Makes the HTTP client for Twilio; `telephony.client.http_client` in earnest."""

    def __call__(self, settings: ServiceSettings, *, clock: Clock, metrics: Metrics) -> PooledHttpClient:
        """A client that the worker closes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The world as a worker meets it."""

    name: Callable[[], str] = process_name
    clock: Clock = field(default_factory=SystemClock)
    #: For jitter.
    rng: random.Random = field(default_factory=random.Random)
    redis: RedisClientFactory = make_client
    http: HttpClientFactory = http_client
    #: The newest level of records that is known; less than `LEVEL` where an older version is played.
    schema_version: int = SCHEMA_VERSION
