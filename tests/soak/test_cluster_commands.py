"""Operators, programs and the control API speak to a Redis Cluster as to a single Redis."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conferral.check.result import CheckResult
from conferral.check.workers import check_cluster
from conferral.storage.connection.client import make_client
from conferral.storage.connection.cluster import ClusterClient
from tests.flows.command_channels import TOKEN, api_of
from tests.support.command_line import CommandLine
from tests.support.local_system import LocalSystem
from tests.support.people import BOB
from tests.support.redis_cluster import ClusterServers

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.timeout(180)]


#: Well above what it takes to go on: a request that waits for the silent node is given up after 2 s.
RESUMED_WITHIN_S = 15.0


@pytest.fixture(scope="module")
def running(redis_program: Path) -> Iterator[ClusterServers]:
    with ClusterServers(redis_program) as servers:
        yield servers


@pytest.fixture
async def system(running: ClusterServers) -> AsyncIterator[LocalSystem]:
    running.reset()
    async with LocalSystem(running.url, workers=2, CONFERRAL_PARTITIONS=64, CONFERRAL_API_TOKEN=TOKEN) as system:
        system.answered_by(BOB)
        yield system


def environment(system: LocalSystem) -> dict[str, str]:
    return {
        "REDIS_URL": system.redis_url, "TWILIO_ACCOUNT_SID": system.sandbox.account_sid,
        "TWILIO_AUTH_TOKEN": system.sandbox.auth_token, "TWILIO_API_URL": system.sandbox.url,
        "TWILIO_NUMBER": system.settings.number, "CONFERRAL_PUBLIC_URL": system.public_url,
        "CONFERRAL_AGENT": str(system.settings.agent), "CONFERRAL_PARTITIONS": "64",
    }  # fmt: skip


async def test_commands_of_operators_work_on_a_cluster(system) -> None:
    caller, _ = await system.talking()
    async with CommandLine(**environment(system)) as line:

        async def answered(*words: str) -> Any:
            code, out, err = await line.type(*words, "--json")
            assert code == 0, out + err
            return json.loads(out)

        found = {one["name"]: (one["status"], one["found"]) for one in await answered("check")}
        assert found["cluster"] == ("ok", "3 primaries with 3 replicas")
        assert found["coverage"] == ("ok", "cluster-require-full-coverage no")
        assert found["persistence"] == ("warn", "appendfsync no: a power failure loses about 30 s")
        assert found["scripts"][0] == "ok", found

        async def all_run() -> bool:
            return "ok" in [one["status"] for one in await answered("check") if one["name"] == "workers"]

        await system.eventually(all_run, "the heartbeats, which a busy machine delays")
        await answered("convert", caller.sid)
        await answered("transfer", caller.sid, "--to", BOB, "--mode", "warm")
        assert [one["id"] for one in await answered("sessions")] == [caller.sid]
        assert (await answered("show", caller.sid))["state"] == "transferring"
        await answered("end", caller.sid, "--yes")
    await system.settled()


async def test_check_reports_node_failures_that_calls_would_not_survive(system, running) -> None:
    client = make_client(system.redis_url)
    await client.config_set("cluster-require-full-coverage", "yes", target_nodes=client.ALL_NODES)
    primary = running.primaries()[0]
    replica = running.replica_of(primary)
    replica.kill()
    try:
        lines = await until_known(system.redis_url)
        assert lines["cluster"].found == f"1 of 3 primaries have no replica: 127.0.0.1:{primary.port}"
        assert lines["coverage"].status == "warn"
    finally:
        replica.start()
        await client.config_set("cluster-require-full-coverage", "no", target_nodes=client.PRIMARIES)
        await client.aclose()


async def until_known(url: str) -> dict[str, CheckResult]:
    """Waits until the cluster does not name the replica any more that has died; returns what is found then."""
    async with asyncio.timeout(30):
        while True:
            async with make_client(url) as client:
                assert isinstance(client, ClusterClient)
                await client.initialize()
                lines = {line.name: line for line in await check_cluster(client)}
                if "no replica" in lines["cluster"].found:
                    return lines
            await asyncio.sleep(0.1)


async def test_control_api_works_on_a_cluster(system) -> None:
    caller, _ = await system.talking()
    async with api_of(system) as api:
        client = api.session
        commands = f"/sessions/{caller.sid}/commands?wait=30"
        async with client.post(commands, json={"type": "convert"}) as response:
            assert (await response.json())["status"] == "done"
        async with client.get("/sessions?state=conferenced") as response:
            assert [one["id"] for one in (await response.json())["sessions"]] == [caller.sid]
        async with client.get(f"/sessions/{caller.sid}/log?limit=500") as response:
            assert {"call_received", "convert"} <= {one["event"] for one in (await response.json())["entries"]}
        async with client.post(commands, json={"type": "end"}) as response:
            assert (await response.json())["status"] == "done"
    await system.settled()


async def test_commands_resume_once_a_replica_owns_their_stream(system, running) -> None:
    caller, _ = await system.talking()
    async with api_of(system) as api:
        client = api.session
        silent = running.owner_of(system.keys.commands)
        replica = running.replica_of(silent)
        silent.signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(30):
                while not replica.is_primary():
                    await asyncio.sleep(0.05)
            async with asyncio.timeout(RESUMED_WITHIN_S):
                while (status := await given(client, caller.sid)) != 200:
                    assert status == 503
                    await asyncio.sleep(0.05)
        finally:
            silent.signal(signal.SIGCONT)
    await system.settled()


async def given(client: aiohttp.ClientSession, session: str) -> int:
    """What the API says to an `end` that is given once, however often it is sent."""
    path = f"/sessions/{session}/commands?wait=30"
    async with client.post(path, json={"type": "end", "id": "once"}) as response:
        return response.status
