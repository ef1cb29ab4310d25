"""`forget`: one ended session is gone from every place in Redis, everything else stays, and what lives is refused."""

import asyncio
import json
import sys
import time
from dataclasses import replace

import pytest

from conferral.cli import recording_erasure
from conferral.operations.erasure import QUIET_PERIOD_S
from conferral.statemachine.effects import HangUpCall
from conferral.statemachine.events import CallProgressed
from conferral.statemachine.parts import DialOptions, Recording, Voicemail
from conferral.storage import agent_calls
from conferral.storage.agent_calls import AgentCall, CallResult
from conferral.storage.agents import Agents
from conferral.storage.codecs import effect_codec, event_codec
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.connection.client import make_client
from conferral.storage.sign_ins import SignIn, SignIns
from tests.conferral.cli_helpers import AGENT_CALL, CALL, KEYS, SERVICE, Ran, ended, log_entry, make_session, put
from tests.support.people import CUSTOMER, SECOND, TARGET
from tests.support.redis_dump import everything_in

pytestmark = pytest.mark.redis
OTHER = "CA" + "8" * 32
FORMER = "CA" + "9" * 32
CONFERENCE = "CF" + "7" * 32
NAME = "alice"
#: Everything that identifies the session and its parties.
IDENTIFYING = (CALL, AGENT_CALL, FORMER, CONFERENCE, CUSTOMER, CUSTOMER[1:], NAME, TARGET)
COUNTS = {
    "session": 1, "log_entries": 2, "gates": 2, "calls": 3, "commands": 2, "outcomes": 1, "dead_letters": 2,
}  # fmt: skip


def over(redis, session_id=CALL, seconds=QUIET_PERIOD_S + 5, **changes):
    """A session that has ended so long ago."""
    at_ms = int(redis.time()[0] - seconds) * 1000
    return replace(ended(session_id), ended_at_ms=at_ms, updated_at_ms=at_ms, **changes)


def fill(redis):
    """A session that has left something everywhere, and another one next to it in each place."""
    session = over(redis, conference_sid=CONFERENCE, former_calls=(FORMER,))
    log = [
        log_entry("call_received"),
        log_entry("conference_ended", details=f'{{"a": "{CONFERENCE} {TARGET}"}}', command="c1"),
    ]
    put(redis, session, log=log)
    redis.set(KEYS.call(FORMER), CALL)
    redis.hset(KEYS.gates(CALL), mapping={"dial:d1": FORMER, "ring_group:1": "d1"})
    other = over(redis, OTHER)
    parties = {"customer": replace(other.parties["customer"], call_sid=OTHER, address="+14155550188")}
    put(redis, replace(other, parties=parties), log=[log_entry("call_received")])
    for command_id, session_id, reason in (("c1", CALL, ""), ("c2", "", f"no call {AGENT_CALL}"), ("c3", OTHER, "")):
        record = {
            "status": "done",
            "session": session_id,
            "reason": reason,
            "entry": "1-0",
            "digest": "0123",
            "by": "Alice, desk 7",
        }
        redis.hset(KEYS.command(command_id), mapping=record)
    for number, session_id in enumerate((CALL, OTHER), 1):
        attempts = json.dumps([{"to": TARGET if session_id == CALL else SECOND}])
        redis.xadd(KEYS.outcomes, {"session": session_id, "attempts": attempts}, id=f"{number}-0")
    dead_letter(redis, 1, session=CALL, From=CUSTOMER)
    dead_letter(redis, 2, session=AGENT_CALL, to=TARGET)
    dead_letter(redis, 3, session=OTHER)


def dead_letter(redis, number, **fields):
    about = {"dead_reason": "odd", "dead_stream": KEYS.commands, "dead_entry": f"{number}-7"}
    redis.xadd(KEYS.dead, {**fields, **about}, id=f"{number}-0")


