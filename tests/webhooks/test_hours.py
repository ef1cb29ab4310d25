"""Calls outside the hours of their number: no agent is rung, with Redis or without."""

import json
from xml.etree.ElementTree import fromstring

import pytest

from conferral.webhooks.voice import VoiceRoutes
from tests.support.closed_hours import closed_now
from tests.support.each import each
from tests.support.metric_values import value_of
from tests.webhooks.documents import conference_of, dial_of, rung, verbs
from tests.webhooks.webhook_helpers import CALLER, PUBLIC_URL, fields, post

MENU = "https://app.example.com/menu"
OPTIONS = {"CONFERRAL_RETURN_URLS": "https://app.example.com", "CONFERRAL_ALLOWED_DESTINATIONS": "US,client:"}
OPEN = 'timezone = "UTC"\nhours = "Mon-Sun 00:00-24:00"\n'
VOICE = ("/voice/inbound", "/voice/conference", "/voice/handoff", "/voice/fallback")


@pytest.fixture
def client_of(open_client, write_directory):
    """A client of webhooks whose only number has these lines in the directory."""

    async def opened(lines):
        directory = write_directory(f'[inbound."+14155550100"]\nagents = ["client:bob"]\n{lines}')
        return await open_client(**OPTIONS, **directory)

    return opened


@pytest.mark.parametrize("route", VOICE)
@pytest.mark.parametrize("mode", ["bridge", "conference"])
async def test_caller_hears_a_sentence_and_the_session_says_why(client_of, webhook_store, metrics, lines, route, mode):
    client = await client_of(closed_now(mode=mode, greeting="Hello."))
    _, document = await post(client, route, fields("call_arrives"))
    assert verbs(document) == ["Say", "Hangup"]
    (event,) = webhook_store.events
    assert (event.closed, event.agent_address, event.other_agents, event.fallback) == (True, "", (), ())
    assert value_of(metrics.calls.calls_outside_hours) == 1
    assert [line["session_id"] for line in lines if line["event"] == "caller_outside_hours"] == [CALLER]


@pytest.mark.parametrize("route", VOICE)
async def test_within_the_hours_the_agents_are_rung(client_of, webhook_store, route):
    client = await client_of(OPEN + 'closed = "voicemail"\n')
    await post(client, route, fields("call_arrives"))
    (event,) = webhook_store.events
    assert (event.closed, event.agent_address, event.fallback) == (False, "client:bob", ())


@pytest.mark.parametrize("route", VOICE)
async def test_caller_waits_for_the_place_of_the_directory_without_a_greeting(client_of, webhook_store, route):
    client = await client_of(closed_now(closed="client:carol,voicemail", greeting="Someone will be with you."))
    _, document = await post(client, route, fields("call_arrives"))
    assert "greeting" not in conference_of(document).get("waitUrl")
    (event,) = webhook_store.events
    assert (event.closed, event.agent_address, event.fallback) == (True, "", ("client:carol", "voicemail"))


# ---- hand-offs, and the fallback URL ---------------------------------------------------------------------------------


@each("options, agent, fallback, is_closed", [
    ({}, "", ("voicemail",), True),
    ({"fallback": "client:dana"}, "", ("client:dana",), True),
    ({"back": MENU}, "", (MENU,), True),
    ({"to": "client:dana"}, "client:dana", (), False),
])  # fmt: skip
async def test_places_of_a_hand_off_come_first_and_its_destination_has_no_hours(
    client_of, webhook_store, options, agent, fallback, is_closed
):
    webhook_store.events.clear()
    client = await client_of(closed_now(closed="voicemail"))
    await post(client, "/voice/handoff", fields("call_arrives", HandoffData=json.dumps(options)))
    (event,) = webhook_store.events
    assert (event.agent_address, event.fallback, event.closed) == (agent, fallback, is_closed)


async def test_a_call_that_was_answered_is_connected_by_the_fallback_url(client_of, webhook_store):
    client = await client_of(closed_now())
    _, document = await post(client, "/voice/fallback", fields("call_arrives", CallStatus="in-progress"))
    assert rung(document) == "bob"
    assert not webhook_store.events[0].closed


async def test_the_fallback_url_repeats_what_a_session_waits_for(client_of, webhook_store):
    client = await client_of(closed_now(closed="voicemail"))
    form = fields("call_arrives", ErrorUrl=f"{PUBLIC_URL}/voice/inbound", ErrorCode="11205")
    _, document = await post(client, "/voice/fallback", form)
    assert conference_of(document) is not None


# ---- without Redis, and after an error that no code foresaw ----------------------------------------------------------


@pytest.mark.parametrize("route", VOICE)
async def test_without_redis_the_first_place_follows(client_of, webhook_store, route):
    webhook_store.away = True
    at_end = await client_of(closed_now())
    assert verbs((await post(at_end, route, fields("call_arrives")))[1]) == ["Say", "Hangup"]
    to_voicemail = await client_of(closed_now(closed="voicemail"))
    assert verbs((await post(to_voicemail, route, fields("call_arrives")))[1]) == ["Say", "Record", "Hangup"]
    to_url = await client_of(closed_now(closed=MENU))
    document = (await post(to_url, route, fields("call_arrives")))[1]
    assert fromstring(document).findtext("Redirect") == f"{MENU}?session={CALLER}&reason=closed"
    to_carol = await client_of(closed_now(closed="client:carol,end"))
    document = (await post(to_carol, route, fields("call_arrives")))[1]
    assert rung(document) == "carol"
    assert "only=1" in dial_of(document).get("action")


async def test_without_redis_agents_are_rung_within_the_hours(client_of, webhook_store):
    webhook_store.away = True
    assert rung((await post(await client_of(OPEN), "/voice/inbound", fields("call_arrives")))[1]) == "bob"


@pytest.mark.parametrize("route", VOICE)
async def test_an_unforeseen_error_rings_no_one_outside_the_hours(client_of, lines, monkeypatch, route):
    async def fails(*_arguments, **_options):
        raise RuntimeError

    monkeypatch.setattr(VoiceRoutes, "receive", fails)
    client = await client_of(closed_now(closed="voicemail"))
    assert verbs((await post(client, route, fields("call_arrives")))[1]) == ["Say", "Hangup"]
