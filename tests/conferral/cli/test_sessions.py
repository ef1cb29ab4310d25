"""`sessions` and `show`."""

import time
from dataclasses import replace

import pytest
from rich.console import Console

from conferral.cli import output
from conferral.statemachine.parts import Recording, TransferState
from conferral.statemachine.states import Phase, State, TransferMode, TransferStatus
from conferral.storage.codecs.session_codec import public
from conferral.storage.config import SCHEMA_VERSION
from tests.conferral.cli_helpers import (
    AGENT_CALL,
    CALL,
    CREATED_MS,
    KEYS,
    TARGET_CALL,
    Ran,
    consult,
    ended,
    log_entry,
    make_session,
    put,
    set_up,
)
from tests.support.each import each

pytestmark = pytest.mark.redis
OTHER = "CA" + "3" * 32


def test_live_sessions_are_listed_those_that_need_attention_first_then_the_newest(run, redis):
    overdue, failed = "CA" + "6" * 32, "CA" + "7" * 32
    transfer = TransferState(1, TransferMode.WARM, ("client:bob",), status=TransferStatus.FAILED, reason="busy")
    put(redis, make_session(created_at_ms=CREATED_MS + 5_000))
    put(redis, make_session(OTHER, created_at_ms=CREATED_MS + 7_000))
    put(redis, make_session(failed, transfer=transfer, updated_at_ms=int(time.time() * 1000) - 1_000))
    put(redis, make_session(overdue, timers={"calls": 1_700_000_000_000}))
    put(redis, ended("CA" + "4" * 32))

    ran = run("sessions")

    first, *others = [line for line in ran.out.splitlines() if line.startswith("CA")]
    assert [line.split()[0] for line in (first, *others)] == [overdue, OTHER, CALL, failed]
    assert "  overdue by " in ran.out.splitlines()[1]
    assert "\n  transfer failed" not in ran.out, "it has recovered: no one has to act, and the transfer says so"
    assert ran.out.splitlines()[-1].startswith("  warm to client:bob failed: target was busy")
    assert [one["id"] for one in run("sessions", "--json").json] == [overdue, OTHER, CALL, failed]


@pytest.mark.parametrize("party", ["client:alice", "front-desk", "+14155550123", CALL])
def test_sessions_are_found_by_who_takes_part_now(run, redis, tmp_path, monkeypatch, party):
    directory = tmp_path / "directory.toml"
    directory.write_text('[destinations]\nfront-desk = "client:alice"\n')
    monkeypatch.setenv("CONFERRAL_DIRECTORY", str(directory))
    put(redis, make_session())
    bob = replace(make_session().parties["agent"], address="client:bob", call_sid=TARGET_CALL)
    put(redis, make_session(OTHER, parties={"agent": bob}))
    put(redis, ended("CA" + "4" * 32))

    assert [one["id"] for one in run("sessions", "--party", party, "--json").json] == [CALL]
    assert run("sessions", "--party", "+14155559999").err == "no call in which +…99 takes part now\n"
    wrong = run("sessions", "--party", "alice")
    reason = "alice is neither an address nor a name in the directory; try client:alice"
    assert (wrong.code, reason in " ".join(wrong.err.replace("│", "").split())) == (2, True)


@pytest.mark.parametrize("command", ["show"])
def test_a_name_that_only_an_ended_call_has_is_said_to(run, redis, command):
    put(redis, ended())

    assert run(command, "alice").err.startswith("no live call matches alice; this is the only ended one\n")
    assert "no live call" not in run(command, CALL).err
    redis.delete(KEYS.session(CALL))
    put(redis, make_session())
    assert "no live call" not in run(command, "alice").err


def test_sessions_that_another_program_replaced_are_named_and_the_others_listed(run, redis):
    put(redis, make_session("replaced"))
    put(redis, make_session("readable"))
    key = KEYS.live(KEYS.partition_of("replaced"))
    redis.set(key, "theirs")

    listed = run("sessions", "--json")

    assert [one["id"] for one in listed.json] == ["readable"]
    reason = f"incomplete: {key} belongs to another program; the calls stored there are missing"
    assert (listed.code, listed.error["reason"]) == (1, reason)


def test_empty_list_is_no_error_and_names_what_was_asked_for(run, redis):
    set_up(redis)
    assert run("sessions") == Ran(0, "", "no live calls (use --all for ended ones)\n")
    assert run("sessions", "--state", "ended").err == "no ended calls\n"
    assert run("sessions", "--all").err == "no calls\n"
    assert run("sessions", "--json").json == []
    put(redis, make_session())
    assert run("sessions", "--state", "conferenced").err == "no conferenced calls\n", "there is a live one"


def test_numbers_are_cut_to_two_digits_unless_they_are_wanted(run, bridged):
    assert "+…23" in run("sessions").out
    assert "4155550123" not in run("sessions").out
    assert "+14155550123" in run("sessions", "--full").out


