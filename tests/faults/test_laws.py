"""The laws notice when they are broken: each is broken by hand, after a run that keeps them all."""

from dataclasses import replace

import pytest

from tests.faults import laws
from tests.faults.calls import all_hang_up, transferred
from tests.faults.kit import FaultWorld
from tests.faults.laws import assert_laws
from tests.support.redis_history import Commit

pytestmark = pytest.mark.redis


async def test_each_law_notices_that_it_is_broken(redis_server):
    async with FaultWorld(redis_server) as world:
        customer, _ = await world.talking()
        await transferred(world, customer)
        await all_hang_up(world)
        client, keys, log = world.client, world.keys, world.keys.log(customer.sid)

        await client.xadd(keys.dead, {"type": "odd"})
        with pytest.raises(AssertionError, match="odd"):
            await assert_laws(world)
        await client.delete(keys.dead)

        dials = [entry for entry in world.sandbox.ledger.rest if entry.path.endswith("/Participants.json")]
        world.sandbox.ledger.rest.append(replace(dials[0]))
        with pytest.raises(AssertionError, match="dialled more than once"):
            await assert_laws(world)
        world.sandbox.ledger.rest.pop()

        await client.hset(keys.session(customer.sid), "party.customer.muted", "true")
        with pytest.raises(AssertionError, match=r"replays to .*party.customer.muted"):
            await assert_laws(world)
        with pytest.raises(AssertionError, match=r"folded and stored differ in .*party.customer.muted"):
            await assert_laws(world, replays=False)
        await client.hset(keys.session(customer.sid), "party.customer.muted", "false")
        await assert_laws(world)

        for of_other in ({"holder": "9:other"}, {"version": 1, "before": 7}):
            world.history.commits.append(world.history.commits[-1]._replace(**of_other))
            with pytest.raises(AssertionError, match=r"not the holder|a version that was there"):
                await assert_laws(world)
            world.history.commits.pop()
        assert isinstance(world.history.commits[-1], Commit)
        assert world.history.commits[-1].leased_to == world.history.commits[-1].holder

        with pytest.raises(AssertionError, match="alone for"):
            await laws.assert_nobody_was_stranded(world, outage_s=-laws.SLACK_S - world.settings.sweep_interval_s - 0.3)

        await client.hset(keys.session(customer.sid), "version", (await world.session(customer.sid))["version"])
        with pytest.raises(AssertionError, match="written by no commit"):
            await assert_laws(world)

        (entry_id, fields), *_ = await client.xrange(log)
        await client.xdel(log, entry_id)
        with pytest.raises(AssertionError, match=customer.sid):
            await assert_laws(world)
        assert fields[b"version"] == b"1"
