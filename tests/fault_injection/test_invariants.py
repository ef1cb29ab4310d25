"""The laws notice when they are broken: each is broken by hand, after a run that keeps them all."""

from dataclasses import replace

import pytest

from tests.fault_injection import invariants
from tests.fault_injection.calls import all_hang_up, transferred
from tests.fault_injection.invariants import assert_invariants

pytestmark = pytest.mark.redis


async def test_each_law_notices_that_it_is_broken(system):
    customer, _ = await system.talking()
    await transferred(system, customer)
    await all_hang_up(system)
    client, keys, log = system.client, system.keys, system.keys.log(customer.sid)

    await client.xadd(keys.dead, {"type": "odd"})
    with pytest.raises(AssertionError, match="odd"):
        await assert_invariants(system)
    await client.delete(keys.dead)

    dials = [entry for entry in system.sandbox.request_log.rest if entry.path.endswith("/Participants.json")]
    system.sandbox.request_log.rest.append(replace(dials[0]))
    with pytest.raises(AssertionError, match="dialed more than once"):
        await assert_invariants(system)
    system.sandbox.request_log.rest.pop()

    key = keys.session(customer.sid)
    stored = await client.hget(key, "session")
    await client.hset(key, "session", stored.replace(b'{"name":"customer"', b'{"name":"customer","muted":true'))
    with pytest.raises(AssertionError, match=r"replays to .*party.customer.muted"):
        await assert_invariants(system)
    with pytest.raises(AssertionError, match=r"folded and stored differ in .*party.customer.muted"):
        await assert_invariants(system, replays=False)
    await client.hset(key, "session", stored)
    await assert_invariants(system)

    with pytest.raises(AssertionError, match="alone for"):
        await invariants.assert_no_one_was_stranded(
            system, outage_s=-invariants.SLACK_S - system.settings.sweep_interval_s - 0.3
        )

    (entry_id, fields), *_ = await client.xrange(log)
    await client.xdel(log, entry_id)
    with pytest.raises(AssertionError, match=customer.sid):
        await assert_invariants(system)
    assert fields[b"version"] == b"1"
