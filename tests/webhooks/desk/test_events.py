"""The event stream of a desk: sessions of its agent, its commands, presence."""

import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from conferral.statemachine.parts import DialOptions, Recording
from conferral.statemachine.session import LOST
from conferral.statemachine.states import PartyStatus
from conferral.webhooks.api import streams
from conferral.webhooks.desk import feed
from tests.support.metric_values import value_of
from tests.support.token_files import table
from tests.webhooks.api.api_helpers import CALLER, commit, eventually, put, report_status, session
from tests.webhooks.api.test_streams import conferenced, ended
from tests.webhooks.desk.desk_helpers import first_sessions, next_of, parked, queued, with_agent, with_party

pytestmark = pytest.mark.redis


def entry(number, **fields):
    states = {"from": "conferenced", "to": "conferenced"}
    return {"event": "hold", "version": str(number), "effects": "[]"} | states | fields


async def test_a_desk_gets_its_agents_calls_and_those_that_ring_and_no_others(desks, store):
    mine, other = session(), with_agent(session("other"))
    await put(store, mine, other)
    async with desks.events(await desks.bearer()) as stream:
        assert [one["id"] for one in await first_sessions(stream)] == [CALLER]
        await put(store, conferenced(other))
        await put(store, with_party(conferenced(other), "target", "client:alice"))
        assert (await next_of(stream, "session"))["id"] == "other"
        left = with_agent(conferenced(mine), "client:alice", PartyStatus.LEFT)
        await put(store, left)
        assert (await next_of(stream, "session"))["parties"]["agent"]["status"] == "left"
        await put(store, replace(left, version=9))
        await put(store, ended(with_party(conferenced(other), "target", "client:alice")))
        over = await next_of(stream, "session")
        assert (over["id"], over["state"]) == ("other", "ended")


async def test_an_agents_own_leg_has_the_brief_the_data_and_who_hands_over(desks, store):
    options = DialOptions(brief="<b>VIP</b>", params="order=7&note=a%26b")
    inbound = replace(session(), options=options)
    handed = with_party(with_agent(session("two")), "target", "client:alice", dial_id="d1", options=options)
    await put(store, inbound, handed)
    async with desks.events(await desks.bearer()) as stream:
        found = {one["id"]: one for one in await first_sessions(stream)}
    own = {"brief": "<b>VIP</b>", "params": {"order": "7", "note": "a&b"}}
    agent, target = found[CALLER]["parties"]["agent"], found["two"]["parties"]["target"]
    assert {name: agent[name] for name in (*own, "from_agent")} == own | {"from_agent": None}
    assert {name: target[name] for name in (*own, "from_agent")} == own | {"from_agent": "client:dave"}
    assert "brief" not in found["two"]["parties"]["agent"]


async def test_a_session_says_what_the_directory_calls_its_agents(desks, store):
    await put(store, with_party(session(), "target", "client:erin"))
    async with desks.events(await desks.bearer("erin")) as stream:
        assert (await next_of(stream, "presence"))["name"] == "Erin E."
        (found,) = await first_sessions(stream)
    assert found["names"] == {"client:erin": "Erin E."}


async def test_a_session_says_who_is_on_hold_since_before_an_outage(desks, store):
    await put(store, with_party(session(), "customer", "+14155550199", held=True, desired_hold=True, hold_found=True))
    async with desks.events(await desks.bearer()) as stream:
        (found,) = await first_sessions(stream)
    assert found["old_holds"] == ["customer"]


async def test_the_new_agent_still_sees_who_handed_the_call_over(desks, store):
    former = with_party(session(), "agent-1", "client:dave", status=PartyStatus.LEFT)
    await put(store, former)
    async with desks.events(await desks.bearer()) as stream:
        (found,) = await first_sessions(stream)
    assert found["parties"]["agent"]["from_agent"] == "client:dave"


async def test_who_retrieves_a_parked_call_sees_who_parked_it(desks, store):
    parked = replace(session("two"), parked_by="client:dave")
    parked = replace(parked, parties={name: one for name, one in parked.parties.items() if name != "agent"})
    await put(store, with_party(parked, "target", "client:alice", dial_id="d1"))
    async with desks.events(await desks.bearer()) as stream:
        (found,) = await first_sessions(stream)
    assert found["parties"]["target"]["from_agent"] == "client:dave"


async def test_a_session_says_what_would_be_refused_and_whether_it_is_recorded(desks, store):
    await put(store, replace(session(), recording=Recording("RE1", "in-progress")))
    async with desks.events(await desks.bearer()) as stream:
        (found,) = await first_sessions(stream)
    assert found["recording"] == "in-progress"
    assert {"complete", "swap"} <= found["refused"].keys()
    assert not {"transfer", "hold", "end"} & found["refused"].keys()
    assert all(found["refused"].values())


