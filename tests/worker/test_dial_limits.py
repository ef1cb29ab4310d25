"""Limits of dials, from the router to the request: who is refused, and what is asked of Redis."""

import pytest
from structlog.testing import capture_logs

from conferral.statemachine.effects import Dial
from conferral.statemachine.events import EffectFailed
from conferral.statemachine.reasons import Reason
from conferral.storage.dial_limits import DialLimits
from tests.support.metric_values import value_of
from tests.worker.executor_harness import BUSY, ExecutorHarness, both_ways, straight
from tests.worker.test_command_router import CALL, CALL_SID, DIALING, TRANSFER, routing_on

# ---- the router ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def routing(any_redis):
    async with routing_on(any_redis) as routing:
        routing.limits = DialLimits(routing.client, routing.keys, per_session=2, per_minute=3)
        await routing.know(CALL_SID)
        yield routing


async def reserved(routing, session: str = CALL_SID) -> list[str]:
    found = await routing.client.zrange(routing.keys.call_dials(session), 0, -1)
    return sorted(one.decode() for one in found)


async def refusals(routing) -> list[str]:
    return [event.refused for event in await routing.events()]


@pytest.mark.redis
@pytest.mark.parametrize("given, reservations", [
    *(({**DIALING[name]}, ["c1#1"]) for name in DIALING),
    (CALL | {"mode": "conference"}, ["c1#1", "c1#2"]),  # agent and customer
    ({"type": "hold", "party": "agent"}, []), ({"type": "park"}, []), ({"type": "end"}, []),
    (TRANSFER | {"to": "911"}, []),
])  # fmt: skip
async def test_command_makes_a_reservation_for_each_of_its_dials(routing, given, reservations):
    session = "order-7" if given["type"] == "call" else CALL_SID
    await routing.give(**given | {"id": "c1", "session": session})
    assert await reserved(routing, session) == reservations


@pytest.mark.redis
async def test_command_beyond_the_limit_is_refused_to_its_session_and_logged(routing):
    await routing.give(**{**TRANSFER, "to": "client:a,client:b,client:c"}, id="c1")
    with capture_logs() as logs:
        await routing.give(**{**TRANSFER, "to": "client:a,client:b"}, id="c2")
        await routing.give(**TRANSFER, id="c3")
    assert await refusals(routing) == [Reason.DIAL_LIMIT, "", Reason.DIAL_LIMIT]
    assert await reserved(routing) == ["c2#1", "c2#2"]
    (line,) = [line for line in logs if line["event"] == "dials_refused"]
    assert (line["command_id"], line["reason"], line["count"]) == ("c3", "session", 1)
    assert value_of(routing.metrics.dials_refused.labels("session")) == 4


@pytest.mark.redis
async def test_call_beyond_the_limit_is_rejected_and_opens_no_session(routing):
    await routing.give(**{**TRANSFER, "to": "client:a,client:b"}, id="c1")
    await routing.give(**CALL, id="c2", mode="conference")
    assert await routing.outcome("c2") == ("rejected", Reason.DIAL_LIMIT, "")
    assert await refusals(routing) == [""]
    assert value_of(routing.metrics.dials_refused.labels("minute")) == 2


@pytest.mark.redis
async def test_command_that_is_routed_again_reserves_once_and_not_after_its_outcome(routing):
    for _ in range(2):
        await routing.client.delete(routing.keys.commands)
        await routing.give("5-0", **TRANSFER)
    assert await reserved(routing) == ["5-0#1"]

    # It was decided meanwhile, and has given its reservation back.
    await routing.client.hset(routing.keys.command("5-0"), "status", "failed")
    await routing.client.delete(routing.keys.commands, routing.keys.call_dials(CALL_SID))
    await routing.give("5-0", **TRANSFER)
    assert await reserved(routing) == []


@pytest.mark.redis
@pytest.mark.parametrize(
    "status, refused", [("connected", ""), ("ringing", ""), ("left", Reason.DIAL_LIMIT), (None, Reason.DIAL_LIMIT)]
)
async def test_supervisor_who_is_there_may_switch_the_mode_beyond_the_limit(routing, status, refused):
    await routing.give(**{**TRANSFER, "to": "client:a,client:b"}, id="c1")
    if status is not None:
        await routing.client.hset(routing.keys.session(CALL_SID), "party.supervisor.status", status)
    await routing.give(**DIALING["supervise"], id="c2")
    assert await refusals(routing) == ["", refused]


# ---- the request ---------------------------------------------------------------------------------------------------


@both_ways
async def test_dial_beyond_the_limit_is_not_sent_and_fails(system: ExecutorHarness, dial: Dial):
    system.records.refused_by["d"] = "minute"

    outcome = await system.run(dial)

    assert isinstance(outcome, EffectFailed)
    assert (outcome.reason, outcome.reason_text, outcome.http_status) == (Reason.DIAL_LIMIT, Reason.DIAL_LIMIT, 0)
    assert system.calls.asked == []
    assert "mark d" not in system.records.written
    assert value_of(system.metrics.dials_refused.labels("minute")) == 1


async def test_dial_that_is_sent_again_keeps_its_reservation(system: ExecutorHarness):
    system.calls.script["d"] += [BUSY, None]

    await system.run(straight("d"))

    assert system.calls.asked == ["d", "d"]
    assert system.records.reserved == ["d", "d"]