def test_forget_erases_everything_of_the_session_and_nothing_else(run, redis):
    fill(redis)
    before = everything_in(redis)
    assert all(one in before for one in IDENTIFYING)

    ran = run("forget", AGENT_CALL, "--yes", "--json")
    assert (ran.code, ran.json) == (0, {"session": CALL, "dry_run": False, "erased": COUNTS})
    line = json.loads(ran.err)
    assert (line["event"], line["session_id"], line["count"]) == ("session_forgotten", CALL, sum(COUNTS.values()))

    after = everything_in(redis)
    assert not [one for one in IDENTIFYING if one in after]
    # That its id was given stays, so that the command is not done again; what it was for does not.
    assert redis.hgetall(KEYS.command("c1")) == {"status": "done", "entry": "1-0"}
    assert redis.hget(KEYS.command("c3"), "session") == OTHER
    assert [entry["session"] for _, entry in redis.xrange(KEYS.outcomes)] == [OTHER]
    assert [letter["session"] for _, letter in redis.xrange(KEYS.dead)] == [OTHER]
    assert run("show", OTHER).code == 0
    assert run("show", CALL).code == 1


@pytest.mark.parametrize("key", [
    KEYS.commands, KEYS.outcomes, KEYS.dead, KEYS.events(KEYS.partition_of(CALL)), KEYS.outbox(KEYS.partition_of(CALL))
])  # fmt: skip
def test_key_of_another_program_is_named_and_nothing_is_erased(run, redis, key):
    put(redis, over(redis))
    redis.set(key, "theirs")

    ran = run("forget", CALL, "--yes")

    assert (ran.code, redis.exists(KEYS.session(CALL))) == (1, 1)
    assert ran.err.startswith(f"Redis refused (WRONGTYPE): {key} belongs to another program")