async def test_a_desk_hears_what_becomes_of_its_commands_alone(desks, store):
    mine, by = conferenced(session()), "crm/alice"
    async with desks.events(await desks.bearer()) as stream, desks.events(await desks.bearer("dave")) as other:
        for one in (stream, other):
            await first_sessions(one)
        await put(store, with_party(mine, "target", "client:dave"))
        await next_of(other, "session")
        reports = '[{"command":"c2","type":"hold","status":"rejected","reason":"no","code":""}]'
        await commit(store, replace(mine, version=6), entry(6, command="c1", by=by, outcome="stayed"))
        await commit(store, replace(mine, version=7), entry(7, command="c2", by=by, outcome="refused", reports=reports))
        await commit(store, replace(mine, version=8), entry(8, command="c3", by="crm/dave", outcome="stayed"))
        done = '[{"command":"c1","type":"hold","status":"failed","reason":"busy","code":"13223"}]'
        # The agent's own leg has ended with it.
        gone = with_agent(replace(mine, version=9), "client:alice", PartyStatus.LEFT)
        await commit(store, gone, entry(10, reports=done))
        found = [await next_of(stream, "command") for _ in range(3)]
    assert found == [
        {"command": "c1", "status": "accepted", "reason": "", "code": None},
        {"command": "c2", "status": "rejected", "reason": "no", "code": None},
        {"command": "c1", "status": "failed", "reason": "busy", "code": 13223},
    ]


async def test_a_new_stream_hears_the_end_of_an_earlier_command_and_nothing_older(desks, store):
    mine = conferenced(session())
    await commit(store, mine, entry(4, command="c1", by="crm/alice", outcome="stayed"))
    await store.hset("conferral:command:c1", mapping={"by": "crm/alice"})
    await report_status(store, "c1", "accepted")
    async with desks.events(await desks.bearer()) as stream:
        await first_sessions(stream)
        done = '[{"command":"c1","type":"hold","status":"done","reason":"","code":""}]'
        await commit(store, replace(mine, version=9), entry(9, reports=done))
        assert (await next_of(stream, "command"))["status"] == "done"


async def test_presence_is_sent_first_and_with_each_change(desks, store):
    headers = await desks.bearer()
    async with desks.events(headers) as stream:
        kind, presence, _ = await stream.next()
        assert (kind, presence["status"], presence["since"], presence["registered"]) == ("presence", "away", None, None)
        await desks.ask("PUT", "/desk/presence", headers, json={"status": "ready", "desk": "tab-1"})
        ready = await next_of(stream, "presence")
        assert (ready["status"], ready["registered"], ready["session"]) == ("ready", "tab-1", None)
        await put(store, session())
        busy = await next_of(stream, "presence")
        assert (busy["status"], busy["session"], busy["since"]) == ("busy", CALLER, ready["since"])
        await put(store, ended(session()))
        assert (await next_of(stream, "presence"))["status"] == "ready"


async def test_a_newer_desk_is_registered_during_a_call_only_if_that_was_lost_and_rings_again(desks, store):
    headers = await desks.bearer()

    async def registered(desk):
        _, own = await desks.ask("PUT", "/desk/presence", headers, json={"status": "ready", "desk": desk})
        return own["registered"]

    async with desks.events(headers) as stream:
        await first_sessions(stream)
        assert await registered("tab-1") == "tab-1"
        await put(store, session())
        await next_of(stream, "session")
        assert await registered("tab-2") == "tab-1"
        await put(store, with_agent(session(), "client:alice", PartyStatus.RINGING, rung_again_because=LOST))
        assert (await next_of(stream, "session"))["parties"]["agent"]["is_lost"]
        assert await registered("tab-2") == "tab-2"


async def test_a_fourth_stream_of_an_agent_ends_the_oldest_that_is_not_the_registered_desks(desks, metrics):
    headers = await desks.bearer()
    await desks.ask("PUT", "/desk/presence", headers, json={"status": "ready", "desk": "tab-1"})
    async with AsyncExitStack() as stack:
        opened = {}
        for desk in ("tab-1", "tab-2", "tab-3", "tab-4"):
            opened[desk] = await stack.enter_async_context(desks.events(headers, desk))
            await first_sessions(opened[desk])
        assert await opened["tab-2"].rest_of_events() == [("replaced", {}, None)]
        opened["tab-5"] = await stack.enter_async_context(desks.events(headers, "tab-5"))
        await first_sessions(opened["tab-5"])
        assert await opened["tab-3"].rest_of_events() == [("replaced", {}, None)]
        again = await stack.enter_async_context(desks.events(headers, "tab-4"))  # its network was lost
        assert await opened["tab-4"].rest_of_events() == [("replaced", {}, None)]
        opened["tab-4"] = again
        await first_sessions(again)
        async with desks.events(await desks.bearer("dave")) as other:
            await first_sessions(other)
            assert value_of(metrics.desk_streams) == 4
            assert value_of(metrics.streams) == value_of(metrics.streams_refused) == 0
        await desks.ask("PUT", "/desk/presence", headers, json={"status": "away", "desk": "tab-1"})
        for desk in ("tab-1", "tab-4", "tab-5"):
            assert (await next_of(opened[desk], "presence"))["status"] == "away"


