"""Sessions and transfers are counted in one place, and every surface shows what it says."""

import pytest

from conferral.operations import statistics
from conferral.operations.attention import attention_of
from conferral.operations.session_queries import SessionQueries
from conferral.operations.statistics import HOUR_MS, SessionCounts, TransferStats
from conferral.storage.codecs.session_codec import stored_session
from conferral.storage.keys import Keys
from tests.support.outcome_entries import transfer

NOW_MS = 1_800_000_000_000
KEYS = Keys("test", 4)
TALKING = {"party.customer.status": "connected", "party.agent.status": "connected"}


def session(state, **fields):
    return {"state": state, "timers": f'{{"age": {NOW_MS + 1}}}', **TALKING, **fields}


def test_live_sessions_are_counted_by_state_and_need_for_attention():
    alone = {"party.agent.status": "left"}
    rows = [
        session("bridged"),
        session("conferenced"),
        session("conferenced", **alone),
        session("transferring", timers=f'{{"stage": {NOW_MS - 60_000}}}'),
        session("ended", end_reason="convert-failed"),
        {},
    ]
    by_state = {"bridged": 1, "converting": 0, "conferenced": 2, "transferring": 1}
    judged = [(view := stored_session(row), attention_of(view, NOW_MS)) for row in rows]
    assert statistics.count_sessions(judged) == SessionCounts(live=4, troubled=2, lone=1, by_state=by_state)


@pytest.mark.redis
async def test_only_the_last_hour_counts_and_duplicates_count_once(client):
    reported = [
        transfer(NOW_MS - HOUR_MS - 1, "failed", id="old"),
        transfer(NOW_MS - HOUR_MS + 1, "failed", id="a"),
        transfer(NOW_MS - HOUR_MS + 1, "failed", id="a"),
        transfer(NOW_MS - 4, "completed", id="b", answer_s="3"),
        transfer(NOW_MS + 1, "cancelled", id="c"),
    ]
    for number, fields in enumerate(reported):
        await client.xadd(KEYS.outcomes, fields, id=f"{NOW_MS - HOUR_MS + number}-0")
    assert await statistics.read_last_hour(SessionQueries(client, KEYS), NOW_MS) == TransferStats(3, 1, 33.3, 3.0)
