"""What the machine has too little of: disk for the log, descriptors, memory."""

import asyncio
import os
import resource
import signal
import socket
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.fault_injection.calls import all_hang_up, many_talk, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.programs import Program, program, signed, until_ready
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.processes, pytest.mark.soak, pytest.mark.timeout(180)]


async def stopped(running: Program) -> int:
    """Asks a program to stop; returns its exit code."""
    running.process.send_signal(signal.SIGTERM)
    return await running.ends()


async def test_fault_52_worker_continues_when_its_log_cannot_be_written(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """First the disk is full from the start; then the reader of the log goes away in the middle of a call."""
    (tmp_path / "full").symlink_to("/dev/full")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    async with FaultSystem(redis_server, workers=0) as system:
        with program(system, "worker", tmp_path / "full") as worker:
            customer, agent = await system.converted()
            assert await stopped(worker) == 0
        with program(system, "worker", tmp_path / "pipe") as worker:
            await until_ready(system, worker)
            assert b"worker_started" in os.read(reader, 65536)
            os.close(reader)
            await transferred(system, customer)
            assert system.redirects_of(agent) == 1
            await all_hang_up(system, replays=False)
            assert await stopped(worker) == 0


async def test_fault_52_webhooks_continue_when_their_log_cannot_be_written(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    async with FaultSystem(redis_server) as system:
        _, agent = await system.talking()
        seen = next(entry for entry in system.sandbox.request_log.deliveries if entry.call_sid == agent.sid)
        with program(system, "webhooks", tmp_path / "full") as webhooks:
            await until_ready(system, webhooks)
            for token, status in (("", 204), ("another program's", 403)):
                assert await posted(webhooks, *signed(system, seen.url, dict(seen.params), token=token)) == status
            assert await stopped(webhooks) == 0
        await all_hang_up(system)


async def posted(webhooks: Program, target: str, body: bytes, headers: dict[str, str]) -> int:
    """The status that a program answers; 0 where it takes no connection."""
    url = URL(webhooks.url + target, encoded=True)
    try:
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
            return response.status
    except aiohttp.ClientError:
        return 0


#: Connections that no one uses: more than the webhooks may have descriptors (count).
IDLE = 128


@pytest.mark.parametrize("spare", [2, IDLE // 2])
async def test_fault_53_webhooks_serve_although_connections_take_all_descriptors(
    system: FaultSystem, tmp_path: Path, spare: int
) -> None:
    """With few to spare, they serve once connections are closed; with more, they close the longest idle ones."""
    _, agent = await system.talking()
    seen = next(entry for entry in system.sandbox.request_log.deliveries if entry.call_sid == agent.sid)
    callback = signed(system, seen.url, dict(seen.params))
    with program(system, "webhooks", tmp_path / "webhooks.log") as webhooks:
        await until_ready(system, webhooks)
        most = webhooks.descriptors() + spare
        resource.prlimit(webhooks.process.pid, resource.RLIMIT_NOFILE, (most, most))
        idle = [socket.create_connection(("127.0.0.1", webhooks.port)) for _ in range(IDLE)]
        if spare == 2:
            await system.eventually(webhooks.descriptors, "there is none left", equals=most)
            for connection in idle:
                connection.close()
        await system.eventually(lambda: posted(webhooks, *callback), "it serves", equals=204)
        assert webhooks.descriptors() <= most
        for connection in idle:
            connection.close()
        assert await stopped(webhooks) == 0
    await all_hang_up(system)


CALLS = 6


@pytest.mark.system(workers=0)
async def test_fault_53_worker_without_a_descriptor_left_recovers(system: FaultSystem, tmp_path: Path) -> None:
    """No new connection, to Twilio or to Redis, while calls are to be moved: commands may fail, no call does."""
    with program(system, "worker", tmp_path / "worker.log") as worker:
        (routed, _), *talks = await many_talk(system, CALLS + 1)
        await system.command("convert", routed.sid)  # commands are read by now
        _, hard = resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (worker.descriptors(), hard))

        convert = [system.command("convert", customer.sid, timeout_s=30) for customer, _ in talks]
        words = {outcome.status for outcome in await asyncio.gather(*convert)}

        assert words <= {"failed", "done"}
        assert "ProviderUnreachableError" in worker.text() or "store_unreachable" in worker.text(), "it had none left"
        assert worker.process.poll() is None
        assert {call.status for talk in talks for call in talk} == {"in-progress"}
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        for customer, _ in talks:
            assert (await system.command("convert", customer.sid, timeout_s=30)).status == "done", worker.text()
        await all_hang_up(system, replays=False)
