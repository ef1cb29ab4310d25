import pytest

from tests.support.each import each
from tests.support.metric_values import value_of
from tests.webhooks.webhook_helpers import (
    AGENT,
    AGENT_CALL,
    CALLER,
    CONFERENCE_URL,
    DIAL_ACTION,
    fields,
    post,
)

RECORDING = f"/callbacks/recording?session={CALLER}&v=1"


@pytest.mark.parametrize(
    ("target", "moment", "name", "indexed"),
    [
        (AGENT_CALL, "agent_rings", "call_progressed", [(AGENT, CALLER)]),
        ("/voice/status", "caller_has_hung_up", "call_progressed", [(CALLER, CALLER)]),
        (CONFERENCE_URL, "agent_joins", "participant_joined", [(AGENT, CALLER)]),
        (CONFERENCE_URL, "conference_ends", "conference_ended", []),
        (CONFERENCE_URL, "customer_speaks", "conference_event_ignored", []),
        (RECORDING, "customers_call_was_recorded", "recording_changed", []),
    ],
)
async def test_a_callback_is_stored_and_answered_with_nothing(client, webhook_store, target, moment, name, indexed):
    status, body = await post(client, target, fields(moment))

    assert (status, body) == (204, "")
    assert [(event.name, event.session_id) for event in webhook_store.events] == [(name, CALLER)]
    assert webhook_store.indexed == indexed


@pytest.mark.parametrize("target, moment", [(CONFERENCE_URL, "agent_joins"), (RECORDING, "conference_is_recorded")])
@pytest.mark.parametrize("field", ["Shown", "192.168.100.200/" * 100])
async def test_hostile_text_in_a_callback_changes_no_answer(client, webhook_store, target, moment, field):
    hosts = "/".join(["192.168.100.200"] * 3_000)
    status, _ = await post(client, target, fields(moment, **{field: hosts}))
    assert (status, len(webhook_store.events)) == (204, 1)


@pytest.mark.parametrize(
    ("changes", "session_id"), [({}, f"{CALLER}-2"), ({"From": "client:alice"}, "order-7")], ids=["phone", "browser"]
)
async def test_end_of_a_call_goes_to_its_newest_session(client, webhook_store, changes, session_id):
    webhook_store.sessions[CALLER] = session_id

    status, _ = await post(client, "/voice/status", fields("caller_has_hung_up", **changes))

    assert status == 204
    assert [(event.session_id, event.call_sid, event.status) for event in webhook_store.events] == [
        (session_id, CALLER, "completed")
    ]


@pytest.mark.parametrize(
    ("target", "form"),
    [
        (AGENT_CALL, fields("agent_rings")),
        ("/voice/status", fields("caller_has_hung_up")),
        ("/voice/status", fields("caller_has_hung_up", From="client:alice")),
        (CONFERENCE_URL, fields("agent_joins")),
        (RECORDING, fields("conference_is_recorded")),
    ],
    ids=["call", "caller", "browser", "conference", "recording"],
)
async def test_callback_that_cannot_be_stored_is_requested_again(client, webhook_store, metrics, lines, target, form):
    webhook_store.away = True

    status, _ = await post(client, target, form)

    assert status == 503
    assert value_of(metrics.webhook_store_errors.labels(target.partition("?")[0])) == 1
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["store_unreachable"]


async def test_callback_that_was_not_stored_is_not_counted_as_indexed(client, webhook_store):
    webhook_store.away = True
    await post(client, AGENT_CALL, fields("agent_is_called"))
    webhook_store.away = False
    await post(client, AGENT_CALL, fields("agent_is_called"))

    assert webhook_store.indexed == [(AGENT, CALLER)]


@each(
    "target, form",
    [
        ("/callbacks/recording", fields("conference_is_recorded")),
        (RECORDING, fields("conference_is_recorded", RecordingSid=None)),
        ("/callbacks/conference?session=&v=1", fields("agent_joins")),
        (CONFERENCE_URL, fields("agent_joins", ConferenceSid=None)),
        ("/voice/status", fields("caller_has_hung_up", CallSid=None)),
        ("/voice/dial-action?session=a%0Ab&party=customer&dial=bridge&v=1", fields("dial_ends_answered")),
        (DIAL_ACTION, fields("dial_ends_answered", CallStatus=None)),
    ],
)
async def test_malformed_request_gets_400_and_publishes_nothing(client, webhook_store, target, form):
    status, body = await post(client, target, form)

    assert (status, body) == (400, "")
    assert webhook_store.events == []


@pytest.mark.parametrize(
    ("target", "body", "name", "taken_in"),
    [
        (AGENT_CALL, "agent_rings", "CallSid", "CallStatusringing"),
        (AGENT_CALL, "agent_rings", "CallSid", "0"),
        ("/voice/status", "caller_has_hung_up", "CallSid", "CallStatuscompleted"),
        (CONFERENCE_URL, "agent_joins", "CallSid", "Coachingfalse"),
        (CONFERENCE_URL, "agent_joins", "ConferenceSid", "EndConferenceOnExitfalse"),
        (CONFERENCE_URL, "supervisor_whispers", "CallSidToCoach", "Coachingtrue"),
        (CONFERENCE_URL, "conference_ends", "CallSidEndingConference", "x"),
        (RECORDING, "conference_is_recorded", "RecordingSid", "RecordingSource"),
        (RECORDING, "conference_is_recorded", "ConferenceSid", "x"),
    ],
)
async def test_sid_that_has_taken_in_what_follows_is_none(client, webhook_store, target, body, name, taken_in):
    """The text that Twilio signs has no separators, so the boundary between two fields can be moved."""
    sid = fields(body).get(name) or CALLER
    for given in (sid + taken_in, sid[:-1], sid[:-1] + "g", "XX" + sid[2:]):
        assert (await post(client, target, fields(body, **{name: given})))[0] == 400
    assert webhook_store.events == []
