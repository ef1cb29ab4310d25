"""Deadlines: what no worker decides in time does nothing, and what waits for a conversion too long fails."""

import pytest

from conferral.storage.codecs.text_codec import to_iso
from tests.flows.command_channels import TOKEN, api_of
from tests.flows.flow_helpers import TARGET, goes_on_and_ends, talking
from tests.support.people import AGENT, CUSTOMER

pytestmark = pytest.mark.redis


async def now_ms(system) -> int:
    """Redis's time."""
    seconds, microseconds = await system.client.time()
    return seconds * 1000 + microseconds // 1000


async def passes(system, time_ms: int) -> None:
    async def is_over() -> bool:
        return await now_ms(system) > time_ms

    await system.eventually(is_over, "the deadline passes")


@pytest.mark.parametrize("kind, fields", [
    ("hold", {"party": "customer"}), ("transfer", {"to": TARGET, "mode": "blind"}), ("end", {}),
    ("call", {"agent": AGENT, "customer": CUSTOMER}),
], ids=str)  # fmt: skip
async def test_command_that_a_stopped_worker_leaves_does_nothing(system, kind, fields):
    talk = await talking(system, conferenced=True)
    calls = len(system.sandbox.model.state.calls)
    await system.stop_worker()
    deadline_ms = await now_ms(system) + 200
    session = "" if kind == "call" else talk.session
    given = {"type": kind, "session": session, "id": "late-1", "deadline": to_iso(deadline_ms), **fields}
    await system.client.xadd(system.keys.commands, given)
    await passes(system, deadline_ms)

    system.start_worker()

    result = await system.result_of("late-1")
    assert (result.status, result.reason) == ("rejected", "expired")
    assert len(system.sandbox.model.state.calls) == calls
    await goes_on_and_ends(system, talk.customer, talk.agent)


@pytest.mark.system(CONFERRAL_API_TOKEN=TOKEN)
async def test_request_that_stopped_webhooks_send_too_late_is_rejected(system):
    talk = await talking(system, conferenced=True)
    async with api_of(system) as api:
        body = {"type": "hold", "party": "customer", "deadline": to_iso(await now_ms(system) - 1)}
        status, answer = await api.ask("POST", f"/sessions/{talk.session}/commands?wait=10", json=body)

    assert (status, answer["error"]["reason"]) == (409, "expired")
    await goes_on_and_ends(system, talk.customer, talk.agent)


@pytest.mark.parametrize("kind, fields", [
    ("convert", {}), ("hold", {"party": "customer"}), ("transfer", {"to": TARGET, "mode": "consult"}),
], ids=str)  # fmt: skip
@pytest.mark.system(policy={"convert_timeout_ms": 20_000})
async def test_command_fails_at_its_deadline_during_a_slow_conversion_which_goes_on(system, kind, fields):
    talk = await talking(system)
    calls = len(system.sandbox.model.state.calls)
    system.sandbox.faults.next_rest("POST", f"/Calls/{talk.agent.sid}", latency_s=4.0)
    deadline = to_iso(await now_ms(system) + 2_000)

    await system.failed("expired", kind, talk.session, deadline=deadline, **fields)

    await system.until(talk.session, state="conferenced", phase="connected")
    assert len(system.sandbox.model.state.calls) == calls
    await goes_on_and_ends(system, talk.customer, talk.agent)
