"""Routes of the canary: its number answers, its callbacks are kept, and it asks whom its calls would ring."""

from tests.support.people import CANARY, CANARY_ANSWER
from tests.webhooks.documents import verbs
from tests.webhooks.webhook_helpers import fields, post


async def test_canarys_number_rings_answers_and_stays_on_the_line(client, webhook_store):
    webhook_store.away = True  # it needs no Redis
    status, document = await post(client, "/canary/answer", fields("call_arrives", To=CANARY_ANSWER))
    assert (status, verbs(document)) == (200, ["Pause", "Play", "Pause"])
    assert (await post(client, "/canary/answer", fields("call_arrives"), token="another"))[0] == 403


async def test_callback_of_the_canarys_calls_is_kept_as_it_came(client, webhook_store):
    form = fields("call_arrives", To=CANARY_ANSWER)
    assert await post(client, "/canary/callback?run=1&flow=bridge", form) == (204, "")
    assert webhook_store.canary_callbacks == [(form, "run=1&flow=bridge")]
    webhook_store.away = True
    assert (await post(client, "/canary/callback", form))[0] == 503


async def test_webhooks_say_whom_a_call_of_the_canary_would_ring(open_client, write_directory):
    others = '[inbound."+14155550103"]\nagents = ["{0}", "client:alice"]\n[inbound."+14155550104"]\nagents = ["{0}"]\n'
    text = f'[inbound."{CANARY}"]\nagents = ["{{0}}"]\n{others}mode = "conference"\n'.format(CANARY_ANSWER)
    client = await open_client(**write_directory(text))
    for called, status in ((CANARY, 204), ("+14155550103", 409), ("+14155550104", 409), ("+14155550105", 409)):
        form = fields("call_arrives", To=called, Agent=CANARY_ANSWER)
        assert (await post(client, "/canary/route", form))[0] == status, called
