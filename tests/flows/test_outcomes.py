"""The outcomes stream: one entry for each finished transfer and one for each ended session."""

from dataclasses import fields
from datetime import datetime

import msgspec
import pytest

from conferral.outcomes.outcome import OutcomeRecord
from tests.flows.flow_helpers import CAROL, SECOND, TARGET
from tests.support.local_system import AGENT, CUSTOMER
from tests.support.phones import answers, busy, presses, rings, unreachable

pytestmark = pytest.mark.redis
#: Each entry has all, in the order of docs/reference/redis.md.
FIELDS = [one.name for one in fields(OutcomeRecord) if one.name not in ("position", "damaged")]
ATTEMPT = ["to", "label", "result", "rang_s", "at"]


async def published(system):
    """The published entries, oldest first, once everything is over; without repetitions."""
    entries = {}
    for entry in await system.outcomes():
        assert list(entry) == FIELDS
        assert entries.setdefault(entry["id"], entry) == entry  # a repetition says the same
        assert entry["started_at"] <= entry["ended_at"]
    return list(entries.values())


def attempts_of(entry):
    attempts = msgspec.json.decode(entry["attempts"])
    for attempt in attempts:
        assert list(attempt) == ATTEMPT
        assert entry["started_at"] <= attempt["at"]
        assert attempt["rang_s"] >= 0
    return attempts


def short(entry):
    """The parts of an entry that a story expects."""
    return {name: entry[name] for name in ("kind", "result", "reason", "mode", "to")}


def seconds(entry):
    return (datetime.fromisoformat(entry["ended_at"]) - datetime.fromisoformat(entry["started_at"])).total_seconds()


async def test_newest_reference_is_in_the_session_its_outcomes_and_its_log(system):
    for phone in (AGENT, CUSTOMER, TARGET):
        system.sandbox.phone(phone).script(answer_after_s=0)
    call = await system.done("call", "", agent=AGENT, customer=CUSTOMER, ref="desk/7")
    assert (await system.session(call.session))["ref"] == "desk/7"
    for ref in ("T-8", ""):
        await system.done("transfer", call.session, to=TARGET, mode="warm", ref=ref)
        await system.done("cancel", call.session)
        assert (await system.session(call.session))["ref"] == "T-8"
    await system.rejected("to: ", "transfer", call.session, to="nobody", mode="warm", ref="T-9")
    await system.ended_by_command(call.session)
    assert [entry["ref"] for entry in await published(system)] == ["T-8", "T-8", "T-8"]
    assert (await system.session(call.session))["ref"] == "T-8"
    details = [msgspec.json.decode(entry.get("details", "{}")) for entry in await system.log(call.session)]
    assert [one["ref"] for one in details if "ref" in one] == ["desk/7", "T-8", "T-9"]


@pytest.mark.parametrize("mode", ["warm", "consult", "blind"])
async def test_completed_transfer_is_reported_with_target_and_duration(system, mode):
    system.sandbox.phone(TARGET).script_in_turn(answers(1.0))
    customer, _ = await system.talking()
    await system.done("transfer", customer.sid, to=TARGET, mode=mode)
    if mode != "blind":
        await system.done("complete", customer.sid)
    await system.until(customer.sid, state="conferenced")
    (entry,) = await published(system)  # while the call still goes on
    assert short(entry) == {"kind": "transfer", "result": "completed", "reason": "", "mode": mode, "to": TARGET}
    (attempt,) = attempts_of(entry)
    assert (attempt["to"], attempt["result"]) == (TARGET, "answered")
    assert 0.49 < attempt["rang_s"] < 5  # Twilio's times have whole seconds
    assert attempt["rang_s"] <= seconds(entry) + 0.01
    await system.ended_by_command(customer.sid)
    assert [(one["kind"], one["result"]) for one in await published(system)] == [
        ("transfer", "completed"), ("session", "ended"),
    ]  # fmt: skip
    agents = msgspec.json.decode((await published(system))[-1]["agents"])
    assert [list(one) for one in agents] == [["address", "talk_s", "holds"]] * 2
    assert [one["address"] for one in agents] == [AGENT, TARGET]
    assert [one["holds"] for one in agents] == [int(mode == "consult"), 0]


@pytest.mark.system(speed=20)
async def test_every_attempt_of_several_is_reported_with_its_own_reason(system):
    system.sandbox.phone(TARGET).script_in_turn(busy())
    system.sandbox.phone(SECOND).script_in_turn(unreachable(1))
    system.sandbox.phone(CAROL).script_in_turn(presses("2", after_s=3))
    customer, _ = await system.converted()
    to = f"{TARGET},{SECOND},{CAROL}"
    await system.failed("rejected", "transfer", customer.sid, to=to, mode="warm", confirm="true")
    await system.until(customer.sid, state="conferenced")
    (entry,) = await published(system)
    assert short(entry) == {
        "kind": "transfer", "result": "failed", "reason": "rejected", "mode": "warm", "to": to,
    }  # fmt: skip
    results = [(attempt["label"], attempt["to"], attempt["result"]) for attempt in attempts_of(entry)]
    assert results == [
        ("target-1", TARGET, "busy"), ("target-2", SECOND, "failed"), ("target-3", CAROL, "rejected"),
    ]  # fmt: skip
    await system.ended_by_command(customer.sid)


async def test_targets_canceled_by_another_answer_are_also_reported(system):
    system.not_answered_by(TARGET)
    system.answered_by(CAROL)
    customer, _ = await system.converted()
    await system.done("transfer", customer.sid, to=f"{TARGET},{CAROL}", mode="warm")
    ringing = await system.dialed(TARGET)
    await system.sandbox.wait_until(lambda: ringing.record.is_final)
    await system.until(customer.sid, **{"party.target-1.status": "left"})
    await system.done("complete", customer.sid)
    (entry,) = await published(system)
    assert [(one["to"], one["result"]) for one in attempts_of(entry)] == [(TARGET, "cancelled"), (CAROL, "answered")]
    await system.ended_by_command(customer.sid)


@pytest.mark.parametrize("taken", [False, True], ids=["while it rings", "while all talk"])
async def test_cancelled_transfer_is_reported(system, taken):
    system.sandbox.phone(TARGET).script_in_turn(answers() if taken else rings())
    customer, _ = await system.converted()
    command = await system.begins("transfer", customer.sid, to=TARGET, mode="consult")
    status = "consulting" if taken else "ringing"
    await system.until(customer.sid, **{"transfer.status": status})
    await system.done("cancel", customer.sid)
    outcome = await system.result_of(command)
    assert (outcome.status, outcome.reason) == (("done", "") if taken else ("failed", "cancelled"))
    (entry,) = await published(system)
    wanted = {"kind": "transfer", "result": "cancelled", "reason": "command", "mode": "consult", "to": TARGET}
    assert short(entry) == wanted
    assert [one["result"] for one in attempts_of(entry)] == ["answered" if taken else "cancelled"]
    await system.ended_by_command(customer.sid)
