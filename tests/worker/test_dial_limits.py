"""Limits of dials, from the router to the request: who is refused, and what is asked of Redis."""

import pytest
from structlog.testing import capture_logs

from conferral.statemachine.effects import Dial
from conferral.statemachine.events import EffectFailed
from conferral.statemachine.reasons import Reason
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus
from conferral.storage.dial_limits import DialLimits
from conferral.storage.partition.partition_store import MarkResult
from tests.support.metric_values import value_of
from tests.worker.executor_harness import BUSY, ExecutorHarness, both_ways, straight
from tests.worker.routing.test_command_router import CALL, CALL_SID, DIALING, TRANSFER, routing_on

# ---- the router ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def routing(any_redis):
    async with routing_on(any_redis) as routing:
        routing.limits = DialLimits(routing.keys, per_session=2, per_minute=3)
        await routing.know(CALL_SID)
        yield routing


async def dialed(routing, count: int, session: str = CALL_SID) -> None:
    """The call has so many dials, now; so has the installation."""
    now_ms = routing.clock.wall_ms()
    for key in (routing.keys.dials, routing.keys.call_dials(session)):
        await routing.client.zadd(key, {f"{session}-{number}": now_ms for number in range(count)})


async def refusals(routing) -> list[str]:
    return [event.refused for event in await routing.events()]


@pytest.mark.redis
@pytest.mark.parametrize("given, is_refused", [
    *(({**DIALING[name]}, True) for name in DIALING if name != "call"),
    ({"type": "hold", "party": "agent"}, False), ({"type": "park"}, False), ({"type": "end"}, False),
])  # fmt: skip
async def test_command_that_dials_is_refused_at_the_limit(routing, given, is_refused):
    await dialed(routing, 2)
    with capture_logs() as logs:
        await routing.give(**given | {"id": "c1", "session": CALL_SID})
    assert await refusals(routing) == [Reason.DIAL_LIMIT if is_refused else ""]
    lines = [(line["command_id"], line["reason"]) for line in logs if line["event"] == "dials_refused"]
    assert lines == ([("c1", "session")] if is_refused else [])
    assert value_of(routing.metrics.calls.dials_refused.labels("session")) == is_refused


@pytest.mark.redis
async def test_command_with_several_targets_needs_one_dial_more_and_counts_none(routing):
    await dialed(routing, 1)
    before = await routing.client.zrange(routing.keys.call_dials(CALL_SID), 0, -1)
    for _ in range(2):
        await routing.give(**{**TRANSFER, "to": "client:a,client:b,client:c"})
    assert await refusals(routing) == [""] * 2
    assert await routing.client.zrange(routing.keys.call_dials(CALL_SID), 0, -1) == before


@pytest.mark.redis
async def test_call_beyond_the_limit_is_rejected_and_opens_no_session(routing):
    await dialed(routing, 2)
    await routing.give(**CALL, id="c1")
    await routing.give(**CALL, id="c2", mode="conference")  # dials the customer, too
    assert await routing.outcome("c2") == ("rejected", Reason.DIAL_LIMIT, "")
    assert await refusals(routing) == [""]
    assert value_of(routing.metrics.calls.dials_refused.labels("minute")) == 1


@pytest.mark.redis
async def test_call_that_is_routed_again_is_not_refused_for_its_own_dial(routing):
    """Its router died before it removed the command; the session has dialed meanwhile."""
    await routing.give("5-0", **CALL, id="c1")
    await dialed(routing, 3, "c1")
    await routing.client.delete(routing.keys.commands)
    await routing.give("5-0", **CALL, id="c1")
    assert await refusals(routing) == ["", ""]
    assert (await routing.outcome("c1"))[0] == ""


@pytest.mark.redis
@pytest.mark.parametrize(
    "status, refused", [("connected", ""), ("ringing", ""), ("left", Reason.DIAL_LIMIT), (None, Reason.DIAL_LIMIT)]
)
async def test_supervisor_who_is_there_may_switch_the_mode_beyond_the_limit(routing, status, refused):
    await dialed(routing, 2)
    if status is not None:
        supervisor = Party("supervisor", "supervisor-1", status=PartyStatus(status))
        await routing.store(Session(CALL_SID, version=1, parties={"supervisor": supervisor}))
    await routing.give(**DIALING["supervise"], id="c2")
    assert await refusals(routing) == [refused]


# ---- the request ---------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize(
    "result, limit", [(MarkResult.MINUTE_LIMIT, "minute"), (MarkResult.SESSION_LIMIT, "session")], ids=str
)
async def test_dial_beyond_the_limit_is_not_sent_and_fails(
    system: ExecutorHarness, dial: Dial, result: MarkResult, limit: str
):
    system.records.beyond_limit["d"] = result

    with capture_logs() as logs:
        outcome = await system.run(dial)

    assert isinstance(outcome, EffectFailed)
    assert (outcome.reason, outcome.reason_text, outcome.http_status) == (Reason.DIAL_LIMIT, Reason.DIAL_LIMIT, 0)
    assert system.calls.asked == []
    assert [(one["effect_id"], one["reason"]) for one in logs if one["event"] == "dials_refused"] == [("d", limit)]
    assert value_of(system.metrics.calls.dials_refused.labels(limit)) == 1


async def test_offer_that_has_ended_is_not_dialed(system: ExecutorHarness):
    system.records.beyond_limit["d"] = MarkResult.OFFER_ENDED
    outcome = await system.run(straight("d"))
    assert isinstance(outcome, EffectFailed)
    assert (outcome.reason, system.calls.asked) == (Reason.EXPIRED, [])


async def test_dial_that_is_sent_again_is_marked_and_counted_once(system: ExecutorHarness):
    system.calls.script["d"] += [BUSY, None]

    await system.run(straight("d"))

    assert system.calls.asked == ["d", "d"]
    assert system.records.written.count("mark d") == 1
