"""A Redis in memory, for simulations: its commands, our real scripts, redis-py's own replies, and an injected clock.

It is held to the real one by tests/storage, which run on both. What it does not know it refuses aloud.

    server = MemoryServer(clock.wall_ms)
    client, blocking = server.client(), server.client(blocking=True)
    server.fault = lambda name: Fault.REPLY_LOST if name == "commit_batch" and chance.random() < 0.1 else None

Nothing in it is up to chance, and nothing polls: under a loop with virtual time a run repeats exactly.
"""

from tests.support.memory_redis.client import MemoryClient
from tests.support.memory_redis.faults import Fault
from tests.support.memory_redis.keyspace import Snapshot
from tests.support.memory_redis.server import MemoryServer

__all__ = ["Fault", "MemoryClient", "MemoryServer", "Snapshot"]
