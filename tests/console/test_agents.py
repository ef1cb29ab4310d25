"""Agents over the socket: the directory, desks, and calls together, with today's missed rings."""

import time
from dataclasses import replace

import pytest

from tests.conferral.cli_helpers import CALL, KEYS, conferenced, make_session, put, put_desk, set_up
from tests.console.console_helpers import Page, commit
from tests.support.outcome_entries import attempt, session

pytestmark = pytest.mark.redis
NAMES = {"Billing": "+14155550177", "Alice": "client:alice", "Bob B.": "client:bob"}


async def test_everyone_is_listed_with_their_own_time(open_console, redis):
    set_up(redis)
    now_ms = redis.time()[0] * 1000
    put_desk(redis, "bob", "Bob", "ready", renewed_ms=now_ms)
    put_desk(redis, "carol", "Carol", "away", renewed_ms=now_ms)
    put_desk(redis, "dave", "Dave", "ready", renewed_ms=now_ms - 400_000)
    live = conferenced()
    alice = replace(live.agent, answered_at_ms=now_ms - 65_000)
    put(redis, replace(live, parties=live.parties | {"agent": alice}))
    missed = [attempt("client:bob", "no-answer", 20), attempt("client:bob", "busy", 0)]
    agents = '[{"address":"client:alice","talk_s":90.4,"holds":1}]'
    redis.xadd(KEYS.outcomes, session(int(time.time() * 1000) - 1, *missed, agents=agents))
    people = {"client:carol": "Carol C."}
    console = await open_console(directory=lambda: NAMES, people=lambda: people)
    page = await Page.open(console, {"view": "agents", "zone": "UTC"})

    found = {one["name"]: one for one in (await page.next("agents"))["agents"]}

    status = {name: (one["status"], one["missed"], one["talk_s"]) for name, one in found.items()}
    assert status == {
        "Alice": ("busy", 0, 90), "Billing": ("not on a call", 0, 0), "Bob B.": ("ready", 1, 0),
        "Carol C.": ("away", 0, 0),
    }  # fmt: skip
    (call,) = found["Alice"]["calls"]
    assert (call["id"], call["people"], call["party"]) == (CALL, "+…23 and alice", "agent")
    assert found["Alice"]["since"] == call["since"] != make_session().created_at_ms
    assert "4155550177" not in str(found)

    outside = replace(live.agent, address="+14155550188")  # called as an agent, and known nowhere
    commit(redis, replace(make_session("CA" + "8" * 32), parties={"customer": live.customer, "agent": outside}))
    commit(redis, replace(make_session("CA" + "9" * 32), parties={"customer": live.customer, "agent": replace(
        live.agent, address="client:bob")}))  # fmt: skip
    message = await page.next("agents", lambda found: sum(one["status"] == "busy" for one in found["agents"]) == 2)
    assert [one["name"] for one in message["agents"]] == ["Alice", "Billing", "Bob B.", "Carol C."]