async def test_a_stream_ends_with_its_tokens_hour(desks):
    async with desks.events(await desks.bearer()) as stream:
        await first_sessions(stream)
        desks.clock.ahead_s = 3_601
        assert await stream.rest_of_events() == []


async def test_streams_of_all_agents_are_limited(open_desks, monkeypatch):
    monkeypatch.setattr(feed, "STREAMS_MAX", 1)
    desks = await open_desks()
    async with desks.events(await desks.bearer()) as stream:
        await first_sessions(stream)
        refusal = await desks.refusal("GET", "/desk/events", await desks.bearer("dave"))
        assert refusal == (503, "1 event stream is already open")


async def test_a_stream_whose_other_end_sleeps_is_ended_by_the_system():
    """Such as after a lost Wi-Fi: nothing closes the connection, and no one confirms the next comment."""
    with socket.socket() as connection:
        transport = Mock(get_extra_info=lambda name, default=None: connection if name == "socket" else default)
        request = make_mocked_request("GET", "/desk/events", transport=transport)
        await streams.Reader(request, "alice", lambda: False).start()
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


async def test_a_desk_that_reads_nothing_is_dropped(desks, store, metrics, monkeypatch):
    monkeypatch.setattr(streams, "BEHIND_BYTES_MAX", 64 * 1024)
    async with desks.events(await desks.bearer()) as stream:
        await first_sessions(stream)

        async def is_dropped():
            await put(store, replace(session(), ref="x" * 60_000, version=next(versions)))
            return value_of(metrics.streams_dropped)

        versions = iter(range(5, 10_000))
        assert await eventually(is_dropped)


async def test_the_feed_rests_once_no_one_uses_it_and_goes_on_later(desks, store, monkeypatch):
    monkeypatch.setattr(feed, "IDLE_S", 0.5)
    headers = await desks.bearer()
    for _ in range(2):
        async with desks.events(headers) as stream:
            await first_sessions(stream)
            assert desks.feed.is_following

        async def rests():
            return not desks.feed.is_following

        await eventually(rests)
    await put(store, session())
    async with desks.events(headers) as stream:
        assert (await next_of(stream, "session"))["id"] == CALLER


# ---- the team ------------------------------------------------------------------------------------------------------


async def test_a_desk_follows_what_its_team_parks_and_takes_and_no_other_teams(open_desks, store):
    desks = await open_desks(table("crm", ["desk"]), table("other", ["desk"]))
    one, foreign = parked(session()), parked(session("foreign"), by="other/dave")
    await put(store, one, foreign)
    mine, theirs = await desks.bearer("erin"), await desks.bearer("bob", "other")
    async with desks.events(mine) as stream, desks.events(theirs) as other:
        found = await next_of(stream, "parked")
        assert (found["id"], found["session"]["parked_by"]) == (CALLER, "client:dave")
        assert (await next_of(other, "parked"))["id"] == "foreign"
        later = parked(session("later"))
        await put(store, later)
        assert (await next_of(stream, "parked"))["id"] == "later"
        await put(store, ended(one))
        assert await next_of(stream, "parked") == {"id": CALLER, "session": None}
        await put(store, ended(foreign))
        assert await next_of(other, "parked") == {"id": "foreign", "session": None}


async def test_a_desk_follows_who_waits_for_its_agent_and_no_one_else(open_desks, store):
    desks = await open_desks(table("crm", ["desk"]))
    one, foreign = queued(session()), queued(session("foreign"), ("client:bob",))
    await put(store, one, foreign)
    async with desks.events(await desks.bearer("alice")) as stream:
        found = await next_of(stream, "queued")
        assert (found["id"], found["session"]["phase"]) == (CALLER, "queued")
        assert found["session"]["queued_since"].endswith("Z")
        later = queued(session("later"))
        await put(store, later)
        assert (await next_of(stream, "queued"))["id"] == "later"
        await put(store, ended(one))
        assert await next_of(stream, "queued") == {"id": CALLER, "session": None}


async def test_a_desk_follows_the_presence_of_those_it_may_call(desks, store):
    async with desks.events(await desks.bearer()) as stream:
        names = [{"name": "dave", "status": None}, {"name": "sales", "status": None}]
        assert await next_of(stream, "directory") == {"names": names, "is_all": True}
        await desks.ask("PUT", "/desk/presence", await desks.bearer(), json={"status": "ready"})  # not of its own
        await desks.ask("PUT", "/desk/presence", await desks.bearer("dave"), json={"status": "ready"})
        changed = {"names": [{"name": "dave", "status": "ready"}], "is_all": False}
        assert await next_of(stream, "directory") == changed
        await put(store, with_agent(session()))
        changed["names"][0]["status"] = "busy"
        assert await next_of(stream, "directory") == changed
        directory = desks.path.parent / "directory.toml"
        directory.write_text(directory.read_text().replace('sales = "+14155550177"\n', ""))
        desks.directory.reload()
        assert await next_of(stream, "directory") == changed | {"is_all": True}
