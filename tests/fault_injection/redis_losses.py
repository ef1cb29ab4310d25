"""Ways to bring Redis back with less than it had acknowledged, and calls that this happens to."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from conferral.statemachine.events import Command
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.flow_helpers import TARGET
from tests.flows.test_sweep import sweeps
from tests.support.redis_server import RedisServer

#: How long it takes at most until Redis is back and the lost writes were searched for, seconds.
AWAY_S = 3.0
#: `CONFERRAL_SWEEP_INTERVAL` of these worlds, seconds.
SWEEP_S = 0.5


def copy_of(server: RedisServer, folder: Path) -> Path:
    """The data of a server as it stands at this moment: what it has acknowledged is in there."""
    shutil.copytree(server.folder, folder, ignore=shutil.ignore_patterns("*.sock"))
    return folder


def copy_before(command: type[Command], system: FaultSystem, server: RedisServer, folder: Path) -> list[Path]:
    """Copies the data once, when a worker is about to commit while a command is undecided in the stream.

    A late callback's commit, in which the command is not yet known, must not count as that.
    """

    async def copy_once(point: str, partition: int) -> None:
        if point == "before_commit" and not copies:
            entries = await system.client.xrange(system.keys.events(partition))
            if any(fields[b"type"] == command.name.encode() for _, fields in entries):
                copies.append(copy_of(server, folder))

    copies = list[Path]()
    system.worker_options["checkpoint"] = copy_once
    return copies


def restore(server: RedisServer, copy: Path) -> None:
    """Kills the server and starts it on an older copy of its data."""
    server.kill()
    for path in server.folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(copy, server.folder, dirs_exist_ok=True)
    server.start()


def tear(server: RedisServer, count: int) -> None:
    """Kills the server, cuts so many bytes off the end of its file, and starts it again."""
    server.kill()
    path = server.append_only_file
    with path.open("rb+") as file:
        file.truncate(max(0, path.stat().st_size - count))
    server.start()


def everything(client: "redis.Redis") -> dict[str, Any]:
    """Every key with its content."""
    read: dict[str, Callable[[str], Any]] = {
        "hash": client.hgetall,
        "stream": client.xrange,
        "string": client.get,
        "set": client.smembers,
        "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
    }
    return {key: read[str(client.type(key))](key) for key in sorted(client.keys("*"))}


class Life:
    """The life of a call, step by step, so that Redis can be brought back to any of them."""

    STEPS = ("bridged", "converted", "ringing", "all talk", "handed over")

    def __init__(self, system: FaultSystem) -> None:
        self.system = system
        self._steps = (self._bridged, self._converted, self._ringing, self._all_talk, self._handed_over)
        self._done = 0
        self.transfer_id = ""

    async def go_to(self, step: str) -> None:
        """Goes on until that step is done."""
        while self._done <= self.STEPS.index(step):
            await self._steps[self._done]()
            self._done += 1

    async def _bridged(self) -> None:
        self.customer, self.agent = await self.system.talking()

    async def _converted(self) -> None:
        await self.system.done("convert", self.customer.sid)

    async def _ringing(self) -> None:
        self.system.not_answered_by(TARGET)
        self.transfer_id = await self.system.begins("transfer", self.customer.sid, to=TARGET, mode="warm")
        self.target = await self.system.dialed(TARGET)
        await self.system.until(self.customer.sid, **{"transfer.status": "ringing"})

    async def _all_talk(self) -> None:
        self.target.answer()
        assert (await self.system.result_of(self.transfer_id)).status == "done"

    async def _handed_over(self) -> None:
        await self.system.done("complete", self.customer.sid)


async def comes_to_rest(system: FaultSystem) -> None:
    """Waits until Redis is back, nothing is undecided or in progress, and two sweeps have run."""
    before = sweeps(system)
    await system.eventually(lambda: sweeps(system) >= before + 2, "two sweeps have looked")
    await system.nothing_under_way()


def no_one_is_in_silence(system: FaultSystem) -> bool:
    """Whether everyone on the phone hears someone, or ringing, or music."""
    return all(system.listening.hears(call) not in (None, "silence") for call in system.sandbox.live_calls()
               if call.status == "in-progress")  # fmt: skip
