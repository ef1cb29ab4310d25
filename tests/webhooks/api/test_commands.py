"""Commands over HTTP: the same as on the stream, with the same words, and each done once."""

import asyncio

import aiohttp
import pytest
from multidict import CIMultiDict

from conferral.commands import identity
from conferral.commands.submission import CommandSubmitter
from conferral.runtime.web.server import run_server
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from conferral.storage import command_stream
from conferral.webhooks.api import handlers
from tests.support.command_examples import FIRST
from tests.webhooks.api.api_helpers import (
    BEARER,
    CALLER,
    app_of,
    eventually,
    published,
    put,
    refusal,
    report_status,
    session,
    take_up,
)

pytestmark = pytest.mark.redis
COMMANDS = f"/sessions/{CALLER}/commands"
#: One of each command that a session can be given, but for what stands in the path.
EXAMPLES = {name: fields for name, fields in FIRST.items() if not COMMANDS_BY_NAME[name].opens_session}
#: The same with values that JSON has and the stream has not.
EXAMPLES |= {"transfer": EXAMPLES["transfer"] | {"confirm": True, "timeout": 20, "brief": "Hello"}}


@pytest.fixture
async def bridged(store):
    await put(store, session())


async def ask(client, path, body, *keys):
    """Sends a command, with each key in a header Idempotency-Key."""
    headers = CIMultiDict([("Idempotency-Key", key) for key in keys])
    async with client.post(path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def asked(client, command_id):
    async with client.get(f"/commands/{command_id}") as response:
        return response.status, await response.json()


# ---- what is published -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["CS1", "14155550199", "a%20b"])
async def test_unknown_session_accepts_no_command(api, store, named):
    status, reported = await ask(api, f"/sessions/{named}/commands", {"type": "end", "id": "c1"})

    assert (status, reported["error"]["type"]) == (404, "unknown")
    assert "5550199" not in reported["error"]["reason"]
    assert await store.keys() == []


@pytest.mark.parametrize(
    ("given", "published_as"), [({}, "api"), ({"by": ""}, "api"), ({"by": "Zoë, night shift"}, "api/Zoë, night shift")]
)
async def test_the_tokens_name_precedes_who_sent_the_command(api, store, given, published_as):
    await put(store, session())

    assert (await ask(api, COMMANDS, {"type": "end", **given}))[0] == 202

    assert [one["by"] for one in await published(store)] == [published_as]


@pytest.mark.parametrize("by", ["desk/alice", "/alice", "alice/", "x" * 65, "bell\a", {"name": "api"}])
async def test_sender_that_could_be_taken_for_a_token_or_breaks_a_line_is_refused(api, store, by):
    await put(store, session())

    status, body = await ask(api, COMMANDS, {"type": "end", "by": by})

    assert (status, body["error"]["reason"].partition(" must be ")[0]) == (422, "by")
    assert await published(store) == []


@pytest.mark.parametrize(
    ("path", "fields", "reason"),
    [
        (COMMANDS, {"type": "end", "session": CALLER}, 'unexpected field "session": the path names the session'),
        (COMMANDS, {"type": "call", "agent": "client:a"}, "call opens a session: POST it to /sessions"),
        (f"{COMMANDS}?wait=61", {"type": "end"}, "wait must be seconds, 0 to 60"),
        ("/sessions", {"type": "end"}, "type must be call: POST other commands to /sessions/ID/commands"),
        ("/sessions", {"type": ["call"]}, "type must be call: POST other commands to /sessions/ID/commands"),
        (
            "/sessions",
            {"agent": "client:a"},
            'call: missing field "customer" (address of the customer, dialed second)',
        ),
    ],
)
@pytest.mark.usefixtures("bridged")
async def test_command_that_does_not_fit_its_path_or_query_is_refused(api, store, path, fields, reason):
    status, body = await ask(api, path, fields)

    assert (status, body["error"]["reason"]) == (422, reason)
    assert await published(store) == []


# ---- a new session -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"type": "call"}])
async def test_call_response_includes_the_future_session_id(api, store, given):
    body = {"agent": "client:alice", "customer": "+14155550199", "mode": "conference", "timeout": 40}

    status, answer = await ask(api, "/sessions", body | given)

    (entry,) = await published(store)
    assert status == 202
    assert answer == {"command": entry["id"], "session": identity.session_id_of(entry["id"])}
    assert entry == {"type": "call", "id": answer["command"], **body, "timeout": "40", "by": "api"}


# ---- outcomes ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bridged")
async def test_a_command_is_known_from_the_moment_it_is_published(api, store):
    _, body = await ask(api, COMMANDS, {"type": "end"})

    empty = {"command": body["command"], "status": "", "reason": "", "code": None, "session": "", "by": "api"}
    assert await asked(api, body["command"]) == (200, empty)

    await take_up(store)
    await report_status(store, body["command"], "accepted")
    assert await asked(api, body["command"]) == (200, empty | {"status": "accepted", "session": CALLER})


@pytest.mark.parametrize(
    ("named", "shown"), [("c1", "c1"), ("14155550199", "(digits alone)"), ("a%20b", "with this id")]
)
async def test_unknown_command_is_not_found(api, named, shown):
    status, body = await asked(api, named)

    assert (status, body["error"]["reason"]) == (404, f"no command {shown} found; outcomes are kept for 24 h")


@pytest.mark.usefixtures("bridged")
@pytest.mark.parametrize(
    ("outcome", "reason", "code"), [("done", "", ""), ("failed", "no-answer", ""), ("failed", "failed", "21216")]
)
async def test_an_outcome_can_be_waited_for(api, store, outcome, reason, code):
    waiting = asyncio.create_task(ask(api, f"{COMMANDS}?wait=30", {"type": "convert"}))
    (command_id,) = await eventually(lambda: take_up(store))
    await report_status(store, command_id, "accepted")
    await report_status(store, command_id, outcome, reason, code=code)

    assert await waiting == (
        200, {
            "command": command_id, "status": outcome, "reason": reason, "code": int(code) if code else None,
            "session": CALLER, "by": "api",
        },
    )  # fmt: skip


@pytest.mark.usefixtures("bridged")
async def test_a_rejection_names_what_the_session_takes_instead(api, store):
    waiting = asyncio.create_task(ask(api, f"{COMMANDS}?wait=30", {"type": "merge"}))
    (command_id,) = await eventually(lambda: take_up(store))
    await report_status(store, command_id, "rejected", "no consult runs")

    status, body = await waiting

    assert (status, body["error"]["type"], body["error"]["reason"]) == (409, "rejected", "no consult runs")
    assert {"convert", "transfer", "end"} <= set(body["error"]["allowed"])
    assert "merge" not in body["error"]["allowed"]


@pytest.mark.usefixtures("bridged")
async def test_rejection_for_a_wrong_number_does_not_name_the_command_itself_as_allowed(api, store):
    transfer = {"type": "transfer", "to": "+33142345678", "mode": "warm", "id": "c1"}
    await report_status(store, "c1", "rejected", "country FR is not in CONFERRAL_ALLOWED_DESTINATIONS")
    status, body = await ask(api, f"{COMMANDS}?wait=1", transfer)
    assert status == 409
    assert "end" in body["error"]["allowed"]
    assert "transfer" not in body["error"]["allowed"]


@pytest.mark.parametrize("body", [b"[1]", b"1", b"null", b'"end"', b"{", b"{} {}"])
async def test_body_that_is_no_json_object_is_malformed(api, body):
    headers = {"Content-Type": "application/json"}
    async with api.post(COMMANDS, data=body, headers=headers) as response:
        assert (response.status, (await response.json())["error"]["type"]) == (400, "malformed")


@pytest.mark.usefixtures("bridged")
async def test_process_shutdown_releases_waiting_requests(api, store):
    waiting = asyncio.create_task(ask(api, f"{COMMANDS}?wait=60", {"type": "end", "id": "c1"}))
    await eventually(lambda: take_up(store))

    async with asyncio.timeout(5):
        await api.server.app.shutdown()

        assert await waiting == (202, {"command": "c1"})


@pytest.mark.usefixtures("bridged")
async def test_requests_beyond_the_waiter_limit_return_at_once(api, store, monkeypatch):
    monkeypatch.setattr(handlers, "WAITERS_MAX", 1)
    waiting = asyncio.create_task(ask(api, f"{COMMANDS}?wait=60", {"type": "end", "id": "c1"}))
    await eventually(lambda: take_up(store))

    async with asyncio.timeout(5):
        assert await ask(api, f"{COMMANDS}?wait=60", {"type": "convert", "id": "c2"}) == (202, {"command": "c2"})
        await report_status(store, "c1", "done")
        assert (await waiting)[0] == 200


@pytest.mark.usefixtures("bridged")
async def test_wait_for_outcome_stops_when_the_client_disconnects(store, metrics, monkeypatch):
    over = asyncio.Event()
    wait_for_result = CommandSubmitter.wait_for_result

    async def noted(self, *arguments, **options):
        await wait_for_result(self, *arguments, **options)
        over.set()

    monkeypatch.setattr(CommandSubmitter, "wait_for_result", noted)
    # As the process serves it: a handler outlives its client.
    async with run_server(app_of(store, metrics), "127.0.0.1", 0, shutdown_s=0.1) as port:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=BEARER) as client:
            waiting = asyncio.create_task(ask(client, f"{COMMANDS}?wait=60", {"type": "end", "id": "c1"}))
            await eventually(lambda: take_up(store))
            waiting.cancel()
            await asyncio.wait({waiting})

        async with asyncio.timeout(5):
            await over.wait()


