"""Traces: one from a callback or a command to the REST request, whichever processes carry it on."""

import asyncio
from collections.abc import Iterator

import pytest

from conferral.runtime import tracing
from tests.flows.command_channels import TOKEN, api_of
from tests.support.broken_effects import Breaking
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.otlp_receiver import FOREIGN, FOREIGN_SPAN, FOREIGN_TRACE, OtlpReceiver

pytestmark = pytest.mark.redis


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    receiver = OtlpReceiver()
    with receiver.running():
        yield receiver


def paths_to(collector: OtlpReceiver, name: str) -> list[list[str]]:
    return [collector.path_to(one) for one in collector.spans if one.name == name]


async def test_one_trace_leads_from_a_command_or_a_callback_to_twilio(redis_server, collector):
    """Also if a worker dies with the request in hand, and another sends it."""
    system = LocalSystem(redis_server.url, CONFERRAL_API_TOKEN=TOKEN, CONFERRAL_CONVERT_TIMEOUT=10)
    breaking = system.worker_options["effect_checkpoint"] = Breaking("before_request", "redirect_call")
    with tracing.exporting("test"):
        async with system, api_of(system) as api, asyncio.TaskGroup() as asking:
            customer, agent = await system.talking()
            path, headers = f"/sessions/{customer.sid}/commands?wait=20", {"traceparent": FOREIGN}
            asked = asking.create_task(api.ask("POST", path, json={"type": "convert"}, headers=headers))
            await system.eventually(breaking.has_broken, "it broke off")
            await system.replace_workers()
            status, _ = await asked
            assert status == 200
            # Else an update of the agent's leg may be in flight, and the call's end comes before the participant's.
            await system.eventually(system.under_way, "nothing is under way", equals=0)
            agent.hang_up()
            await system.until(customer.sid, state="ended")
            await system.settled()

    received = "POST /sessions/{session}/commands"
    sent = [received, "publish convert", "route command", "decide convert", "execute redirect_call"]
    assert paths_to(collector, "POST redirect_call") == [[*sent, "POST redirect_call"]]
    assert [*sent, "decide effect_succeeded"] in paths_to(collector, "decide effect_succeeded")
    assert paths_to(collector, "POST end_conference") == [
        ["POST /callbacks/conference", "decide participant_left", "execute end_conference", "POST end_conference"]
    ]
    (request,) = (one for one in collector.spans if one.name == received)
    assert (request.trace_id, request.parent_id) == (FOREIGN_TRACE, FOREIGN_SPAN)
    assert request.attributes["http.response.status_code"] == 200
    # The attribute leads from one trace of the session to the others.
    of_session = [one for one in collector.spans if one.attributes.get(tracing.SESSION_ID) == customer.sid]
    assert {one.trace_id for one in of_session} == {one.trace_id for one in collector.spans}
    for secret in (CUSTOMER[1:], NUMBER[1:], AGENT, TOKEN, system.sandbox.auth_token, "Signature"):
        assert secret not in collector.text
