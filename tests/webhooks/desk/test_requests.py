"""What a desk may do: commands on its agent's calls, calls out, the directory, parked calls, presence."""

import pytest

from conferral.commands import identity
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import ProviderUnreachableError
from conferral.runtime.limits import IDENTITY_MAX
from conferral.statemachine.states import PartyStatus
from conferral.storage import scripts
from conferral.storage.agent_calls import AgentCall, CallResult, encode
from conferral.storage.codecs.text_codec import to_iso
from tests.support.each import each
from tests.support.metric_values import value_of
from tests.support.token_files import bearer_of, table
from tests.webhooks.api.api_helpers import ALICE, CALLER, KEYS, eventually, put, report_status, session, take_up
from tests.webhooks.api.test_streams import ended
from tests.webhooks.desk.desk_helpers import parked, with_agent, with_party

pytestmark = pytest.mark.redis
COMMANDS = f"/desk/sessions/{CALLER}/commands"


async def published(store):
    """The commands on the stream."""
    return [
        {name.decode(): text.decode() for name, text in fields.items()}
        for _, fields in await store.xrange(KEYS.commands)
    ]


# ---- rings -------------------------------------------------------------------------------------------------------


async def test_a_desk_says_that_its_agent_is_busy_before_it_rejects_a_ring(desks, store, metrics, lines):
    await put(store, with_agent(session(), "client:alice", PartyStatus.RINGING, answered=False))
    await store.set(KEYS.call(ALICE), CALLER)
    path, busy = f"/desk/rings/{ALICE}", {"result": "busy"}
    async with desks.client.post(path, headers=await desks.bearer(), json=busy) as answer:
        assert answer.status == 204
    assert await store.get(KEYS.ring(ALICE)) == b"busy"
    assert value_of(metrics.calls.busy_rings) == 1
    (line,) = [line for line in lines if line["event"] == "ring_rejected_as_busy"]
    assert (line["session_id"], line["call_sid"]) == (CALLER, ALICE)
    for wrong in ({}, {"result": "away"}, {"result": "busy", "to": "x"}, {"result": 1}):
        assert (await desks.ask("POST", path, await desks.bearer(), json=wrong))[0] == 422


@each("identity, call, changes", [
    ("dave", ALICE, {}),
    ("alice", CALLER, {}),
    ("alice", "CA" + "9" * 32, {}),
    ("alice", "a%0A", {}),
    ("alice", ALICE, {"status": PartyStatus.CONNECTED, "answered": True}),
    ("alice", ALICE, {"status": PartyStatus.CONNECTED}),
    ("alice", ALICE, {"status": PartyStatus.LEFT}),
])  # fmt: skip
async def test_only_rings_of_the_desks_own_agent_are_known(desks, store, identity, call, changes):
    ringing = {"status": PartyStatus.RINGING, "answered": False}
    await put(store, with_agent(session(), "client:alice", **(ringing | changes)))
    await store.set(KEYS.call(ALICE), CALLER)
    headers = await desks.bearer(identity)
    assert (await desks.ask("POST", f"/desk/rings/{call}", headers, json={"result": "busy"}))[0] == 404
    assert await store.keys(KEYS.ring("*")) == []


# ---- commands ------------------------------------------------------------------------------------------------------


async def test_a_desk_sends_commands_in_its_agents_name_to_its_agents_calls(desks, store):
    await put(store, session())
    headers = await desks.bearer()
    command = {"type": "transfer", "to": "sales", "mode": "consult", "by": "someone"}
    status, answer = await desks.ask("POST", COMMANDS, headers, json=command)
    (sent,) = await published(store)
    assert (status, sent["id"], sent["by"], sent["session"]) == (202, answer["command"], "crm/alice", CALLER)
    await store.set(KEYS.call(ALICE), CALLER)
    by_call = await desks.ask("POST", f"/desk/sessions/{ALICE}/commands", headers, json={"type": "end"})
    assert by_call[0] == 202


