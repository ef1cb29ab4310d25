"""What the API shows of sessions: what Redis has, and no more."""

from dataclasses import replace

import pytest
from msgspec.json import encode

from conferral.statemachine.parts import TransferState
from conferral.statemachine.states import PartyStatus, Phase, State, TransferMode
from tests.support.each import each
from tests.webhooks.api.api_helpers import ALICE, CALLER, CUSTOMER_NUMBER, KEYS, put, refusal, session

pytestmark = pytest.mark.redis


async def get(client, path):
    async with client.get(path) as response:
        return response.status, await response.json()


async def all_pages(client, query):
    found, cursor, pages = [], "", 0
    while True:
        status, page = await get(client, f"/sessions?{query}" + (f"&cursor={cursor}" if cursor else ""))
        assert status == 200
        found += [one["id"] for one in page["sessions"]]
        cursor, pages = page["cursor"], pages + 1
        if not cursor:
            return found, pages


ABSENT = {"+14155559999", "client:bob", "CA" + "f" * 32}
PRESENT = {
    CUSTOMER_NUMBER.replace("+", "%2B"), CUSTOMER_NUMBER, "client:alice", "client:Alice", ALICE, "front-desk",
    f"sip:{CUSTOMER_NUMBER.replace('+', '%2B')}@carrier.example.com",
}  # fmt: skip


@pytest.mark.parametrize("party", sorted(ABSENT | PRESENT))
async def test_sessions_can_be_asked_for_by_who_takes_part(store, open_api, tmp_path, party):
    directory = tmp_path / "directory.toml"
    directory.write_text('[destinations]\nfront-desk = "client:alice"\n')
    api = await open_api(CONFERRAL_DIRECTORY=str(directory))
    agent = session().parties["agent"]
    gone = replace(agent, status=PartyStatus.LEFT)
    for number in range(5):
        another = replace(agent, address=f"client:{number}", call_sid=f"CA{number}")
        await put(store, session(f"other-{number}", parties={"agent": another}))
    await put(store, session("left", parties={"agent": gone}))
    await put(store, session("over", state=State.ENDED, phase=Phase.NONE, ended_at_ms=1_795_000_009_000))
    await put(store, session())

    found, _ = await all_pages(api, f"party={party}&limit=2")

    assert found == ([CALLER] if party in PRESENT else [])
    assert (await all_pages(api, f"party={party}&state=ended"))[0] == []


async def test_party_without_text_too_long_or_unknown_as_a_name_is_refused(api):
    for party in ("", "client:" + "x" * 513, "alice", "client"):
        status, body = await get(api, f"/sessions?party={party}")
        assert (status, body["error"]["reason"].partition(" must be ")[0]) == (422, "party")


async def test_sessions_can_be_asked_for_by_their_reference_also_ended_ones(api, store):
    await put(store, session("live", ref="desk/7 é"))
    await put(store, session("over", state=State.ENDED, ended_at_ms=1_795_000_009_000, ref="desk/7 é"))
    await put(store, session("another", ref="desk/7"))
    await put(store, session())

    assert (await all_pages(api, "ref=desk/7+%C3%A9"))[0] == ["live", "over"]
    assert (await all_pages(api, "ref=desk/7+%C3%A9&state=ended"))[0] == ["over"]
    assert (await all_pages(api, "ref=desk/7+%C3%A9&party=client:alice&limit=1"))[0] == ["live"]
    assert (await get(api, "/sessions/live"))[1]["ref"] == "desk/7 é"
    assert (await get(api, f"/sessions/{CALLER}"))[1]["ref"] is None
    for ref in ("", "x" * 65):
        status, body = await get(api, f"/sessions?ref={ref}")
        assert (status, body["error"]["reason"]) == (422, "ref must be 1 to 64 characters")


# ---- one ---------------------------------------------------------------------------------------------------------


