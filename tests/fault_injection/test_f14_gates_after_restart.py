"""Calls after a restart of Redis: whom a gate screens is dialed as always, once."""

import asyncio
from dataclasses import dataclass

import pytest

from conferral.statemachine.events import Transfer
from offhook import CallHandle, PhoneScript
from tests.fault_injection.calls import hang_up
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.redis_losses import copy_before, no_one_is_in_silence, restore
from tests.support.local_system import CUSTOMER, NUMBER, LocalSystem
from tests.support.people import AGENT_PHONE, SALES, SECOND_AGENT_PHONE
from tests.support.phones import answers, busy, presses
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.processes]
SETTINGS = {"CONFERRAL_SWEEP_INTERVAL": 600, "CONFERRAL_CONFIRM": "phones", "speed": 20}
#: The TwiML app of the browser.
APP = "AP" + "1" * 32


@dataclass(frozen=True)
class Way:
    """A way to a person who passes a gate: the phones that ring, in order, and what each does."""

    #: Of the hand-off; empty for the conference's door, whose agent is the first phone.
    query: str = ""
    rings: tuple[tuple[str, PhoneScript], ...] = ()
    phase: str = ""


def phone(number: int) -> str:
    return f"+141555502{number:02d}"


WAYS = {
    "brief": Way("brief=An+order", rings=(("client:brief", answers()),)),
    "confirm": Way("confirm=true", rings=((phone(1), presses("1")),)),
    "amd": Way("amd=true", rings=((phone(2), presses("1")),)),
    "fallback": Way(
        "brief=An+order&fallback={1}", rings=(("client:away", busy()), (phone(4), presses("1")))
    ),
    "voicemail": Way("brief=An+order&fallback=voicemail", rings=((phone(5), busy()),), phase="voicemail"),
    "conference": Way(rings=((AGENT_PHONE, presses("1")),)),
}  # fmt: skip


async def comes_back_without_its_end(system: LocalSystem, server: RedisServer) -> None:
    """Restarts Redis without its last commits, and waits until every partition was claimed again."""
    server.kill()
    server.start()
    with server.client() as client:
        leases = [system.keys.lease(one) for one in range(system.keys.partitions)]
        before = [client.hget(lease, "holder") for lease in leases]
        for lease in leases:
            client.hincrby(lease, "commit", -1)

        async def is_noticed() -> bool:
            holders = [client.hget(lease, "holder") for lease in leases]
            return not set(holders) & set(before) and await system.all_held()

        await system.eventually(is_noticed, "the loss is noticed")


async def calls_in(system: LocalSystem, number: int, way: Way) -> CallHandle:
    """Someone calls who is to reach those phones."""
    addresses = [address for address, _ in way.rings]
    url = f"{system.public_url}/voice/conference"
    if way.query:
        query = way.query.format(*(one.replace("+", "%2B") for one in addresses))
        url = f"{system.public_url}/voice/handoff?to={addresses[0].replace('+', '%2B')}&{query}"
    for address, script in way.rings:
        system.sandbox.phone(address).script_in_turn(script)
    return await system.sandbox.call_in(f"+141555503{number:02d}", NUMBER, url=url)


async def reaches(system: LocalSystem, customer: CallHandle, way: Way) -> None:
    """The caller reaches the last phone, or the voicemail; each phone has rung once."""
    if way.phase:
        await system.until(customer.sid, phase=way.phase)
    else:
        await system.until_talk(customer, await system.dialed(way.rings[-1][0]))
    assert [system.dials_to(address) for address, _ in way.rings] == [1] * len(way.rings)


async def bridge_waits_for_a_key(system: LocalSystem) -> tuple[CallHandle, CallHandle]:
    """An agent takes a call to the number whose agents confirm."""
    system.sandbox.phone(SECOND_AGENT_PHONE).script_in_turn(presses("1"), presses("1"))
    system.sandbox.add_number(SALES, voice_url=f"{system.public_url}/voice/inbound")
    customer = await system.sandbox.call_in(CUSTOMER, SALES)
    agent = await system.dialed(SECOND_AGENT_PHONE)
    await system.until_talk(customer, agent)
    return customer, agent


