"""Twilio refuses our credentials, is away, or has enough of us: no one who talks notices, and it goes on by itself."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from conferral.worker.executor import request_limiter
from tests.flows.readiness import readiness, talk, worker_lacks
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]
REFUSED = "twilio: credentials refused (20003)"


def held_back(system: LocalSystem, reason: str) -> float | None:
    registry = system.workers[0].metrics.registry
    return registry.get_sample_value("conferral_rest_breaker_open", {"reason": reason})


async def test_refused_credentials_stop_dialing_with_one_alarm_and_calls_continue_until_accepted(
    system: LocalSystem, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(request_limiter, "CREDENTIALS_PAUSE_S", 0.5)
    calls = [await system.talking() for _ in range(4)]
    token, system.sandbox.auth_token = system.sandbox.auth_token, "another-token"
    with capture_logs() as lines:
        outcomes = await asyncio.gather(*(system.command("convert", customer.sid) for customer, _ in calls))
        assert {outcome.status for outcome in outcomes} == {"failed"}
        assert await worker_lacks(system) == [REFUSED]
        assert held_back(system, "credentials") == 1
        assert await readiness(system) == (200, []), "the webhooks ask Twilio for next to nothing"
        for customer, agent in calls:
            assert talk(customer, agent)
            assert (await system.session(customer.sid))["state"] == "bridged"
        system.sandbox.auth_token = token

        async def converts() -> bool:
            return (await system.command("convert", calls[0][0].sid)).status == "done"

        await system.eventually(converts, "the worker tries again by itself")
        outcomes = await asyncio.gather(*(system.command("convert", customer.sid) for customer, _ in calls))
    assert {outcome.status for outcome in outcomes} == {"done"}
    alarms = [line for line in lines if line["event"] == "credentials_refused"]
    assert [(line["status"], line["code"], line["log_level"]) for line in alarms] == [(401, 20003, "error")]
    assert await worker_lacks(system) == []
    assert held_back(system, "credentials") == 0
    for customer, _ in calls:
        customer.hang_up()
    await system.settled()


@pytest.mark.soak
async def test_unavailable_twilio_is_probed_occasionally_and_pending_hang_ups_complete(
    system: LocalSystem, report_figure: Callable[[str], None]
):
    calls = [await system.converted() for _ in range(8)]
    talking = [await system.talking() for _ in range(8)]
    faults, log = system.sandbox.faults, system.sandbox.request_log
    faults.rate_500_before = 1.0
    before = len(log.requests("POST"))
    commands = [asyncio.create_task(system.command("convert", customer.sid, 30)) for customer, _ in talking]
    async with asyncio.timeout(60):
        while not await worker_lacks(system):
            await asyncio.sleep(0.01)
    assert await worker_lacks(system) == ["twilio: no answer"]
    since = len(log.requests("POST"))
    ends = [asyncio.create_task(system.command("end", customer.sid, 90)) for customer, _ in calls]
    assert {outcome.status for outcome in await asyncio.gather(*commands)} == {"failed"}
    sent = log.requests("POST")[since:]
    ordinary = [entry for entry in sent if "Twiml" in dict(entry.params)]
    assert len(ordinary) <= 12, "a single try every second, then more seldom"
    report_figure(
        f"{since - before} requests until it counted as away, then {len(ordinary)} tries beside "
        f"{len(sent) - len(ordinary)} of endings"
    )
    assert len(sent) > len(ordinary)
    for customer, agent in talking:
        assert talk(customer, agent)

    faults.rate_500_before = 0.0
    outcomes = await asyncio.gather(*ends)
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert await worker_lacks(system) == []
    for customer, _ in talking:
        customer.hang_up()
    await system.settled()


async def test_participant_that_twilio_failed_to_add_is_verified_and_dialed_again(system: LocalSystem):
    """Error 16030 asks for another try later; nothing shows that the first one rang no phone."""
    system.answered_by("client:bob")
    customer, _agent = await system.converted()
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants.json", status=400, code=16030)
    await system.done("transfer", customer.sid, to="client:bob", mode="warm")
    assert len(system.sandbox.calls_of("client:bob")) == 1
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants.json", status=400, code=16030, moment="after")
    await system.done("complete", customer.sid)
    system.answered_by("client:carol")
    await system.done("add", customer.sid, to="client:carol", party="guest")
    assert len(system.sandbox.calls_of("client:carol")) == 1
    await system.ended_by_command(customer.sid)
