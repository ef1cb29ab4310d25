"""A bot of Twilio Agent Connect hands a caller over, with the payload that docs/handoff.md shows."""

import pytest

from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks

pytestmark = pytest.mark.redis


@pytest.fixture
def bot(conferral_stack):
    """A stand-in for the bot: the sandbox opens no WebSocket, and ends the session as the bot would."""

    def answer(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/xml")])
        bot = '<ConversationRelay url="wss://bot.example.com/bot"/>'
        return [f'<Response><Connect action="{conferral_stack.url}/voice/handoff">{bot}</Connect></Response>'.encode()]

    (payload,) = (text for text in blocks(ROOT / "docs" / "handoff.md", "json") if "conversationId" in text)
    conferral_stack.serve(answer)
    conferral_stack.sandbox.run(lambda sandbox: sandbox.script_bot(handoff_data=payload))


def test_agent_hears_the_reason_and_sees_the_attributes(conferral_stack, bot):
    alice = conferral_stack.desk("alice")
    caller = conferral_stack.call("/")
    alice.answer()
    conferral_stack.sandbox.wait_until(lambda: caller.hears(alice.phone))
    assert alice.call.was_told("The caller wants a refund.")
    (own,) = (one for one in alice.session["parties"].values() if one["address"] == alice.phone.address)
    assert own["params"] == {"department": "billing", "priority": "2"}
    alice.hang_up()
    assert conferral_stack.outcomes.next("session").data["ref"] == "conv_conversation_01k8zqv3f6e8ar5w2m9x4t7ybd"
