"""Callbacks that are lost, doubled, late, in reverse order, or not for us."""

from dataclasses import replace
from random import Random

import aiohttp
import pytest
from twilio.request_validator import RequestValidator

from offhook import CallHandle, Faults
from offhook.faults import CallbackPlan
from offhook.model.messages import CallbackRequest
from offhook.request_log import DeliveryEntry
from offhook.webhook_delivery import parse_target
from tests.fault_injection.calls import all_hang_up, stream_of, transferred
from tests.fault_injection.fault_system import FaultSystem

SWEEP_S = 0.5
#: After this ring time without callbacks, Conferral searches for the dialed party's call.
POLICY = {"ring_timeout_ms": 1_000}
pytestmark = [pytest.mark.redis, pytest.mark.system(policy=POLICY, CONFERRAL_SWEEP_INTERVAL=SWEEP_S)]


class Storm(Faults):
    """Each callback is lost, sent three times, late or overtaken, as chance will have it."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self.chance = chance

    def plan_callback(self, request: CallbackRequest) -> CallbackPlan:
        copies = self.chance.choices((0, 1, 3), (3, 5, 2))[0]
        return CallbackPlan(copies, self.chance.choice((0.0, 0.0, 0.05, 0.4, 1.0)), self.chance.random() < 0.2)


async def agrees_with_twilio(system: FaultSystem, session_id: str) -> bool:
    """Whether the session agrees with Twilio about each party: on the phone or not, in the conference or not."""
    session, state = await system.session(session_id), system.sandbox.model.state
    for field, call_sid in session.items():
        if not field.endswith(".call_sid") or not call_sid:
            continue
        party, call = field.removesuffix(".call_sid"), state.calls[call_sid]
        is_live = call_sid in state.live_calls
        if is_live == (session[f"{party}.status"] == "left"):
            return False
        if is_live and bool(call.conference_sid) != (session.get(f"{party}.in_conference") == "true"):
            return False
    return True


async def comes_to_agree(system: FaultSystem, customer: CallHandle) -> None:
    await system.eventually(lambda: agrees_with_twilio(system, customer.sid), "session and Twilio agree")


@pytest.mark.soak
async def test_fault_43_no_callback_arrives_at_all(system: FaultSystem) -> None:
    """Except for callbacks that open the session: reads, timers, and the sweep replace all others."""
    customer, agent = await system.talking()
    system.sandbox.faults.callback_loss = 1.0

    await system.done("convert", customer.sid)
    await comes_to_agree(system, customer)
    await transferred(system, customer)
    await comes_to_agree(system, customer)
    agent.hang_up()

    await comes_to_agree(system, customer)
    assert customer.status == "in-progress"
    await all_hang_up(system)


async def deliver_again(system: FaultSystem, entries: list[DeliveryEntry]) -> set[int]:
    """Sends callbacks once more as they were, signed, with the same token; returns the statuses answered."""
    delivery = system.sandbox.webhook_sender
    return {(await delivery.send(parse_target(entry.url), replace(entry, attempts=[]))).status for entry in entries}


async def test_fault_43_callbacks_that_come_when_all_is_over_change_nothing(system: FaultSystem) -> None:
    """Some were lost until then, all the others are there twice; the newest comes first."""
    system.sandbox.faults = Storm(Random(43))
    customer, _ = await system.talking()
    await system.done("convert", customer.sid)
    await transferred(system, customer)
    late = [entry for entry in system.sandbox.request_log.deliveries if entry.kind != "voice"]
    assert await deliver_again(system, late[::-1]) == {204}
    await comes_to_agree(system, customer)
    await all_hang_up(system)
    ended, requests = await system.session(customer.sid), len(changes(system))
    late = [entry for entry in system.sandbox.request_log.deliveries if entry.kind != "voice"]

    assert await deliver_again(system, late[::-1]) == {204}

    await all_hang_up(system)
    session = await system.session(customer.sid)
    assert (session["state"], session["end_reason"], session["ended_at"]) == (
        "ended",
        ended["end_reason"],
        ended["ended_at"],
    )
    assert len(changes(system)) == requests
    behind = [entry for entry in await system.log(customer.sid) if int(entry["version"]) > int(ended["version"])]
    assert behind
    assert {entry["outcome"] for entry in behind} <= {"stale", "ignored", "stayed"}
    assert all(entry["reason"] for entry in behind if entry["outcome"] != "stayed")


def changes(system: FaultSystem) -> list[str]:
    """What Twilio was asked to do, reads left out."""
    return [f"{entry.path} {entry.params}" for entry in system.sandbox.request_log.rest if entry.method == "POST"]


# ---- not for us ------------------------------------------------------------------------------------------------------


async def posted(url: str, form: dict[str, str], *, token: str) -> int:
    """The status that a callback gets which someone has signed."""
    url = parse_target(url).url  # what stands behind a # is for Twilio alone
    headers = {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, form)}
    async with aiohttp.ClientSession() as session, session.post(url, data=form, headers=headers) as response:
        return response.status


async def test_fault_44_callbacks_of_an_unknown_session_restore_it(system: FaultSystem) -> None:
    """The call's events were lost undecided; the agent's own callbacks say enough."""
    await system.stop_worker()
    customer = await system.customer_calls()
    stream = stream_of(system.keys, customer.sid)
    await system.eventually(lambda: system.client.xlen(stream), "the call is told of")
    await system.sandbox.wait_until_idle()
    entries = await system.client.xrange(stream)
    lost = [entry_id for entry_id, fields in entries if fields[b"type"] == b"call_received"]
    assert len(lost) == 1
    await system.client.xdel(stream, *lost)

    system.start_worker()

    await system.until(customer.sid, phase="connected")
    await system.done("convert", customer.sid)
    await all_hang_up(system)


async def test_fault_44_callbacks_of_a_session_that_never_was_leave_nothing(system: FaultSystem) -> None:
    customer, agent = await system.talking()
    seen = next(entry for entry in system.sandbox.request_log.deliveries if entry.call_sid == agent.sid)
    strange = "CA" + "e" * 32
    url = seen.url.replace(customer.sid, strange)
    form = dict(seen.params) | {"CallSid": strange, "ParentCallSid": strange, "CallStatus": "completed"}

    assert await posted(url, form, token=system.sandbox.auth_token) == 204

    stream = stream_of(system.keys, strange)
    await system.eventually(lambda: system.client.xlen(stream), "it is decided upon", equals=0)
    assert not await system.session(strange)
    assert not await system.log(strange)
    await all_hang_up(system)
