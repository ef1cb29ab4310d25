"""The header Idempotency-Key: a request that is sent again is the same command; the key is the command's id."""

import pytest
from multidict import CIMultiDict

from tests.webhooks.api.api_helpers import CALLER, published, put, refusal, session

pytestmark = pytest.mark.redis
COMMANDS = f"/sessions/{CALLER}/commands"
CALL = {"agent": "client:alice", "customer": "+14155550199", "session": "order-7"}
KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


@pytest.fixture(autouse=True)
async def bridged(store):
    await put(store, session())


async def ask(client, path, body, *keys):
    headers = CIMultiDict([("Idempotency-Key", key) for key in keys])
    async with client.post(path, json=body, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("path", "body"),
    [(COMMANDS, {"type": "park"}), ("/sessions/CA7/commands", {"type": "end"}), ("/sessions", CALL)],
    ids=["another command", "of another session", "that opens one"],
)
async def test_the_key_of_one_command_is_no_others(api, store, path, body):
    await put(store, session("CA7"))
    await ask(api, COMMANDS, {"type": "end"}, KEY)
    before = await published(store)

    status, reported = await ask(api, path, body, KEY)

    reason = f"the id {KEY} is already used by another command; nothing was done"
    assert (status, reported["error"]) == (409, refusal("id-conflict", reason))
    assert await published(store) == before


@pytest.mark.parametrize("key", ["a b", '"', '""', '"c1', "c1;a=1", "x" * 65, "+14155550199"])
async def test_a_key_that_can_be_no_id_is_refused(api, store, key):
    status, body = await ask(api, COMMANDS, {"type": "end"}, key)

    reason = "Idempotency-Key must be 1 to 64 letters, digits, _, or -, with or without quotes"
    assert (status, body["error"]) == (422, refusal("invalid", reason))
    assert await published(store) == []


async def test_a_command_has_one_id(api, store):
    assert await ask(api, COMMANDS, {"type": "end", "id": "c1"}, "c1") == (202, {"command": "c1"})
    assert (await ask(api, COMMANDS, {"type": "end"}, ""))[0] == 202  # as if there were none
    assert await ask(api, COMMANDS, {"type": "end", "id": "c3"}, '"c3"') == (202, {"command": "c3"})
    before = await published(store)

    twice = await ask(api, COMMANDS, {"type": "end"}, "c1", "c1")
    other = await ask(api, COMMANDS, {"type": "end", "id": "c1"}, "c2")

    assert [(status, body["error"]["reason"]) for status, body in (twice, other)] == [
        (422, "Idempotency-Key is given more than once"),
        (422, "id and the header Idempotency-Key differ; send only one"),
    ]
    assert await published(store) == before
