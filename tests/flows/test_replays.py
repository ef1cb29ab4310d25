"""Captured voice requests that are sent again, and browsers that call too often."""

import pytest

from tests.flows.conference_starts import BROWSER, in_conference, opened
from tests.flows.flow_helpers import talking
from tests.flows.test_gate import put
from tests.support.local_system import CUSTOMER

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


@pytest.mark.system(CONFERRAL_DIALS_PER_IDENTITY=2)
async def test_browser_over_the_call_limit_hears_so_and_no_one_is_dialed(system):
    system.sandbox.phone(CUSTOMER).script(answer_after_s=0.02)
    first = await opened(system, "client")
    await first.talks()
    refused = await system.sandbox.call_from_browser(BROWSER, "+19005550123", {})
    await system.sandbox.wait_until(lambda: refused.status == "completed", 10)
    second = await system.sandbox.call_from_browser(BROWSER, CUSTOMER, {})
    await system.until(second.sid, state="conferenced", phase="")
    third = await system.sandbox.call_from_browser(BROWSER, CUSTOMER, {})
    await system.sandbox.wait_until(lambda: third.status == "completed", 10)
    assert system.sounds(third) == ["said You have placed too many calls. Please try again in a minute. Goodbye."]
    assert not await system.session(third.sid)
    other = await system.sandbox.call_from_browser("carl", CUSTOMER, {})
    await system.until(other.sid, state="conferenced", phase="")
    assert system.dials_to(CUSTOMER) == 3
