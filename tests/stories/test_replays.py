"""Captured voice requests that are sent again, and browsers that call too often."""

import pytest

from tests.stories.kit import dials_to, done, everybody_is_gone, sounds, talking
from tests.stories.openings import BROWSER, in_conference, opened
from tests.stories.test_gate import put
from tests.support.world import CUSTOMER, World

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("way", ["bridged", "waiting", "client"])
async def test_request_that_was_captured_opens_no_session_once_its_own_was_trimmed(redis_server, way):
    async with World(redis_server.url) as world:
        if way == "bridged":
            session = (await talking(world)).session
        else:
            opening, _ = await in_conference(world, way)
            session = opening.id
        route = {"bridged": "inbound", "waiting": "conference", "client": "client"}[way]
        captured = world.sandbox.ledger.voice(f"/voice/{route}")[0]
        await done(world, "end", session)
        await everybody_is_gone(world, session, "command")
        dials = len(world.sandbox.ledger.dials)
        partition = world.keys.partition_of(session)
        await world.client.delete(world.keys.session(session), world.keys.log(session))
        await world.client.zrem(world.keys.ended(partition), session)

        document = await put(world, captured.url, dict(captured.params))

        assert "<Dial" not in document
        await world.settled()
        assert not await world.session(session)
        assert len(world.sandbox.ledger.dials) == dials


async def test_browser_that_calls_too_often_hears_so_and_no_one_is_dialed(redis_server):
    async with World(redis_server.url, CONFERRAL_DIALS_PER_IDENTITY=2) as world:
        world.sandbox.phone(CUSTOMER).script(answer_after_s=0.02)
        first = await opened(world, "client")
        await first.talks()
        refused = await world.sandbox.browser_calls(BROWSER, "+19005550123", {})
        await world.sandbox.wait_until(lambda: refused.status == "completed", 10)
        second = await world.sandbox.browser_calls(BROWSER, CUSTOMER, {})
        await world.until(second.sid, state="conferenced", phase="")
        third = await world.sandbox.browser_calls(BROWSER, CUSTOMER, {})
        await world.sandbox.wait_until(lambda: third.status == "completed", 10)
        assert sounds(world, third) == ["said You have placed too many calls. Please try again in a minute. Goodbye."]
        assert not await world.session(third.sid)
        other = await world.sandbox.browser_calls("carl", CUSTOMER, {})
        await world.until(other.sid, state="conferenced", phase="")
        assert dials_to(world, CUSTOMER) == 3
