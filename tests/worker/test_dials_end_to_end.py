"""Requests through the whole of it: a real Redis, a worker, the local Twilio."""

import pytest

from conferral.runtime import tracing
from conferral.sandbox.phones import CallHandle
from conferral.statemachine.effects import Effect
from tests.support.local_system import LocalSystem
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
TARGET = "client:bob"
WAYS = {"create_participant": {}, "create_call": {"confirm": "true"}}


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


def dialed(system: LocalSystem) -> list[CallHandle]:
    """Every call to the target that there ever was."""
    return system.sandbox.calls_of(TARGET)


async def test_busy_target_is_not_redialed_after_a_lost_response(redis_server: RedisServer) -> None:
    """It has left the list of participants long before it is searched."""
    async with LocalSystem(redis_server.url) as system:
        customer, _ = await system.talking()
        system.sandbox.phone(TARGET).script(outcome="busy", answer_after_s=0)
        system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants.json", cut="after")

        outcome = await system.command("transfer", customer.sid, to=TARGET, mode="warm")
        assert (outcome.status, outcome.reason) == ("failed", "busy")

        async def nothing_is_left_to_do() -> bool:
            return not await system.client.hlen(system.keys.outbox(system.keys.partition_of(customer.sid)))

        await system.eventually(nothing_is_left_to_do, "the dial has its outcome")
        assert len(dialed(system)) == 1
        await system.ended_by_command(customer.sid)


@pytest.mark.parametrize(
    "point, kind, status, calls",
    [
        ("before_request", "create_participant", "done", 1),
        ("after_request", "create_participant", "done", 1),
        # It was marked and never sent; no one can know that, so it is not sent any more.
        ("before_request", "create_call", "failed", 0),
        ("after_request", "create_call", "done", 1),
    ],
)
async def test_successor_dials_no_one_twice(
    redis_server: RedisServer, point: str, kind: str, status: str, calls: int
) -> None:
    system = LocalSystem(redis_server.url, policy={"arrive_timeout_ms": 300})
    breaking = system.worker_options["effect_checkpoint"] = Breaking(point, kind)
    async with system:
        system.sandbox.phone(TARGET).script(answer_after_s=0.02, keys="1", keys_after_s=0.01)
        customer, _ = await system.talking()
        fields = {"type": "transfer", "session": customer.sid, "to": TARGET, "mode": "warm", "id": "t1", **WAYS[kind]}
        await system.client.xadd(system.keys.commands, fields)
        await system.eventually(breaking.has_broken, "it broke off")

        async def has_come_to_that() -> bool:
            return await system.client.hget(system.keys.command("t1"), "status") == status.encode()

        await system.stop_worker()
        system.start_worker()

        await system.eventually(has_come_to_that, f"the transfer is {status}")
        assert len(dialed(system)) == calls
        await system.ended_by_command(customer.sid)


async def test_request_of_a_worker_that_died_is_sent_in_the_same_trace(redis_server: RedisServer) -> None:
    system, collector = LocalSystem(redis_server.url, CONFERRAL_CONVERT_TIMEOUT=5), OtlpReceiver()
    breaking = system.worker_options["effect_checkpoint"] = Breaking("before_request", "redirect_call")
    with collector.running(), tracing.exporting("test"):
        async with system:
            customer, _ = await system.talking()
            with tracing.span("press", {}):
                trace_id = tracing.trace_id()
                command_id = await system.begins("convert", customer.sid)
            await system.eventually(breaking.has_broken, "it broke off")
            await system.replace_workers()
            assert (await system.outcome_of(command_id)).status == "done"
            await system.ended_by_command(customer.sid)
    (redirect,) = [one for one in collector.spans if one.name == "POST redirect_call"]
    assert redirect.trace_id == trace_id
    assert collector.path_to(redirect)[-2:] == ["perform redirect_call", "POST redirect_call"]
