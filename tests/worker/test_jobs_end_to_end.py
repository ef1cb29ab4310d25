"""Announcements through the whole of it: workers that die over them, and answers that are lost."""

import pytest

from conferral.sandbox.phones import CallHandle
from conferral.statemachine.effects import Effect
from tests.support.local_system import LocalSystem
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
SENTENCE = "The line will be closed in five minutes."


class Death(BaseException):  # no error of an effect: boundaries let it pass, as they do the end of a process
    """The end of the process that carries out an effect."""


class Breaking:
    """A checkpoint at which carrying out an effect breaks off once, as if its process had died there."""

    def __init__(self, point: str, kind: str) -> None:
        self._at = (point, kind)
        self.broke = False

    async def __call__(self, point: str, effect: Effect) -> None:
        if (point, effect.kind) == self._at and not self.broke:
            self.broke = True
            raise Death

    async def has_broken(self) -> bool:
        return self.broke


def announced(system: LocalSystem) -> int:
    """Announcements that Twilio was made to play (count)."""
    asked = system.sandbox.request_log.requests("POST", "/Conferences/")
    return sum(1 for entry in asked if entry.get("AnnounceUrl") and entry.applied)


async def outcome_of(system: LocalSystem, command_id: str) -> str:
    async def is_final() -> bool:
        return await system.client.hget(system.keys.command(command_id), "status") in (b"done", b"failed", b"rejected")

    await system.eventually(is_final, f"{command_id} has its outcome")
    status, reason = await system.client.hmget(system.keys.command(command_id), "status", "reason")
    return f"{status.decode()} {(reason or b'').decode()}".strip()


async def give(system: LocalSystem, customer: CallHandle, command_id: str, kind: str, **fields: str) -> None:
    entry = {"type": kind, "session": customer.sid, "id": command_id, **fields}
    await system.client.xadd(system.keys.commands, entry)


@pytest.mark.parametrize(
    "point, outcome, times, timeout_ms", [("before_request", "failed", 0, 1_000), ("after_request", "done", 1, 4_000)]
)
async def test_successor_plays_an_announcement_to_no_one_twice(
    redis_server: RedisServer, point: str, outcome: str, times: int, timeout_ms: int
) -> None:
    """It was marked before it was to be sent: whether it was is unknown, unless Twilio reports its end."""
    system = LocalSystem(redis_server.url, policy={"announce_timeout_ms": timeout_ms}, speed=5.0)
    breaking = system.worker_options["effect_checkpoint"] = Breaking(point, "play_announcement")
    async with system:
        customer, _ = await system.converted()
        await give(system, customer, "a1", "announce", say=SENTENCE)
        await system.eventually(breaking.has_broken, "it broke off")

        await system.stop_worker()
        system.start_worker()

        assert (await outcome_of(system, "a1")).split()[0] == outcome
        assert announced(system) == times
        await system.ended_by_command(customer.sid)
        assert announced(system) == times


async def test_announcement_whose_answer_is_lost_is_heard_once(redis_server: RedisServer) -> None:
    async with LocalSystem(redis_server.url, policy={"announce_timeout_ms": 4_000}, speed=5.0) as system:
        customer, _ = await system.converted()
        system.sandbox.faults.next_rest("POST", "/Conferences/*", cut="after", AnnounceUrl="*")

        outcome = await system.command("announce", customer.sid, say=SENTENCE)

        assert outcome.status == "done"
        assert announced(system) == 1
        await system.ended_by_command(customer.sid)