async def test_the_longest_identity_is_a_valid_sender(desks, store):
    longest = "a" * IDENTITY_MAX
    await put(store, with_agent(session(), f"client:{longest}"))
    status, _ = await desks.ask("POST", COMMANDS, await desks.bearer(longest), json={"type": "end"})
    (sent,) = await published(store)
    assert (status, identity.sender_of(sent)) == (202, f"crm/{longest}")


async def test_a_desk_may_wait_for_the_outcome(desks, store):
    await put(store, session())
    await report_status(store, "c1", "rejected", "no")
    command = {"type": "end", "id": "c1"}
    status, answer = await desks.ask("POST", f"{COMMANDS}?wait=5", await desks.bearer(), json=command)
    assert (status, answer["error"]["reason"]) == (409, "no")
    assert "transfer" in answer["error"]["allowed"]


async def test_desk_asks_what_became_of_its_own_commands_alone(desks, store):
    await put(store, session())
    headers = await desks.bearer()
    await desks.ask("POST", COMMANDS, headers, json={"type": "end", "id": "c1"})
    status, answer = await desks.ask("GET", "/desk/commands/c1", headers)
    assert (status, answer["status"], answer["by"]) == (200, "", "crm/alice")
    await report_status(store, "c1", "failed", "expired")
    status, answer = await desks.ask("GET", "/desk/commands/c1", headers)
    assert (status, answer["status"], answer["reason"]) == (200, "failed", "expired")

    others = await desks.bearer("bob")
    await report_status(store, "c2", "done")
    for name, bearer in (("c1", others), ("c2", headers), ("none", headers), ("a%20b", headers)):
        assert (await desks.ask("GET", f"/desk/commands/{name}", bearer))[0] == 404


async def test_desk_lists_its_agents_own_calls(desks, store):
    headers, at = await desks.bearer(), to_iso(SystemClock().wall_ms() - 60_000)
    call = AgentCall("s1", at, "+14155550123", "+14155550100", None, CallResult.MISSED, None)
    await store.lpush(KEYS.agent_calls("alice"), encode(call))
    status, answer = await desks.ask("GET", "/desk/calls", headers)
    assert (status, answer) == (200, {"calls": [{
        "session": "s1", "at": at, "customer": "+14155550123", "number": "+14155550100", "ref": None,
        "result": "missed", "talk_s": None, "direction": "inbound",
    }]})  # fmt: skip
    assert (await desks.ask("GET", "/desk/calls", await desks.bearer("bob")))[1] == {"calls": []}


async def test_each_command_of_a_desk_takes_a_deadline(desks, store):
    await put(store, session())
    headers, deadline = await desks.bearer(), "2100-01-01T00:00:00.000Z"
    await report_status(store, "c2", "accepted")
    await desks.ask("POST", COMMANDS, headers, json={"type": "end", "id": "c1", "deadline": deadline})
    await desks.ask("POST", "/desk/calls", headers, json={"to": "sales", "id": "c2", "deadline": deadline})
    assert [sent["deadline"] for sent in await published(store)] == [deadline, deadline]
    for path, body in ((COMMANDS, {"type": "end"}), ("/desk/calls", {"to": "sales"})):
        assert (await desks.ask("POST", path, headers, json={**body, "deadline": "soon"}))[0] == 422


