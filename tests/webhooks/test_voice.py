from collections import Counter

import pytest

from conferral.runtime.errors import ProviderUnreachableError
from conferral.statemachine.events import CallReceived
from conferral.webhooks import responses
from tests.support.each import each
from tests.support.metric_values import value_of
from tests.webhooks.documents import conference_of, dial_of, follow, next_url, verbs
from tests.webhooks.webhook_helpers import (
    AGENT,
    CALLER,
    CONFERENCE,
    DIAL_ACTION,
    PUBLIC_URL,
    facts,
    fields,
    post,
)


async def test_a_call_that_comes_in_rings_the_agent_and_is_published(client, webhook_store):
    status, document = await post(client, "/voice/inbound", fields("call_arrives"))

    assert status == 200
    assert dial_of(document).find("Number").text == "+14155550123"
    assert webhook_store.events == [
        CallReceived(
            session_id=CALLER, token="call_received:", call_sid=CALLER, customer_address="+14155550199",
            agent_address="+14155550123", has_caller_id=True, call_token=fields("call_arrives")["CallToken"],
        )
    ]  # fmt: skip
    assert webhook_store.indexed == [(CALLER, CALLER)]


@pytest.mark.parametrize(("called", "shown"), [("+14155550100", "+14155550100"), ("+14155550177", "+14155550177")])
async def test_caller_without_a_number_is_shown_as_the_number_that_was_called(client, metrics, called, shown):
    _, document = await post(client, "/voice/inbound", fields("call_arrives", From="anonymous", To=called))

    assert dial_of(document).get("callerId") == shown
    labels = {"route": "/voice/inbound", "status": "200"}
    assert 0 < metrics.registry.get_sample_value("conferral_webhook_request_seconds_sum", labels) < 60


@pytest.mark.parametrize("fault", ["away", "hangs"])
@pytest.mark.parametrize("route", ["/voice/inbound", "/voice/fallback"])
async def test_without_redis_the_caller_is_bridged_all_the_same(
    client, webhook_store, metrics, lines, monkeypatch, route, fault
):
    with_redis = (await post(client, route, fields("call_arrives")))[1]
    monkeypatch.setattr(responses, "STORE_DEADLINE_S", 0.01)
    setattr(webhook_store, fault, True)

    status, without_redis = await post(client, route, fields("call_arrives"))
    await post(client, route, fields("call_arrives"))

    assert (status, without_redis.replace("call=1&amp;", "")) == (200, with_redis)
    assert verbs(without_redis) == ["Dial"]
    assert value_of(metrics.webhook_store_errors.labels(route)) == 2
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert Counter(line["event"] for line in warnings) == {"store_unreachable": 1, "call_not_stored": 2}
    assert {line["session_id"] for line in warnings} == {fields("call_arrives")["CallSid"]}


@pytest.mark.parametrize("route", ["/voice/inbound", "/voice/conference", "/voice/fallback"])
async def test_without_an_agent_a_sentence_is_said_and_nothing_published(open_client, webhook_store, route):
    client = await open_client(CONFERRAL_AGENT=None)

    status, document = await post(client, route, fields("call_arrives"))

    assert (status, verbs(document)) == (200, ["Say", "Hangup"])
    assert webhook_store.events == []


@pytest.mark.parametrize(
    ("child", "expected"), [("in-progress", ["Dial"]), ("completed", ["Hangup"]), (None, ["Hangup"])]
)
async def test_without_redis_it_waits_asks_again_and_then_asks_twilio(
    client, webhook_store, child_lookup, child, expected
):
    webhook_store.away = True
    child_lookup.status = child
    target, form, pauses = DIAL_ACTION, fields("dial_ends_answered"), 0

    while True:
        status, document = await post(client, target, form)
        assert status == 200
        if verbs(document) != ["Pause", "Redirect"]:
            break
        pauses += 1
        target = next_url(document, "Redirect")
        form = fields("dial_ends_answered", DialCallStatus=None, DialCallSid=None, DialBridged=None)

    assert pauses == (5 if child is None else 2)
    assert verbs(document) == expected
    assert child_lookup.asked == [AGENT] * (pauses - 1)
    if expected == ["Dial"]:
        assert (conference_of(document).text, conference_of(document).get("participantLabel")) == (CALLER, "customer-1")


async def test_when_redis_is_back_the_second_question_is_answered_from_it(client, webhook_store, child_lookup):
    webhook_store.away = True
    _, document = await post(client, DIAL_ACTION, fields("dial_ends_answered"))
    webhook_store.away, webhook_store.facts = False, facts("converting")

    form = fields("dial_ends_answered", DialCallStatus=None, DialCallSid=None)
    _, document = await post(client, next_url(document, "Redirect"), form)

    assert conference_of(document).text == CONFERENCE
    assert webhook_store.events[0].dial_call_status == "completed"
    assert child_lookup.asked == []


