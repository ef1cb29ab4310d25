"""`watch` shows those that need attention first and those that were chosen, by options or by keys."""

import os
import pty
import re
import select
import signal
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.operations.history.change_feed import Change
from conferral.operations.session_queries import LogEntry
from conferral.storage.codecs.session_view import SessionView, view_of
from conferral.watch.keys import HELP, TEXT_MAX, Selection
from conferral.watch.views import AttentionView, LineView, ScreenView
from tests.conferral.cli_helpers import CALL, KEYS, log_entry, make_session, put, start
from tests.support.each import each

NEVER_MS = 4_000_000_000_000
CONFERENCE = "CF" + "3c" * 16


# ---- keys --------------------------------------------------------------------------------------------------------


def after(*keys):
    choice = Selection()
    for key in keys:
        choice.press(key)
    return choice


def test_keys_choose():
    assert after("s").state == "bridged"
    assert after(*"sssss").state == ""
    assert after("t").description == "needing attention"
    assert after("q").wants_to_stop
    assert after("?").wants_help
    assert not after("?", "?").wants_help


def test_a_text_is_typed_corrected_kept_and_dropped():
    assert after("/", "a", "l", "x", "\x7f").text == "al"
    assert after("/al").is_typing  # pasted in one go
    assert (kept := after("/", "q", "\r")).text == "q"
    assert (kept.is_typing, kept.wants_to_stop) == (False, False)
    assert after("/", "a", "\x1b").text == ""
    assert after("/", "a", "\r", "s", "t", "\x1b") == Selection()


def test_one_session_is_chosen_opened_and_left_again():
    assert (after("j", "\x1b[B", "\x1bOB", "k").moved, after("\x1b[A", "k", "\x1bOA").moved) == (2, -3)
    opened = after("j", "\r")
    assert (opened.is_open, opened.moved) == (True, 1)
    for key in ("q", "\x1b", "\r"):
        left = after("\r", "t", key)
        assert (left.is_open, left.wants_to_stop, left.needs_attention) == (False, False, False)
    assert after("\r", "q", "q").wants_to_stop
    typed = after("/", "j", "k", "\r")
    assert (typed.text, typed.moved, typed.is_open) == ("jk", 0, False)


def test_other_keys_and_what_can_not_be_shown_mean_nothing():
    assert after("\x1b[C", "\x1bOP") == Selection()
    assert after("/", "\x1b[A", "\x02", "a").text == "a"
    assert len(after("/", "x" * 99).text) == TEXT_MAX


@given(st.lists(st.text(max_size=5), max_size=20))
def test_whatever_is_typed_can_be_shown(keys):
    choice = after(*keys)
    assert choice.text.isprintable()
    assert len(choice.text) <= TEXT_MAX


@each(
    "choice, is_taken",
    [
        (Selection(), True),
        (Selection(state="bridged"), True),
        (Selection(state="converting"), False),
        (Selection(needs_attention=True), False),
        (Selection(text="ALICE"), True),
        (Selection(text="0123"), True),
        (Selection(text=CONFERENCE[:10]), True),
        (Selection(text="shown"), True),
        (Selection(text="9999"), False),
        (Selection(text="alice", state="ended"), False),
    ],
)
def test_watch_filter_selects_matching_sessions(choice, is_taken):
    fields = {
        "id": CALL, "state": "bridged", "party.customer.address": "+14155550123", "party.agent.address": "client:alice",
        "conference_sid": CONFERENCE, "updated_at": "9999", "party.customer.status": "", "party.agent.status": "",
    }  # fmt: skip
    assert choice.matches(view_of(fields), "what is shown", needs_attention=False) is is_taken


# ---- what is shown -----------------------------------------------------------------------------------------------


def fine(session_id, **changes):
    return make_session(session_id, timers={"age": NEVER_MS}, **changes)


async def shown_on_screen(reader):
    """A screen with all sessions, and what is chosen on it."""
    choice = Selection()
    screen = ScreenView(reader, choice, full=False)
    await screen.show_changes([])
    return screen, choice


def drawn(screen):
    console = screen._console
    return "".join(segment.text for segment in console.render(screen._render()))


@pytest.mark.redis
async def test_sessions_needing_attention_come_first_and_the_filter_hiding_all_is_named(reader, redis):
    put(redis, fine("S1"))
    put(redis, make_session("S2", timers={"ring": 1}))
    put(redis, fine("S3", created_at_ms=1_800_000_009_000))
    screen, choice = await shown_on_screen(reader)
    assert [session.id for session in screen.visible_sessions()] == ["S2", "S3", "S1"]
    choice.needs_attention = True
    assert [session.id for session in screen.visible_sessions()] == ["S2"]
    choice.press("/zz\r")
    assert screen.visible_sessions() == []
    assert "none of 3 live calls match: needing attention, /zz" in drawn(screen)
    choice.press("?")
    shown = drawn(screen)
    assert all(does in shown for _, does in HELP)


