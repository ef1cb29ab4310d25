"""Someone who is dialed is dialed once, whatever becomes of the request, and never when no one waits any more."""

import asyncio
import random

import pytest

from conferral.runtime.errors import ProviderError
from conferral.statemachine.effects import Dial, Effect
from conferral.statemachine.events import EffectFailed, EffectSucceeded
from conferral.telephony.parameters import PlacedCall
from conferral.worker.executor.outbox import DialStatus
from tests.worker.executor_harness import (
    AWAY,
    BUSY,
    DENIED,
    GONE,
    REFUSED,
    START_MS,
    TWILIO_AHEAD_MS,
    UNKNOWN,
    UNWANTED,
    ExecutorHarness,
    both_ways,
    find,
    gated,
    hang_up,
    recording,
    redirect,
    straight,
    succeeded,
    update,
)

# ---- outcomes ------------------------------------------------------------------------------------------------------


@both_ways
async def test_success_returns_the_call_and_its_queue_time_once_the_index_knows_it(
    system: ExecutorHarness, dial: Dial
) -> None:
    system.calls.script["d"].append(PlacedCall("CA7", queue_ms=1500))

    assert await system.run(dial) == succeeded(dial, "CA7", 1500)

    assert system.records.written[-2:] == ["call CA7", "outcome d"]
    assert system.records.owners == {"CA7": "S1"}


@pytest.mark.parametrize("effect", [straight("d"), gated("d"), recording("d")], ids=lambda effect: effect.kind)
@pytest.mark.parametrize("error", [REFUSED, GONE, DENIED])
async def test_refusal_is_final(system: ExecutorHarness, effect: Effect, error: ProviderError) -> None:
    system.calls.script["d"].append(error)

    outcome = await system.run(effect)

    assert isinstance(outcome, EffectFailed)
    assert (outcome.http_status, outcome.code, outcome.gone) == (error.http_status, error.code, error is GONE)
    assert system.calls.asked == ["d"]


@pytest.mark.parametrize(("owner", "found"), [("S1", "CA7"), ("S2", "")])
async def test_search_returns_the_call_it_found_unless_another_session_has_it(
    system: ExecutorHarness, owner: str, found: str
) -> None:
    """Two sessions may dial the same address at the same time."""
    system.records.owners["CA7"] = owner
    system.calls.script["f"].append(PlacedCall("CA7"))

    assert await system.run(find("f")) == succeeded(find("f"), found)


# ---- straight: verified before it is repeated ------------------------------------------------------------------------


async def test_dial_that_ended_before_verification_is_identified_by_its_callback(system: ExecutorHarness) -> None:
    """Busy at once: it has left the list of participants, but a callback has named the call to the session."""
    system.calls.script["d"].append(UNKNOWN)
    system.calls.reads["d"].append("")
    named = DialStatus(is_wanted=False, call_sid="CA7")

    outcome = await system.run_and_change(straight("d"), lambda: system.records.standings.update(d=named))

    assert outcome == succeeded(straight("d"), "CA7")
    assert system.calls.asked.count("d") == 1


async def test_dial_that_has_come_and_gone_is_known_by_the_list_of_calls(system: ExecutorHarness) -> None:
    system.calls.script["d"].append(UNKNOWN)
    system.calls.reads["d"].extend([""] * 9)
    system.calls.gone_calls = ("CA7",)

    assert await system.run(straight("d")) == succeeded(straight("d"), "CA7")

    assert system.calls.asked.count("d") == 1
    assert system.records.owners == {"CA7": "S1"}


async def test_dial_without_twilio_s_time_is_not_sent(system: ExecutorHarness) -> None:
    """Without it, a search could miss the call if the answer is lost."""
    answers: list[ProviderError | None] = [AWAY, REFUSED]
    system = ExecutorHarness(fetch_twilio_now_ms=lambda: _raises(answers.pop(0)))

    outcome = await system.run(straight("d"))

    assert isinstance(outcome, EffectFailed)
    assert (outcome.code, answers, system.calls.asked) == (REFUSED.code, [], [])


async def _raises(error: ProviderError | None) -> int:
    assert error is not None
    raise error


@pytest.mark.parametrize("known, asked_ms", [
    ({}, START_MS + TWILIO_AHEAD_MS),
    ({"sent_at_ms": 12_345}, 12_345),
], ids=["unmarked", "marked"])  # fmt: skip
async def test_restored_dial_is_searched_for_since_it_may_have_been_sent(
    system: ExecutorHarness, known: dict[str, int], asked_ms: int
) -> None:
    """By its mark, however wrong the workers' time is: Redis's clock may have been set back while its worker died."""
    system.calls.reads["d"].extend([""] * 9)
    system.calls.gone_calls = ("CA7",)
    dial = straight("d")

    assert await system.run(dial, maybe_sent_until_s=0.0, **known) == succeeded(dial, "CA7")

    assert system.calls.gone_since_ms == [asked_ms]
    assert "d" not in system.calls.asked


