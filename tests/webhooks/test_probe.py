"""The requests by which `check` tries the webhooks: no alarm, and no way to hide one."""

import time

from conferral.storage.queries.process_stats import ProcessStats, stats_of
from conferral.telephony import number_setup
from tests.support.each import each
from tests.webhooks.webhook_helpers import ACCOUNT, FORM, TOKEN, fields, post

FORM_BODY = {"AccountSid": ACCOUNT}


async def unsigned(client, target, mark):
    headers = {"Content-Type": FORM, number_setup.HEADER: mark}
    async with client.post(target, data=fields("call_arrives"), headers=headers) as response:
        return response.status


def warnings(lines):
    return [line["event"] for line in lines if line["log_level"] != "debug"]


async def test_the_probes_are_refused_and_answered_without_a_warning_or_a_count(client, ingest, lines, metrics):
    assert await unsigned(client, number_setup.TARGET, number_setup.make_probe(TOKEN, int(time.time()))) == 403
    assert (await post(client, number_setup.TARGET, FORM_BODY))[0] == 404
    assert warnings(lines) == []
    assert ingest.events == []
    assert stats_of(metrics) == ProcessStats()


OLD_S = number_setup.CLOCK_SKEW_MAX_S + 60
#: The marks are made when the tests are collected, which may be long before they run.
FAR_S = 86_400


@each(
    "target, mark",
    [
        ("/voice/inbound", number_setup.make_probe(TOKEN, int(time.time()))),
        (f"{number_setup.TARGET}&more=1", number_setup.make_probe(TOKEN, int(time.time()))),
        (number_setup.TARGET, number_setup.make_probe("guessed", int(time.time()))),
        (number_setup.TARGET, number_setup.make_probe(TOKEN, int(time.time()) - OLD_S)),
        (number_setup.TARGET, number_setup.make_probe(TOKEN, int(time.time()) + FAR_S)),
        (number_setup.TARGET, ""),
        (number_setup.TARGET, f"{int(time.time())}."),
        (number_setup.TARGET, "9" * 400),
        (number_setup.TARGET, "\u00b2.\u00e9"),
    ],
)
async def test_nothing_else_passes_for_a_probe(client, ingest, lines, target, mark):
    lines.clear()
    assert await unsigned(client, target, mark) == 403
    assert warnings(lines) == ["webhook_rejected"]
    assert ingest.events == []


async def test_a_mark_does_not_excuse_a_wrong_signature(client, lines):
    headers = {
        "X-Twilio-Signature": "wrong",
        "Content-Type": FORM,
        number_setup.HEADER: number_setup.make_probe(TOKEN, int(time.time())),
    }
    async with client.post(number_setup.TARGET, data=FORM_BODY, headers=headers) as response:
        assert response.status == 403
    assert warnings(lines) == ["webhook_rejected"]
