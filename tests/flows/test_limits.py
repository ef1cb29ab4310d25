"""Limits: how long a hold may last, and how many dials a call may have."""

import pytest

from tests.flows.flow_helpers import SECOND, TARGET, goes_on_and_ends, talking
from tests.flows.test_recall import SORRY
from tests.support.metric_values import value_of
from tests.support.people import CHIEF
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
    assert value_of(system.workers[0].metrics.hold_limits.labels("consult")) == 1
    await system.ended_by_command(talk.session)
    transfer = (await system.outcomes())[0]
    assert (transfer["result"], transfer["reason"]) == ("failed", "hold-limit")


@pytest.mark.system(CONFERRAL_DIALS_PER_SESSION=2)
async def test_call_has_so_many_dials_and_those_not_placed_are_given_back(system):
    system.answered_by(TARGET)
    talk = await talking(system, conferenced=True)
    await system.rejected("dial-limit", "transfer", talk.session, to=f"{TARGET},{SECOND},{CHIEF}", mode="warm")
    await system.rejected("the call is not parked", "retrieve", talk.session, to=TARGET)
    await system.done("transfer", talk.session, to=TARGET, mode="warm")
    await system.done("cancel", talk.session)
    await system.rejected("dial-limit", "transfer", talk.session, to=f"{TARGET},{SECOND}", mode="blind")

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
    assert value_of(system.workers[0].metrics.dials_refused.labels("session")) >= 1


@pytest.mark.system(CONFERRAL_DIALS_PER_MINUTE=1)
async def test_installation_has_so_many_dials_in_a_minute(system):
    system.answered_by(TARGET)
    first, second = await talking(system, conferenced=True), await talking(system, conferenced=True)
    await system.done("transfer", first.session, to=TARGET, mode="warm")
    await system.rejected("dial-limit", "transfer", second.session, to=TARGET, mode="warm")
    await system.done("end", first.session)
    await system.ended_by_command(second.session)