@pytest.mark.parametrize("whose", ["another session's", "of an earlier dial"])
async def test_gone_or_foreign_call_is_not_taken_for_the_dial(system: ExecutorHarness, whose: str) -> None:
    system.calls.script["d"].extend([UNKNOWN, PlacedCall("CA8")])
    system.calls.reads["d"].extend([""] * 9)
    system.calls.gone_calls = ("CA7",)
    if whose == "another session's":
        system.records.owners["CA7"] = "S2"
    else:
        system.records.standings["d"] = DialStatus(is_wanted=True, known_calls=frozenset({"CA7"}))

    assert await system.run(straight("d")) == succeeded(straight("d"), "CA8")

    assert system.calls.asked.count("d") == 2


async def test_unwanted_dial_is_not_sent_again(system: ExecutorHarness) -> None:
    system.calls.script["d"].append(UNKNOWN)
    system.calls.reads["d"].append("")

    outcome = await system.run_and_change(straight("d"), lambda: system.records.standings.update(d=UNWANTED))

    assert isinstance(outcome, EffectFailed)
    assert system.calls.asked.count("d") == 1


# ---- gated: never sent a second time ---------------------------------------------------------------------------------


async def test_only_dials_and_announcements_are_marked(system: ExecutorHarness) -> None:
    for effect in (update("b"), find("c"), redirect("e", "S2"), recording("f", "S3")):
        system.submit(effect)
    await system.settle()

    assert not [line for line in system.records.written if line.startswith("mark")]


# ---- all at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
async def test_no_one_is_dialed_twice_under_any_fault(seed: int) -> None:
    """Every request of the script that may have taken effect places a call, which then is to be found by its label."""
    system = ExecutorHarness(requests_max=3)
    chance = random.Random(seed)
    placed: dict[str, int] = {}

    async def execute(effect: Effect) -> PlacedCall | None:
        system.calls.asked.append(effect.effect_id)
        await asyncio.sleep(0)
        if not isinstance(effect, Dial):
            return None
        error = chance.choice([BUSY, AWAY, UNKNOWN, UNKNOWN, None])
        if error is None or (error is UNKNOWN and chance.random() < 0.6):
            placed[effect.effect_id] = placed.get(effect.effect_id, 0) + 1
        if error is not None:
            raise error
        return PlacedCall(f"CA-{effect.effect_id}")

    async def find_dial(effect: Dial) -> str:
        if chance.random() < 0.3:
            raise chance.choice([BUSY, UNKNOWN])
        return f"CA-{effect.effect_id}" if effect.effect_id in placed else ""

    system.calls.execute = execute  # type: ignore[method-assign, assignment]
    system.calls.find_dial = find_dial  # type: ignore[method-assign, assignment]
    for number in range(40):
        name = f"e{number:02}"
        effect = chance.choice([straight, gated, update])(name, f"S{chance.randrange(6)}")
        system.submit(effect, maybe_sent_until_s=0.0 if chance.random() < 0.2 else None)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
    await system.executor.drain(20)

    outcomes = {outcome.effect_id: outcome for outcome in system.outcomes}
    assert len(outcomes) == len(system.outcomes) == 40
    assert placed
    assert set(placed.values()) == {1}
    for name, outcome in outcomes.items():
        if isinstance(outcome, EffectFailed):
            assert name not in placed


# ---- no one waits any more ------------------------------------------------------------------------------------------


@both_ways
async def test_dial_whose_session_ended_while_it_was_under_way_is_hung_up(system: ExecutorHarness, dial: Dial) -> None:
    answer = asyncio.Event()
    system.calls.script["d"].extend([answer, PlacedCall("CA7")])
    system.calls.script["stray CA7"].extend([UNKNOWN, BUSY, DENIED, None])
    system.submit(dial)
    await system.settle()

    system.submit(hang_up("h"))
    system.records.gone.add("d")
    answer.set()
    await system.settle()

    assert system.calls.asked == ["d", "h", *["stray CA7"] * 4]
    assert system.finished == ["h", "d", "stray CA7"]
    assert isinstance(system.outcomes[-1], EffectSucceeded)


async def test_dial_of_unknown_outcome_and_ended_session_is_searched_for_and_hung_up(system: ExecutorHarness) -> None:
    system.calls.script["d"].append(UNKNOWN)
    system.calls.reads["d"].extend(["", "CA7"])
    system.time.gate = asyncio.Event()
    system.submit(straight("d"))
    await system.settle()

    system.executor.cancel_session("S1")
    system.records.gone.add("d")
    system.time.gate.set()
    await system.settle()

    assert system.calls.asked == ["d", "look d", "look d", "stray CA7"]


async def test_hang_up_of_an_unwanted_dial_affects_nothing_else(system: ExecutorHarness) -> None:
    answer = system.hold_answer("d")
    system.submit(straight("d"))
    system.submit(update("u"))
    await system.settle()
    system.records.gone.add("d")
    answer.set()
    await system.settle()

    assert sorted(system.finished) == ["d", "stray CA-d", "u"]
    assert system.dropped == 0
