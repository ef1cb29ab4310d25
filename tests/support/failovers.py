"""What befalls a primary, so that another server takes its place; each returns when one has."""

import asyncio
import signal

from tests.support.redis_cluster import PREFIX, ClusterServers
from tests.support.redis_plain import LoneServer, PlainServers
from tests.support.redis_sentinels import SentinelServers

#: Those of which another server takes a primary's place.
Replicated = SentinelServers | ClusterServers | PlainServers
Servers = Replicated | LoneServer


async def kill(servers: Servers) -> None:
    """Kills it; a replica takes over, or it is started again."""
    former = servers.primary()
    former.kill()
    await asyncio.to_thread(servers.wait_until_replaced, former)


async def hang(servers: Servers, lasts_s: float) -> None:
    """Stops it for so long; then it wakes, and another is the primary, if anyone could decide so."""
    former = servers.primary()
    former.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(lasts_s)  # a delay: how long it hangs
    finally:
        former.signal(signal.SIGCONT)
    await asyncio.to_thread(servers.wait_until_replaced, former)


async def lag(servers: Replicated, lasts_s: float) -> None:
    """Kills it after a replica has lagged for so long; the replica that takes over may be that one."""
    former = servers.primary()
    servers.lag()
    await asyncio.sleep(lasts_s)  # a delay: how long it lags
    servers.kill_while_it_lags()
    await asyncio.to_thread(servers.wait_until_replaced, former)


async def hand_over(servers: ClusterServers) -> None:
    """Lets it hand over to its replica, as before maintenance."""
    await asyncio.to_thread(servers.fail_over, servers.primary())


async def move_slot(servers: ClusterServers) -> None:
    """Moves the slot to another primary key by key, as an operator's tool does."""
    source = servers.primary()
    target = next(node for node in servers.primaries() if node is not source)
    await asyncio.to_thread(servers.move_slot, int(source.ask("CLUSTER", "KEYSLOT", PREFIX)), source, target)
    assert servers.primary() is target
