"""What an announcement says."""

import xml.etree.ElementTree as ET
from urllib.parse import urlencode

import pytest

from conferral.runtime.errors import StoreError
from conferral.statemachine.pending_command import PendingCommand
from conferral.webhooks import responses
from tests.webhooks.webhook_helpers import ACCOUNT, CALLER, CONFERENCE, facts, post, signed

FORM = {"AccountSid": ACCOUNT, "ConferenceSid": CONFERENCE, "FriendlyName": CALLER}
TARGET = f"/voice/announcement?session={CALLER}&command=c1"
SAYS = (
    PendingCommand("c1", "announce", say="We close in ten minutes & open tomorrow."),
    PendingCommand("c2", "announce", say="Another."),
)


async def get(client, target):
    full = f"{target}&{urlencode(FORM)}"
    async with client.get(full, headers={"X-Twilio-Signature": signed(full, {})["X-Twilio-Signature"]}) as response:
        return response.status, await response.text()


async def asked(client, target):
    return await post(client, target, FORM)


@pytest.mark.parametrize("ask", [get, asked], ids=["get", "post"])
async def test_it_says_the_sentence_of_its_command(client, ingest, ask):
    ingest.facts = facts("conferenced", pending_commands=SAYS)

    status, document = await ask(client, TARGET)

    assert status == 200
    assert [(verb.tag, verb.text) for verb in ET.fromstring(document)] == [("Say", SAYS[0].say)]
    assert ingest.events == []


@pytest.mark.parametrize("known", [None, facts("conferenced"), facts("conferenced", pending_commands=SAYS[1:])])
async def test_unexpected_announcement_gets_an_error_so_that_twilio_reports_the_failure(client, ingest, lines, known):
    ingest.facts = known

    assert await asked(client, TARGET) == (404, "")
    (line,) = [line for line in lines if line["event"] == "announcement_unknown"]
    assert (line["session_id"], line["command_id"]) == (CALLER, "c1")


@pytest.mark.parametrize("fault", ["away", "hangs", "refuses"])
async def test_announcement_is_requested_again_without_redis(client, ingest, metrics, lines, monkeypatch, fault):
    monkeypatch.setattr(responses, "STORE_DEADLINE_S", 0.01)
    ingest.error = StoreError if fault == "refuses" else ingest.error
    setattr(ingest, "hangs" if fault == "hangs" else "away", True)

    assert await asked(client, TARGET) == (503, "")
    assert metrics.webhook_store_errors.labels("/voice/announcement")._value.get() == 1
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["store_unreachable"]


@pytest.mark.parametrize(
    "target",
    [f"/voice/announcement?session={CALLER}", "/voice/announcement?session=a%0A&command=c1", f"{TARGET}&command=c2"],
)
async def test_malformed_request_gets_400(client, ingest, target):
    assert await asked(client, target) == (400, "")
    assert ingest.reads == 0


async def test_an_unsigned_request_hears_nothing(client, ingest):
    ingest.facts = facts("conferenced", pending_commands=SAYS)

    assert await post(client, TARGET, FORM, token="another") == (403, "")
