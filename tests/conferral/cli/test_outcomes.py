"""`conferral outcomes` and `dead resend`: list outcomes, and send them again; `check` says whether they arrive."""

import json
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from conferral.outcomes.report import NOT_ANSWERED
from conferral.storage.coordinator import OUTCOMES, SHOWN_DEAD_AFTER_MS
from tests.conferral.cli_helpers import CALL, KEYS, SERVICE, set_up, start
from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks
from tests.support.owners import owned_by
from tests.support.people import ALICE, BOB, CUSTOMER
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
URL = {
    "CONFERRAL_OUTCOMES_URL": "https://crm.example.com/a-secret-path",
    "CONFERRAL_OUTCOMES_SECRET": "whsec_" + "A" * 32,
}


@pytest.fixture
def written(redis):
    """Two outcomes, both delivered."""
    set_up(redis)
    transfer = {"id": "o1", "kind": "transfer", "result": "failed", "session": CALL, "to": CUSTOMER, "hold_s": "1.5"}
    transfer |= {"reason": "failed", "code": "21216", "customer": "+14155550145", "number": "+14155550100"}
    ended = {"id": "o2", "kind": "session", "result": "ended", "session": "other", "reason": "agent-left"}
    ids = [redis.xadd(KEYS.outcomes, transfer), redis.xadd(KEYS.outcomes, ended)]
    redis.hset(KEYS.sending_state, "position", ids[1])
    return ids


def rows(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


def test_outcomes_are_listed_and_selected(run, redis, written):
    redis.xadd(KEYS.outcomes, {"id": "o0"}, id="*")
    ran = run("outcomes")
    assert ran.code == 0
    assert re.fullmatch(r"since \S+ 00:00[+-]\d\d:\d\d\n", ran.err)
    assert f"transfer failed  {CALL}\n  customer +…45 on +…00\n" in ran.out
    assert (
        "  to +…23: target could not be reached (failed, Twilio error 21216: Twilio blocks calls to the number)"
        in ran.out
    )
    assert CUSTOMER not in ran.out
    assert CUSTOMER in run("outcomes", "--full").out
    assert [one["id"] for one in rows(run("outcomes", "--json"))] == ["o1", "o2", "o0"]
    (found,) = rows(run("outcomes", "--kind", "transfer", "--json"))
    assert (found["hold_s"], found["to"], found["code"]) == (1.5, CUSTOMER, 21216)
    assert [one["id"] for one in rows(run("outcomes", "--session", "other", "--json"))] == ["o2"]
    assert run("outcomes", "--kind", "call").code == 2
    assert rows(run("outcomes", "--since", "2100-01-01", "--json")) == []


def test_a_recording_is_listed_with_its_sid_and_length(run, redis):
    set_up(redis)
    outcome = {
        "id": "o1",
        "kind": "recording",
        "result": "absent",
        "session": CALL,
        "recording_sid": "RE1",
        "code": "16101",
    }
    redis.xadd(KEYS.outcomes, outcome | {"duration_s": "1"})
    redis.xadd(KEYS.outcomes, {"id": "o2", "kind": "session", "result": "ended", "session": CALL})
    ran = run("outcomes", "--kind", "recording")
    assert f"recording absent  {CALL}\n" in ran.out
    assert "  RE1 (1 s)" in ran.out
    assert "16101" in ran.out


def test_agents_have_their_names(run, redis, tmp_path):
    set_up(redis)
    outcome = {"id": "o1", "kind": "transfer", "result": "failed", "session": CALL, "to": f"{ALICE},{CUSTOMER},{BOB}"}
    redis.xadd(KEYS.outcomes, outcome)
    directory = tmp_path / "directory.toml"
    directory.write_text('[agents.alice]\nname = "Alice A."\n', "utf-8")
    ran = run("outcomes", CONFERRAL_DIRECTORY=str(directory))
    assert f"to Alice A., +…23, {BOB}" in ran.out
    (found,) = rows(run("outcomes", "--json", CONFERRAL_DIRECTORY=str(directory)))
    assert found["to"] == outcome["to"]

    directory.write_text("[agents", "utf-8")
    ran = run("outcomes", CONFERRAL_DIRECTORY=str(directory))
    assert f"to {ALICE}, " in ran.out
    assert "agents have no names: CONFERRAL_DIRECTORY" in ran.err


@pytest.mark.processes
def test_following_shows_new_outcomes_waits_for_redis_and_ends_well_with_ctrl_c(redis_program, tmp_path):
    def lines_of(client, *names, kind="transfer"):
        for name in names:
            client.xadd(KEYS.outcomes, {"id": name, "kind": kind, "session": CALL, "to": CUSTOMER, "hold_s": "1.5"})

    with RedisServer(redis_program, append_only=True) as server:
        with server.client() as client:
            set_up(client)
            lines_of(client, "o1")
        options = ("--follow", "--kind", "transfer", "--json")
        with start("outcomes", *options, cwd=tmp_path, env={"REDIS_URL": server.url}) as program:
            shown = [json.loads(program.stdout.readline())]
            server.kill()
            assert "retrying" in program.stderr.readline()
            server.start()
            with server.client() as client:
                lines_of(client, "o2", kind="session")
                lines_of(client, "o3", "o4")
            shown += [json.loads(program.stdout.readline()) for _ in range(2)]
            assert "nothing was missed" in program.stderr.readline()
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=60)
    assert (program.returncode, out, err) == (0, "", "")
    assert [(one["id"], one["hold_s"]) for one in shown] == [("o1", 1.5), ("o3", 1.5), ("o4", 1.5)]