async def test_a_desk_has_its_agents_open_line_hung_up_without_a_command(desks, store, metrics):
    await put(store, with_agent(session(), "client:alice", has_desk=True))
    path, headers = f"/desk/sessions/{CALLER}/take-over", await desks.bearer()
    assert (await desks.ask("POST", path, await desks.bearer("bob")))[0] == 404
    assert desks.hang_ups.calls == []

    async with desks.client.post(path, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    assert desks.hang_ups.calls == [ALICE]
    assert await published(store) == []
    assert value_of(metrics.desk_take_overs) == 1

    for desk in ("d1", "d2"):
        _, found = await desks.ask("PUT", "/desk/presence", headers, json={"status": "ready", "desk": desk})
    assert found["registered"] == "d1", "it has the call"
    async with desks.client.post(path, headers=headers, json={"desk": "d2"}) as answer:
        assert answer.status == 204
    _, found = await desks.ask("PUT", "/desk/presence", headers, json={"status": "ready", "desk": "d1"})
    assert found["registered"] == "d2"
    assert (await desks.ask("POST", path, headers, json={"desk": "a b"}))[0] == 422

    desks.hang_ups.error = ProviderUnreachableError()
    assert (await desks.ask("POST", path, headers))[0] == 503
    ringing = {"status": PartyStatus.RINGING, "has_desk": True}
    for changes in ({"has_desk": False}, ringing, {"call_sid": "", "has_desk": True}):
        await put(store, with_agent(session(), "client:alice", **changes))
        assert (await desks.ask("POST", path, headers))[0] == 409
    await put(store, with_party(with_agent(session()), "target", "client:alice", status=PartyStatus.CONNECTED))
    assert (await desks.ask("POST", path, headers))[0] == 409, "it would be a hang-up"


async def test_calls_of_others_are_unknown_to_a_desk(desks, store):
    await put(store, with_agent(session()), ended(session("over")))
    headers = await desks.bearer()
    for name in (CALLER, "over", "none", "a%0A"):
        path = f"/desk/sessions/{name}/commands"
        assert (await desks.ask("POST", path, headers, json={"type": "end"}))[0] == 404
    for path in ("/sessions", f"/sessions/{CALLER}", "/outcomes", "/agents"):
        assert (await desks.ask("GET", path, headers))[0] == 401
    assert await published(store) == []


@each(
    "body, status, reason",
    [
        (
            {"type": "supervise", "to": "sales", "mode": "barge"},
            403,
            "a desk can't send supervise; it can send transf",
        ),
        ({"type": "announce", "say": "x"}, 403, "a desk can't send announce; it can send transfer, "),
        (
            {"type": "call", "agent": "sales", "customer": "sales"},
            403,
            "a desk can't send call; it can send transfer, ",
        ),
        ({"type": "hold"}, 422, 'hold: missing field "party"'),
        ({"type": "end", "session": "x"}, 422, 'unexpected field "session": the path names the session'),
        ({}, 422, 'missing field "type"'),
    ],
)
async def test_other_commands_get_a_clear_error(desks, store, body, status, reason):
    await put(store, session())
    found = await desks.refusal("POST", COMMANDS, await desks.bearer(), json=body)
    assert found[0] == status, found
    assert found[1].startswith(reason), found
    assert await published(store) == []


async def test_the_issuers_destinations_apply_and_its_other_permissions_do_not(open_desks, store):
    desks = await open_desks(table("crm", ["desk"], "client:"))
    await put(store, session())
    headers = await desks.bearer()
    status, reason = await desks.refusal(
        "POST", COMMANDS, headers, json={"type": "add", "to": "+14155550177", "party": "expert"}
    )
    assert status == 403
    assert reason.startswith("the token crm may not name this destination in to: ")
    assert "0177" not in reason
    assert (await desks.refusal("POST", "/desk/calls", headers, json={"to": "sales"}))[0] == 403
    assert (await desks.ask("GET", "/desk/directory", headers))[1]["names"] == [{"name": "dave", "status": None}]
    assert (await desks.ask("POST", COMMANDS, headers, json={"type": "add", "to": "dave", "party": "x"}))[0] == 202

    phones = await open_desks(table("crm", ["desk"], "US"))
    await take_up(store)
    await report_status(store, "c7", "accepted")
    body = {"to": "sales", "id": "c7"}
    assert (await phones.ask("POST", "/desk/calls", await phones.bearer(), json=body))[0] == 202


# ---- calls out, parked calls ---------------------------------------------------------------------------------------


async def test_a_call_out_rings_this_agent_first_and_says_at_once_if_it_is_refused(desks, store):
    headers = await desks.bearer()
    await report_status(store, "c1", "accepted")
    status, answer = await desks.ask("POST", "/desk/calls", headers, json={"to": "sales", "id": "c1"})
    assert (status, answer) == (202, {"command": "c1", "session": identity.session_id_of("c1")})
    (sent,) = await published(store)
    assert {name: sent[name] for name in ("type", "agent", "customer", "by")} == {
        "type": "call", "agent": "client:alice", "customer": "sales", "by": "crm/alice",
    }  # fmt: skip

    await report_status(store, "c2", "rejected", "country FR is not in CONFERRAL_ALLOWED_DESTINATIONS")
    found = await desks.refusal("POST", "/desk/calls", headers, json={"to": "+33142345678", "id": "c2"})
    assert found == (409, "country FR is not in CONFERRAL_ALLOWED_DESTINATIONS")
    for body in ({}, {"to": ""}, {"to": "no name\n"}, {"to": "sales", "agent": "dave"}):
        assert (await desks.ask("POST", "/desk/calls", headers, json=body))[0] == 422


async def test_a_desk_sees_and_takes_calls_that_its_team_has_parked(open_desks, store):
    desks = await open_desks(table("crm", ["desk"]), table("other", ["desk"]))
    await put(store, parked(session()), parked(session("api"), by="crm"), parked(session("foreign"), by="other/dave"))
    headers = await desks.bearer()
    status, answer = await desks.ask("GET", "/desk/parked", headers)
    assert (status, [one["id"] for one in answer["sessions"]]) == (200, [CALLER])

    await report_status(store, "c1", "accepted")
    taken = await desks.ask("POST", f"/desk/parked/{CALLER}/retrieve", headers, json={"id": "c1"})
    assert taken == (202, {"command": "c1"})
    (sent,) = await published(store)
    assert (sent["type"], sent["to"], sent["by"]) == ("retrieve", "client:alice", "crm/alice")
    for name, body in (("foreign", {"json": {}}), ("api", {"json": {}}), ("none", {})):
        assert (await desks.ask("POST", f"/desk/parked/{name}/retrieve", headers, **body))[0] == 404


# ---- presence ------------------------------------------------------------------------------------------------------


async def test_who_did_not_answer_an_offer_is_away_until_a_click(desks, store):
    headers = await desks.bearer()
    ready = {"status": "ready", "desk": "d1"}
    await desks.ask("PUT", "/desk/presence", headers, json=ready)
    await store.set(KEYS.offer("alice"), "1 s1")
    keys = [KEYS.offer("alice"), KEYS.agents, KEYS.agent_away("alice")]
    await scripts.end_offer(store, keys, ["1 s1", "alice", "no-answer", 60])
    for click, expected in ((None, ("away", "no-answer")), (False, ("away", "no-answer")), (True, ("ready", None))):
        body = ready if click is None else ready | {"click": click}
        _, own = await desks.ask("PUT", "/desk/presence", headers, json=body)
        assert (own["status"], own["reason"], own["registered"]) == (*expected, "d1")


async def test_presence_of_all_agents_is_listed_for_readers_and_in_the_directory(open_desks, store):
    desks, elsewhere = await open_desks(), await open_desks()
    alice, dave = await desks.bearer(), await elsewhere.bearer("dave")
    status, own = await desks.ask("PUT", "/desk/presence", alice, json={"status": "ready"})
    assert (status, own["status"], own["registered"], own["session"]) == (200, "ready", "default", None)
    await elsewhere.ask("PUT", "/desk/presence", dave, json={"status": "ready", "desk": "d1"})
    await put(store, with_agent(session()))

    async def listed():
        _, answer = await desks.ask("GET", "/agents", bearer_of("ops"))
        found = [{name: one[name] for name in ("identity", "name", "status", "session")} for one in answer["agents"]]
        return found == [
            {"identity": "alice", "name": "alice", "status": "ready", "session": None},
            {"identity": "dave", "name": "dave", "status": "busy", "session": CALLER},
        ]

    await eventually(listed)
    names = (await desks.ask("GET", "/desk/directory", alice))[1]["names"]
    assert names == [{"name": "dave", "status": "busy"}, {"name": "sales", "status": None}]
    assert (await desks.ask("GET", "/agents", bearer_of("crm")))[0] == 403

    status, own = await desks.ask("PUT", "/desk/presence", alice, json={"status": "away"})
    assert (own["status"], own["registered"]) == ("away", None)


async def test_one_desk_of_an_agent_may_be_registered_and_one_with_a_call_keeps_that(open_desks, store):
    desks, elsewhere = await open_desks(), await open_desks()
    headers = await desks.bearer()

    async def registered(where, desk):
        body = {"status": "ready", "desk": desk}
        return (await where.ask("PUT", "/desk/presence", headers, json=body))[1]["registered"]

    assert await registered(desks, "one") == "one"

    async def newest():
        return await registered(elsewhere, "two") == "two"

    await eventually(newest)
    assert await registered(desks, "one") == "two"
    await put(store, session())

    async def is_busy():
        return (await desks.ask("PUT", "/desk/presence", headers, json={"status": "ready", "desk": "two"}))[1][
            "session"
        ]

    assert await eventually(is_busy) == CALLER
    assert await registered(desks, "three") == "two"


async def test_a_page_that_is_left_gives_its_place_to_another_at_once_or_else_soon_makes_the_agent_away(desks, store):
    headers = await desks.bearer()

    async def says(desk, status="ready", **more):
        _, own = await desks.ask("PUT", "/desk/presence", headers, json={"status": status, "desk": desk} | more)
        return own["status"], own["registered"]

    assert (await says("one"), await says("two")) == (("ready", "one"), ("ready", "two"))
    assert await says("two", "away", left=True) == ("ready", "one")
    assert await says("one", "away", left=True) == ("ready", None)
    assert await says("one") == ("ready", "one"), "the page has loaded again"
    assert await says("one", "away") == ("away", None)


@each(
    "body",
    [
        {},
        {"status": "busy"},
        {"status": "ready", "desk": ""},
        {"status": "ready", "desk": "a b"},
        {"status": "ready", "left": True},
        {"status": "away", "left": "x"},
        {"x": 1},
    ],
)
async def test_wrong_presence_is_refused(desks, body):
    status, reason = await desks.refusal("PUT", "/desk/presence", await desks.bearer(), json=body)
    assert (status, reason.partition(",")[0]) == (422, "presence takes the fields status")


# ---- other origins -------------------------------------------------------------------------------------------------


async def test_pages_of_listed_origins_may_send_requests_but_get_no_desk_tokens(open_desks):
    crm = "https://crm.example.com"
    desks = await open_desks(CONFERRAL_DESK_ORIGINS=crm)
    for path in ("/desk/events", "/desk/presence", COMMANDS):
        async with desks.client.options(path, headers={"Origin": crm}) as preflight:
            assert preflight.status == 204
            assert preflight.headers["Access-Control-Allow-Origin"] == crm
            assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
            assert preflight.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT"
    async with desks.client.options("/desk/events", headers={"Origin": "https://evil.example.com"}) as other:
        assert "Access-Control-Allow-Origin" not in other.headers
    async with desks.client.get("/desk/directory", headers={"Origin": crm}) as refused:
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, crm)
    for path in ("/desk/tokens", "/sessions", "/tokens", "/agents"):
        async with desks.client.options(path, headers={"Origin": crm}) as none:
            assert none.status == 405
            assert "Access-Control-Allow-Origin" not in none.headers