async def transfers_ring_and_recall(system: LocalSystem) -> None:
    """That call is transferred to several targets, then to one who is busy, so that the agent is recalled."""
    customer, agent = await bridge_waits_for_a_key(system)
    system.sandbox.phone(phone(11)).script_in_turn(presses("1"))
    await system.done("transfer", customer.sid, to=f"{phone(11)},{phone(12)}", mode="warm")
    target = await system.dialed(phone(11))
    await system.until_hears(customer, [agent, target])
    await system.done("remove", customer.sid, party="target")
    system.sandbox.phone(phone(13)).script_in_turn(busy())
    await system.begins("transfer", customer.sid, to=phone(13), mode="blind", fallback="recall")
    await system.until_talk(customer, await system.dialed(SECOND_AGENT_PHONE, 2))
    assert [system.dials_to(one) for one in (phone(11), phone(12), phone(13), SECOND_AGENT_PHONE)] == [1] * 4


async def browser_reaches_a_phone(system: LocalSystem) -> None:
    system.sandbox.phone(phone(14)).script_in_turn(presses("1"))
    system.sandbox.add_application(APP, voice_url=f"{system.public_url}/voice/client")
    caller = await system.sandbox.call_from_browser("bea", phone(14), {})
    await system.until_talk(caller, await system.dialed(phone(14)))
    assert system.dials_to(phone(14)) == 1


async def test_fault_14_every_way_to_a_gate_is_open_after_a_restart(durable_redis, tmp_path):
    directory = tmp_path / "directory.toml"
    directory.write_text(f'[inbound."{SALES}"]\nagents = ["{SECOND_AGENT_PHONE}"]\nconfirm = true\n')
    settings = {"CONFERRAL_AGENT": AGENT_PHONE, "CONFERRAL_DIRECTORY": directory, **SETTINGS}
    async with FaultSystem(durable_redis, **settings) as system:
        await comes_back_without_its_end(system, durable_redis)
        customers = [await calls_in(system, number, way) for number, way in enumerate(WAYS.values())]
        await asyncio.gather(
            *(reaches(system, *one) for one in zip(customers, WAYS.values(), strict=True)),
            transfers_ring_and_recall(system),
            browser_reaches_a_phone(system),
        )
        await hang_up(system)


# ---- what Redis has lost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["warm", pytest.param("consult", marks=pytest.mark.soak), "blind"])
@pytest.mark.parametrize("rings_s", [0, pytest.param(5, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "after_s", [pytest.param(0.1, marks=pytest.mark.soak), 0.3, pytest.param(0.9, marks=pytest.mark.soak)]
)
async def test_fault_14_no_one_is_stranded_when_a_transfer_to_a_gated_phone_is_lost(
    durable_redis, tmp_path, mode, rings_s, after_s
):
    """The transfer is decided again. Its dial can't be verified: it may be unknown, or be placed once more."""
    system = FaultSystem(durable_redis, CONFERRAL_SWEEP_INTERVAL=600, CONFERRAL_CONFIRM="phones")
    copies = copy_before(Transfer, system, durable_redis, tmp_path / "copy")
    async with system:
        customer, _ = await system.converted()
        await system.nothing_under_way()
        system.sandbox.phone(AGENT_PHONE).script_in_turn(presses("1", after_s=rings_s))
        command_id = await system.begins("transfer", customer.sid, to=AGENT_PHONE, mode=mode)
        await system.dialed(AGENT_PHONE)
        await asyncio.sleep(after_s)  # a delay: what reaches Redis meanwhile is lost, too
        restore(durable_redis, copies[0])
        await system.eventually(system.all_held, "Redis is back")
        assert (await system.result_of(command_id)).status in ("done", "failed")
        await system.eventually(lambda: no_one_is_in_silence(system), "no one is in silence")
        assert system.dials_to(AGENT_PHONE) <= 2
        await hang_up(system)
