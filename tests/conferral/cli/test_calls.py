"""The commands that change a session: they are published, awaited, and reported."""

import json
import signal
import sys

import pytest

from conferral.cli.command_line import CALLED_AS, own_command
from conferral.cli.submission import default_wait_s
from conferral.commands.identity import digest_of
from conferral.commands.parser import own_fields
from conferral.statemachine.events import COMMANDS
from conferral.statemachine.states import Phase
from tests.conferral.cli_helpers import (
    AGENT_CALL,
    CALL,
    KEYS,
    Ran,
    conferenced,
    consult,
    decide,
    ended,
    make_session,
    published,
    put,
    start,
    until,
)
from tests.support.each import each

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("bridged")]
#: The commands that dial, as they are typed.
TYPED = {
    "call": ["--agent", "client:alice", "--customer", "+14155550123"],
    "transfer": [CALL, "--to", "+14155550145,client:bob", "--mode", "consult"],
    "retrieve": [CALL, "--to", "client:bob"],
    "add": [CALL, "--to", "client:carol", "--party", "expert"],
    "supervise": [CALL, "--to", "client:dave", "--mode", "whisper"],
}


#: Commands with the fields whose names hold an underscore.
UNDERSCORED = [(one.name, field.name) for one in COMMANDS for field in own_fields(one) if "_" in field.name]


@pytest.mark.parametrize(("name", "field"), UNDERSCORED)
@pytest.mark.parametrize("replaced", ["_", "-"])
def test_a_field_is_an_option_with_underscore_or_hyphen(run, redis, name, field, replaced):
    option = f"--{field.replace('_', replaced)}"

    value = {"caller_id": "+14155550100"}.get(field, "30")
    assert run(name, *TYPED[name], f"{option}={value}", "--no-wait").code == 0
    assert published(redis)[0][field] == value
    assert f"--{field}" not in run(name, "--help").out


@pytest.mark.parametrize(("typed", "sent"), [("", "true"), (" true", "true"), ("=true", "true"), (" false", "")])
def test_a_flag_may_have_its_fields_value(run, redis, typed, sent):
    assert (
        run("add", "--party", "expert", *f"--muted{typed}".split(), "--to", "client:carol", CALL, "--no-wait").code == 0
    )
    assert published(redis)[0].get("muted", "") == sent


def test_a_new_session_without_an_id_gets_one_that_is_generated(run, redis):
    assert run("call", *TYPED["call"], "--no-wait").code == 0
    assert "session" not in published(redis)[0]


def test_done_command_reports_new_state_and_next_step(run, redis):
    put(redis, conferenced())
    decide(redis, "mine", "done")

    ran = run("convert", AGENT_CALL, "--id", "mine")

    assert ran.code == 0
    assert (
        ran.out
        == f"converted; {CALL} is now conferenced (connected)\ncustomer +…23 and agent client:alice are talking\n"
    )
    assert ran.err.endswith(f"conferral transfer {CALL} --to ADDRESS --mode consult (transfers the customer)\n")
    assert published(redis) == [{"type": "convert", "session": AGENT_CALL, "id": "mine", "by": "cli"}]


def test_begun_consult_reports_who_talks_and_who_is_on_hold(run, redis):
    consult(redis)
    decide(redis, "mine", "done")

    ran = run("transfer", CALL, "--to", "+14155550145", "--mode", "consult", "--id", "mine")

    assert ran.out.splitlines() == [
        f"consulting; {CALL} is now transferring (consult)",
        "agent client:alice and target +…45 are talking; customer +…23 is on hold",
    ]
    assert f"complete {CALL} (" in ran.err


def test_done_command_shows_its_reason_and_returns_its_outcome_in_json(run, redis):
    put(redis, ended())
    decide(redis, "mine", "done")
    assert run("end", CALL, "--id", "mine", "--json").json == {
        "command": "mine", "status": "done", "reason": "", "session": CALL,
    }  # fmt: skip

    decide(redis, "mine", "done", "customer-left")
    assert f"ended {CALL} (customer-left)\n" in run("end", CALL, "--id", "mine").out


