"""What Twilio Agent Connect sends in `HandoffData`, by the fields of its package."""

import json

from conferral.statemachine.parts import CONFIRM_FOR_S, DialOptions
from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks
from tests.support.each import each
from tests.webhooks.test_handoff import received

CONVERSATION = "conv_conversation_01k8zqv3f6e8ar5w2m9x4t7ybd"


def payload(attributes, **more):
    """As `HandoffPayload` of twilio-agent-connect 2.5.0 is written, `by_alias`."""
    fields = {"conversationId": CONVERSATION, "storeId": "mem_store_1", "profileId": "", "attributes": attributes}
    return fields | more


async def test_payload_that_the_page_shows_rings_the_agent_with_reason_and_attributes(open_client, webhook_store):
    (shown,) = (json.loads(text) for text in blocks(ROOT / "docs" / "handoff.md", "json") if "conversationId" in text)
    assert shown.keys() == payload({}).keys() | {"to"}
    event = await received(await open_client(), webhook_store, "", shown)
    assert (event.agent_address, event.ref) == ("client:alice", shown["conversationId"])
    assert event.options == DialOptions(
        brief="The caller wants a refund.", params="department=billing&priority=2", confirm_for_s=CONFIRM_FOR_S
    )


@each("given, ref, brief, params", [
    (payload({"reason": "Refund"}), CONVERSATION, "Refund", ""),
    (payload({}), CONVERSATION, "", ""),
    (payload({"vip": True, "rate": 1.5, "n": 0, "list": [1], "object": {}, "none": None}), CONVERSATION, "",
     "vip=true&rate=1.5&n=0"),
    (payload({"reason": "Refund", "vip": True}, brief="Ours", ref="T-1", params={"id": 7}), "T-1", "Ours", "id=7"),
    (payload({"reason": "Refund", "vip": True}, brief="", ref=None), CONVERSATION, "Refund", "vip=true"),
    (payload({"reason": ["a"], "vip": True}), CONVERSATION, "", "vip=true"),
    (payload({"reason": "Refund"}, conversationId=7), "", "", ""),
    (payload("Refund"), "", "", ""),
    ({"attributes": {"reason": "Refund"}}, "", "", ""),
])  # fmt: skip
async def test_reason_conversation_and_attributes_are_options(open_client, webhook_store, given, ref, brief, params):
    webhook_store.events.clear()
    event = await received(await open_client(), webhook_store, "", given)
    assert (event.ref, event.options.brief, event.options.params) == (ref, brief, params)


async def test_names_inside_attributes_are_never_options(open_client, webhook_store):
    names = {"to": "client:bob", "mode": "bridge", "timeout": 5, "handoff": False, "fallback": "voicemail"}
    event = await received(await open_client(), webhook_store, "", payload(names))
    assert (event.agent_address, event.mode, event.fallback) == ("+14155550123", "conference", ())
    assert event.options.timeout_s == 0
    assert event.options.params == "to=client%3Abob&mode=bridge&timeout=5&handoff=false&fallback=voicemail"


async def test_its_fields_are_no_unknown_options(open_client, webhook_store, lines):
    await received(await open_client(), webhook_store, "", payload({"reason": "Refund"}))
    assert not [line for line in lines if line["event"] == "handoff_option_ignored"]


async def test_options_in_the_url_win(open_client, webhook_store):
    event = await received(await open_client(), webhook_store, "ref=T-2&brief=URL", payload({"reason": "Refund"}))
    assert (event.ref, event.options.brief) == ("T-2", "URL")
