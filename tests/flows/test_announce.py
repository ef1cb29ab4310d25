"""Announcements: who hears them, with someone held or muted, and what goes wrong with them."""

import pytest

from offhook.model.behavior import Behavior
from tests.flows.flow_helpers import CAROL
from tests.flows.group_call import GroupCall, two
from tests.support.local_system import LocalSystem
from tests.support.people import TARGET

pytestmark = [pytest.mark.redis, pytest.mark.system(speed=5.0)]
SENTENCE = "This call may be recorded."
URL = "https://example.com/notice.mp3"
SAID = f"said {SENTENCE}"


def asked(crowd: GroupCall) -> list[str]:
    """To whom Twilio was asked to announce something: parties' names, or `all`."""
    names = {call.sid: name for name, call in crowd.people.items()}
    requests = [
        one for one in crowd.system.sandbox.request_log.requests("POST") if one.get("AnnounceUrl") and one.applied
    ]
    return [names.get(one.path.rpartition("/")[2].removesuffix(".json"), "all") for one in requests]


def times_heard(crowd: GroupCall, name: str, what: str = SAID) -> int:
    return crowd.system.listening.whats(crowd[name]).count(what)


@pytest.mark.system(speed=20)
async def test_file_is_played_to_all_and_its_url_is_fetched_unchanged(system):
    crowd = await two(system)
    crowd.system.sandbox.faults.fail_fetches("example.com", status=404)
    await crowd.rejected("announce needs one of", "announce")
    await crowd.rejected("announce needs one of", "announce", url=URL, say=SENTENCE)
    status, reason = await crowd.outcome(await crowd.say("announce", url=URL))
    assert (status, reason[:35]) == ("failed", "the announcement could not be playe")
    await crowd.talk()
    (request,) = [one for one in system.sandbox.request_log.requests("POST") if one.get("AnnounceUrl")]
    assert (request.get("AnnounceUrl"), request.get("AnnounceMethod")) == (URL, "GET")
    # It can be tried again with something else.
    await crowd.done("announce", url=f"{system.public_url}/media/music.wav#rc=2")
    assert times_heard(crowd, "customer", "music") == times_heard(crowd, "agent", "music") == 1
    await crowd.let_go(debugger=world_debugger(system))


def world_debugger(system: LocalSystem) -> frozenset[int]:
    """What Twilio's debugger says of a document that could not be had."""
    return frozenset(entry.code for entry in system.sandbox.request_log.debugger)


async def test_held_party_hears_its_music_and_the_others_the_sentence(system):
    crowd = await two(system)
    await crowd.add("bob", TARGET)
    await crowd.done("hold", party="customer")
    await crowd.done("announce", say=SENTENCE)
    assert sorted(asked(crowd)) == ["agent", "bob"]
    assert [times_heard(crowd, name) for name in ("customer", "agent", "bob")] == [0, 1, 1]
    await crowd.expect_heard(customer="music", agent="bob", bob="agent")
    await crowd.done("unhold", party="customer")
    await crowd.talk()
    await crowd.let_go()


# ---- Twilio ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [False, True], ids=["to-all", "to-each"])
@pytest.mark.system(speed=5.0, policy={"command_timeout_ms": 800})
async def test_announcement_without_end_callback_fails_and_another_can_follow(system, held):
    crowd = await two(system)
    await crowd.add("bob", TARGET)
    if held:
        await crowd.done("hold", party="bob")
    system.sandbox.faults.lose_callbacks("announcement-end", count=2 if held else 1)
    status, _ = await crowd.outcome(await crowd.say("announce", say=SENTENCE))
    assert status == "failed"
    assert not system.sandbox.faults.pending_faults()
    await crowd.expect_heard(customer="agent" if held else ["agent", "bob"])
    await crowd.done("announce", say=SENTENCE)
    await crowd.let_go()


#: The failure is not reported, so that it is found by its time.
UNREPORTED = {"behavior": Behavior(announcement_failure="unreported"), "policy": {"command_timeout_ms": 800}}


@pytest.mark.parametrize(
    "how", ["reported", pytest.param("unreported", marks=pytest.mark.system(speed=5.0, **UNREPORTED))]
)
async def test_failed_document_fetch_is_reported_and_both_keep_talking(system, how):
    crowd = await two(system)
    system.sandbox.faults.fail_fetches("announcement", status=503, count=9)
    status, reason = await crowd.outcome(await crowd.say("announce", say=SENTENCE))
    assert status == "failed"
    assert SENTENCE not in reason
    await crowd.talk()
    await crowd.let_go(debugger=world_debugger(system))


async def test_announcement_in_a_consult_is_heard_by_agent_and_target_alone(system):
    crowd = await two(system)
    system.answered_by(CAROL)
    await crowd.done("transfer", to=CAROL, mode="consult")
    crowd.people["target"] = await system.dialed(CAROL)
    await crowd.done("announce", say=SENTENCE)
    assert [times_heard(crowd, name) for name in ("customer", "agent", "target")] == [0, 1, 1]
    assert crowd.never_heard("customer", "target")
    await crowd.done("complete")
    await crowd.expect_heard(customer="target", target="customer")
    await crowd.let_go()
