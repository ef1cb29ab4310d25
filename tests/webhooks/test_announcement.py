"""What an announcement says."""

import xml.etree.ElementTree as ET

import pytest

from conferral.runtime.errors import StoreError
from conferral.statemachine.parts import PendingCommand
from conferral.storage.queries.process_registry import stats_of
from conferral.telephony.callback_urls import CHECK_SESSION
from conferral.webhooks import responses
from tests.support.metric_values import value_of
from tests.webhooks.webhook_helpers import ACCOUNT, CALLER, CONFERENCE, facts, post

FORM = {"AccountSid": ACCOUNT, "ConferenceSid": CONFERENCE, "FriendlyName": CALLER}
TARGET = f"/voice/announcement?session={CALLER}&command=c1&v=1"
SAYS = (
    PendingCommand("c1", "announce", say="We close in ten minutes & open tomorrow."),
    PendingCommand("c2", "announce", say="Another."),
)


async def test_it_says_the_sentence_of_its_command(client, webhook_store):
    webhook_store.facts = facts("conferenced", pending_commands=SAYS)

    status, document = await post(client, TARGET, FORM)

    assert status == 200
    assert [(verb.tag, verb.text) for verb in ET.fromstring(document)] == [("Say", SAYS[0].say)]
    assert webhook_store.events == []


PRESS = facts("conferenced", pending_commands=(PendingCommand("c1", "press", party="agent"),))


async def test_digits_are_served_once(client, webhook_store, lines):
    webhook_store.facts, webhook_store.digits = PRESS, {"c1": "1ww4711#"}

    status, document = await post(client, TARGET, FORM)

    assert status == 200
    assert [(verb.tag, verb.attrib) for verb in ET.fromstring(document)] == [("Play", {"digits": "1ww4711#"})]
    assert await post(client, TARGET, FORM) == (404, "")
    assert "4711" not in str(lines)


@pytest.mark.parametrize("known", [None, facts("conferenced"), facts("conferenced", pending_commands=SAYS)])
async def test_digits_are_served_only_while_their_command_is_pending(client, webhook_store, known):
    webhook_store.facts, webhook_store.digits = known, {"c1": "4711#"}

    assert "4711" not in (await post(client, TARGET, FORM))[1]
    assert webhook_store.digits == {"c1": "4711#"}


@pytest.mark.parametrize("known", [None, facts("conferenced"), facts("conferenced", pending_commands=SAYS[1:])])
async def test_unexpected_announcement_gets_an_error_so_that_twilio_reports_the_failure(
    client, webhook_store, lines, known
):
    webhook_store.facts = known

    assert await post(client, TARGET, FORM) == (404, "")
    (line,) = [line for line in lines if line["event"] == "announcement_unknown"]
    assert (line["session_id"], line["command_id"]) == (CALLER, "c1")


@pytest.mark.parametrize("fault", ["away", "hangs", "refuses"])
async def test_announcement_is_requested_again_without_redis(client, webhook_store, metrics, lines, monkeypatch, fault):
    monkeypatch.setattr(responses, "STORE_DEADLINE_S", 0.01)
    webhook_store.error = StoreError if fault == "refuses" else webhook_store.error
    setattr(webhook_store, "hangs" if fault == "hangs" else "away", True)

    assert await post(client, TARGET, FORM) == (503, "")
    assert value_of(metrics.webhook_store_errors.labels("/voice/announcement")) == 1
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["store_unreachable"]


async def test_what_check_sends_to_see_a_refusal_counts_as_none(client, metrics):
    for session in (CHECK_SESSION, CALLER):
        response = await client.post(f"/voice/announcement?session={session}&command={session}&v=1", data=FORM)
        assert response.status == 403
    assert stats_of(metrics).callbacks_refused == 1
