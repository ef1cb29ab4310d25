"""Somebody who is dialled is dialled once, whatever becomes of the request, and never when nobody waits any more."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from conferral.runtime.errors import ProviderError
from conferral.statemachine.effects import Dial, Effect
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.storage.dials import DialStanding
from conferral.telephony.dialling import Dialled
from conferral.worker.executor import ExecutorPolicy, RetryPolicy
from tests.worker.executor_world import (
    AWAY,
    BUSY,
    DENIED,
    GONE,
    REFUSED,
    START_MS,
    UNKNOWN,
    UNWANTED,
    FakeRecords,
    World,
    find,
    gated,
    say,
    straight,
    succeeded,
    update,
)

both_ways = pytest.mark.parametrize("dial", [straight("d"), gated("d")], ids=lambda dial: dial.kind)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    assert (world.executor.in_flight, world.executor.waiting) == (0, 0)


# ---- what is told ----------------------------------------------------------------------------------------------------


@both_ways
async def test_success_tells_the_call_and_how_long_it_is_queued(world: World, dial: Dial) -> None:
    world.calls.script["d"].append(Dialled("CA7", queue_ms=1500))

    assert await world.run(dial) == succeeded(dial, "CA7", 1500)


@both_ways
async def test_index_learns_the_call_before_the_outcome_is_written(world: World, dial: Dial) -> None:
    await world.run(dial)

    assert world.records.written[-2:] == ["call CA-d", "outcome d"]
    assert world.records.owners == {"CA-d": "S1"}


@both_ways
@pytest.mark.parametrize("error", [REFUSED, GONE, DENIED])
async def test_refusal_is_final(world: World, dial: Dial, error: ProviderError) -> None:
    world.calls.script["d"].append(error)

    outcome = await world.run(dial)

    assert isinstance(outcome, EffectFailed)
    assert (outcome.http_status, outcome.code) == (error.http_status, error.code)
    assert world.calls.asked == ["d"]


@both_ways
@pytest.mark.parametrize("error", [BUSY, AWAY])
async def test_what_certainly_did_not_happen_is_repeated(world: World, dial: Dial, error: ProviderError) -> None:
    world.calls.script["d"].extend([error, error, Dialled("CA7")])

    assert await world.run(dial) == succeeded(dial, "CA7")

    assert world.calls.asked == ["d", "d", "d"]


@both_ways
async def test_busy_until_the_deadline_is_a_failure(world: World, dial: Dial) -> None:
    world.calls.script["d"].append(BUSY)

    outcome = await world.run(dial)

    assert isinstance(outcome, EffectFailed)
    assert outcome.http_status == 429
    assert 5 < world.time.s <= 10


@pytest.mark.parametrize("effect", [update("e"), say("e"), find("e")])
async def test_what_may_happen_twice_is_simply_repeated(world: World, effect: Effect) -> None:
    world.calls.script["e"].extend([UNKNOWN, UNKNOWN, None])

    assert await world.run(effect, maybe_sent=True) == succeeded(effect, "")

    assert world.calls.asked == ["e", "e", "e"]


async def test_search_tells_the_call_that_it_found(world: World) -> None:
    world.calls.script["f"].append(Dialled("CA7"))

    assert await world.run(find("f")) == succeeded(find("f"), "CA7")
    assert world.records.owners == {"CA7": "S1"}


async def test_search_that_finds_the_call_of_another_session_has_found_none(world: World) -> None:
    """Two sessions may dial the same address at the same time."""
    world.records.owners["CA7"] = "S2"
    world.calls.script["f"].append(Dialled("CA7"))

    assert await world.run(find("f")) == succeeded(find("f"), "")


# ---- straight: looked up before it is repeated -----------------------------------------------------------------------


async def test_dial_whose_label_is_in_the_room_is_not_repeated(world: World) -> None:
    world.calls.script["d"].append(UNKNOWN)
    world.calls.looks["d"].append("CA7")

    assert await world.run(straight("d")) == succeeded(straight("d"), "CA7")

    assert world.calls.asked == ["d", "look d"]
    assert world.time.sleeps == []
    assert world.records.owners == {"CA7": "S1"}


async def test_dial_whose_label_is_nowhere_after_two_seconds_is_sent_again(world: World) -> None:
    world.calls.script["d"].extend([UNKNOWN, Dialled("CA8")])
    world.calls.looks["d"].append("")

    assert await world.run(straight("d")) == succeeded(straight("d"), "CA8")

    assert world.calls.asked == ["d", *["look d"] * 5, "d"]
    assert world.time.s == 2.0


async def test_dial_that_shows_late_is_not_repeated(world: World) -> None:
    world.calls.script["d"].append(UNKNOWN)
    world.calls.looks["d"].extend(["", "", "", "CA7"])

    assert await world.run(straight("d")) == succeeded(straight("d"), "CA7")

    assert world.calls.asked.count("d") == 1


async def test_dial_that_was_over_before_it_was_looked_for_is_known_by_its_callback(world: World) -> None:
    """Busy at once: it has left the list of participants, but a callback has told the session which call it was."""
    world.calls.script["d"].append(UNKNOWN)
    world.calls.looks["d"].append("")
    world.records.standings["d"] = DialStanding(is_wanted=False, call_sid="CA7")

    assert await world.run(straight("d")) == succeeded(straight("d"), "CA7")

    assert world.calls.asked.count("d") == 1


async def test_dial_that_has_come_and_gone_is_known_by_the_list_of_calls(world: World) -> None:
    world.calls.script["d"].append(UNKNOWN)
    world.calls.looks["d"].extend([""] * 9)
    world.calls.gone_calls = ("CA7",)

    assert await world.run(straight("d")) == succeeded(straight("d"), "CA7")

    assert world.calls.asked.count("d") == 1
    assert world.records.owners == {"CA7": "S1"}


@pytest.mark.parametrize("since_ms, asked_ms", [(None, START_MS), (START_MS - 9_000, START_MS - 9_000)])
async def test_dial_of_a_history_that_is_forgotten_is_looked_for_since_its_entry_was_there(
    world: World, since_ms: int | None, asked_ms: int
) -> None:
    world.calls.looks["d"].extend([""] * 9)
    world.calls.gone_calls = ("CA7",)

    dial = straight("d")
    assert await world.run(dial, maybe_sent=True, sent_since_ms=since_ms) == succeeded(dial, "CA7")

    assert world.calls.gone_since_ms == [asked_ms]
    assert "d" not in world.calls.asked


@pytest.mark.parametrize("whose", ["another session's", "of an earlier dial"])
async def test_call_that_is_gone_and_is_somebody_elses_is_not_the_dials(world: World, whose: str) -> None:
    world.calls.script["d"].extend([UNKNOWN, Dialled("CA8")])
    world.calls.looks["d"].extend([""] * 9)
    world.calls.gone_calls = ("CA7",)
    if whose == "another session's":
        world.records.owners["CA7"] = "S2"
    else:
        world.records.standings["d"] = DialStanding(is_wanted=True, known_calls=frozenset({"CA7"}))

    assert await world.run(straight("d")) == succeeded(straight("d"), "CA8")

    assert world.calls.asked.count("d") == 2


async def test_dial_that_nobody_wants_any_more_is_not_sent_again(world: World) -> None:
    world.calls.script["d"].append(UNKNOWN)
    world.calls.looks["d"].append("")
    world.records.standings["d"] = UNWANTED

    assert isinstance(await world.run(straight("d")), EffectFailed)

    assert world.calls.asked.count("d") == 1


async def test_dial_that_stays_in_doubt_is_unknown_at_the_deadline(world: World) -> None:
    world.calls.script["d"].append(UNKNOWN)
    world.calls.looks["d"].append(UNKNOWN)

    assert isinstance(await world.run(straight("d")), EffectUnknown)

    assert world.calls.asked.count("d") == 1
    assert 7 < world.time.s <= 10


async def test_dial_that_hangs_is_cut_and_looked_up() -> None:
    short = RetryPolicy(deadline_s=8, request_timeout_s=0.005)
    world = World(ExecutorPolicy(create_participant=short))
    world.calls.script["d"].append(asyncio.Event())
    world.calls.looks["d"].append("CA7")

    assert await world.run(straight("d")) == succeeded(straight("d"), "CA7")

    assert world.calls.asked == ["d", "look d"]


async def test_straight_dial_taken_over_is_looked_up_before_it_is_sent(world: World) -> None:
    world.calls.looks["d"].append("CA7")

    assert await world.run(straight("d"), maybe_sent=True) == succeeded(straight("d"), "CA7")

    assert world.calls.asked == ["look d"]


async def test_straight_dial_taken_over_that_never_was_sent_is_sent_when_it_would_have_shown(world: World) -> None:
    world.calls.looks["d"].append("")

    outcome = await world.run(straight("d"), maybe_sent=True, sent_until_ms=START_MS - 1_500)

    assert outcome == succeeded(straight("d"), "CA-d")
    assert world.calls.asked == ["look d", "look d", "d"]
    assert world.time.s == 0.5


# ---- gated: never sent a second time ---------------------------------------------------------------------------------


async def test_gated_dial_is_marked_before_it_is_sent() -> None:
    asked: list[list[str]] = []

    async def checkpoint(point: str, _effect: Effect) -> None:
        if point == "before_request":
            asked.append([*world.records.written, *world.calls.asked])

    world = World(checkpoint=checkpoint)
    world.calls.script["d"].extend([BUSY, Dialled("CA7")])

    await world.run(gated("d"))

    assert asked == [["mark d"], ["mark d", "d"]]


async def test_straight_dial_and_others_are_not_marked(world: World) -> None:
    for effect in (straight("a"), update("b"), find("c")):
        world.submit(effect)
    await world.settle()

    assert not [line for line in world.records.written if line.startswith("mark")]


@pytest.mark.parametrize("error", [UNKNOWN, asyncio.Event()], ids=["5xx", "hangs"])
async def test_gated_dial_of_unknown_outcome_is_unknown_at_once(error: ProviderError | asyncio.Event) -> None:
    short = RetryPolicy(deadline_s=10, request_timeout_s=0.005)
    world = World(ExecutorPolicy(create_call=short))
    world.calls.script["d"].append(error)

    assert isinstance(await world.run(gated("d")), EffectUnknown)

    assert world.calls.asked == ["d"]
    assert world.time.s == 0.0


async def test_gated_dial_that_is_unknown_after_a_definite_no_is_unknown(world: World) -> None:
    world.calls.script["d"].extend([BUSY, UNKNOWN])

    assert isinstance(await world.run(gated("d")), EffectUnknown)

    assert world.calls.asked == ["d", "d"]


async def test_last_request_of_a_gated_dial_is_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short, its outcome would be unknown, and it may never be sent again."""
    given: list[float | None] = []
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda delay: given.append(delay) or timeout(delay))
    world = World()
    world.calls.script["d"].append(BUSY)

    await world.run(gated("d"))

    assert len(given) > 3
    assert set(given) == {10}


