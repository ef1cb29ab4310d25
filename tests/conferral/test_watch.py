"""`watch`: changes as they happen, on a terminal and in a pipe."""

import asyncio
import json
import signal
import threading

import pytest
from rich.console import Console

from conferral.operations.history.change_feed import Change, ChangeFeed
from conferral.operations.session_queries import LogEntry, SessionQueries
from conferral.runtime.errors import StoreUnreachableError
from conferral.watch import loop
from conferral.watch.render import draw
from tests.conferral.cli_helpers import (
    CALL,
    CREATED_MS,
    KEYS,
    consult,
    ended,
    log_entry,
    make_session,
    put,
    set_up,
    start,
)

pytestmark = pytest.mark.redis
OTHER = "CA" + "3" * 32
END = {"before": "conferenced", "after": "ended", "outcome": "moved", "reason": "agent-left"}


@pytest.fixture
async def follower(reader, redis):
    """A watch that has begun when there were no calls."""
    set_up(redis)
    follower = ChangeFeed(reader)
    await follower.start(CREATED_MS)
    return follower


async def output_of(follower, now_ms=CREATED_MS):
    return [(change.session_id, change.entry["event"]) for change in await follower.poll(now_ms)]


async def test_only_new_changes_of_all_sessions_are_shown(reader, redis):
    put(redis, make_session(), log=[log_entry("call_received")])
    follower = ChangeFeed(reader)

    sessions = await follower.start(CREATED_MS)
    redis.xadd(KEYS.log(CALL), log_entry("convert"))

    assert [session.id for session in sessions] == [CALL]
    assert await output_of(follower) == [(CALL, "convert")]
    assert await output_of(follower) == []


async def test_slow_reads_make_watch_read_less_often(monkeypatch):
    class Slow:
        async def start(self, _now_ms):
            return []

        async def poll(self, _now_ms):
            await asyncio.sleep(0.1)  # a delay: a slow read is the case
            return []

    class Nowhere:
        async def show_initial(self, _sessions):
            return

        async def show_changes(self, _changes):
            return

    async def pause(stop, pause_s):
        paused_s.append(pause_s)
        stop.set()

    paused_s = []
    monkeypatch.setattr(loop, "pause", pause)
    await loop._follow(Slow(), Nowhere(), "here", asyncio.Event())

    assert paused_s[0] >= 0.3  # three times as long as the poll took


async def test_new_session_is_reported_from_its_first_event(follower, redis):
    put(redis, make_session(), log=[log_entry("call_received"), log_entry("call_progressed")])

    assert await output_of(follower) == [(CALL, "call_received"), (CALL, "call_progressed")]


async def test_session_that_began_and_ended_between_polls_is_reported(follower, redis):
    put(redis, ended(), log=[log_entry("call_received"), log_entry("lone_overdue", **END)])

    assert await output_of(follower, CREATED_MS + 61_000) == [(CALL, "call_received"), (CALL, "lone_overdue")]
    assert await output_of(follower, CREATED_MS + 61_200) == []
    assert await output_of(follower, CREATED_MS + 120_000) == []


async def test_session_ended_before_the_start_is_not_reported(reader, redis):
    put(redis, ended(), log=[log_entry("lone_overdue", **END)])
    follower = ChangeFeed(reader)

    await follower.start(CREATED_MS + 61_500)

    assert await output_of(follower, CREATED_MS + 61_700) == []


async def test_changes_of_several_sessions_are_reported_in_order_of_time(follower, redis):
    for name in ("A", "B"):
        put(redis, make_session(name))
    for name, entry_id in (("B", "1000-0"), ("A", "1000-1"), ("B", "1001-0")):
        redis.xadd(KEYS.log(name), log_entry("convert"), id=entry_id)

    assert [name for name, _ in await output_of(follower)] == ["B", "A", "B"]


async def test_a_long_watch_forgets_the_sessions_that_are_gone(reader, redis):
    put(redis, make_session(), log=[log_entry("call_received")])
    follower = ChangeFeed(reader)
    await follower.start(CREATED_MS)
    put(redis, ended(), log=[log_entry("lone_overdue", **END)])

    await follower.poll(CREATED_MS + 61_000)
    await follower.poll(CREATED_MS + 120_000)

    assert follower.positions == {}


def test_one_session_is_shown_from_start_to_end(run, redis):
    put(redis, make_session(), log=[log_entry("call_received", version="1")])
    ending = threading.Timer(0.5, lambda: redis.xadd(KEYS.log(CALL), log_entry("lone_overdue", **END)))
    ending.start()

    ran = run("watch", CALL, "--until", "ended")
    ending.join()

    first, last = ran.out.splitlines()
    assert ran.code == 0
    assert first == f"08:00:00.000  {CALL}  incoming call  -> bridged"
    assert last.endswith("one party was left alone for too long  -> ended (agent-left)")


def test_watch_until_the_end_stops_for_a_session_whose_log_has_no_end(run, redis):
    put(redis, ended(), log=[log_entry("call_received")])

    ran = run("watch", CALL, "--until", "ended")

    assert (ran.code, len(ran.out.splitlines())) == (0, 1)


def test_watch_until_the_end_stops_for_a_session_that_is_erased(run, redis, monkeypatch):
    put(redis, make_session(), log=[log_entry("call_received")])
    show_changes = loop.LineView.show_changes

    async def erase_when_shown(view, changes):
        await show_changes(view, changes)
        redis.delete(KEYS.session(CALL), KEYS.log(CALL))

    monkeypatch.setattr(loop.LineView, "show_changes", erase_when_shown)

    ran = run("watch", CALL, "--until", "ended")

    assert (ran.code, len(ran.out.splitlines())) == (0, 1)