async def test_a_command_is_refused_while_too_many_wait_for_a_worker(api, store, monkeypatch):
    monkeypatch.setattr(command_stream, "COMMANDS_MAX", 1)
    await put(store, session())
    assert (await ask(api, COMMANDS, {"type": "convert"}))[0] == 202

    async with api.post(COMMANDS, json={"type": "end", "id": "c2"}) as response:
        reported = (await response.json())["error"]
        assert (response.status, reported["type"], response.headers["Retry-After"]) == (503, "full", "5")
        assert "commands are waiting to be routed" in reported["reason"]

    assert len(await published(store)) == 1
    assert (await asked(api, "c2"))[0] == 404
    monkeypatch.setattr(command_stream, "COMMANDS_MAX", 2)
    async with api.post(COMMANDS, json={"type": "park", "id": "c2"}) as response:
        assert response.status == 202, "the id is free once there is room"


# ---- the header Idempotency-Key ------------------------------------------------------------------------------------

CALL = {"agent": "client:alice", "customer": "+14155550199", "session": "order-7"}
KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


@pytest.mark.usefixtures("bridged")
async def test_the_key_of_one_command_is_no_others(api, store):
    await ask(api, COMMANDS, {"type": "end"}, KEY)
    before = await published(store)

    status, reported = await ask(api, "/sessions", CALL, KEY)

    reason = f"the id {KEY} is already used by another command; nothing was done"
    assert (status, reported["error"]) == (409, refusal("id-conflict", reason))
    assert await published(store) == before


@pytest.mark.usefixtures("bridged")
@pytest.mark.parametrize("key", ["a b", '"', '""', '"c1', "c1;a=1", "x" * 65, "+14155550199"])
async def test_a_key_that_can_be_no_id_is_refused(api, store, key):
    status, body = await ask(api, COMMANDS, {"type": "end"}, key)

    reason = "Idempotency-Key must be 1 to 64 letters, digits, _, or -, with or without quotes"
    assert (status, body["error"]) == (422, refusal("invalid", reason))
    assert await published(store) == []


@pytest.mark.usefixtures("bridged")
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
