"""Dials wait for their turn where a pace is set: of each kind one asks for all, and nothing and no one else waits."""

import pytest

from conferral.statemachine.effects import Dial
from conferral.statemachine.events import EffectUnknown
from conferral.telephony.parameters import PlacedCall
from conferral.worker.executor import request_limiter
from tests.worker.executor_harness import (
    BUSY,
    START_MS,
    UNKNOWN,
    Paced,
    both_ways,
    gated,
    hang_up,
    in_flight,
    read,
    straight,
    succeeded,
    update,
    waiting,
)


@both_ways
async def test_dial_waits_for_its_turn_while_everything_else_continues(paced: Paced, dial: Dial) -> None:
    paced.submit(dial)
    paced.submit(update("u"))
    paced.submit(hang_up("h", "S2"))
    paced.submit(read("r", "S3"))
    await paced.settle()
    assert sorted(paced.finished) == ["h", "r", "u"]
    assert (in_flight(paced.executor), waiting(paced.executor), paced.executor.busy_partitions) == (0, 1, set())

    await paced.give()
    assert paced.finished[-1] == "d"


async def test_waiting_takes_no_slot_and_none_of_the_time_that_the_dial_has() -> None:
    system = Paced(requests_max=1)
    system.submit(straight("d"))
    await system.settle()
    system.time.s += 3600

    system.submit(read("r", "S2"))
    system.calls.script["d"].extend([BUSY, PlacedCall("CA7")])
    await system.settle()
    await system.give()
    await system.tick()

    assert system.calls.asked == ["r", "d", "d"]
    outcome = system.outcomes[-1]
    assert outcome == succeeded(straight("d"), "CA7", queue_ms=3_600_500)


@both_ways
async def test_wait_for_a_turn_ends_with_the_session(paced: Paced, dial: Dial) -> None:
    paced.submit(dial)
    paced.submit(straight("other", "S2"))
    await paced.settle()

    paced.submit(hang_up("h"))
    await paced.settle()
    assert (paced.dropped, waiting(paced.executor)) == (1, 1)

    await paced.give()
    assert paced.calls.asked == ["h", "other"]


async def test_wait_for_a_turn_ends_with_the_lease(paced: Paced) -> None:
    paced.submit(straight("d"), partition=1)
    paced.submit(straight("e", "S2"), partition=2)
    await paced.settle()

    paced.executor.drop_partition(1)
    await paced.settle()
    assert waiting(paced.executor) == 1

    await paced.give()
    assert paced.calls.asked == ["e"]


async def test_worker_that_stops_leaves_dials_whose_turn_has_not_come_to_the_successor(paced: Paced) -> None:
    paced.submit(straight("d"))
    await paced.settle()

    await paced.executor.drain(5)

    assert (paced.calls.asked, paced.outcomes, paced.dropped) == ([], [], 1)


async def test_gated_dial_that_was_marked_takes_no_turn(paced: Paced) -> None:
    paced.submit(gated("d"), sent_until_ms=START_MS, sent_at_ms=START_MS)
    await paced.settle()

    assert isinstance(paced.outcomes[-1], EffectUnknown)


async def test_repetition_takes_no_second_turn(paced: Paced) -> None:
    paced.calls.script["d"].extend([BUSY, UNKNOWN, PlacedCall("CA7")])
    paced.calls.reads["d"].append("")
    paced.submit(straight("d"))
    await paced.settle()
    await paced.give()
    for _ in range(6):
        await paced.tick()

    assert len(paced.permits_asked) == 2
    (outcome,) = paced.outcomes
    assert outcome == succeeded(straight("d"), "CA7", queue_ms=500)


# ---- who asks ------------------------------------------------------------------------------------------------------


async def dial(paced: Paced, *names: str, urgent: bool = True) -> None:
    """Each dial is of a session of its own."""
    for name in names:
        paced.submit(straight(name, name, is_urgent=urgent))
    await paced.settle()


async def test_first_who_waits_asks_for_all(paced: Paced) -> None:
    await dial(paced, "a", "b", "c")
    assert (paced.permits_asked, paced.time.sleeps, waiting(paced.executor)) == ([True], [0.5], 3)

    await paced.give(2)
    assert paced.calls.asked == ["a", "b"]
    assert len(paced.permits_asked) == 4
    await paced.give()
    assert paced.calls.asked == ["a", "b", "c"]


async def test_callers_who_wait_do_not_wait_for_other_dials(paced: Paced) -> None:
    """Redis grants a permit to the others only if no caller waits."""
    await dial(paced, "others-1", "others-2", urgent=False)
    await dial(paced, "caller-1", "caller-2")
    assert paced.permits_asked == [False, True]

    await paced.give(4)
    assert [name for name in paced.calls.asked if "caller" in name] == ["caller-1", "caller-2"]
    assert [name for name in paced.calls.asked if "others" in name] == ["others-1", "others-2"]


async def test_removed_dials_free_their_places(paced: Paced) -> None:
    await dial(paced, "a", "b", "c")
    for name in ("a", "b"):
        paced.executor.cancel_session(name)

    await paced.give()
    assert paced.calls.asked == ["c"]
    await dial(paced, "d")
    paced.executor.cancel_session("d")
    await paced.tick()
    assert (paced.calls.asked, len(paced.permits_asked)) == (["c"], 3), "no one asks for no one"


async def test_redis_that_is_away_is_waited_for(paced: Paced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limiter, "REDIS_PAUSE_S", 0)
    paced.broken, paced.permits = 2, 1
    await dial(paced, "a")
    assert (paced.permits_asked, paced.calls.asked) == ([True] * 3, ["a"])
