"""Sessions and transfers are counted in one place, and every surface shows what it says."""

import orjson
import pytest

from conferral.operations import statistics
from conferral.operations.attention import attention_of
from conferral.operations.session_queries import SessionQueries
from conferral.operations.statistics import HOUR_MS, SessionCounts, TransferStats
from conferral.storage.codecs.session_codec import stored_session
from conferral.storage.keys import Keys

NOW_MS = 1_800_000_000_000
KEYS = Keys("test", 4)
TALKING = {"party.customer.status": "connected", "party.agent.status": "connected"}


def session(state, **fields):
    return {"state": state, "timers": f'{{"age": {NOW_MS + 1}}}', **TALKING, **fields}


def outcome(result, *answers_s, kind="transfer", **fields):
    attempts = [{"result": "answered", "rang_s": one} for one in answers_s]
    return {"kind": kind, "result": result, "attempts": orjson.dumps(attempts).decode(), **fields}


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


@pytest.mark.parametrize(("count", "p95_s"), [(1, 1.0), (19, 19.0), (20, 19.0), (21, 20.0), (100, 95.0)])
def test_time_to_answer_is_one_that_actually_occurred(count, p95_s):
    found = [outcome("completed", *(float(one) for one in range(count, 0, -1)))]
    assert statistics.transfer_stats_of(found).answer_p95_s == p95_s


@pytest.mark.redis
async def test_only_the_last_hour_counts_and_duplicates_count_once(client):
    reported = [
        (NOW_MS - HOUR_MS - 1, outcome("failed", id="old")),
        (NOW_MS - HOUR_MS + 1, outcome("failed", id="a")),
        (NOW_MS - 5, outcome("failed", id="a")),
        (NOW_MS - 4, outcome("completed", 3.0, id="b")),
    ]
    for at_ms, fields in reported:
        await client.xadd(KEYS.outcomes, fields, id=f"{at_ms}-0")
    assert await statistics.read_last_hour(SessionQueries(client, KEYS), NOW_MS) == TransferStats(2, 1, 50.0, 3.0)
