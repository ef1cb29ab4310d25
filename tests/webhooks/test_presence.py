"""Agents who are away are skipped, by each way in; no one is where presence can't be read in time."""

import json

import pytest

from conferral.statemachine.presence import Presence
from conferral.statemachine.states import Opening
from conferral.webhooks import responses
from tests.support.each import each
from tests.webhooks.documents import action_of, conference_of, next_url, rung, verbs
from tests.webhooks.test_next_agent import AGENTS, DIRECTORY, target_of, unanswered
from tests.webhooks.webhook_helpers import PUBLIC_URL, facts, fields, post

ALICE, BOB, PHONE = AGENTS
VOICE = ("/voice/inbound", "/voice/handoff?mode=bridge", "/voice/fallback")


@pytest.fixture
async def client(open_client, write_directory):
    return await open_client(**write_directory(DIRECTORY))


def there(*away, **idle_since_ms):
    return Presence(frozenset(away), {f"client:{name}": since for name, since in idle_since_ms.items()})


@pytest.mark.parametrize("route", VOICE)
async def test_the_first_one_who_is_there_is_rung(client, webhook_store, route):
    webhook_store.agents_there = there(ALICE)
    _, document = await post(client, route, fields("call_arrives"))
    assert (rung(document), action_of(document).agent_number) == ("bob", 1)
    (event,) = webhook_store.events
    assert ((event.agent_address, *event.other_agents), event.away) == (AGENTS, 1)


@pytest.mark.parametrize("route", VOICE)
async def test_if_all_are_away_the_caller_hears_so_or_waits_for_the_fallback(
    open_client, write_directory, webhook_store, route
):
    webhook_store.agents_there = there(*AGENTS)
    at_end = await open_client(**write_directory(DIRECTORY))
    assert verbs((await post(at_end, route, fields("call_arrives")))[1]) == ["Say", "Hangup"]
    assert (webhook_store.events[0].away, webhook_store.events[0].fallback) == (3, ())
    waits = await open_client(**write_directory(f'{DIRECTORY}fallback = "voicemail"\n'))
    assert conference_of((await post(waits, route, fields("call_arrives")))[1]) is not None
    assert (webhook_store.events[1].away, webhook_store.events[1].mode) == (3, "conference")


@pytest.mark.parametrize("agents", [DIRECTORY, ""], ids=["away", "none"])
async def test_a_hand_off_whose_document_was_lost_goes_on_without_an_agent_of_the_number(
    open_client, write_directory, webhook_store, agents
):
    client = await open_client(**write_directory(agents) | {"CONFERRAL_AGENT": ""})
    webhook_store.agents_there = there(*AGENTS)
    waits = {"opening": Opening.ARRIVING, "was_handed_off": True, "agents": ("client:dana",)}
    webhook_store.facts = facts("conferenced", phase="ringing", **waits)
    form = fields("call_arrives", CallStatus="in-progress", ErrorUrl=f"{PUBLIC_URL}/voice/handoff", ErrorCode="11205")
    assert conference_of((await post(client, "/voice/fallback", form))[1]) is not None


async def test_whom_a_hand_off_names_is_rung(client, webhook_store):
    webhook_store.agents_there = there(BOB)
    await post(client, "/voice/handoff", fields("call_arrives", HandoffData=json.dumps({"to": BOB})))
    assert (webhook_store.events[0].agent_address, webhook_store.events[0].away) == (BOB, 0)


@pytest.mark.parametrize("fault", ["presence_hangs", "away"])
async def test_presence_that_takes_long_skips_no_one(client, webhook_store, monkeypatch, fault):
    monkeypatch.setattr(responses, "PRESENCE_DEADLINE_S", 0.01)
    webhook_store.agents_there = there(ALICE)
    setattr(webhook_store, fault, True)
    assert rung((await post(client, "/voice/inbound", fields("call_arrives")))[1]) == "alice"


async def test_presence_is_not_read_where_no_agent_has_a_browser(open_client, webhook_store):
    webhook_store.presence_hangs = True
    client = await open_client(CONFERRAL_AGENT="+14155550123")
    assert rung((await post(client, "/voice/inbound", fields("call_arrives")))[1]) == "+14155550123"


async def test_who_waits_is_read_only_for_a_number_with_a_queue_and_only_when_a_call_comes_in(
    open_client, write_directory, webhook_store
):
    for fallback, reads in (("end", 0), ("queue", 1)):
        client = await open_client(**write_directory(f'{DIRECTORY}fallback = "{fallback}"\n'))
        _, document = await post(client, "/voice/inbound", fields("call_arrives"))
        webhook_store.facts = facts("bridged", agents=AGENTS)
        await post(client, next_url(document, "Dial", "action"), unanswered())
        assert webhook_store.queue_reads == reads
        webhook_store.facts = None