@pytest.mark.redis
async def test_the_session_that_is_marked_stays_marked_and_is_shown_whole_on_enter(reader, redis):
    for number in range(1, 4):
        put(redis, fine(f"S{number}", created_at_ms=1_800_000_000_000 + number))  # the newest stands first
    redis.xadd(KEYS.log("S2"), log_entry("convert", 1_800_000_000_500, after="converting"))
    screen, choice = await shown_on_screen(reader)
    assert ">" not in drawn(screen)

    choice.press("j")
    screen.refresh()
    choice.press("j")
    screen.refresh()
    assert "> S2" in drawn(screen)
    put(redis, fine("S4", created_at_ms=1_800_000_009_000))
    await screen.show_changes([])
    assert "> S2" in drawn(screen)

    choice.press("\r")
    screen.refresh()
    assert "loading" in drawn(screen)
    await screen.show_changes([])
    shown = drawn(screen)
    assert [
        word for word in ("session         S2", "party", "convert requested", "q goes back") if word not in shown
    ] == []
    assert "S3" not in shown

    choice.press("k")
    screen.refresh()
    await screen.show_changes([])
    assert "session         S3" in drawn(screen)
    choice.press("q")
    screen.refresh()
    assert "> S3" in drawn(screen)
    assert not choice.wants_to_stop


@pytest.mark.redis
async def test_selected_row_is_visible_on_the_smallest_screen(reader, redis, monkeypatch):
    monkeypatch.setenv("LINES", "12")
    for number in range(30):
        put(redis, fine(f"S{number}", created_at_ms=1_800_000_000_000 + number))
    screen, choice = await shown_on_screen(reader)

    for step in ("j", "jjjjjjjjjjjjjjjjj", "jjjjjjjjjjjjjjjjjjj", "k"):
        choice.press(step)
        screen.refresh()
        assert f"> {screen._selected} " in drawn(screen), step
    assert screen._selected == "S1"


@pytest.mark.redis
async def test_need_for_attention_is_shown_when_it_appears_changes_and_ends(reader, redis, capsys):
    put(redis, fine("S1"))
    lines = AttentionView(reader, Selection(), as_json=False)
    await lines.show_initial([])
    assert capsys.readouterr().out == ""
    put(redis, make_session("S1", timers={"ring": 1}))
    await lines.show_changes([])
    await lines.show_changes([])  # the same trouble, for longer: nothing new
    (lines_shown,) = capsys.readouterr().out.splitlines()
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  S1  overdue by ", lines_shown)
    put(redis, fine("S1"))
    await lines.show_changes([])
    assert capsys.readouterr().out.endswith("  S1  no longer needs attention, or has ended\n")


@pytest.mark.redis
async def test_attention_in_json_is_one_object_per_line(reader, redis, capsys):
    put(redis, make_session("S1", timers={"ring": 1}))
    await AttentionView(reader, Selection(state="bridged"), as_json=True).show_initial([])
    output = orjson.loads(capsys.readouterr().out)
    assert (output["session"], output["trouble"]["rank"]) == ("S1", 1)
    await AttentionView(reader, Selection(state="converting"), as_json=True).show_initial([])
    assert capsys.readouterr().out == ""


async def test_state_filter_shows_only_transitions_into_or_out_of_that_state(capsys):
    lines = LineView(Selection(state="converting"), full=False, as_json=False, with_session=True)
    await lines.show_initial([SessionView(id="S1", state="bridged"), SessionView(id="S2", state="converting")])
    await lines.show_changes(
        [
            Change("S3", LogEntry("1-0", log_entry("convert", after="converting"))),
            Change("S4", LogEntry("2-0", log_entry("call_progressed"))),
            Change("S5", LogEntry("3-0", log_entry("participant_joined", before="converting", after="conferenced"))),
        ]
    )
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["S2", "08:00:00.000", "08:00:00.000"]


# ---- the program -------------------------------------------------------------------------------------------------


@pytest.mark.redis
@pytest.mark.processes
def test_keys_work_on_a_terminal_which_is_left_as_it_was(redis, redis_server, tmp_path):
    import termios

    put(redis, fine(CALL))
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    env = {"REDIS_URL": redis_server.url, "COLUMNS": "100", "LINES": "24"}
    program = start("watch", cwd=tmp_path, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        seen = wait_for(ours, "q quit")
        assert CALL in seen
        os.write(ours, b"/nobody\r")
        assert "none of 1 live calls match: /nobody" in wait_for(ours, "Esc shows all")
        os.write(ours, b"q")
        assert program.wait(20) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        program.kill()
        os.close(ours)
        os.close(theirs)


def wait_for(terminal, text):
    """What a terminal is sent until a text was among it."""
    seen, deadline_s = "", time.monotonic() + 20
    while text not in seen:
        assert select.select([terminal], [], [], max(0.0, deadline_s - time.monotonic()))[0], seen
        seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


@pytest.mark.soak
@pytest.mark.redis
@pytest.mark.processes
def test_piped_watch_reports_errors_and_exits_cleanly_on_ctrl_c(redis, redis_server, tmp_path):
    put(redis, make_session(timers={"ring": 1}))
    with start("watch", "--trouble", cwd=tmp_path, env={"REDIS_URL": redis_server.url}) as program:
        assert f"  {CALL}  overdue by " in program.stdout.readline()
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=60)
    assert (program.returncode, "Traceback" in err) == (0, False)