def test_failed_command_reports_the_session_state(run, redis):
    failed = {
        "state": "conferenced",
        "phase": "connected",
        "party.customer.held": "false",
        "party.target.status": "left",
    }
    consult(redis, **failed, **{"transfer.status": "failed", "transfer.stage": "over"})
    decide(redis, "mine", "failed", "no-answer")

    ran = run("transfer", CALL, "--to", "+14155550145", "--mode", "warm", "--id", "mine")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        "transfer failed: target did not answer (no-answer)",
        f"  {CALL} is conferenced (connected)",
        "  customer +…23 and agent client:alice are talking",
    ]
    in_json = run("transfer", CALL, "--to", "+14155550145", "--mode", "warm", "--id", "mine", "--json")
    reported = in_json.error
    assert {"convert", "transfer", "park", "hold", "end"} <= set(reported.pop("allowed"))
    assert reported == {"reason": "no-answer", "command": "mine", "status": "failed"}


def test_failure_whose_cause_twilio_named_shows_its_code_with_its_meaning(run, redis):
    put(redis, ended())
    decide(redis, "mine", "failed", "failed", code="21215")
    order = ("transfer", CALL, "--to", "+14155550145", "--mode", "warm", "--id", "mine")
    first = run(*order).err.splitlines()[0]
    assert first == (
        "transfer failed: target could not be reached (failed, Twilio error 21215: the geo permissions lack the "
        "number's country)"
    )
    assert (run(*order, "--json").error["reason"], run(*order, "--json").error["code"]) == ("failed", 21215)


def test_a_refusal_goes_to_standard_error_and_in_json_names_what_the_state_allows(run, redis):
    put(redis, make_session(phase=Phase.RINGING))
    decide(redis, "mine", "rejected", "no one has answered yet")

    in_words, in_json = run("convert", CALL, "--id", "mine"), run("convert", CALL, "--id", "mine", "--json")

    assert in_words == Ran(1, "", "convert rejected: no one has answered yet\n")
    assert (in_json.code, in_json.out) == (1, "")
    assert in_json.error == {
        "reason": "no one has answered yet", "allowed": ["remove", "end"], "command": "mine", "status": "rejected",
    }  # fmt: skip


UNDECIDED = ("convert", CALL, "--wait", "0.1", "--id", "mine")


def test_undecided_command_is_still_in_progress_and_not_failed(run):
    in_words, in_json = run(*UNDECIDED), run(*UNDECIDED, "--json")

    assert (in_words.code, in_words.out) == (in_json.code, in_json.out) == (3, "")
    assert "still in progress after 0.1 s (command mine)" in in_words.err
    assert "no worker is running" in in_words.err
    assert (in_json.error["command"], in_json.error["status"]) == ("mine", "")


def test_a_command_that_was_accepted_and_takes_long_names_no_worker(run, redis):
    decide(redis, "mine", "accepted")

    in_words, in_json = run(*UNDECIDED), run(*UNDECIDED, "--json")

    assert "still in progress" in in_words.err
    assert "worker" not in in_words.err
    assert in_words.err.endswith(f"conferral show {CALL}\n")
    assert (in_json.code, in_json.out) == (3, "")
    assert (in_json.error["command"], in_json.error["status"]) == ("mine", "accepted")


@pytest.mark.processes
@pytest.mark.parametrize("as_json", [(), pytest.param(("--json",), marks=pytest.mark.soak)])
def test_a_command_that_ctrl_c_stops_awaiting_is_still_in_progress(redis, redis_server, tmp_path, as_json):
    decide(redis, "mine", "accepted")
    arguments = ("convert", CALL, "--id", "mine", *as_json)
    with start(*arguments, cwd=tmp_path, env={"REDIS_URL": redis_server.url}) as program:
        until(lambda: published(redis), "the command is not published", program)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)

    assert (program.returncode, out) == (3, "")
    reported = json.loads(err)["error"] if as_json else {"reason": err.splitlines()[0], "command": "mine"}
    assert (reported["reason"], reported["command"]) == ("convert is still in progress (command mine)", "mine")


@each(
    "fields, wait_s",
    [
        ({"type": "end"}, 30),
        ({"type": "announce"}, 30),
        ({"type": "transfer"}, 35),
        ({"type": "transfer", "timeout": "5"}, 30),
        ({"type": "add", "timeout": "60"}, 75),
        ({"type": "call"}, 55),
        ({"type": "call", "timeout": "40"}, 75),
    ],
)
def test_a_command_is_waited_for_while_its_phones_may_ring_and_15_s_more(fields, wait_s):
    assert default_wait_s(fields, 20) == wait_s


