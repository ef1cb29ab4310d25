"""A recording that begins with a sentence: everyone hears it first, or nothing is recorded."""

import pytest

from tests.flows.group_call import GroupCall, two
from tests.support.people import TARGET

pytestmark = [pytest.mark.redis, pytest.mark.system(speed=5.0)]
SENTENCE = "This call is being recorded."
START = {"action": "start", "say": SENTENCE}


def times_heard(crowd: GroupCall, name: str) -> int:
    return crowd.system.listening.whats(crowd[name]).count(f"said {SENTENCE}")


@pytest.mark.parametrize("start", ["bridged", "conferenced"])
async def test_everyone_hears_the_sentence_before_the_recording_begins(system, start):
    crowd = await two(system, start)
    await crowd.done("record", **START)
    (found,) = system.sandbox.recordings()
    assert (found.leg_sid, found.settings.channels) == (crowd["customer"].sid, 2)
    for name in ("customer", "agent"):
        assert times_heard(crowd, name) == 1
        (said,) = (one for one in system.listening.heard(crowd[name]) if one.what == f"said {SENTENCE}")
        assert said.to_s <= found.started_at_s
    await crowd.talk()
    assert "say" not in str(await system.log(crowd.id)), "what was said is in no log"
    await crowd.done("record", action="stop")
    await crowd.let_go()


async def test_sentence_that_not_everyone_can_hear_records_nothing(system):
    crowd = await two(system)
    await crowd.rejected("only start has a sentence", "record", action="stop", say=SENTENCE)
    await crowd.done("hold", party="customer")
    await crowd.rejected("a party on hold would not hear", "record", **START)
    await crowd.done("unhold", party="customer")
    crowd.system.sandbox.faults.next_rest("POST", "/Conferences/*.json", status=400)
    status, _ = await crowd.outcome(await crowd.say("record", **START))
    assert status == "failed"
    # Someone is put on hold while it plays.
    command = await crowd.say("record", **START)
    await crowd.expect_heard(agent=f"said {SENTENCE}")
    await crowd.rejected("another announcement", "announce", say="Hello")
    await crowd.rejected("another change to the recording", "record", action="start")
    await crowd.done("hold", party="customer")
    assert await crowd.outcome(command) == ("failed", "a party on hold would not hear the sentence")
    assert system.sandbox.recordings() == []
    await crowd.let_go()


async def test_recording_that_began_meanwhile_is_no_second_one(system):
    crowd = await two(system, "bridged")
    await crowd.done("record", action="start")
    await crowd.rejected("already recording", "record", **START)
    assert len(system.sandbox.recordings()) == 1
    await crowd.let_go()


@pytest.mark.system(speed=5.0, policy={"announce_timeout_ms": 800})
async def test_sentence_whose_end_is_not_reported_records_nothing(system):
    crowd = await two(system)
    await crowd.add("bob", TARGET)
    system.sandbox.faults.lose_callbacks("announcement-end")
    status, _ = await crowd.outcome(await crowd.say("record", **START))
    assert (status, system.sandbox.recordings()) == ("failed", [])
    await crowd.done("record", **START)
    await crowd.let_go()
