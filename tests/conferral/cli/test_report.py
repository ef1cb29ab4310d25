"""`report`: a period on a terminal, as JSON, and as CSV."""

import csv
import re
from datetime import datetime
from functools import partial

import pytest

from conferral.cli.periods import local_now, parse_time
from tests.conferral.cli_helpers import KEYS, set_up
from tests.support.outcome_entries import attempt, session, transfer
from tests.support.people import CUSTOMER

pytestmark = pytest.mark.redis
#: Noon in the machine's time zone, yesterday.
NOON_MS = round(parse_time("yesterday", local_now()).timestamp() * 1000) + 43_200_000


@pytest.fixture
def yesterday(redis):
    """One call, and a transfer that a phone let ring; and what happened days before."""
    set_up(redis)
    redis.xadd(KEYS.outcomes, session(NOON_MS - 200_000_000), id=f"{NOON_MS - 200_000_000}-0")
    entries = (
        session(NOON_MS, attempt("client:alice"), answer_s="5"),
        transfer(NOON_MS, "failed", attempt(CUSTOMER, "no-answer", 30), reason="no-answer", landed_on="end"),
    )
    for number, fields in enumerate(entries):
        redis.xadd(KEYS.outcomes, fields, id=f"{NOON_MS}-{number}")


def test_a_terminal_gets_who_let_it_ring_first_and_no_number(run, yesterday):
    ran = run("report", "--since", "yesterday", "--until", "today")

    assert (ran.code, ran.err) == (0, "")
    period, ended, offered, missed, _, heading, columns, worst, *_ = ran.out.splitlines()
    assert re.fullmatch(r"\S+ 00:00[+-]\d\d:\d\d to \S+ 00:00[+-]\d\d:\d\d", period)
    assert ended == "1 call ended, and 1 transfer: 1 failed."
    assert offered == "1 call offered to agents: 1 (100%) answered, 1 (100%) within 20 s; 0 (0%) abandoned."
    assert missed == "1 of 2 rings not answered: +…23 (1)."
    assert heading == "Who was rung, and who did not answer"
    assert columns.split("  ")[0] == "destination"
    assert worst.split() == ["+…23", "1", "0", "1", "30.0", "s"]
    assert "a message, then hang-up" in ran.out
    assert CUSTOMER not in ran.out
    assert CUSTOMER in run("report", "--since", "2d", "--full").out


def test_a_lead_may_choose_the_time_in_which_calls_are_to_be_answered(run, yesterday):
    ran = run("report", "--since", "2d", "--within", "4.5")

    assert "1 (100%) answered, 0 (0%) within 4.5 s" in ran.out
    total = run("report", "--since", "2d", "--within", "5", "--json").json["total"]
    assert (total["offered"], total["answered_within"], total["wait_longest_s"]) == (1, 1, 5.0)


def test_the_default_period_is_today(run, yesterday):
    assert run("report").out.splitlines()[1] == "Nothing ended in this period. Choose another."


def test_json_masks_numbers_too(run, yesterday):
    ran = run("report", "--since", "2d", "--json")

    assert [one["to"] for one in ran.json["rung"]] == ["+…23", "client:alice"]
    assert datetime.fromisoformat(ran.json["since"]).utcoffset() is not None


def test_names_of_agents_are_the_directorys_except_in_json(run, yesterday, tmp_path):
    (tmp_path / "directory.toml").write_text('[agents.alice]\nname = "Alice Liddell"\n')
    run = partial(run, CONFERRAL_DIRECTORY=str(tmp_path / "directory.toml"))

    assert "Alice Liddell" in run("report", "--since", "2d").out
    assert "Alice Liddell" not in run("report", "--since", "2d", "--json").out


def test_csv_has_a_row_for_each_call_or_each_transfer(run, yesterday):
    calls, transfers = (run("report", "--since", "2d", "--csv", kind) for kind in ("calls", "transfers"))

    assert (calls.code, calls.err) == (transfers.code, transfers.err) == (0, "")
    (call,), (failed,) = (csv.DictReader(ran.out.removeprefix("\ufeff").splitlines()) for ran in (calls, transfers))
    assert calls.out.startswith('\ufeff"started_at",')
    assert (call["rung"], call["answer_s"]) == ("client:alice", "5.0")
    assert (failed["reason"], failed["not_answered"]) == ("no-answer", "+…23")
    assert CUSTOMER in run("report", "--since", "2d", "--csv", "transfers", "--full").out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--since", "yesterday", "--until", "yesterday"], "must be later than --since; a day means its start"),
        (["--since", "last week"], "must be ISO 8601 such as 2026-11-20T14:00 or 2026-11-20, a span"),
        (["--until", "7"], "Invalid value for '--until'"),
        (["--csv", "sessions"], "is not one of 'calls', 'transfers'"),
        (["--csv", "calls", "--json"], "can't be combined with --json"),
    ],
)
def test_wrong_periods_are_refused(run, arguments, reason):
    ran = run("report", *arguments)

    assert ran.code == 2
    assert reason in " ".join(re.sub("[│╭╮╰╯─]", " ", ran.err).split())


def test_what_is_missing_or_malformed_is_said(run, yesterday, redis):
    redis.xadd(KEYS.outcomes, transfer(NOON_MS + 1) | {"hold_s": "long"}, id=f"{NOON_MS + 1}-0")
    redis.xtrim(KEYS.outcomes, maxlen=2, approximate=False)
    ran = run("report", "--since", "2d")

    assert ran.code == 0
    incomplete, left_out = ran.err.splitlines()
    assert incomplete.startswith("Redis may no longer have all outcomes of this period: ")
    assert left_out == "Left out, because they can't be read: 1 outcome."
    assert run("report", "--since", "2d", "--csv", "calls").err == ran.err