async def test_gated_dial_taken_over_that_was_marked_is_unknown_without_being_sent(world: World) -> None:
    outcome = await world.run(gated("d"), maybe_sent=True, sent_at_ms=START_MS - 60_000)

    assert isinstance(outcome, EffectUnknown)
    assert world.calls.asked == []
    assert world.counts == (0, 0, 1, 0)


async def test_gated_dial_taken_over_that_was_not_marked_is_sent(world: World) -> None:
    assert await world.run(gated("d"), maybe_sent=True) == succeeded(gated("d"), "CA-d")


async def test_gated_dial_whose_mark_may_be_lost_is_not_sent(world: World) -> None:
    assert isinstance(await world.run(gated("d"), maybe_sent=True, mark_may_be_lost=True), EffectUnknown)

    assert world.calls.asked == []


async def test_gated_dial_that_somebody_marked_before_is_not_sent(world: World) -> None:
    world.records.marked.add("d")

    assert isinstance(await world.run(gated("d")), EffectUnknown)

    assert world.calls.asked == []


async def test_gated_dial_that_is_in_no_outbox_is_not_sent_and_has_no_outcome(world: World) -> None:
    world.records.gone.add("d")

    world.submit(gated("d"))
    world.submit(update("u"))
    await world.settle()

    assert (world.calls.asked, world.finished) == (["u"], ["u"])
    assert world.counts == (1, 0, 0, 1)


