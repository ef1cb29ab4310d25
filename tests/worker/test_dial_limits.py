"""Limits of dials, from the router to the request: who is refused, and what is asked of Redis."""

import pytest
from structlog.testing import capture_logs

from conferral.statemachine.effects import Dial
from conferral.statemachine.events import DIAL_LIMIT, EffectFailed
from conferral.storage import config
from conferral.storage.dial_limits import DialLimits
from tests.support.metric_values import value_of
from tests.worker.executor_harness import BUSY, ExecutorHarness, both_ways, straight
from tests.worker.test_command_router import ACCOUNT_SID, CALL, CALL_SID, DIALING, TRANSFER, Routing

# ---- the router ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def routing(any_redis):
    routing = Routing(any_redis)
    await config.ensure(routing.client, "test", 4, account_sid=ACCOUNT_SID)
    routing.limits = DialLimits(routing.client, routing.keys, per_session=2, per_minute=3)
    await routing.know(CALL_SID)
    yield routing
    await routing.client.aclose()
    await routing.blocking.aclose()


async def reserved(routing, session: str = CALL_SID) -> list[str]:
    found = await routing.client.zrange(routing.keys.call_dials(session), 0, -1)
    return sorted(one.decode() for one in found)


async def refusals(routing) -> list[str]:
    return [event.refused for event in await routing.events()]


@pytest.mark.redis
@pytest.mark.parametrize("name, reservations", [
    ("call", ["c1#1"]), ("transfer", ["c1#1"]), ("retrieve", ["c1#1"]), ("add", ["c1#1"]), ("supervise", ["c1#1"]),
])  # fmt: skip
async def test_command_that_dials_makes_its_reservation(routing, name, reservations):
    given = {**DIALING[name], "id": "c1"} | ({"session": "order-7"} if name == "call" else {})
    await routing.give(**given)
    assert await reserved(routing, "order-7" if name == "call" else CALL_SID) == reservations
    assert await refusals(routing) == [""]


@pytest.mark.redis
async def test_call_into_a_conference_makes_reservations_for_agent_and_customer(routing):
    await routing.give(**CALL, id="c1", session="order-7", mode="conference")
    assert await reserved(routing, "order-7") == ["c1#1", "c1#2"]


@pytest.mark.redis
@pytest.mark.parametrize("fields", [{"type": "hold", "party": "agent"}, {"type": "park"}, {"type": "end"}])
async def test_command_that_dials_no_one_reserves_nothing(routing, fields):
    await routing.give(**fields, id="c1", session=CALL_SID)
    assert await reserved(routing) == []


@pytest.mark.redis
async def test_command_beyond_the_limit_is_refused_to_its_session_and_logged(routing):
    await routing.give(**{**TRANSFER, "to": "client:a,client:b,client:c"}, id="c1")
    with capture_logs() as logs:
        await routing.give(**{**TRANSFER, "to": "client:a,client:b"}, id="c2")
        await routing.give(**TRANSFER, id="c3")
    assert await refusals(routing) == [DIAL_LIMIT, "", DIAL_LIMIT]
    assert await reserved(routing) == ["c2#1", "c2#2"]
    (line,) = [line for line in logs if line["event"] == "dials_refused"]
    assert (line["command_id"], line["reason"], line["count"]) == ("c3", "session", 1)
    assert value_of(routing.metrics.dials_refused.labels("session")) == 4


@pytest.mark.redis
async def test_call_beyond_the_limit_is_rejected_and_opens_no_session(routing):
    await routing.give(**{**TRANSFER, "to": "client:a,client:b"}, id="c1")
    await routing.give(**CALL, id="c2", mode="conference")
    assert await routing.outcome("c2") == ("rejected", DIAL_LIMIT, "")
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
    "status, refused", [("connected", ""), ("ringing", ""), ("left", DIAL_LIMIT), (None, DIAL_LIMIT)]
)
async def test_supervisor_who_is_there_may_switch_the_mode_beyond_the_limit(routing, status, refused):
    await routing.give(**{**TRANSFER, "to": "client:a,client:b"}, id="c1")
    if status is not None:
        await routing.client.hset(routing.keys.session(CALL_SID), "party.supervisor.status", status)
    await routing.give(**DIALING["supervise"], id="c2")
    assert await refusals(routing) == ["", refused]


@pytest.mark.redis
async def test_refused_destination_reserves_nothing(routing):
    await routing.give(**{**TRANSFER, "to": "911"}, id="c1")
    assert await reserved(routing) == []


@pytest.mark.redis
async def test_without_limits_the_router_reserves_nothing(routing):
    routing.limits = DialLimits(None, routing.keys)
    await routing.give(**TRANSFER, id="c1")
    assert await refusals(routing) == [""]


# ---- the request ---------------------------------------------------------------------------------------------------


@both_ways
async def test_dial_beyond_the_limit_is_not_sent_and_fails(system: ExecutorHarness, dial: Dial):
    system.records.refused_by["d"] = "minute"

    outcome = await system.run(dial)

    assert isinstance(outcome, EffectFailed)
    assert (outcome.reason, outcome.reason_text, outcome.http_status) == (DIAL_LIMIT, DIAL_LIMIT, 0)
    assert system.calls.asked == []
    assert "mark d" not in system.records.written
    assert value_of(system.metrics.dials_refused.labels("minute")) == 1


async def test_dial_that_is_sent_again_keeps_its_reservation(system: ExecutorHarness):
    system.calls.script["d"] += [BUSY, None]

    await system.run(straight("d"))

    assert system.calls.asked == ["d", "d"]
    assert system.records.reserved == ["d", "d"]