async def test_session_is_typed_and_has_no_field_that_only_workers_read(api, store):
    one = session(timers={"age": 1_795_086_400_000}, verified_version=2)
    customer = replace(one.parties["customer"], since_ms=1_795_165_380_677)
    await put(store, replace(one, parties=one.parties | {"customer": customer}))

    for path in (f"/sessions/{CALLER}", "/sessions"):
        answer = (await get(api, path))[1]
        shown = answer if "id" in answer else answer["sessions"][0]
        assert shown.keys() == {
            "id", "state", "phase", "version", "direction", "created_at", "updated_at", "ended_at", "end_reason",
            "number", "by", "ref", "conference", "parties", "transfer",
        }  # fmt: skip
        assert (shown["version"], shown["ended_at"], shown["transfer"]) == (3, None, None)
        assert shown["parties"]["customer"] == {
            "call_sid": CALLER, "address": CUSTOMER_NUMBER, "label": shown["parties"]["customer"]["label"],
            "status": "connected", "since": "2026-11-20T09:03:00.677Z", "held": False, "muted": False,
            "left_reason": None,
        }  # fmt: skip


async def test_a_session_is_found_by_any_of_its_calls(api, store):
    await put(store, session())
    await store.set(KEYS.call(ALICE), CALLER)

    for path in ("", "/log"):
        assert (await get(api, f"/sessions/{ALICE}{path}"))[0] == 200
    assert (await get(api, f"/sessions/{ALICE}"))[1]["id"] == CALLER


async def test_conference_and_transfer_of_a_session_are_objects(api, store):
    transfer = TransferState(1, TransferMode.BLIND, ("client:bob",), reason="failed", code="21216", by="api")
    await put(store, session(conference_sid="CF1", conference_name="C-1", transfer=transfer, end_reason=""))

    answer = (await get(api, f"/sessions/{CALLER}"))[1]

    assert answer["conference"] == {"sid": "CF1", "name": "C-1"}
    await put(store, session("CA7", conference_sid="", conference_name="C-1"))
    assert (await get(api, "/sessions/CA7"))[1]["conference"] == {"sid": None, "name": "C-1"}
    assert answer["transfer"] == {
        "mode": "blind", "to": "client:bob", "by": "api", "fallback": None, "status": "dialing",
        "reason": "failed", "code": 21216,
    }  # fmt: skip
    assert (answer["created_at"], answer["updated_at"], answer["end_reason"]) == (
        "2026-11-18T11:06:40.000Z",
        None,
        None,
    )


@each("path", ["/sessions/{}", "/sessions/{}/log"])
@each(
    "named, shown",
    [
        ("CS1", "CS1"),
        ("14155550199", "(digits alone)"),
        ("%7B0%7D", "with this id"),
        ("a%2Fb", "with this id"),
        ("x" * 65, "with this id"),
        ("%00", "with this id"),
    ],
)
async def test_unknown_session_is_not_found(api, path, named, shown):
    status, reported = await get(api, path.format(named))

    assert status == 404
    assert reported["error"] == refusal(
        "unknown", f"no call {shown} found; a call that came in while Redis was away is known after two sweeps"
    )


# ---- lists -------------------------------------------------------------------------------------------------------


def ended(session_id, at_ms):
    return replace(session(session_id), state=State.ENDED, phase=Phase.NONE, ended_at_ms=at_ms, end_reason="command")


async def test_a_list_leads_through_all_sessions_the_live_ones_first(api, store):
    live = [f"live-{number}" for number in range(25)]
    over = [f"over-{number}" for number in range(25)]
    await put(store, *map(session, live), *(ended(one, 1_000 + number) for number, one in enumerate(over)))

    for limit in (7, 500):
        found, pages = await all_pages(api, f"limit={limit}")

        assert sorted(found) == sorted(live + over)
        assert set(found[:25]) == set(live)
        assert pages == 1 or limit == 7


# ---- logs --------------------------------------------------------------------------------------------------------