def claimed(redis, command_id, **fields):
    """A command of these fields was given under the id before."""
    redis.hset(KEYS.command(command_id), mapping={"entry": "1-0", "session": CALL, "digest": digest_of(fields)})


@pytest.mark.parametrize(("status", "more"), [("", []), ("done", []), ("done", ["--no-wait"])])
def test_id_used_by_another_command_reveals_nothing_about_it(run, redis, status, more):
    claimed(redis, "job-1", type="convert", session=CALL)
    if status:
        decide(redis, "job-1", status)

    ran = run("end", CALL, "--yes", "--id", "job-1", *more)
    in_json = run("end", CALL, "--yes", "--id", "job-1", "--json", *more)

    reason = "the id job-1 is already used by another command; nothing was done"
    assert (ran.code, ran.out, ran.err) == (1, "", reason + "\n")
    assert (in_json.code, in_json.out) == (1, "")
    assert in_json.error == {"reason": reason, "allowed": [], "command": "job-1", "status": "rejected"}
    assert published(redis) == []


@each("typed", [
    ["transfer", CALL, "--to", "client:bob", "--to", "client:carol", "--mode", "warm"],
    ["transfer", CALL, "--to=client:bob", "--mode", "warm", "--to=client:bob"],
    ["transfer", CALL, "--to", "client:bob", "--mode", "warm", "--confirm_for", "30", "--confirm-for", "30"],
    ["sessions", "--state", "ended", "--state", "bridged"], ["outcomes", "--kind", "session", "--kind", "transfer"],
])  # fmt: skip
def test_option_that_is_given_twice_is_refused(run, redis, typed):
    ran = run(*typed)
    assert (ran.code, "is given more than once" in ran.err) == (2, True)
    assert published(redis) == []


def test_value_that_is_spelled_as_an_option_counts_as_a_value(run, redis):
    assert run("announce", CALL, "--say", "--say", "--no-wait").code == 0
    assert run("end", CALL, "--yes", "--yes", "--no-wait").code == 0
    assert [fields.get("say", "") for fields in published(redis)] == ["--say", ""]


def test_word_that_is_no_choice_is_refused_with_the_choices(run):
    assert "'--kind': 'foo' is not one of 'transfer', 'session', " in run("outcomes", "--kind", "foo").err
    assert run("report", "--csv", "foo").err.endswith("'--csv': 'foo' is not one of 'calls', 'transfers'.\n")


def test_deadline_is_sent_with_any_command_and_one_without_a_zone_is_refused(run, redis):
    for time, code in (("2026-11-30T10:00:08+01:00", 0), ("2026-11-30T10:00:08", 2)):
        assert run("convert", CALL, "--deadline", time, "--no-wait").code == code
    (sent,) = published(redis)
    assert sent["deadline"] == "2026-11-30T09:00:08.000Z"


def test_no_wait_prints_the_id_alone_and_every_command_has_its_own(run, redis):
    ran = run("convert", CALL, "--no-wait")

    assert ran.code == 0
    assert [ran.out.strip()] == [fields["id"] for fields in published(redis)]
    assert run("convert", CALL, "--no-wait", "--json").json == {"command": published(redis)[1]["id"]}
    assert published(redis)[0]["id"] != published(redis)[1]["id"]


def test_a_line_to_be_typed_repeats_no_setting_that_the_shell_has(run, redis, redis_server):
    decide(redis, "job-1", "done")
    put(redis, conferenced())
    ran = run("convert", CALL, "--id", "job-1", REDIS_URL=redis_server.url)

    assert (ran.code, "next: " in ran.err or "for details: " in ran.err) == (0, True)
    assert "REDIS_URL" not in ran.err


def test_a_line_to_be_typed_has_the_bare_name_if_the_shell_finds_it(monkeypatch, tmp_path):
    monkeypatch.delenv(CALLED_AS, raising=False)
    on_path, elsewhere = tmp_path / "bin" / "conferral", tmp_path / "elsewhere" / "conferral"
    for program in (on_path, elsewhere):
        program.parent.mkdir()
        program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(on_path.parent))

    monkeypatch.setattr(sys, "argv", [str(elsewhere)])
    assert own_command().endswith("elsewhere/conferral")
    monkeypatch.setattr(sys, "argv", [str(on_path)])
    assert own_command() == "conferral"