def test_watch_until_the_end_continues_after_redis_was_away(run, redis, monkeypatch):
    put(redis, make_session(), log=[log_entry("call_received")])
    view, answers = SessionQueries.view, iter(["away"])

    async def view_or_error(reader, session_id):
        if next(answers, ""):
            raise StoreUnreachableError("connection lost")
        put(redis, ended())
        return await view(reader, session_id)

    monkeypatch.setattr(SessionQueries, "view", view_or_error)

    ran = run("watch", CALL, "--until", "ended")

    assert (ran.code, len(ran.out.splitlines())) == (0, 1)
    assert "connection lost" in ran.err


def test_json_is_one_object_a_line(run, redis):
    effects = '[{"id":"1","kind":"end_conference","party":"","target":"CF1"}]'
    put(redis, ended(), log=[log_entry("call_received"), log_entry("lone_overdue", **END | {"effects": effects})])

    ran = run("watch", CALL, "--until", "ended", "--json")

    first, last = map(json.loads, ran.out.splitlines())
    assert first == {"session": CALL, **log_entry("call_received"), "effects": [], "reports": []}
    assert last["effects"][0]["kind"] == "end_conference"
    assert last["to"] == "ended"


def test_watching_an_unknown_session_is_refused(run, redis):
    set_up(redis)

    assert run("watch", "nobody").code == 1


@pytest.mark.processes
def test_in_a_pipe_each_change_is_a_line_and_ctrl_c_ends_well(redis, redis_server, tmp_path, bridged):
    consult(redis, OTHER)
    with start("watch", cwd=tmp_path, env={"REDIS_URL": redis_server.url}) as program:
        first = {program.stdout.readline() for _ in range(2)}
        transfer = "consult to +…45 consulting; customer is on hold"
        assert first == {
            f"{CALL}  is bridged (connected): +…23 and client:alice\n",
            f"{OTHER}  is transferring (consult): +…23 and client:alice; {transfer}\n",
        }
        redis.xadd(KEYS.log(CALL), log_entry("convert", after="converting"))
        assert program.stdout.readline() == f"08:00:00.000  {CALL}  convert requested  -> converting\n"

        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)

    assert (program.returncode, out) == (0, "")
    assert "Traceback" not in err


@pytest.mark.processes
def test_watch_reports_redis_outage_and_misses_nothing(redis_program, tmp_path):
    from tests.support.redis_server import RedisServer

    with RedisServer(redis_program, append_only=True) as server:
        with server.client() as client:
            put(client, make_session())
        with start("watch", cwd=tmp_path, env={"REDIS_URL": server.url}) as program:
            program.stdout.readline()
            server.kill()
            assert "retrying" in program.stderr.readline()
            server.start()
            with server.client() as client:
                client.xadd(KEYS.log(CALL), log_entry("convert"))
            assert "convert requested" in program.stdout.readline()
            assert "Redis is reachable again" in program.stderr.readline()
            program.send_signal(signal.SIGINT)
            program.communicate(timeout=60)
    assert program.returncode == 0


# ---- the screen --------------------------------------------------------------------------------------------------


def drawn(sessions, changes, *, columns=80, lines=24):
    """The screen as a terminal of that size shows it."""
    target = Console(width=columns, height=lines, markup=False, highlight=False, emoji=False, color_system=None)
    with target.capture() as captured:
        target.print(draw(target, sessions, changes, "", full=False))
    return [line.rstrip() for line in captured.get().splitlines()]


async def test_at_80_columns_nothing_of_the_screen_is_cut(reader, redis):
    consult(redis)
    effects = '[{"id":"1","kind":"create_participant","party":"target","target":"target-2"}]'
    reason = "Twilio refused (HTTP 400, code 21218)"
    changes = [Change(CALL, LogEntry("1-0", log_entry("stage_overdue", effects=effects, reason=reason)))]

    shown = drawn([await reader.view(CALL)], changes)

    assert max(map(len, shown)) <= 80
    assert shown[1] == "  agent client:alice and target +…45 are talking; customer +…23 is on hold"
    assert shown[4].startswith("08:00:00  111111  due: dial target  (Twilio refused")
    assert shown[5].startswith(" " * 18)
    assert shown[-1] == "Ctrl-C stops it"


async def test_sessions_that_do_not_fit_the_screen_are_counted(reader, redis):
    for number in range(30):
        put(redis, make_session(f"S{number:02}"))
    changes = [Change("S29", LogEntry(f"{number}-0", log_entry("convert"))) for number in range(12)]

    screen = drawn(await reader.all_sessions(None, with_ended=False), changes)

    hidden = next(line for line in screen if line.startswith("and "))
    shown = sum(line.startswith("S") for line in screen)
    assert len(screen) <= 24
    assert shown > 2
    assert hidden == f"and {30 - shown} more (conferral sessions lists all)"
    assert screen[-1] == "Ctrl-C stops it"


@pytest.mark.parametrize("lines", [5, 10, 24, 60])
async def test_the_screen_of_any_height_shows_sessions_and_changes(reader, redis, lines):
    consult(redis)
    sessions = [await reader.view(CALL)] * 20
    reason = "a reason that takes two lines of a terminal that is not wide, or three where it is even narrower"
    changes = [Change(CALL, LogEntry(f"{number}-0", log_entry("convert", reason=reason))) for number in range(12)]

    shown = drawn(sessions, changes, lines=lines)

    assert shown[0].startswith(CALL)
    assert sum("convert requested" in line for line in shown) >= 1
    if lines >= 10:  # below that the newest change and one session are kept, whatever scrolls
        assert len(shown) < lines


def test_a_screen_without_sessions_says_so():
    assert drawn([], []) == ["no live calls", "", "Ctrl-C stops it"]