def test_resend_queues_again_what_was_sent(run, redis, written):
    redis.hset(KEYS.sending_state, "stopped_at", 1)
    redis.zadd(KEYS.undelivered, {written[0]: 1})
    later = redis.xadd(KEYS.outcomes, {"id": "o3", "session": CALL})
    ran = run("outcomes", "resend", "--since", "1h")
    assert (ran.code, ran.out) == (0, "2 outcomes will be sent again\n")
    assert redis.hgetall(KEYS.sending) == {
        CALL: f"0 {written[0]}",
        "other": f"0 {written[1]}",
    }
    assert later not in str(redis.hgetall(KEYS.sending)), "it will be sent anyway"
    assert redis.zcard(KEYS.sending_due) == 2
    assert not redis.exists(KEYS.undelivered)
    assert redis.hgetall(KEYS.sending_state) == {"position": written[1]}
    assert run("outcomes", "resend", "--since", "1h", "--json").json == {"queued": 2}
    assert run("outcomes", "resend").code == 2


def test_resend_without_a_url_says_what_to_do(run, redis):
    set_up(redis)
    ran = run("outcomes", "resend", "--since", "1h")
    assert (ran.code, ran.err) == (1, "no worker has CONFERRAL_OUTCOMES_URL: set it, then restart the workers\n")


def test_undelivered_outcomes_are_listed_and_sent_again(run, redis, written):
    redis.zadd(KEYS.undelivered, {one: number for number, one in enumerate(written)})
    ran = run("dead")
    assert f"transfer.failed {CALL}\n  not delivered\n" in ran.out
    assert CUSTOMER not in ran.out
    assert [one["source"] for one in run("dead", "--json").json] == ["outcomes"] * 2
    assert run("dead", "resend").code == 2
    ran = run("dead", "resend", written[0], "5-0")
    assert (ran.code, ran.out) == (1, "1 outcome will be sent again\n")
    assert redis.zrange(KEYS.undelivered, 0, -1) == [written[1]]
    assert run("dead", "resend", "--all", "--json").json == {"queued": 1}
    assert redis.hget(KEYS.sending, "other") == f"0 {written[1]}"


