"""Captured voice requests that are sent again."""

import pytest

from tests.flows.conference_starts import in_conference
from tests.flows.flow_helpers import talking
from tests.flows.test_gate import put

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("way", ["bridged", "waiting", "client"])
async def test_request_that_was_captured_opens_no_session_once_its_own_was_trimmed(system, way):
    if way == "bridged":
        session = (await talking(system)).session
    else:
        opening, _ = await in_conference(system, way)
        session = opening.id
    route = {"bridged": "inbound", "waiting": "conference", "client": "client"}[way]
    captured = system.sandbox.request_log.voice_requests(f"/voice/{route}")[0]
    await system.ended_by_command(session)
    dials = len(system.sandbox.request_log.dials)
    partition = system.keys.partition_of(session)
    await system.client.delete(system.keys.session(session), system.keys.log(session))
    await system.client.zrem(system.keys.ended(partition), session)

    document = await put(system, captured.url, dict(captured.params))

    assert "<Dial" not in document
    await system.settled()
    assert not await system.session(session)
    assert len(system.sandbox.request_log.dials) == dials
