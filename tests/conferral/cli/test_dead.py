"""`dead`: what was dead-lettered is listed, put back or dropped, and asked about before it is gone."""

import pytest

from conferral.storage.dead_letters import DEAD_LETTERED
from tests.conferral.cli_helpers import CALL, KEYS, Ran, set_up
from tests.support.people import CUSTOMER

pytestmark = pytest.mark.redis


@pytest.fixture
def dead_letter(redis):
    set_up(redis)

    def dead_letter(number, reason="processing failed", stream=KEYS.commands, **fields):
        about = {"dead_reason": reason, "dead_stream": stream, "dead_entry": f"{number}-7"}
        redis.xadd(KEYS.dead, {**fields, **about}, id=f"{number}-0")

    return dead_letter


def test_letters_are_listed_with_where_why_and_what_without_numbers(run, dead_letter):
    dead_letter(1, type="transfer", session=CALL, to=CUSTOMER)
    dead_letter(2, "missing field type", foo="bar")
    ran = run("dead")
    assert ran.code == 0
    newest, found, oldest = ran.out.partition("\n1-0  commands  ")
    assert (newest[:3], bool(found)) == ("2-0", True)
    assert "can't be retried: it would fail again: missing field type" in newest
    assert f"\n  transfer {CALL}\n  processing failed\n  " in oldest
    assert "to=+…23" in oldest
    assert ran.err == "2 dead letters: 1 missing field type, 1 processing failed\n"
    assert CUSTOMER in run("dead", "--full").out


def test_json_is_one_array_and_a_reason_narrows_it(run, dead_letter):
    dead_letter(1_800_000_000_000, type="end", session=CALL)
    dead_letter(1_800_000_000_001, "missing field type", foo="bar")
    (letter,) = run("dead", "--reason", "processing failed", "--json").json
    assert letter == {
        "id": "1800000000000-0",
        "at": "2027-01-15T08:00:00.000Z",
        "reason": "processing failed",
        "source": "commands",
        "entry_id": "1800000000000-7",
        "type": "end",
        "session": CALL,
        "not_retryable_reason": "",
        "fields": {"type": "end", "session": CALL},
    }
    assert len(run("dead", "--limit", "1", "--json").json) == 1


def test_list_and_show_are_commands_of_their_own(run, dead_letter):
    dead_letter(1, type="transfer", session=CALL, to=CUSTOMER)
    dead_letter(2, "missing field type", foo="bar")
    assert run("dead", "list").out == run("dead").out
    assert [one["id"] for one in run("dead", "list", "--reason", "missing field type", "--json").json] == ["2-0"]
    ran = run("dead", "show", "1-0")
    assert ran.code == 0
    lines = [line.split(None, 1) for line in ran.out.splitlines() if line]
    assert {tuple(one) for one in lines} >= {
        ("id", "1-0"), ("from", "commands 1-7"), ("reason", "processing failed"), ("retry", "yes"),
        ("type", "transfer"), ("session", CALL), ("to", "+…23"),
    }  # fmt: skip
    assert CUSTOMER in run("dead", "show", "1-0", "--full").out
    why = "it would fail again: missing field type"
    assert run("dead", "show", "2-0", "--json").json["not_retryable_reason"] == why
    for named in ("3-0", "nonsense"):
        assert run("dead", "show", named) == Ran(1, "", f"no dead letter {named} found\n")


def test_retry_reports_how_many_entries_were_requeued_and_why_others_were_not(run, redis, dead_letter):
    redis.hset(KEYS.command("c1"), mapping={"status": "failed", "reason": f"{DEAD_LETTERED}odd", "entry": "1-7"})
    dead_letter(1, type="end", session=CALL, id="c1")
    dead_letter(2, "missing field type", foo="bar")
    ran = run("dead", "retry", "1-0", "2-0")
    assert ran == Ran(1, "retried 1, 1 remaining\n", "2-0: it would fail again: missing field type\n")
    ((_, fields),) = redis.xrange(KEYS.commands)
    assert fields == {"type": "end", "session": CALL, "id": "c1"}
    assert redis.hget(KEYS.command("c1"), "status") is None


def test_terminal_confirmation_shows_the_number_and_the_reason(run, redis, dead_letter, on_terminal):
    questions = on_terminal(lambda _question: False)
    for number in (1, 2, 3):
        dead_letter(number, "missing field type" if number == 3 else "odd\x1b[31m", type="end", session=CALL)
    assert run("dead", "drop", "--all", "--reason", "odd\x1b[31m").err == "nothing was changed\n"
    assert run("dead", "retry", "--all").code == run("dead", "drop", "3-0").code == 1
    assert questions == [
        "2 dead letters (odd\x1b[31m) will be deleted permanently. Continue?",
        "3 dead letters will be processed again. Continue?",
        "1 dead letter will be deleted permanently. Continue?",
    ]
    assert redis.xlen(KEYS.dead) == 3
    assert run("dead", "drop", "--all", "--reason", "nothing").err == "no dead letters (nothing)\n"
    on_terminal(lambda _question: True)
    assert run("dead", "drop", "--all").out == "deleted 3, 0 remaining\n"


@pytest.mark.parametrize("command", ["retry", "drop"])
@pytest.mark.parametrize("options", [(), ("--reason", "odd")], ids=["all", "reason"])
def test_without_a_terminal_all_need_yes(run, redis, dead_letter, command, options):
    """A retried `call` dials: a script that runs this by mistake costs money."""
    dead_letter(1, "odd", type="end", session=CALL)
    refused = f"without a terminal, dead {command} --all needs --yes; nothing was done\n"
    assert run("dead", command, "--all", *options) == Ran(1, "", refused)
    assert (redis.xlen(KEYS.dead), redis.xlen(KEYS.commands)) == (1, 0)
    assert run("dead", command, "--all", *options, "--yes").code == 0
    assert redis.xlen(KEYS.dead) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry",), ("drop",), ("drop", "1-0", "--all"), ("retry", "1-0", "--reason", "x"), ("--limit", "0"),
        ("drop", "--all", "--reason", ""), ("--reason", ""),
        ("--reason", "even", "drop", "--all", "--yes"), ("--json", "drop", "--all", "--yes"), ("--limit", "3", "list"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(run, redis, dead_letter, arguments):
    dead_letter(1, "odd", type="end", session=CALL)
    assert run("dead", *arguments).code == 2
    assert redis.xlen(KEYS.dead) == 1