def test_ended_sessions_are_listed_with_their_reason_when_wanted(run, redis, bridged):
    put(redis, ended(OTHER))

    assert OTHER not in run("sessions").out
    assert "ended agent-left" in run("sessions", "--all").out
    assert (
        f"{OTHER}  ended agent-left  ended 2027-01-15 08:01:01 UTC, lasted 1 min 01 s" in run("sessions", "--all").out
    )
    assert CALL not in run("sessions", "--state", "ended").out


@pytest.fixture
def terminal(monkeypatch):
    """Standard output as a terminal of so many columns and 24 lines."""

    def make(columns):
        made = Console(width=columns, height=24, markup=False, highlight=False, emoji=False, color_system=None)
        monkeypatch.setattr(output, "console", lambda: made)

    return make


def test_json_is_one_array_of_sessions_as_in_the_api(run, redis, bridged):
    ran = run("sessions", "--json")

    assert ran.json == [public(make_session())]
    assert ran.json[0]["parties"]["customer"]["address"] == "+14155550123"
    assert ran.json[0]["created_at"] == "2027-01-15T08:00:00.000Z"


def test_a_transfer_is_shown_with_its_parties_and_what_they_hear(run, redis):
    failed = {"transfer.status": "failed", "transfer.reason": "no-answer"}
    consult(redis, **failed, **{"party.target.status": "left", "party.target.left_reason": "no-answer"})

    lines_shown = run("show", CALL).out.splitlines()

    assert "transfer        consult to +…45 failed: target did not answer" in lines_shown
    customer, target = (lines_shown.index(line) for line in ("customer  connected  +…23", "target  left  +…45"))
    assert lines_shown[customer + 1 : customer + 3] == [f"  {CALL}  customer-1", "  on hold, hears music"]
    assert lines_shown[target + 1 : target + 3] == [f"  {TARGET_CALL}  target-2", "  did not answer"]


def test_parties_are_shown_with_since_when_they_are_as_they_are(run, redis):
    since = {"party.customer.since": "2026-11-30T10:00:08.000Z", "party.target.since": "2026-11-30T10:00:09.000Z"}
    consult(redis, **since, **{"party.target.status": "left"})
    shown = run("show", CALL).out
    assert "  since 10:00:08 UTC, on hold, hears music\n" in shown
    assert "10:00:09" not in shown


@pytest.mark.parametrize("named", [CALL, AGENT_CALL])
def test_a_session_is_shown_by_its_id_or_any_of_its_calls(run, redis, named):
    log = [
        log_entry("call_received", version="1"),
        log_entry("call_progressed", CREATED_MS + 700, details='{"party": "agent", "status": "in-progress"}'),
        log_entry("convert", CREATED_MS + 217_455, after="converting", outcome="moved"),
    ]
    put(redis, make_session(), log=log)

    ran = run("show", named)

    assert ran.code == 0
    assert f"session         {CALL}" in ran.out
    assert "customer  connected  +…23" in ran.out
    assert "incoming call" in ran.out
    answer, convert = ran.out.splitlines()[-2:]
    assert "+700 ms" in answer
    assert "agent answered" in answer
    assert "  +216 s  " in convert
    assert convert.endswith("-> converting")


def test_show_in_json_gives_the_session_as_in_the_api(run, redis, bridged):
    assert run("show", CALL, "--json").json == public(make_session())


def test_an_unknown_session_is_refused(run, redis):
    set_up(redis)

    assert run("show", "nobody") == Ran(1, "", "no call nobody found\n")
    assert run("show", "nobody", "--json").error["reason"] == "no call nobody found"


# ---- narrow terminals --------------------------------------------------------------------------------------------


def parked(session_id):
    session = make_session(session_id, state=State.CONFERENCED, phase=Phase.PARKED)
    return replace(session, parked_until_ms=CREATED_MS + 300_000, recording=Recording("RE1", "in-progress"))


def test_at_80_columns_a_session_takes_a_few_lines_of_which_none_is_cut(run, redis, terminal):
    consult(redis)
    put(redis, parked("s" * 64))
    terminal(80)

    shown = run("sessions").out.splitlines()

    assert max(map(len, shown)) <= 80
    assert shown[0].startswith(f"{CALL}  transferring (consult)  ")
    assert shown[1:3] == [
        "  agent client:alice and target +…45 are talking; customer +…23 is on hold",
        "  consult to +…45 talking",
    ]
    assert shown[3] == "s" * 64 + "  conferenced"
    assert shown[4].startswith("(parked)  ")
    assert shown[-1] == "  until 08:05:00 UTC at the latest; recording in progress"


@each("command", [
    ["sessions"], ["sessions", "--all", "--json"], ["show", "23"],
    ["report"], ["outcomes"], ["dead"], ["dead", "list"],
    ["dead", "show", "1-0"], ["dead", "retry", "--all", "--yes"], ["forget", "23", "--dry-run"],
    ["complete", "23"],
])  # fmt: skip
def test_commands_refuse_what_a_newer_release_wrote(run, redis, command):
    redis.hset(KEYS.config, mapping={"partitions": KEYS.partitions, "schema": SCHEMA_VERSION + 1})
    ran = run(*command)
    assert (ran.code, ran.out) == (1, "")
    assert f"conferral:config in Redis has schema {SCHEMA_VERSION + 1}, and this release reads only" in ran.err
