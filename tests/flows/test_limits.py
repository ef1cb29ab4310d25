"""Limits: how long a hold may last, and how many dials a call may have."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from conferral.statemachine.effects import Effect, RedirectCall
from tests.flows.flow_helpers import SECOND, TARGET, goes_on_and_ends, talking
from tests.flows.group_call import two
from tests.flows.test_fallbacks import QUICK, leaves_message
from tests.flows.test_recall import SORRY
from tests.support.local_system import LocalSystem
from tests.support.marked_system import running
from tests.support.metric_values import value_of
from tests.support.people import AGENT, CHIEF, NUMBER
from tests.support.phones import busy

pytestmark = pytest.mark.redis


async def reached_limit(system, session: str) -> bool:
    """Whether a hold of the session was ended by the limit."""
    log = await system.log(session)
    return any(entry["event"] == "hold_overdue" and entry["reason"] == "hold-limit" for entry in log)


@pytest.mark.parametrize("restarts", [False, True], ids=["", "worker-restarts"])
@pytest.mark.system(CONFERRAL_HOLD_LIMIT=1)
async def test_held_customer_talks_to_the_agent_again_at_the_limit(system, restarts):
    talk = await talking(system, conferenced=True)
    await system.done("hold", talk.session, party="customer")
    if restarts:
        await system.stop_worker()
        system.start_worker()

    await system.eventually(lambda: reached_limit(system, talk.session), "the limit is reached")
    await goes_on_and_ends(system, talk.customer, talk.agent)


@pytest.mark.system(CONFERRAL_HOLD_LIMIT=2)
async def test_consult_at_the_limit_gives_the_customer_back_to_the_agent(system):
    system.answered_by(TARGET)
    talk = await talking(system)
    await system.begins("transfer", talk.session, to=TARGET, mode="consult")
    target = await system.dialed(TARGET)

    session = await system.until(
        talk.session, state="conferenced", phase="connected", **{"transfer.reason": "hold-limit"}
    )
    assert session["transfer.status"] == "failed"
    await system.until_talk(talk.customer, talk.agent)
    heard_by_target = [sound for sound in system.sounds(target) if isinstance(sound, frozenset)]
    assert not any(talk.customer.sid in heard for heard in heard_by_target)
    assert value_of(system.workers[0].metrics.calls.hold_limits.labels("consult")) == 1
    await system.ended_by_command(talk.session)
    transfer = (await system.outcomes())[0]
    assert (transfer["result"], transfer["reason"]) == ("failed", "hold-limit")


@pytest.mark.system(CONFERRAL_DIALS_PER_SESSION=2)
async def test_call_has_so_many_dials(system):
    system.answered_by(TARGET)
    talk = await talking(system, conferenced=True)
    await system.rejected("the call is not parked", "retrieve", talk.session, to=TARGET)
    await system.done("transfer", talk.session, to=TARGET, mode="warm")
    await system.done("cancel", talk.session)

    system.answered_by(CHIEF)
    await system.done("supervise", talk.session, to=CHIEF, mode="monitor")
    # Another mode dials no one.
    await system.done("supervise", talk.session, to=CHIEF, mode="barge")
    await system.rejected("dial-limit", "add", talk.session, to=SECOND, party="lawyer")
    assert (await system.log(talk.session))[-1]["reason"] == "dial-limit"
    assert (system.dials_to(TARGET), system.dials_to(SECOND), system.dials_to(CHIEF)) == (1, 0, 1)
    await system.ended_by_command(talk.session)


@pytest.mark.system(speed=20, CONFERRAL_DIALS_PER_SESSION=1)
async def test_recall_beyond_the_limit_fails_and_the_customer_hears_a_sentence(system):
    system.sandbox.phone(TARGET).script_in_turn(busy())
    talk = await talking(system)
    await system.failed("busy", "transfer", talk.session, to=TARGET, mode="blind")

    session = await system.everyone_is_gone(talk.session, "recall-failed")
    assert session["transfer.reason"].startswith("busy, recall dial-limit")
    assert system.sounds(talk.customer)[-1] == SORRY
    # The `<Dial>` of the inbound call does not count, and there was no other.
    assert system.sandbox.request_log.dials_to("client:alice") == 1
    assert value_of(system.workers[0].metrics.calls.dials_refused.labels("session")) >= 1


@pytest.mark.system(CONFERRAL_DIALS_PER_MINUTE=1)
async def test_installation_has_so_many_dials_in_a_minute(system):
    system.answered_by(TARGET)
    first, second = await talking(system, conferenced=True), await talking(system, conferenced=True)
    await system.done("transfer", first.session, to=TARGET, mode="warm")
    await system.rejected("dial-limit", "transfer", second.session, to=TARGET, mode="warm")
    await system.done("end", first.session)
    await system.ended_by_command(second.session)


@pytest.mark.parametrize("to", [TARGET, f"{TARGET},{SECOND}"], ids=["one", "several"])
@pytest.mark.system(CONFERRAL_DIALS_PER_MINUTE=1)
async def test_blind_transfer_beyond_the_limit_is_rejected_and_the_two_go_on_talking(system, to):
    system.answered_by(TARGET)
    other, talk = await talking(system, conferenced=True), await talking(system)
    await system.done("transfer", other.session, to=TARGET, mode="warm")

    await system.rejected("dial-limit", "transfer", talk.session, to=to, mode="blind")

    await system.until_talk(talk.customer, talk.agent)
    session = await system.session(talk.session)
    assert (session["state"], session["phase"], session["transfer.mode"]) == ("bridged", "connected", "")
    assert (system.dials_to(TARGET), system.dials_to(SECOND)) == (1, 0)
    await system.done("end", other.session)
    await system.ended_by_command(talk.session)


# ---- commands that are admitted together ---------------------------------------------------------------------------


class HeldConversions:
    """A checkpoint at which all conversions wait until the test lets them go on."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()

    async def __call__(self, point: str, effect: Effect) -> None:
        if point == "before_request" and isinstance(effect, RedirectCall):
            await self.may_go_on.wait()


