"""Entries that no one can decide: garbage, and what someone has taken off the stream."""

import pytest

from conferral.storage import command_stream
from tests.fault_injection.calls import all_hang_up, dead_reasons, events_of, nothing_waits, stream_of
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.test_sweep import waits_for_nothing
from tests.support.entries import entry_of

# The answer to a read may be among the lost entries; it is waited for half a second instead of half a minute.
PATIENCE = {"read_timeout_ms": 500}
pytestmark = [pytest.mark.redis, pytest.mark.system(policy=PATIENCE, CONFERRAL_SWEEP_INTERVAL=0.5)]


async def test_fault_32_entries_that_make_no_sense_go_to_the_dead_letters_and_stop_nothing(system: FaultSystem) -> None:
    """Garbage, bytes that are no text, types of another version, wrong values, far too large ones."""
    customer, agent = await system.talking()
    stream = stream_of(system.keys, customer.sid)
    about = {"session": customer.sid, "party": "agent", "call_sid": agent.sid}
    odd: list[tuple[dict[bytes | str, bytes | str], str]] = [
        ({"foo": "bar"}, "missing field type"),
        ({b"\xff\xfe": b"\x00\x80"}, "not UTF-8"),
        ({"type": "call_teleported", **about}, "unknown type"),
        (entry_of("call_progressed", customer.sid, sequence="many"), "invalid field event"),
        ({"type": "call_progressed", "party": "agent"}, "missing field event"),
        ({"type": "call_progressed", **about, "status": "x" * 2**20}, "larger than 64 KiB"),
        ({f"a-longer-name-{number}": "" for number in range(6_000)}, "larger than 64 KiB"),
    ]
    for fields, _ in odd:
        await system.client.xadd(stream, fields)
    for fields in ({"foo": "bar"}, {b"\xff": b"\xfe"}, {"type": "x" * 2**20}):
        await system.client.xadd(system.keys.commands, fields)

    await system.done("convert", customer.sid)

    await system.eventually(lambda: nothing_waits(system), "nothing is left to be decided")
    assert sorted(await dead_reasons(system)) == sorted(
        [reason for _, reason in odd] + ["missing field type", "not UTF-8 or over 64 KiB", "not UTF-8 or over 64 KiB"]
    )
    letters = await system.client.xrange(system.keys.dead)
    kept = [{name: value for name, value in fields.items() if not name.startswith(b"dead_")} for _, fields in letters]
    assert {b"\xff\xfe": b"\x00\x80"} in kept, "a small dead letter is whole"
    assert all(sum(len(name) + len(value) for name, value in one.items()) <= 64 * 1024 for one in kept)
    assert system.redirects_of(agent) == 1
    await all_hang_up(system, dead_lettered=len(odd) + 3)


async def test_fault_34_entries_trimmed_by_hand_are_recovered_by_the_sweep(system: FaultSystem) -> None:
    """All callbacks about a call's end, and a command, vanish undecided; nothing in Redis remembers them."""
    customer, agent = await system.converted()
    stream = stream_of(system.keys, customer.sid)
    await waits_for_nothing(system, customer.sid)
    await system.stop_worker()
    agent.hang_up()
    await command_stream.publish(
        system.client, system.keys, {"type": "hold", "session": customer.sid, "party": "customer"}
    )
    await system.sandbox.wait_until_idle()
    await system.eventually(lambda: system.client.xlen(stream), "the callbacks are stored")
    await system.client.xtrim(stream, maxlen=0)
    await system.client.xtrim(system.keys.commands, maxlen=0)

    system.start_worker()

    await system.until(customer.sid, state="ended")  # who left first is unknown by now
    log = await system.log(customer.sid)
    assert events_of(log, "account_swept"), "the sweep has found it"
    await all_hang_up(system)