@pytest.mark.parametrize("route", VOICE)
async def test_where_redis_takes_no_writes_no_one_is_skipped(open_client, write_directory, webhook_store, route):
    """No session knows the order: the next one is found by the directory."""
    webhook_store.takes_no_writes = True
    client = await open_client(**write_directory(f'{DIRECTORY}order = "idle"\n'))
    for presence in (there(*AGENTS), there(ALICE), there(alice=2, bob=1)):
        webhook_store.agents_there = presence
        _, document = await post(client, route, fields("call_arrives"))
        assert (rung(document), action_of(document).agent_number) == ("alice", 0)
        _, document = await post(client, next_url(document, "Dial", "action"), unanswered())
        assert (rung(document), action_of(document).agent_number) == ("bob", 1)


@pytest.mark.parametrize("route", VOICE)
async def test_where_redis_takes_no_writes_no_one_begins_in_the_queue(
    open_client, write_directory, webhook_store, route
):
    webhook_store.takes_no_writes = True
    called = fields("call_arrives")
    webhook_store.agents_there = Presence(idle_since_ms={ALICE: 1}, queued_numbers=frozenset({"", called["To"]}))
    client = await open_client(**write_directory(f'{DIRECTORY}fallback = "queue"\n'))
    _, document = await post(client, route, called)
    assert rung(document) == "alice"


# ---- before each next agent ------------------------------------------------------------------------------------------


@each("away, order, idle, following, number", [
    ((), "", {}, BOB, 1),
    ((BOB,), "", {}, PHONE, 2),
    ((), "idle", {"alice": 1}, BOB, 1),
])  # fmt: skip
async def test_the_next_one_who_is_there_follows(client, webhook_store, away, order, idle, following, number):
    webhook_store.events.clear()
    webhook_store.facts = facts("bridged", agents=AGENTS, agent_order=order)
    webhook_store.agents_there = there(*away, **idle)
    _, document = await post(client, target_of(0), unanswered())
    assert (rung(document), action_of(document).agent_number) == (following.removeprefix("client:"), number)
    assert (webhook_store.events[0].next_agents, webhook_store.events[0].away) == ((BOB, PHONE), len(away))


async def test_who_had_no_call_for_longest_is_next(client, webhook_store):
    webhook_store.facts = facts("bridged", agents=(PHONE, ALICE, BOB), agent_order="idle")
    webhook_store.agents_there = there(alice=2, bob=1)
    _, document = await post(client, target_of(0), unanswered())
    assert (rung(document), action_of(document).agent_number) == ("bob", 1)
    assert webhook_store.events[0].next_agents == (BOB, ALICE)


@pytest.mark.parametrize("fault", ["undecided", "away"])
async def test_who_is_next_is_not_guessed_before_the_session_says_it(
    open_client, write_directory, webhook_store, fault
):
    client = await open_client(**write_directory(f'{DIRECTORY}order = "idle"\n'))
    webhook_store.away = fault == "away"
    _, document = await post(client, target_of(0), unanswered())
    assert verbs(document) == ["Pause", "Redirect"]
    webhook_store.away, webhook_store.facts = False, facts("bridged", agents=(BOB, ALICE, PHONE), agent_order="idle")
    _, document = await post(client, next_url(document, "Redirect"), unanswered(DialCallStatus=None))
    assert (rung(document), action_of(document).agent_number) == ("alice", 1)


async def test_if_those_who_are_left_are_away_the_caller_hears_why_the_last_one_did_not_answer(client, webhook_store):
    webhook_store.facts = facts("bridged", agents=AGENTS)
    webhook_store.agents_there = there(BOB, PHONE)
    assert verbs((await post(client, target_of(0), unanswered()))[1]) == ["Say", "Hangup"]
    assert webhook_store.events[0].away == 2


async def test_a_repeated_request_rings_whom_the_first_one_chose(client, webhook_store):
    webhook_store.facts = facts("bridged", agents=AGENTS, agent_number=2)
    webhook_store.agents_there = there()
    _, document = await post(client, target_of(0), unanswered())
    assert (rung(document), action_of(document).agent_number) == (PHONE, 2)
    assert webhook_store.events[0].next_agents == ()


@pytest.mark.parametrize("known", [True, False])
async def test_after_a_phone_that_was_rung_twice_the_next_one_who_is_there_follows(client, webhook_store, known):
    twice = {"agents": (PHONE, PHONE, ALICE, BOB), "agent_number": 1} if known else {"agents": (PHONE, ALICE, BOB)}
    webhook_store.facts = facts("bridged", phase="ringing", agent_order="idle", **twice)
    webhook_store.agents_there = there(alice=2, bob=1)
    _, document = await post(client, target_of(1).replace("&v=1", "&own=1&v=1"), unanswered())
    assert (rung(document), action_of(document).agent_number) == ("bob", 2)
    assert (webhook_store.events[0].next_agents, webhook_store.events[0].away) == ((BOB, ALICE), 0)
