"""A primary of a real Redis Cluster falls silent, and no replica takes over: commands for the other nodes go on."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from twilio.rest import Client as TwilioClient

from conferral.runtime.clock import SystemClock
from conferral.sandbox import ACCOUNT_SID
from conferral.storage import config
from conferral.storage.connection.client import BlockingReads, make_client
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.dial_limits import DialLimits
from conferral.storage.keys import Keys
from conferral.telephony.addresses import AllowList
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.fallbacks import FallbackRules
from conferral.worker.router.addresses import CallerIdChecker
from conferral.worker.router.command_router import CommandRouter, CommandRules
from tests.support.entries import event_in
from tests.support.redis_cluster import ClusterServers
from tests.worker.cores import core_of

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.timeout(180)]
KEYS = Keys("silence", 64)
#: Longer than the test: the silence lasts.
NODE_TIMEOUT_MS = 120_000
COUNT = 40


@pytest.fixture(scope="module")
def cluster(redis_program: Path) -> Iterator[ClusterServers]:
    with ClusterServers(redis_program, node_timeout_ms=NODE_TIMEOUT_MS) as servers:
        yield servers


def nodes_of(client: ClusterClient, session: str, command_id: str) -> set[str]:
    """The nodes that a command needs."""
    stream = KEYS.events(KEYS.partition_of(session))
    keys = (KEYS.session(session), KEYS.call(session), KEYS.command(command_id), KEYS.commands, stream)
    return {client.node_of(key) for key in keys}


async def test_commands_for_healthy_nodes_continue_while_a_primary_is_silent(cluster) -> None:
    client, blocking = make_client(cluster.url), make_client(cluster.url, blocking=True)
    await config.ensure(client, "silence", 64, account_sid=ACCOUNT_SID)
    needed = {client.node_of(key) for key in (KEYS.commands, KEYS.owners, KEYS.dead)}
    silent = next(node for node in cluster.primaries() if not any(name.endswith(f":{node.port}") for name in needed))
    sick, well = {}, {}
    for number in range(2_000):
        session, command_id = f"s{number}", f"c{number}"
        is_sick = any(name.endswith(f":{silent.port}") for name in nodes_of(client, session, command_id))
        (sick if is_sick else well)[session] = command_id
        if len(well) >= COUNT and len(sick) >= COUNT:
            break
    for session in (*sick, *well):
        await client.hset(KEYS.session(session), mapping={"id": session, "version": "1"})
    stop = asyncio.Event()
    rules = CommandRules(
        destinations=lambda: FallbackRules({}, AllowList.from_setting("US,client:", "+14155550100")),
        conference_names=ConferenceNames(["secret"], "test"),
        caller_ids=CallerIdChecker(TwilioClient("AC1", "token"), set, SystemClock()),
        dial_limits=DialLimits(client, KEYS),
    )
    core = core_of(client, KEYS, SystemClock(), "router")
    router = CommandRouter(core, BlockingReads(blocking), rules, owns_router=lambda: True)
    running = asyncio.create_task(router.run(stop))

    async def routed() -> set[str]:
        """The ids of the commands of healthy nodes that are on their streams."""
        found = set()
        for partition in {KEYS.partition_of(session) for session in well}:
            for _, fields in await client.xrange(KEYS.events(partition)):
                found.add(event_in(fields).token)
        return found

    try:
        first = next(iter(well))  # by now both clients know the nodes
        await client.xadd(KEYS.commands, {"type": "end", "session": first, "id": "first"})
        async with asyncio.timeout(60):
            while "first" not in await routed():
                await asyncio.sleep(0.05)
        silent.signal(signal.SIGSTOP)
        for session, command_id in (sick | well).items():
            await client.xadd(KEYS.commands, {"type": "end", "session": session, "id": command_id})
        async with asyncio.timeout(60):
            while not set(well.values()) <= await routed():
                await asyncio.sleep(0.05)
        silent.signal(signal.SIGCONT)
        async with asyncio.timeout(60):
            while await client.xlen(KEYS.commands):
                await asyncio.sleep(0.05)
    finally:
        silent.signal(signal.SIGCONT)
        stop.set()
        await running
        await client.aclose()
        await blocking.aclose()