@pytest.mark.parametrize("error", [ProviderUnreachableError, TimeoutError])
async def test_caller_is_hung_up_when_twilio_cannot_be_asked_either(client, webhook_store, child_lookup, lines, error):
    child_lookup.error = error

    *waits, document = await follow(client, DIAL_ACTION, fields("dial_ends_answered"), "Redirect")

    assert [verbs(wait) for wait in waits] == [["Pause", "Redirect"]] * 5
    assert verbs(document) == ["Hangup"]
    assert "child_status" in [line["method"] for line in lines if line["event"] == "twilio_lookup_failed"]


@pytest.mark.parametrize("error", [OverflowError, TypeError, KeyError, UnicodeDecodeError("ascii", b"x", 0, 1, "x")])
@pytest.mark.parametrize("is_fallback", [False, True])
async def test_unexpected_error_while_querying_twilio_still_returns_twiml(
    client, webhook_store, child_lookup, lines, error, is_fallback
):
    child_lookup.error = error
    form = fields("dial_ends_answered", ErrorUrl=f"https://example.com{DIAL_ACTION}" if is_fallback else None)

    status, document = await post(client, "/voice/fallback" if is_fallback else DIAL_ACTION, form)

    assert (status, verbs(document)) == (200, ["Pause", "Redirect"])
    assert child_lookup.asked == [AGENT]
    assert [line["where"] for line in lines if line["event"] == "unexpected_error"] == ["webhook"]


async def test_the_fallback_of_a_dial_action_is_answered_as_that_action(client, webhook_store):
    webhook_store.facts = facts("converting")
    form = fields("dial_ends_answered", ErrorUrl=PUBLIC_URL + DIAL_ACTION, ErrorCode="11200")

    _, document = await post(client, "/voice/fallback", form)

    assert conference_of(document).text == CONFERENCE
    assert [event.name for event in webhook_store.events] == ["dial_ended"]


@pytest.mark.parametrize("error_url", ["", f"{PUBLIC_URL}/voice/inbound", "https://evil.example" + DIAL_ACTION, "::"])
async def test_any_other_fallback_bridges_the_caller(client, webhook_store, error_url):
    _, document = await post(client, "/voice/fallback", fields("call_arrives", ErrorUrl=error_url, ErrorCode="11200"))

    assert verbs(document) == ["Dial"]
    assert [event.token for event in webhook_store.events] == ["call_received:"]


@each("route", ["/voice/inbound", "/voice/conference", "/voice/client", "/voice/fallback"])
@each("call_sid", [None, "", "a{b}", "a" * 65, CALLER + "CallStatusringing"])
async def test_voice_request_that_is_malformed_gets_a_sentence(client, webhook_store, lines, route, call_sid):
    lines.clear()
    status, document = await post(client, route, fields("call_arrives", CallSid=call_sid))

    assert (status, verbs(document)) == (200, ["Say", "Hangup"])
    assert webhook_store.events == []
    assert [line["reason"] for line in lines if line["event"] == "webhook_rejected"] == ["malformed-field"]


@pytest.mark.parametrize(
    ("route", "moment"),
    [
        ("/voice/inbound", "call_arrives"),
        ("/voice/conference", "call_arrives"),
        ("/voice/fallback", "call_arrives"),
        ("/voice/client", "browser_calls_somebody"),
    ],
)
async def test_call_that_is_over_is_hung_up_and_opens_nothing(
    client, webhook_store, child_lookup, lines, route, moment
):
    webhook_store.ended, child_lookup.live = {CALLER: CALLER}, False

    status, document = await post(client, route, fields(moment))

    assert (status, verbs(document), webhook_store.events) == (200, ["Hangup"], [])
    assert "webhook_replayed" in [line["event"] for line in lines]


@pytest.mark.parametrize("query", ["session=x y", f"session={CALLER}&v=1"])
async def test_a_malformed_request_after_a_message_is_hung_up(client, webhook_store, lines, query):
    form = fields("call_arrives", RecordingSid="RE?")
    status, document = await post(client, f"/voice/voicemail?{query}".replace(" ", "%20"), form)

    assert (status, verbs(document), webhook_store.events) == (200, ["Hangup"], [])
    assert [line["event"] for line in lines] == ["webhook_rejected"]


async def test_the_fallback_after_a_message_opens_nothing(client, webhook_store):
    webhook_store.facts, webhook_store.ended = facts("ended"), {CALLER: CALLER}
    form = fields("call_arrives", ErrorUrl=f"{PUBLIC_URL}/voice/voicemail?session={CALLER}&v=1", ErrorCode="11200")

    _, document = await post(client, "/voice/fallback", form)

    assert (verbs(document), webhook_store.events) == (["Hangup"], [])
