"""`--follow`: changes as they happen, on a terminal and in a pipe."""

import signal

import pytest

from conferral.operations.change_feed import ChangeFeed
from tests.conferral.cli_helpers import (
    CALL,
    CREATED_MS,
    KEYS,
    consult,
    log_entry,
    make_session,
    put,
    set_up,
    start,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
OTHER = "CA" + "3" * 32
END = {"before": "conferenced", "after": "ended", "outcome": "moved", "reason": "agent-left"}


@pytest.fixture
async def follower(reader, redis):
    """A feed that has begun when there were no calls."""
    set_up(redis)
    follower = ChangeFeed(reader)
    await follower.start(CREATED_MS)
    return follower


async def output_of(follower, now_ms=CREATED_MS):
    return [(entry.session, entry.event) for entry in await follower.poll(now_ms)]


async def test_only_new_changes_of_all_sessions_are_shown(reader, redis):
    put(redis, make_session(), log=[log_entry("call_received")])
    follower = ChangeFeed(reader)

    await follower.start(CREATED_MS)
    redis.xadd(KEYS.log(CALL), log_entry("convert"))

    assert await output_of(follower) == [(CALL, "convert")]
    assert await output_of(follower) == []


async def test_changes_of_several_sessions_are_reported_in_order_of_time(follower, redis):
    for name in ("A", "B"):
        put(redis, make_session(name))
    for name, entry_id in (("B", "1000-0"), ("A", "1000-1"), ("B", "1001-0")):
        redis.xadd(KEYS.log(name), log_entry("convert"), id=entry_id)

    assert [name for name, _ in await output_of(follower)] == ["B", "A", "B"]


@pytest.mark.processes
def test_in_a_pipe_each_change_is_a_line_also_after_an_outage_and_ctrl_c_ends_well(redis_program, tmp_path):
    with RedisServer(redis_program, append_only=True) as server:
        with server.client() as client:
            put(client, make_session())
            consult(client, OTHER)
        with start("sessions", "--follow", cwd=tmp_path, env={"REDIS_URL": server.url}) as program:
            first = [program.stdout.readline() for _ in range(5)]
            assert f"{CALL}  bridged (connected)" in "".join(first)
            assert "  consult to +…45 talking\n" in first
            server.kill()
            assert "retrying" in program.stderr.readline()
            server.start()
            with server.client() as client:
                client.xadd(KEYS.log(CALL), log_entry("convert", after="converting"))
            assert program.stdout.readline() == f"08:00:00.000  {CALL}  convert requested  -> converting\n"
            assert "Redis is reachable again" in program.stderr.readline()

            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=60)

    assert (program.returncode, out) == (0, "")
    assert "Traceback" not in err