def found_by_check(run, redis, owner="w1", url=URL):
    # As long as possible before it counts as dead, whatever the clock says by then.
    redis.hset(KEYS.owners, OUTCOMES, owned_by(owner, redis.time()[0] * 1000 + SHOWN_DEAD_AFTER_MS - 500))
    lines = run("check", "--offline", "--json", **SERVICE, **url).json
    (line,) = [one for one in lines if one["name"] == "outcomes"]
    assert "secret" not in str(line)
    return line["status"], line["found"]


def test_check_says_whether_outcomes_arrive(run, redis, written):
    assert found_by_check(run, redis, "") == ("warn", "no running worker sends them to crm.example.com")
    assert found_by_check(run, redis) == ("ok", "sent to crm.example.com")
    for count, waiting in ((1, "1 session waits"), (1_200, "1,200 sessions wait")):
        redis.zadd(KEYS.sending_due, {f"session-{number}": 1 for number in range(count)})
        found = f"sent to crm.example.com; {waiting} to be sent"
        assert found_by_check(run, redis) == ("ok", found)
    failing = {"failing_since": 1_800_000_000_000, "failing_reason": "HTTP 503"}
    redis.hset(KEYS.sending_state, mapping=failing)
    found = (
        "to crm.example.com: none delivered since 2027-01-15T08:00:00.000Z: HTTP 503; 1,200 sessions wait to be sent"
    )
    assert found_by_check(run, redis) == ("warn", found)
    redis.delete(KEYS.sending_due)
    redis.hdel(KEYS.sending_state, *failing)
    redis.zadd(KEYS.undelivered, {written[0]: 1})
    assert found_by_check(run, redis) == ("warn", "sent to crm.example.com; 1 could not be delivered")
    redis.hset(KEYS.sending_state, "stopped_at", 1_800_000_000_000)
    found = "to crm.example.com: the receiver responded with 410 at 2027-01-15T08:00:00.000Z; nothing is sent"
    assert found_by_check(run, redis) == ("fail", found)


def test_check_without_the_workers_url_judges_by_who_sends(run, redis, written):
    """As in a container of webhooks, which doesn't get it."""
    found = "not sent over HTTP: no worker has CONFERRAL_OUTCOMES_URL, and it is not set here"
    assert found_by_check(run, redis, "", url={}) == ("ok", found)
    assert found_by_check(run, redis, url={}) == ("ok", "sent to the URL that the workers have")
    redis.hset(KEYS.sending_state, "stopped_at", 1_800_000_000_000)
    assert found_by_check(run, redis, url={})[0] == "fail"


def test_check_counts_dead_letters(run, redis, written):
    redis.xadd(KEYS.dead, {"type": "x"})
    (line,) = [one for one in run("check", "--offline", "--json", **SERVICE).json if one["name"] == "dead letters"]
    assert (line["status"], line["found"]) == ("warn", "1 entry could not be processed")


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq on PATH")
def test_line_of_the_page_lists_the_attempts_that_no_one_answered(run, redis):
    set_up(redis)
    results = [*sorted(NOT_ANSWERED), "answered", "busy", "cancelled", "taken"]
    attempts = [{"to": one, "label": "agent-1", "result": one, "rang_s": 20, "at": "now"} for one in results]
    redis.xadd(KEYS.outcomes, {"id": "o1", "kind": "session", "session": CALL, "attempts": json.dumps(attempts)})
    redis.xadd(KEYS.outcomes, {"id": "o2", "kind": "voicemail", "session": CALL})
    lines = [line for text in blocks(ROOT / "docs" / "operating.md", "sh") for line in text.splitlines()]
    (line,) = [line for line in lines if "attempts[]" in line]
    words = shlex.split(line)
    pipe = words.index("|")
    ran = run(*words[1:pipe])
    listed = subprocess.run(words[pipe + 1 :], input=ran.out, capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == [f"now {CALL} {one}" for one in sorted(NOT_ANSWERED)]
