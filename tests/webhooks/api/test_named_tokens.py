"""Named tokens: what each may do over HTTP, what it may dial, and that its commands are its own."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.web import server
from conferral.statemachine.events import COMMANDS
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.token_file import EVERYTHING, TokenFile
from conferral.webhooks.api import streams
from conferral.webhooks.api.app import add_api
from conferral.webhooks.api.routes import ROUTES
from conferral.webhooks.app import make_app
from tests.support.each import each
from tests.support.token_files import bearer_of, secret_of, table, write_tokens
from tests.webhooks.api.api_helpers import (
    BEARER,
    CALLER,
    KEYS,
    ask,
    commit,
    eventually,
    published,
    put,
    report_status,
    session,
    settings,
    take_up,
)  # fmt: skip
from tests.webhooks.api.test_streams import Stream, happened
from tests.webhooks.webhook_helpers import FakeTwilioQueries, FakeWebhookStore

pytestmark = pytest.mark.redis
NAMES = """[destinations]
billing = "+14155550123"
dave = "client:dave"
desk = "client:desk"
"""
ALL_BUT = {name: [one for one in EVERYTHING if one != name] for name in EVERYTHING}
VALUES = {
    "to": "client:dave", "agent": "client:dave", "customer": "client:eve", "party": "agent", "action": "start",
    "say": "Hello.",
}  # fmt: skip
MODES = {"transfer": "warm", "supervise": "monitor"}


def body_of(command):
    """A command with all fields that it needs, and no more."""
    fields = {name: value for name, value in VALUES.items() if name in command.__struct_fields__}
    fields |= {"mode": MODES[command.name]} if command.name in MODES else {}
    fields |= {"digits": "1"} if command.name == "press" else {}
    return {"type": command.name, **fields} | ({"party": "guest"} if command.name == "add" else {})


@pytest.fixture
def webhook_store():
    return FakeWebhookStore()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.toml"


@pytest.fixture
async def opened(store, metrics, serve, path, tmp_path, webhook_store):
    """Serves the API with these tokens; returns a client, and the tokens, which the test may reload."""
    (tmp_path / "directory.toml").write_text(NAMES)

    async def opened(*tables, **changes):
        write_tokens(path, *tables)
        found = settings(CONFERRAL_TOKENS=str(path), CONFERRAL_DIRECTORY=str(tmp_path / "directory.toml"), **changes)
        directory = DirectoryFile(found)
        tokens = TokenFile(found.tokens, found.api_token, lambda: directory.current.destinations)
        app = make_app(found, webhook_store, FakeTwilioQueries(), metrics, SystemClock(), directory, tokens=tokens)
        add_api(app, found, store, KEYS, metrics, SystemClock(), directory, tokens)
        await put(store, session())
        return await serve(app), tokens

    return opened


def path_of(route):
    return route.path.format(session=CALLER, command="c1") if "{" in route.path else route.path


# ---- routes and commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_each_route_needs_its_permission_whatever_it_is_asked_to_send(opened, accept):
    api, _ = await opened(*(table(name, ALL_BUT[name]) for name in ("read", "access-token")))
    guarded = [route for route in ROUTES if route.needs_token and route.permission]
    assert {str(route.permission) for route in guarded} == {"read", "access-token"}
    assert [route.path for route in ROUTES if route.method == "GET" and route.permission != "read"] == [
        "/commands/{command}"
    ]

    for route in guarded:
        headers = bearer_of(route.permission) | {"Accept": accept}
        status, answer = await ask(api, route.method, path_of(route), headers=headers)
        reason = f"the token {route.permission} lacks the permission {route.permission}"
        assert (status, answer["error"]["type"], answer["error"]["reason"]) == (403, "forbidden", reason), route
        if route.method == "GET":
            async with api.request("HEAD", path_of(route), headers=headers) as head:
                assert head.status == 403

    for name in ("read", "access-token"):
        assert (await ask(api, "POST", "/tokens", headers=bearer_of("read"), json={"identity": "alice"}))[0] == 200
        assert (await ask(api, "GET", "/sessions", headers=bearer_of("access-token")))[0] == 200, name


async def test_a_token_may_send_the_commands_that_the_file_names_and_no_other(opened, store):
    kinds = {command.name: command for command in COMMANDS}
    api, _ = await opened(
        *(table(f"only-{name}", [name]) for name in kinds), *(table(f"not-{name}", ALL_BUT[name]) for name in kinds)
    )

    for name, command in kinds.items():
        where = "/sessions" if command.opens_session else f"/sessions/{CALLER}/commands"
        status, answer = await ask(api, "POST", where, headers=bearer_of(f"not-{name}"), json=body_of(command))
        assert (status, answer["error"]["reason"]) == (403, f"the token not-{name} lacks the permission {name}")
        assert (await published(store)) == [], name
        status, answer = await ask(api, "POST", where, headers=bearer_of(f"only-{name}"), json=body_of(command))
        assert status == 202, answer
        assert [(one["type"], one["by"]) for one in await published(store)] == [(name, f"only-{name}")]
        await take_up(store)


async def test_a_token_that_may_nothing_of_the_kind_learns_nothing_of_sessions(opened):
    api, _ = await opened(table("desk", ["hold"]))
    unknown, known = ("/sessions/CA9", f"/sessions/{CALLER}")
    answers = [await ask(api, "GET", one, headers=bearer_of("desk")) for one in (unknown, known)]
    assert answers[0] == answers[1]


async def test_named_tokens_do_without_the_first(opened):
    api, _ = await opened(table("desk", ["read"]), CONFERRAL_API_TOKEN=None)
    assert (await ask(api, "GET", "/sessions", headers=bearer_of("desk")))[0] == 200
    assert (await ask(api, "GET", "/sessions", headers=BEARER))[0] == 401


# ---- who did it --------------------------------------------------------------------------------------------------


async def test_a_token_without_read_sees_its_own_commands_from_the_start_and_no_others(opened, store):
    api, _ = await opened(*(table(name, ["end"]) for name in ("desk", "desk-2")), table("wall", ["read"]))
    body = {"type": "end", "id": "c1", "by": "alice"}
    await ask(api, "POST", f"/sessions/{CALLER}/commands", headers=bearer_of("desk"), json=body)

    async def statuses():
        senders = ("desk", "desk-2", "wall")
        return [(await ask(api, "GET", "/commands/c1", headers=bearer_of(one)))[0] for one in senders]

    assert await statuses() == [200, 403, 200]
    await take_up(store)
    await report_status(store, "c1", "done")
    assert await statuses() == [200, 403, 200]
    _, answer = await ask(api, "GET", "/commands/c1", headers=bearer_of("desk"))
    assert (answer["status"], answer["by"]) == ("done", "desk/alice")
    assert (await ask(api, "GET", "/commands/none", headers=bearer_of("desk")))[0] == 404


# ---- destinations ------------------------------------------------------------------------------------------------


@each(
    "fields, sent",
    [
        ({"type": "transfer", "mode": "warm", "to": "client:anna"}, {"to": "client:anna"}),
        ({"type": "transfer", "mode": "warm", "to": "dave"}, {"to": "client:dave"}),
        ({"type": "transfer", "mode": "warm", "to": "dave, client:anna"}, {"to": "client:dave,client:anna"}),
        ({"type": "transfer", "mode": "warm", "to": "billing"}, None),
        ({"type": "transfer", "mode": "warm", "to": "client:anna, billing"}, None),
        ({"type": "transfer", "mode": "warm", "to": "+14155550123"}, None),
        ({"type": "transfer", "mode": "warm", "to": "nobody"}, None),
        (
            {"type": "transfer", "mode": "blind", "to": "dave", "fallback": "recall, desk, https://example.com/menu"},
            {"to": "client:dave", "fallback": "recall,client:desk,https://example.com/menu"},
        ),
        ({"type": "transfer", "mode": "blind", "to": "dave", "fallback": "recall,billing"}, None),
        ({"type": "park", "fallback": "voicemail,end"}, {"fallback": "voicemail,end"}),
        ({"type": "park", "fallback": "+14155550123"}, None),
        ({"type": "park"}, {}),
        ({"type": "retrieve", "to": "dave"}, {"to": "client:dave"}),
        ({"type": "retrieve", "to": "billing"}, None),
        ({"type": "add", "to": "billing", "party": "guest"}, None),
        ({"type": "supervise", "to": "billing", "mode": "monitor"}, None),
        ({"type": "call", "agent": "dave", "customer": "billing"}, None),
        ({"type": "call", "agent": "billing", "customer": "dave"}, None),
        ({"type": "call", "agent": "dave", "customer": "desk"}, {"agent": "client:dave", "customer": "client:desk"}),
        ({"type": "hold", "party": "agent"}, {}),
    ],
)  # fmt: skip
async def test_destinations_limit_everything_that_a_command_names(opened, store, fields, sent):
    """What is published has addresses: the router's directory can't give a name another meaning than was checked."""
    api, _ = await opened(table("desk", ["all"], "client:"), CONFERRAL_RETURN_URLS="https://example.com")
    where = "/sessions" if fields["type"] == "call" else f"/sessions/{CALLER}/commands"

    status, answer = await ask(api, "POST", where, headers=bearer_of("desk"), json=fields)

    found = await published(store)
    if sent is None:
        assert (status, answer["error"]["type"], found) == (403, "forbidden", [])
        assert answer["error"]["reason"].startswith("the token desk may not name this destination in ")
        assert "4155550123" not in str(answer)
    else:
        assert status == 202, answer
        names = ("to", "agent", "customer", "fallback")
        assert {name: found[0][name] for name in names if name in found[0]} == sent
    await take_up(store)


async def test_without_destinations_names_are_left_to_the_router(opened, store):
    api, _ = await opened(table("desk", ["retrieve"]))
    body = {"type": "retrieve", "to": "elsewhere"}
    assert (await ask(api, "POST", f"/sessions/{CALLER}/commands", headers=bearer_of("desk"), json=body))[0] == 202
    assert (await published(store))[0]["to"] == "elsewhere"


# ---- reloading ---------------------------------------------------------------------------------------------------


async def test_a_token_that_was_removed_is_refused_and_its_open_requests_end(opened, store, path):
    api, tokens = await opened(table("desk", ["end", "read"]), table("wall", ["read"]))
    waits = ask(
        api, "POST", f"/sessions/{CALLER}/commands?wait=60", headers=bearer_of("desk"), json={"type": "end", "id": "c1"}
    )
    waiting = asyncio.create_task(waits)
    await eventually(lambda: take_up(store))

    write_tokens(path, table("wall", ["read"]))
    tokens.reload()

    assert await asyncio.wait_for(waiting, 30) == (202, {"command": "c1"})
    assert (await ask(api, "GET", "/sessions", headers=bearer_of("desk")))[0] == 401
    assert (await ask(api, "GET", "/sessions", headers=bearer_of("wall")))[0] == 200


async def test_streams_of_a_token_that_was_removed_or_changed_end_and_others_go_on(opened, store, path):
    api, tokens = await opened(*(table(name, ["read"]) for name in ("desk", "robot", "wall")))
    await commit(store, session(), happened(0))
    async with AsyncExitStack() as stack:
        streams = {}
        for name in ("desk", "robot", "wall"):
            headers = bearer_of(name) | {"Accept": "text/event-stream"}
            streams[name] = Stream(await stack.enter_async_context(api.get("/sessions", headers=headers)))
            assert (await streams[name].next())[0] == "session"

        write_tokens(path, table("robot", ["hold"]), table("wall", ["read"]))
        tokens.reload()
        await commit(store, replace(session(), version=4), happened(1))

        for name in ("desk", "robot"):
            assert [event for event in await streams[name].rest_of_events() if event[0] != "ready"] == []
        while (event := await streams["wall"].next())[0] == "ready":
            pass
        assert event[1]["version"] == 4
        headers = bearer_of("robot") | {"Accept": "text/event-stream"}
        assert (await ask(api, "GET", "/sessions", headers=headers))[0] == 403
    await store.flushdb()


async def test_readyz_says_that_the_file_is_broken_and_stays_ready(opened, path, webhook_store, monkeypatch):
    monkeypatch.setattr(server, "RESULT_TTL_S", 0.0)
    api, tokens = await opened(table("wall", ["read"]))
    write_tokens(path, "[tokens.wall]\nmay = 5")
    tokens.reload()

    async with api.get("/readyz") as answer:
        assert (answer.status, (await answer.json())["warnings"]) == (200, [tokens.problem])
    assert tokens.problem.startswith("CONFERRAL_TOKENS: the file is broken")
    assert (await ask(api, "GET", "/sessions", headers=bearer_of("wall")))[0] == 200
    webhook_store.away = True
    async with api.get("/readyz") as answer:
        assert (answer.status, (await answer.json())["warnings"]) == (503, [tokens.problem])


# ---- what is written down ----------------------------------------------------------------------------------------


async def test_refusals_are_counted_by_reason_and_logged_with_the_tokens_name(opened, metrics, lines):
    api, _ = await opened(table("desk", ["hold"]), table("wall", ["hold"]))
    for name in ("desk", "wall"):
        for _ in range(5):
            await ask(api, "GET", "/sessions", headers=bearer_of(name))
    await ask(api, "GET", "/sessions", headers={"Authorization": "Bearer wrong"})

    counted = {
        sample.labels["reason"]: sample.value
        for family in metrics.api_refusals.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert counted == {"forbidden": 10, "unauthorized": 1}
    refused = [(line["reason"], line["token_name"]) for line in lines if line["event"] == "api_refused"]
    assert refused == [("forbidden", "desk"), ("forbidden", "wall")]
    assert secret_of("desk") not in str(lines)


async def test_a_published_command_is_logged_with_the_tokens_name(opened, lines):
    api, _ = await opened(table("desk", ["end"]))
    await ask(api, "POST", f"/sessions/{CALLER}/commands", headers=bearer_of("desk"), json={"type": "end"})
    assert [line["token_name"] for line in lines if line["event"] == "command_published"] == ["desk"]


# ---- event streams -----------------------------------------------------------------------------------------------


async def test_one_of_several_tokens_takes_half_of_the_streams(opened, monkeypatch):
    monkeypatch.setattr(streams, "STREAMS_MAX", 4)
    api, _ = await opened(table("wall", ["read"]))
    async with AsyncExitStack() as stack:

        async def asked(name):
            headers = (BEARER if name == "api" else bearer_of(name)) | {"Accept": "text/event-stream"}
            answer = await stack.enter_async_context(api.get("/sessions", headers=headers))
            return answer.status if answer.status == 200 else (await answer.json())["error"]

        found = [await asked(name) for name in ("wall", "wall", "wall", "api", "api")]

    assert [found[0], found[1], found[3], found[4]] == [200] * 4
    assert (found[2]["type"], found[2]["reason"]) == (
        "too-many-streams",
        "2 event streams are already open with this token",
    )
