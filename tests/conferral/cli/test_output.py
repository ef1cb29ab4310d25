"""What is printed: values from outside do no harm, pipes get plain text, and one that closes early is no error."""

import json
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conferral.cli import output
from tests.conferral.cli_helpers import (
    CALL,
    CREATED_MS,
    KEYS,
    log_entry,
    make_session,
    put,
    start,
)
from tests.support.outcome_entries import attempt, transfer

ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def harmless(text):
    return all(unicodedata.category(letter) not in HARMFUL for letter in text.replace("\n", ""))


@given(st.text())
@example("\x1b[31mred\x1b]8;;http://x\x07link")
@example("\x9b31m \x7f \u202egnp.exe \u2066 \u200b \u2028 \ud800 \U000e0041")
def test_nothing_printable_harms_a_terminal(text):
    assert harmless(output.printable(text))
    assert "\n" not in output.printable(text)


def test_markup_is_not_obeyed(capsys):
    output.print_table(("name",), [("[red]x[/red] [link=http://x]y[/link] :smile:",)])

    assert "[red]x[/red] [link=http://x]y[/link] :smile:" in capsys.readouterr().out


HOSTILE = "\x1b[2J\u202e\x07[bold]\r\n+14155550123"


@pytest.mark.redis
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile=ANYTHING)
@example(hostile=HOSTILE)
def test_hostile_values_do_no_harm_in_any_command(run, redis, hostile):
    every_command_is_harmless(run, redis, hostile)


def every_command_is_harmless(run, redis, hostile):
    redis.flushall()
    effects = json.dumps([dict.fromkeys(("id", "kind", "party", "target", "detail"), hostile)])
    changes = json.dumps({"phase": hostile, "party.customer.status": hostile, "timers": hostile, hostile: hostile})
    details = json.dumps(dict.fromkeys(("party", "status", "dial", "agent", "agents", hostile), hostile))
    reported = {"details": details, "reason": hostile, "effects": effects, "changes": changes}
    put(redis, make_session(), log=[log_entry(hostile, **reported), log_entry("call_progressed", **reported)])
    names = (
        "party.customer.address", "party.agent.address", "party.agent.label", "end_reason", "state", "version",
        "transfer.mode", "transfer.to", "transfer.status", "transfer.reason", "transfer.attempts",
    )  # fmt: skip
    redis.hset(KEYS.session(CALL), mapping=dict.fromkeys(names, hostile))
    redis.hset(KEYS.command("mine"), mapping={"status": "rejected", "reason": hostile, "session": CALL})

    about = {"dead_reason": hostile, "dead_stream": hostile, "dead_entry": hostile}
    redis.xadd(KEYS.dead, {"type": hostile, "session": hostile, f"f{hostile}": hostile, **about}, id="1-0")

    names = ("result", "reason", "mode", "landed_on")
    redis.xadd(KEYS.outcomes, transfer(CREATED_MS, "failed", attempt(hostile, hostile)) | dict.fromkeys(names, hostile))

    for arguments in (
        ["report", "--since", "2027-01-15", "--until", "2027-01-16"],
        ["sessions"],
        ["show", CALL],
        ["convert", CALL, "--id", "mine"],
        ["dead"],
        ["dead", "retry", "1-0"],
        ["forget", CALL, "--dry-run"],
    ):
        for more in ([], ["--json"]):
            ran = run(*arguments, *more)
            assert harmless(ran.out), arguments
            assert harmless(ran.err), arguments


@pytest.mark.redis
@pytest.mark.processes
@pytest.mark.parametrize(
    "arguments",
    [
        ("sessions", "--all"),
        pytest.param(("sessions", "--all", "--json"), marks=pytest.mark.soak),
        ("sessions", "--follow", "--json"),
    ],
)
def test_a_pipe_that_closes_early_is_no_error(redis, redis_server, tmp_path, arguments):
    for number in range(300):
        put(redis, make_session(f"S{number}"))
    reading, writing = os.pipe()
    os.close(reading)

    program = start(*arguments, cwd=tmp_path, env={"REDIS_URL": redis_server.url}, stdout=writing)
    os.close(writing)
    if "--follow" in arguments:  # it has something to say only when something happens
        feed(redis, program)
    _, err = program.communicate(timeout=60)

    assert program.returncode == 0
    assert "Traceback" not in err
    assert "Broken" not in err


def feed(redis, program):
    """Makes things happen until the watcher has met its closed pipe."""
    number = 0
    while True:
        put(redis, make_session(f"N{number}"), log=[log_entry("call_received")])
        number += 1
        try:
            program.wait(0.2)
        except subprocess.TimeoutExpired:
            assert number < 500, "the watcher goes on"
        else:
            return


@pytest.mark.redis
def test_colour_is_for_terminals_that_want_it(run, bridged, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    cyan = "\x1b[36m"

    assert cyan in run("sessions", TERM="xterm", COLUMNS="100").out
    assert "\x1b[" not in run("sessions", TERM="dumb").out
    assert cyan not in run("sessions", TERM="xterm", NO_COLOR="1").out


@pytest.mark.redis
def test_a_pipe_gets_whole_values_without_colour(run, redis):
    put(redis, make_session("S" * 64))

    ran = run("sessions", COLUMNS="20")

    assert "S" * 64 in ran.out
    assert "\x1b" not in ran.out
    assert len(ran.out.splitlines()) == 2  # the session, and who talks
