"""Commands that Redis ran without an answer: each one counts once."""

import pytest

from conferral.storage import scripts
from tests.fault_injection.calls import all_hang_up, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.flow_helpers import TARGET
from tests.support.metric_values import value_of
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis
COMMIT = scripts.commit_batch.sha.encode()


async def life_of_a_call(system: FaultSystem) -> str:
    """A call is bridged, a third person is asked in, the agent leaves, and everyone hangs up: the laws hold."""
    customer, agent = await system.talking()
    await transferred(system, customer)
    assert (system.redirects_of(agent), system.dials_to(TARGET)) == (1, 1)
    await system.done("complete", customer.sid)
    await all_hang_up(system)
    return customer.sid


def commits(system: FaultSystem, result: str) -> float:
    """How many commits of the worker had this result (count)."""
    return value_of(system.workers[0].metrics.commits.labels(result))


async def test_fault_01_commit_is_stored_and_its_reply_is_lost(redis_server):
    relay = Relay(redis_server.socket)
    relay.cut_reply(COMMIT, skip=1, every=5)
    async with relay, FaultSystem(redis_server, worker_url=relay.url, CONFERRAL_CONVERT_TIMEOUT=10) as system:
        await life_of_a_call(system)
        await system.eventually(
            lambda: commits(system, "already") == commits(system, "unknown") == relay.cut_off > 2,
            "every commit whose reply was lost is recognised",
        )
        assert commits(system, "conflict") == 0


async def test_fault_03_event_of_a_webhook_is_on_the_stream_twice(redis_server):
    relay = Relay(redis_server.socket)
    relay.cut_reply(b"XADD", skip=1, every=2)
    async with relay, FaultSystem(redis_server, webhooks_url=relay.url, CONFERRAL_CONVERT_TIMEOUT=10) as system:
        session_id = await life_of_a_call(system)
        log = await system.log(session_id)
        doubled = [entry for entry in log if entry["outcome"] == "stale"]
        assert len(doubled) >= relay.cut_off > 3, log
        assert (await system.session(session_id))["end_reason"] == "customer-left"


async def test_fault_04_answer_to_a_read_is_lost(redis_server):
    relay = Relay(redis_server.socket)
    relay.cut_reply(b"XREAD", skip=1, every=3)
    async with relay, FaultSystem(redis_server, worker_url=relay.url, CONFERRAL_CONVERT_TIMEOUT=10) as system:
        await life_of_a_call(system)
        assert relay.cut_off > 3