def entry(number, **fields):
    reported = {
        "at": "2026-11-20T08:24:07.123Z", "event": "call_progressed", "from": "bridged", "to": "bridged",
        "outcome": "stayed", "version": str(number), "reason": "", "effects": "[]",
    }  # fmt: skip
    return reported | fields


async def test_log_entry_is_returned_with_all_its_fields(api, store):
    await put(store, session())
    effects = [{"id": "e1", "kind": "hang_up_call", "party": "agent", "target": ALICE}]
    reports = [{"command": "c1", "type": "hold", "status": "done"}]
    changes = {"phase": "parked", "parked_until": None}
    lists = {
        "effects": encode(effects),
        "reports": encode(reports),
        "changes": encode(changes),
    }
    tries = {"attempts": "3", "failed_attempts": '["503 x2"]', "happened_at": "2026-11-20T08:24:07.500Z"}
    lists["details"] = '{"party": "agent"}'
    entry_id = await store.xadd(KEYS.log(CALLER), entry(4, **lists, **tries, command="c1", mood="good"))

    _, body = await get(api, f"/sessions/{CALLER}/log")

    (one,) = body["entries"]
    assert one == entry(4, details={"party": "agent"}, command="c1", mood="good") | {
        "entry": entry_id.decode(), "other": "", "effects": [effects[0] | {"detail": ""}],
        "reports": [reports[0] | {"reason": "", "code": ""}], "effect": "", "by": "", "changes": changes,
        **tries,
    }  # fmt: skip


async def test_a_log_entry_that_is_nested_too_deeply_hides_no_other(api, store):
    await put(store, session())
    deep = '{"party": ' + "[" * 300 + "]" * 300 + "}"
    effects = '[{"id": ' + "[" * 300 + "]" * 300 + "}]"
    for number, fields in enumerate(({"details": deep}, {"effects": effects}, {"details": '{"party": "agent"}'})):
        await store.xadd(KEYS.log(CALLER), entry(number, **fields))

    _, body = await get(api, f"/sessions/{CALLER}/log")

    shown = [(one["version"], one["details"], one["effects"]) for one in body["entries"]]
    assert shown == [("0", {}, []), ("1", {}, []), ("2", {"party": "agent"}, [])]


async def test_a_log_is_returned_page_by_page_the_oldest_entries_first(api, store):
    await put(store, session(), log=[entry(number) for number in range(4)])

    _, first = await get(api, f"/sessions/{CALLER}/log?limit=2")
    _, last = await get(api, f"/sessions/{CALLER}/log?limit=2&cursor={first['cursor']}")

    assert [one["version"] for page in (first, last) for one in page["entries"]] == ["0", "1", "2", "3"]
    assert last["cursor"] is None


@pytest.mark.parametrize("effects", ["{", "1", '{"id": 1}', "[1]", ""])
async def test_effects_that_cannot_be_understood_are_left_out(api, store, effects):
    await put(store, session())
    await store.xadd(KEYS.log(CALLER), entry(4, effects=effects))

    status, body = await get(api, f"/sessions/{CALLER}/log")

    assert (status, body["entries"][0]["effects"]) == (200, [])


async def test_the_cursor_of_one_list_is_none_of_another(api, store):
    await put(store, *(session(f"s-{number}") for number in range(3)))
    await put(store, session())
    for number in range(3):
        await store.xadd(KEYS.log(CALLER), entry(number))
    _, sessions = await get(api, "/sessions?limit=1")
    _, log = await get(api, f"/sessions/{CALLER}/log?limit=1")

    for path in (
        f"/sessions?cursor={log['cursor']}",
        f"/sessions/{CALLER}/log?cursor={sessions['cursor']}",
        f"/sessions/{CALLER}/log?cursor={2**64}-0",
    ):
        status, body = await get(api, path)
        assert (status, body["error"]["reason"]) == (422, "cursor must be that of the page before")