def test_dry_run_says_what_would_go_in_words_without_a_number_and_removes_nothing(run, redis):
    fill(redis)
    before = everything_in(redis)
    ran = run("forget", CUSTOMER[-4:], "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"would be erased: {CALL} (+…23, ended ")
    assert ran.out.endswith(
        "1 session record, 2 log entries, 2 call screening records, 3 calls, "
        "2 command records, 1 outcome, 2 dead letters\n"
    )
    assert run("forget", CALL, "--dry-run", "--json").json == {"session": CALL, "dry_run": True, "erased": COUNTS}
    assert everything_in(redis) == before


def test_dead_letters_with_a_number_of_the_session_go_and_others_stay(run, redis):
    fill(redis)
    dead_letter(redis, 4, From=CUSTOMER)
    dead_letter(redis, 5, to=TARGET, type="nothing-that-is-known")
    dead_letter(redis, 6, body=f"From=%2B{CUSTOMER[1:]}&To=x")
    dead_letter(redis, 7, body=f"{CUSTOMER}4 {CUSTOMER[:-1]}", From="+14155550188")
    ran = run("forget", CALL, "--yes", "--json")
    assert (ran.code, ran.json["erased"]["dead_letters"]) == (0, COUNTS["dead_letters"] + 3)
    assert [letter_id for letter_id, _ in redis.xrange(KEYS.dead)] == ["3-0", "7-0"]


@pytest.mark.parametrize("named", [CALL, "23", "CA99"])
def test_without_a_terminal_forget_always_needs_yes(run, redis, named):
    fill(redis)
    before = everything_in(redis)
    assert run("forget", named) == Ran(1, "", "without a terminal, forget needs --yes; nothing was erased\n")
    assert everything_in(redis) == before


def refused(run, redis, why, named=CALL):
    before = everything_in(redis)
    for more in ((), ("--dry-run",)):
        ran = run("forget", named, "--yes", "--json", *more)
        assert (ran.code, ran.out) == (1, "")
        assert why in ran.error["reason"]
    assert everything_in(redis) == before


def test_unknown_session_or_number_is_named(run, redis):
    fill(redis)
    ran = run("forget", "nosuch", "--yes")
    assert (ran.code, ran.err) == (1, "no session or number nosuch is known; nothing was erased\n")


def test_live_session_is_refused(run, redis):
    put(redis, make_session())
    refused(run, redis, f"{CALL} is live; end it first (conferral end {CALL})")


def test_session_that_has_only_just_ended_is_waited_for(run, redis, monkeypatch):
    put(redis, over(redis, seconds=5))
    assert "has only just ended" in run("forget", CALL, "--dry-run").err
    waited_s = []

    def wait(time_s):
        waited_s.append(time_s)
        put(redis, over(redis))

    monkeypatch.setattr(time, "sleep", wait)
    ran = run("forget", CALL, "--yes")
    assert (ran.code, redis.exists(KEYS.session(CALL))) == (0, 0)
    assert len(waited_s) == 1
    assert 50 < waited_s[0] <= 55
    assert ran.err.startswith("the session has only just ended, and Twilio may still send callbacks; waiting 5")


def test_session_for_which_something_is_still_done_is_refused(run, redis):
    put(redis, over(redis))
    effect = HangUpCall(effect_id="e1", session_id=CALL, party="agent", call_sid=AGENT_CALL)
    body = effect_codec.encode(effect_codec.OutboxEntry(effect, 1))
    redis.hset(KEYS.outbox(KEYS.partition_of(CALL)), mapping={"e0": "{}", "e1": body})
    refused(run, redis, "one of its requests is still pending")


def test_session_with_an_undecided_event_or_command_is_refused(run, redis):
    put(redis, over(redis))
    event = CallProgressed(session_id=CALL, token="t", party="agent", call_sid=AGENT_CALL, status="completed")
    stream = KEYS.events(KEYS.partition_of(CALL))
    redis.xadd(stream, event_codec.encode(event))
    refused(run, redis, "one of its events has not been processed yet")
    redis.delete(stream)
    redis.xadd(KEYS.commands, {"type": "end", "session": AGENT_CALL})
    refused(run, redis, "one of its commands has not been processed yet")


def test_session_that_cant_be_read_is_erased_by_its_id_though_it_is_live(run, redis):
    """It would never end: workers can't read it, so `end` fails as well. Its text isn't searched for numbers."""
    put(redis, make_session())
    redis.sadd(KEYS.live(KEYS.partition_of(CALL)), CALL)
    redis.hset(KEYS.queued, CALL, "")
    refused = run("forget", CALL, "--yes")
    assert (refused.code, "is live; end it first" in refused.err) == (1, True)

    redis.hset(KEYS.session(CALL), "session", "{")
    assert "no session or number" in run("forget", CUSTOMER, "--yes").err
    asked = run("forget", CALL, "--dry-run")
    assert "can't be read; its calls continue" in asked.out
    assert run("forget", CALL, "--yes").code == 0

    assert not redis.exists(KEYS.session(CALL), KEYS.queued)
    assert not redis.sismember(KEYS.live(KEYS.partition_of(CALL)), CALL)


def test_session_changed_during_confirmation_is_not_erased(run, redis, on_terminal):
    fill(redis)

    def decide(_question):
        redis.hset(KEYS.session(CALL), "version", 5)
        return True

    on_terminal(decide)
    ran = run("forget", CALL)
    assert (ran.code, ran.out) == (1, "")
    assert "changed in the meantime" in ran.err
    assert redis.hget(KEYS.session(CALL), "version") == "5"
    assert redis.xlen(KEYS.log(CALL)) == 2
    assert redis.xlen(KEYS.outcomes) == redis.xlen(KEYS.dead) - 1 == 2


def test_forget_asks_for_confirmation_on_a_terminal(run, redis, monkeypatch, on_terminal):
    fill(redis)
    before = everything_in(redis)
    questions = on_terminal(lambda _question: False)
    ran = run("forget", CALL)
    assert (ran.code, ran.err) == (1, "nothing was changed\n")
    assert everything_in(redis) == before
    assert questions[0].startswith(f"{CALL} (+…23, ended {to_iso(over(redis).ended_at_ms)[:10]}")
    assert questions[0].endswith("2 dead letters will be deleted permanently. Continue?")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    ran = run("forget", CALL, "--yes")
    assert (ran.code, ran.err) == (0, "")  # log lines are for files
    assert len(questions) == 1


@pytest.mark.parametrize("named", [CALL, CUSTOMER[-4:]])
def test_call_means_all_its_sessions(run, redis, named):
    for session_id in (CALL, f"{CALL}-2", f"{CALL}-3"):
        put(redis, over(redis, session_id))
    redis.set(KEYS.call(CALL), f"{CALL}-3")
    assert run("forget", named, "--yes").out.count("erased: ") == 3
    assert not [text for text in everything_in(redis) if CALL in text]


def test_number_means_all_its_calls_also_those_that_only_outcomes_outlive(run, redis):
    third, expired = "CA" + "6" * 32, "CA" + "5" * 32
    fill(redis)
    ours = SERVICE["TWILIO_NUMBER"]
    put(redis, over(redis, third, number=ours, called_number=ours, options=DialOptions(caller_id=ours)))
    redis.xadd(KEYS.outcomes, {"session": expired, "customer": CUSTOMER, "number": ours}, id="3-0")
    assert run("forget", ours, "--yes").code == 1  # it is in every session
    ran = run("forget", CUSTOMER, "--yes")
    assert (ran.code, ran.out.count("erased: ")) == (0, 3)
    after = everything_in(redis)
    assert not [one for one in (CUSTOMER[1:], CALL, third, expired) if one in after]
    assert redis.exists(KEYS.session(OTHER))


def test_call_with_a_live_session_is_refused(run, redis):
    put(redis, over(redis))
    put(redis, make_session(f"{CALL}-2"))
    redis.set(KEYS.call(CALL), f"{CALL}-2")
    assert run("forget", CALL, "--yes").code == 1
    assert redis.exists(KEYS.session(CALL))


# ---- recordings at Twilio --------------------------------------------------------------------------------------------


@pytest.fixture
def at_twilio(monkeypatch):
    """What Twilio answers about the recordings of sessions."""
    asked = []

    def at_twilio(count=0, refused=()):
        async def erase_recordings(_settings, sessions, *, dry_run):
            asked.append((*sessions, dry_run))
            return {CALL: count}, [*refused]

        monkeypatch.setattr(recording_erasure, "erase_recordings", erase_recordings)
        return asked

    return at_twilio


def test_recordings_need_the_settings_of_twilio_and_a_missing_one_is_named(run, redis):
    fill(redis)
    before = everything_in(redis)
    ran = run("forget", CALL, "--recordings", "--yes", TWILIO_ACCOUNT_SID=SERVICE["TWILIO_ACCOUNT_SID"])
    assert (ran.code, ran.out) == (2, "")
    assert "TWILIO_AUTH_TOKEN: missing" in ran.err
    assert "CONFERRAL_PUBLIC_URL" not in ran.err
    assert everything_in(redis) == before


def test_twilio_is_asked_for_all_calls_and_recordings_that_redis_names(run, redis, at_twilio):
    fill(redis)
    kept, message, earlier = "RE" + "d" * 32, "RE" + "e" * 32, "RE" + "f" * 32
    stored = {
        "recording": Recording(kept),
        "voicemail": Voicemail(recording_sid=message),
        "recordings": {earlier: True, CONFERENCE: False},
    }
    put(redis, over(redis, conference_sid=CONFERENCE, former_calls=(FORMER,), **stored))
    asked = at_twilio(2)
    ran = run("forget", CALL, "--recordings", "--dry-run", **SERVICE)
    assert (ran.code, ran.out.endswith(", 2 recordings at Twilio\n")) == (0, True)
    ((session, is_dry_run),) = asked
    assert is_dry_run
    assert session.recordings == (kept, message, earlier)
    assert {CALL, AGENT_CALL, FORMER, CONFERENCE} <= {*session.legs}


def test_what_twilio_refuses_is_named_and_the_rest_is_erased(run, redis, at_twilio):
    fill(redis)
    at_twilio(1, ("RE1: HTTP 403, code 20403",))
    ran = run("forget", CALL, "--recordings", "--yes", "--json", **SERVICE)
    assert (ran.code, ran.json["erased"]) == (1, COUNTS | {"recordings": 1})
    assert "RE1: HTTP 403, code 20403" in ran.err
    assert not redis.exists(KEYS.session(CALL))


async def sign_in_at_desks(url):
    """Alice and Dave have a link, a sign-in, and presence each."""
    client = make_client(url)
    for identity in (NAME, "dave"):
        stored = SignIns(client, KEYS)
        await stored.add_code(SignIn(identity, "api", for_ms=60_000))
        await stored.add(SignIn(identity, "api"), 60_000)
        await Agents(client, KEYS).renew(identity, identity, "desk", is_ready=True, is_busy=False)
    await client.aclose()


def test_an_agents_sign_ins_links_and_presence_are_erased_and_no_calls(run, redis, redis_server):
    fill(redis)
    calls = everything_in(redis).splitlines()
    asyncio.run(sign_in_at_desks(redis_server.url))

    dry = run("forget", NAME, "--agent", "--dry-run", "--json")
    assert dry.json == {"agent": NAME, "dry_run": True, "erased": {"sign_ins": 2, "presence": 1}}
    assert run("forget", NAME, "--agent").code == 1, "without a terminal, it needs --yes"
    ran = run("forget", NAME, "--agent", "--yes")
    assert (ran.code, ran.out) == (0, f"erased: {NAME}: 2 sign-ins and unused links, 1 presence\n")
    assert NAME not in ran.err
    assert "nothing about" in run("forget", NAME, "--agent", "--yes").out
    redis.set(KEYS.agent_away(NAME), "no-answer")
    assert run("forget", NAME, "--agent", "--yes").out == f"erased: {NAME}: 1 presence\n"
    assert not redis.exists(KEYS.agent_away(NAME))

    assert set(calls) <= set(everything_in(redis).splitlines())
    assert redis.hkeys(KEYS.agents) == ["dave"]
    assert redis.hlen(KEYS.sign_ins) == 2


def list_calls(redis, identity, *sessions):
    """An agent has had these calls of the customer."""
    for session_id in sessions:
        call = AgentCall(session_id, to_iso(1_000), CUSTOMER, None, None, CallResult.MISSED, None)
        redis.lpush(KEYS.agent_calls(identity), agent_calls.encode(call))


def test_entries_of_a_session_leave_the_lists_of_all_agents(run, redis):
    fill(redis)
    list_calls(redis, NAME, CALL, OTHER)
    list_calls(redis, "dave", CALL)
    redis.lpush(KEYS.agent_calls(NAME), "another program's")

    assert run("forget", CALL, "--yes", "--json").json["erased"] == COUNTS | {"agent_calls": 2}

    assert not redis.exists(KEYS.agent_calls("dave"))
    assert [OTHER in entry for entry in redis.lrange(KEYS.agent_calls(NAME), 0, -1)] == [False, True]


def test_number_finds_sessions_that_only_an_agents_list_names(run, redis):
    fill(redis)
    list_calls(redis, NAME, "gone")
    assert run("forget", CUSTOMER, "--yes").code == 0
    assert CUSTOMER not in everything_in(redis)


def test_an_agents_list_of_calls_is_erased_with_their_desk(run, redis):
    fill(redis)
    list_calls(redis, NAME, CALL)
    list_calls(redis, "dave", CALL)
    assert run("forget", NAME, "--agent", "--yes", "--json").json["erased"]["agent_calls"] == 1
    assert redis.keys(KEYS.agent_calls("*")) == [KEYS.agent_calls("dave")]