async def test_lease_that_is_lost_over_the_mark_keeps_the_dial_from_being_sent() -> None:
    class Slow(FakeRecords):
        async def mark_sent(self, effect: Effect) -> bool:
            world.lost.add(0)
            return True

    world = World(records=Slow())

    world.submit(gated("d"))
    await world.settle()

    assert world.calls.asked == []
    assert world.executor.dropped == 1


# ---- all at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
async def test_nobody_is_dialled_twice_whatever_happens(seed: int) -> None:
    """Every request of the script that may have taken effect places a call, which then is to be found by its label."""
    world = World(ExecutorPolicy(requests_max=3, reserved_for_endings=1))
    chance = random.Random(seed)
    placed: dict[str, int] = {}

    async def perform(effect: Effect) -> Dialled | None:
        world.calls.asked.append(effect.effect_id)
        await asyncio.sleep(0)
        if not isinstance(effect, Dial):
            return None
        error = chance.choice([BUSY, AWAY, UNKNOWN, UNKNOWN, None])
        if error is None or (error is UNKNOWN and chance.random() < 0.6):
            placed[effect.effect_id] = placed.get(effect.effect_id, 0) + 1
        if error is not None:
            raise error
        return Dialled(f"CA-{effect.effect_id}")

    async def look_for_dial(effect: Dial) -> str:
        if chance.random() < 0.3:
            raise chance.choice([BUSY, UNKNOWN])
        return f"CA-{effect.effect_id}" if effect.effect_id in placed else ""

    world.calls.perform = perform  # type: ignore[method-assign, assignment]
    world.calls.look_for_dial = look_for_dial  # type: ignore[method-assign, assignment]
    for number in range(40):
        name = f"e{number:02}"
        effect = chance.choice([straight, gated, update])(name, f"S{chance.randrange(6)}")
        world.submit(effect, maybe_sent=chance.random() < 0.2)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
    await world.executor.drain(20)

    outcomes = {outcome.effect_id: outcome for outcome in world.outcomes}
    assert len(outcomes) == len(world.outcomes) == 40
    assert placed
    assert set(placed.values()) == {1}
    for name, outcome in outcomes.items():
        if isinstance(outcome, EffectFailed):
            assert name not in placed
