"""A call that came in without Redis: what comes once it is back opens the session, if the call is live."""

import pytest

from conferral.runtime.errors import ProviderUnreachableError
from conferral.telephony.callback_urls import CallCallback, DialAction, DialKind
from tests.webhooks.documents import action_of, next_url
from tests.webhooks.webhook_helpers import AGENT, CALLER, facts, fields, post

CALL = "/callbacks/call?" + CallCallback(CALLER, "agent", without_redis=True).query()
ACTION = "/voice/dial-action?" + DialAction(CALLER, "customer", DialKind.BRIDGE, without_redis=True).query()


VISIT = f"{CALLER}-2"


def opened(webhook_store):
    return [(event.name, event.session_id) for event in webhook_store.events]


@pytest.fixture(params=[False, True], ids=["first", "again"])
def session_id(request, webhook_store):
    """The id of the session to open: the call's first, or its second."""
    if request.param:
        webhook_store.ended = {CALLER: CALLER}
        webhook_store.read = lambda _session_id: none()
    return VISIT if request.param else CALLER


async def none():
    return None


@pytest.mark.parametrize("route", ["/voice/inbound", "/voice/conference", "/voice/fallback", "/voice/client"])
async def test_urls_name_the_call_whose_newest_session_counts(client, webhook_store, route):
    webhook_store.away = True
    form = fields("browser_calls_somebody" if route == "/voice/client" else "call_arrives")
    _, document = await post(client, route, form)

    noun = next_url(document, "Dial/*", "statusCallback").partition("?")[2]
    assert (action_of(document).session_id, action_of(document).without_redis) == (form["CallSid"], True)
    assert CallCallback.parse(noun).without_redis


@pytest.mark.parametrize("moment", ["agent_is_called", "agent_rings", "agent_answers"])
async def test_callback_of_a_live_call_opens_the_session(client, webhook_store, child_lookup, session_id, moment):
    assert (await post(client, CALL, fields(moment)))[0] == 204

    assert opened(webhook_store) == [("call_received", session_id), ("call_progressed", session_id)]
    assert webhook_store.events[0].agent_address == "+14155550123"
    assert (AGENT, session_id) in webhook_store.indexed
    assert child_lookup.asked == [CALLER]


async def test_callback_of_a_call_that_is_over_opens_nothing(client, webhook_store, child_lookup, session_id):
    child_lookup.live = False

    assert (await post(client, CALL, fields("agent_answers")))[0] == 204
    assert (await post(client, CALL, fields("agent_hangs_up")))[0] == 204

    assert webhook_store.events == []
    assert child_lookup.asked == [CALLER]  # the end of the agent's call needs no answer


async def test_callback_is_to_be_repeated_if_twilio_does_not_say_whether_the_call_is_live(
    client, webhook_store, child_lookup
):
    child_lookup.error = ProviderUnreachableError()

    assert (await post(client, CALL, fields("agent_answers")))[0] == 503
    assert webhook_store.events == []


@pytest.mark.parametrize("moment", ["agent_answers", "agent_hangs_up"])
async def test_later_callback_goes_to_the_session_that_was_opened(client, webhook_store, child_lookup, moment):
    webhook_store.sessions, webhook_store.facts = {CALLER: VISIT}, facts("bridged", phase="connected")

    await post(client, CALL, fields(moment))

    assert opened(webhook_store) == [("call_progressed", VISIT)]
    assert child_lookup.asked == []


async def test_action_is_answered_by_the_session_that_was_opened(client, webhook_store):
    webhook_store.sessions, webhook_store.facts = {CALLER: VISIT}, facts("converting", phase="none")

    _, document = await post(client, ACTION, fields("dial_ends_answered"))

    assert opened(webhook_store) == [("dial_ended", VISIT)]
    assert action_of(document).session_id == VISIT