@pytest.fixture
async def held(redis_server, request) -> AsyncIterator[tuple[LocalSystem, HeldConversions]]:
    """A system in which commands that convert first are all admitted before any of them dials."""
    conversions = HeldConversions()

    def make(*args, **options):
        system = LocalSystem(*args, **options)
        system.worker_options["effect_checkpoint"] = conversions
        return system

    async with running(make, redis_server.url, request) as system:
        yield system, conversions


@pytest.mark.parametrize("mode", ["warm", "consult"])
@pytest.mark.system(CONFERRAL_DIALS_PER_MINUTE=1)
async def test_of_two_transfers_admitted_together_one_rings_and_the_other_fails(held, mode):
    system, conversions = held
    system.answered_by(TARGET)
    talks = [await talking(system) for _ in range(2)]
    commands = [await system.begins("transfer", one.session, to=TARGET, mode=mode) for one in talks]
    conversions.may_go_on.set()

    found = [await system.result_of(one) for one in commands]

    assert sorted((one.status, one.reason) for one in found) == [("done", ""), ("failed", "dial-limit")]
    refused, rung = sorted(zip(talks, found, strict=True), key=lambda one: one[1].status == "done")
    await system.until_hears(await system.dialed(TARGET), [rung[0].agent, *([rung[0].customer] * (mode == "warm"))])
    # The conversation is as it was before, now in a conference.
    await system.until(refused[0].session, state="conferenced", phase="connected")
    await system.until_talk(refused[0].customer, refused[0].agent)
    assert system.dials_to(TARGET) == 1
    await system.done("end", rung[0].session)
    await system.ended_by_command(refused[0].session)
    transfers = {one["session"]: one for one in await system.outcomes() if one["kind"] == "transfer"}
    lost = transfers[refused[0].session]
    assert (lost["result"], lost["reason"], msgspec.json.decode(lost["attempts"])[0]["result"]) == (
        "failed", "dial-limit", "dial-limit",
    )  # fmt: skip
    assert transfers[rung[0].session]["reason"] != "dial-limit"


@pytest.mark.system(CONFERRAL_DIALS_PER_SESSION=1)
async def test_of_two_adds_admitted_together_one_rings_and_the_other_fails(held):
    system, conversions = held
    crowd = await two(system, "bridged")
    system.answered_by(TARGET)
    bob = await crowd.say("add", to=TARGET, party="bob")
    eve = await crowd.say("add", to=SECOND, party="eve")
    conversions.may_go_on.set()

    assert await crowd.outcome(bob) == ("done", "")
    assert await crowd.outcome(eve) == ("failed", "dial-limit")
    crowd.people["bob"] = await system.dialed(TARGET)
    await crowd.talk()
    assert system.dials_to(SECOND) == 0
    await crowd.let_go()


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "not-taken"])
@pytest.mark.system(CONFERRAL_DIALS_PER_SESSION=2)
async def test_of_several_targets_those_within_the_limit_ring(system, is_taken):
    system.sandbox.phone(TARGET).script_in_turn(busy())
    system.not_answered_by(SECOND)
    talk = await talking(system, conferenced=True)
    command = await system.begins("transfer", talk.session, to=f"{TARGET},{SECOND},{CHIEF}", mode="warm")
    second = await system.dialed(SECOND)
    if is_taken:
        second.answer()
        assert (await system.result_of(command)).status == "done"
        await system.until_hears(second, [talk.customer, talk.agent])
    else:
        second.reject()
        await system.has_failed(command, "rejected")
        await system.until_talk(talk.customer, talk.agent)
    assert (system.dials_to(TARGET), system.dials_to(SECOND), system.dials_to(CHIEF)) == (1, 1, 0)
    await system.ended_by_command(talk.session)
    transfer = next(one for one in await system.outcomes() if one["kind"] == "transfer")
    results = {one["to"]: one["result"] for one in msgspec.json.decode(transfer["attempts"])}
    assert results == {TARGET: "busy", SECOND: "answered" if is_taken else "rejected", CHIEF: "dial-limit"}


@pytest.mark.system(**QUICK, CONFERRAL_DIALS_PER_SESSION=1, CONFERRAL_INBOUND_FALLBACK=f"{SECOND},voicemail")
async def test_caller_whose_fallback_is_beyond_the_limit_leaves_a_message(system):
    system.agent_phone.script_in_turn(busy())
    customer = await system.sandbox.call_in("+14155550199", NUMBER, url=f"{system.public_url}/voice/conference")
    await leaves_message(system, customer, customer.sid)
    assert (system.dials_to(AGENT), system.dials_to(SECOND)) == (1, 0)
