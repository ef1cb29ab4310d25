"""`check`: what it finds, and how it ends."""

import re
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from conferral.check import run as check_run
from conferral.storage.config import SCHEMA_FIX, SCHEMA_VERSION
from tests.conferral.cli_helpers import KEYS, SERVICE, set_up
from tests.support.closed_hours import closed_now
from tests.support.owners import owned_by
from tests.support.token_files import table, write_tokens

pytestmark = pytest.mark.redis


@pytest.fixture
def alive(redis):
    """What two workers leave, one of which holds everything."""
    set_up(redis)
    now_ms = int(time.time() * 1000)
    # A slow run of the check must not find the workers dead.
    redis.zadd(KEYS.workers, {"host-1-abc": now_ms + 2_000, "host-3-ghi": now_ms + 2_000})
    own(redis, "host-1-abc", now_ms + 2_000, *range(KEYS.partitions), "commands")


def own(redis, name, renewed_at_ms, *items):
    redis.hset(KEYS.owners, mapping={str(item): owned_by(name, renewed_at_ms) for item in items})


@contextmanager
def configured(redis, name, value):
    before = redis.config_get(name)[name]
    redis.config_set(name, value)
    try:
        yield
    finally:
        redis.config_set(name, before)


def test_a_good_set_up_passes(checked, redis, alive):
    with configured(redis, "appendonly", "yes"):
        code, lines = checked()

    assert code == 0
    # The oldest Redis that is supported causes a warning: it does not report the workers' lag.
    assert {line["status"] for name, line in lines.items() if name != "version"} == {"ok"}
    assert set(lines) == {
        "sources", "settings", "directory", "agent", "fallback", "return URLs", "audio", "public URL", "REST API",
        "control API", "browsers", "HTTP parser", "Redis", "version", "eviction", "persistence", "scripts",
        "features", "clocks", "setup", "workers", "partitions", "commands", "outcomes", "dead letters",
    }  # fmt: skip


def test_the_table_says_how_to_fix_each_problem(run, alive):
    ran = run("check", "--offline", **SERVICE)

    assert ran.code == 0
    assert re.search("^warn +persistence +appendonly no", ran.out, re.MULTILINE)
    assert "warn: persistence: CONFIG SET appendonly yes" in ran.out


def test_where_no_settings_are_it_is_said_how_to_begin(run):
    ran = run("check", "--offline")

    assert (ran.code, ran.err.count(": missing; ")) == (2, 4)
    assert "`cp .env.example .env`" in ran.err

    Path(".env").write_text("CONFERRAL_AGENT=client:alice\n")
    assert "cp .env.example" not in run("check", "--offline").err


def test_no_secret_is_shown(run, alive):
    url = "https://twilio:hidden-word@calls.example.com"

    for setting in ("CONFERRAL_PUBLIC_URL", "TWILIO_API_URL"):  # the second is refused
        ran = run("check", "--offline", **SERVICE | {setting: url})
        assert "hidden" not in ran.out + ran.err
        assert "calls.example.com" in ran.out + ran.err


@pytest.mark.parametrize(
    ("policy", "status", "code"),
    [("allkeys-lru", "fail", 1), ("allkeys-random", "fail", 1), ("volatile-ttl", "warn", 0), ("noeviction", "ok", 0)],
)
def test_eviction_policies_are_judged(checked, redis, alive, policy, status, code):
    with configured(redis, "maxmemory-policy", policy):
        ended_with, lines = checked()

    assert (lines["eviction"]["status"], ended_with) == (status, code)


APP = {"TWILIO_TWIML_APP_SID": "AP" + "0" * 32}
KEY = {"TWILIO_API_KEY": "SK" + "0" * 32, "TWILIO_API_SECRET": "hidden"}
MENU = "https://app.example.com/menu"
LOCAL_MUSIC = {"CONFERRAL_MUSIC": "http://localhost:9/tune.mp3"}


@pytest.mark.parametrize(
    ("settings", "name", "status", "found"),
    [
        ({"CONFERRAL_AGENT": "+18765550123"}, "agent", "fail", "JM"),
        # A fallback must be an allowed destination.
        ({"CONFERRAL_TRANSFER_FALLBACK": "recall"}, "fallback", "ok", "calls the agent back"),
        ({"CONFERRAL_TRANSFER_FALLBACK": "end"}, "fallback", "ok", "sentence"),
        ({"CONFERRAL_TRANSFER_FALLBACK": "+14155550163"}, "fallback", "ok", "a number on the allow-list"),
        ({"CONFERRAL_TRANSFER_FALLBACK": "client:desk"}, "fallback", "ok", "a client on the allow-list"),
        ({"CONFERRAL_TRANSFER_FALLBACK": "+18765550163"}, "fallback", "fail", "JM"),
        ({"CONFERRAL_TRANSFER_FALLBACK": "sip:desk@example.com"}, "fallback", "fail", "SIP domain"),
        ({"CONFERRAL_TRANSFER_FALLBACK": "nobody"}, "fallback", "fail", "1 to 3 of recall, a destination"),
        (
            {"CONFERRAL_TRANSFER_FALLBACK": "client:desk, voicemail"},
            "fallback",
            "ok",
            "dials a client on the allow-list, then records a message;",
        ),
        ({"CONFERRAL_INBOUND_FALLBACK": "voicemail"}, "fallback", "ok", "whom no agent takes: records a message"),
        ({"CONFERRAL_INBOUND_FALLBACK": "recall"}, "fallback", "fail", "recall is not possible here"),
        (
            {"CONFERRAL_RETURN_URLS": MENU, "CONFERRAL_INBOUND_FALLBACK": f"{MENU}/1"},
            "fallback",
            "ok",
            "continues at your URL",
        ),
        # Callers may return to these.
        ({}, "return URLs", "ok", "none: CONFERRAL_RETURN_URLS is not set"),
        (
            {"CONFERRAL_RETURN_URLS": f"{MENU}, https://b.example"},
            "return URLs",
            "ok",
            f"to: {MENU}, https://b.example",
        ),
        (
            {"CONFERRAL_RETURN_URLS": "http://localhost:9/menu"},
            "return URLs",
            "warn",
            "menu; CONFERRAL_RETURN_URLS has",
        ),
        # A token of the control API must not be guessed.
        ({"CONFERRAL_API_TOKEN": ""}, "control API", "ok", "nor CONFERRAL_TOKENS is set here"),
        ({"CONFERRAL_API_TOKEN": "hide" * 8}, "control API", "warn", "4 different"),
        ({"CONFERRAL_API_TOKEN": "hidden-word" * 3}, "control API", "ok", "enabled"),
        # Access tokens need an API key.
        ({}, "browsers", "ok", "no access tokens"),
        (APP, "browsers", "fail", "access tokens need an API key"),
        (APP | KEY, "browsers", "ok", "access tokens signed with the API key"),
        # Audio must be where Twilio reaches it.
        ({"CONFERRAL_MUSIC": ""}, "audio", "ok", "CONFERRAL_MUSIC: built-in file"),
        ({"CONFERRAL_MUSIC": "none"}, "audio", "ok", "CONFERRAL_MUSIC: silence"),
        ({"CONFERRAL_MUSIC": "https://cdn.example.com/a?key=hidden"}, "audio", "ok", "from cdn.example.com,"),
        (LOCAL_MUSIC, "audio", "fail", "CONFERRAL_MUSIC: a loopback URL"),
        (LOCAL_MUSIC | {"TWILIO_API_URL": "http://127.0.0.1:8081"}, "audio", "ok", "from localhost,"),
        # A public URL ought to be https.
        ({"CONFERRAL_PUBLIC_URL": "https://calls.example.com"}, "public URL", "ok", "signatures are computed over"),
        ({"CONFERRAL_PUBLIC_URL": "http://localhost:8080"}, "public URL", "ok", "loopback"),
        ({"CONFERRAL_PUBLIC_URL": "http://calls.example.com"}, "public URL", "warn", "unencrypted"),
    ],
)
def test_settings_are_judged_without_showing_numbers_or_secrets(checked, alive, settings, name, status, found):
    code, lines = checked(**settings)

    is_wrong_setting = bool(lines[name]["setting"])  # or a combination of settings
    assert (code, lines[name]["status"]) == (int(status == "fail") + is_wrong_setting, status)
    assert found in lines[name]["found"]
    assert not re.search("8765550123|5550163|hidden|hide", str(lines))


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("CONFERRAL_ALLOWED_DESTINATIONS", "allow-list"),
        ("CONFERRAL_HANDOFF_DESTINATIONS", "hand-off"),
        ("CONFERRAL_AGENT", "agent"),
        ("CONFERRAL_INBOUND_FALLBACK", "fallback"),
    ],
)
def test_wrong_setting_is_named_on_its_own_line_and_exits_with_2(checked, alive, setting, name):
    code, lines = checked(**{setting: "U.S."})

    wrong = [line for line in lines.values() if line["status"] == "fail"]
    assert (code, [(line["name"], line["setting"]) for line in wrong]) == (2, [(name, setting)])
    assert setting.endswith("_DESTINATIONS") == (wrong[0]["fix"] == f"fix {setting}")


DIRECTORY = """
[destinations]
billing = "+14155550163"
[inbound."+14155550100"]
agents = ["billing", "client:alice"]
wait_url = "http://localhost:9/tune.mp3"
"""


def directory_of(text):
    """The setting that names a directory of this text."""
    Path("directory.toml").write_text(text)
    return {"CONFERRAL_DIRECTORY": "directory.toml"}


def test_a_directory_is_counted_and_its_names_serve_the_settings(checked, alive):
    directory = directory_of(DIRECTORY.replace("localhost:9", "cdn.example.com"))
    named = {"CONFERRAL_AGENT": "billing", "CONFERRAL_TRANSFER_FALLBACK": "billing"}

    code, lines = checked(**directory, **named)

    assert code == 0
    assert lines["directory"]["found"] == "names: 1, numbers: 1; all are allowed"
    assert lines["agent"]["found"] == "a number on the allow-list"
    assert lines["fallback"]["found"].startswith("after a failed blind transfer: dials a number on the allow-list")


def test_each_directory_error_is_reported_on_its_own_line(run, alive):
    directory = directory_of(DIRECTORY.replace("+1415", "+1876").replace("wait_url", "weight"))

    ran = run("check", "--json", "--offline", **SERVICE, **directory)
    found = [line["found"] for line in ran.json if (line["name"], line["status"]) == ("directory", "fail")]

    assert ran.code == 2
    assert len(found) == 2
    assert found[0] == "directory.toml, destinations.billing: country JM is not in CONFERRAL_ALLOWED_DESTINATIONS"
    assert found[1].startswith('directory.toml, inbound."+…00".weight: no such key')
    assert "5550163" not in ran.out
    assert not [line for line in ran.json if line["name"] == "agent"]  # it may be a name in the directory


def test_numbers_that_are_closed_now_are_named(checked, alive):
    named = DIRECTORY.replace("localhost:9", "cdn.example.com")
    opened = '[inbound."+14155550101"]\ntimezone = "Asia/Tokyo"\nhours = "Mon-Sun 00:00-24:00"\n'
    directory = directory_of(named + closed_now(closed="voicemail") + opened)
    code, lines = checked(CONFERRAL_AGENT="billing", **directory)
    assert (code, lines["hours"]["status"]) == (0, "ok")
    assert re.fullmatch(
        r"numbers: 2; closed now: \+…00 \(until \w{3} \d{4}-\d\d-\d\d 00:00 in UTC; records a message\)",
        lines["hours"]["found"],
    )


@pytest.mark.parametrize("agents, status", [("client:alice", "ok"), ("+14155550188", "warn")])
def test_phones_of_a_number_with_a_queue_are_named(checked, alive, agents, status):
    queue = f'[inbound."+14155550101"]\nagents = ["client:alice", "{agents}"]\nfallback = "queue"\n'
    code, lines = checked(**directory_of(queue))
    assert (code, lines["queue"]["status"]) == (0, status)
    assert ("phones in agents take no one from 1 of them" in lines["queue"]["found"]) is (status == "warn")


def test_hours_that_cannot_be_read_are_refused(run, alive):
    directory = directory_of(DIRECTORY + 'timezone = "UTC"\nhours = "Mon-Fri 9-17"\n')
    ran = run("check", "--json", "--offline", **SERVICE, **directory)
    (found,) = [line["found"] for line in ran.json if (line["name"], line["status"]) == ("directory", "fail")]
    assert ran.code == 2
    assert found == (
        "directory.toml, inbound.\"+…00\".hours: 'Mon-Fri 9-17' is not understood; write days and times such as "
        "Mon-Fri 09:00-17:30"
    )


def test_the_tokens_file_is_checked_without_its_secrets(checked, alive, tmp_path):
    assert "tokens" not in checked()[1]
    path = write_tokens(tmp_path / "tokens.toml", table("desk", ["read"]), table("wall", ["read"]))
    code, lines = checked(CONFERRAL_TOKENS=str(path))
    assert (code, lines["tokens"]["status"], lines["tokens"]["found"]) == (0, "ok", f"{path}: desk, wall")
    assert (lines["control API"]["status"], lines["control API"]["found"]) == ("ok", "enabled, with CONFERRAL_TOKENS")

    path.chmod(0o664)
    code, lines = checked(CONFERRAL_TOKENS=str(path))
    assert (code, lines["tokens"]["status"], lines["tokens"]["fix"]) == (0, "warn", f"chmod go-w {path}")

    write_tokens(path, table("desk", ["dance"]))
    code, lines = checked(CONFERRAL_TOKENS=str(path))
    assert (code, lines["tokens"]["status"]) == (1, "fail")
    assert f"{path}, tokens.desk.may: entry 1 is wrong" in lines["tokens"]["found"]
    assert "SIGHUP" in lines["tokens"]["fix"]


def test_check_fails_on_redis_outage_and_reports_the_rest(checked):
    code, lines = checked(REDIS_URL="redis://:secret@127.0.0.1:1/0")

    assert code == 1
    assert lines["Redis"]["status"] == "fail"
    assert lines["Redis"]["found"].startswith("127.0.0.1:1: ")
    assert lines["agent"]["status"] == "ok"


def test_an_empty_redis_has_no_worker_and_is_left_empty(checked, redis):
    code, lines = checked()

    assert (code, lines["setup"]["status"], lines["workers"]["status"]) == (1, "warn", "fail")
    assert lines["workers"]["found"] == "none running: calls are answered, but nothing else happens"
    assert redis.dbsize() == 0


def test_another_number_of_partitions_fails(checked, redis, alive):
    code, lines = checked(CONFERRAL_PARTITIONS="8")

    assert (code, lines["setup"]["status"]) == (1, "fail")
    assert lines["setup"]["fix"] == "set CONFERRAL_PARTITIONS=16"


@pytest.mark.parametrize("other", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_another_schema_is_named_before_the_other_settings(checked, redis, alive, other):
    redis.hset(KEYS.config, "schema", other)

    code, lines = checked(CONFERRAL_PARTITIONS="8")

    assert (code, lines["setup"]["status"], lines["setup"]["fix"]) == (1, "fail", SCHEMA_FIX)
    assert lines["setup"]["found"].startswith(f"conferral:config in Redis has schema {other}, ")


def test_a_configuration_of_another_program_fails(checked, redis, alive):
    redis.hset(KEYS.config, "partitions", "many")

    code, lines = checked()

    assert (code, lines["setup"]["status"], lines["setup"]["fix"]) == (1, "fail", "set another CONFERRAL_PREFIX")
    assert lines["setup"]["found"].startswith(f"{KEYS.config} in Redis has values that are not numbers")


def test_another_account_fails(checked, redis, alive):
    redis.hset(KEYS.config, "account", "another's")

    code, lines = checked()

    assert (code, lines["setup"]["status"]) == (1, "fail")
    assert "another account" in lines["setup"]["found"]


@pytest.mark.parametrize("age_ms", [20_000, -3_600_000])  # in the future: Redis's clock went back
def test_without_a_live_worker_the_check_fails(checked, redis, alive, age_ms):
    then_ms = int(time.time() * 1000) - age_ms
    redis.zadd(KEYS.workers, dict.fromkeys(("host-1-abc", "host-3-ghi"), then_ms))
    own(redis, "host-1-abc", then_ms, *range(KEYS.partitions), "commands")

    code, lines = checked()

    assert (code, lines["workers"]["status"]) == (1, "fail")
    assert lines["workers"]["fix"] == "start one: conferral worker"


def test_single_worker_is_warned_of(checked, redis, alive):
    redis.zrem(KEYS.workers, "host-3-ghi")

    code, lines = checked()

    assert (code, lines["workers"]["status"]) == (0, "warn")
    assert lines["workers"]["found"] == f"1 running: host-1-abc (partitions: {KEYS.partitions})"
    assert lines["workers"]["fix"].startswith("start a second worker")


def test_partitions_of_a_dead_worker_are_held_by_none(checked, redis, alive):
    now_ms = int(time.time() * 1000)
    redis.zadd(KEYS.workers, {"host-2-def": now_ms - 4_000})
    own(redis, "host-2-def", now_ms - 4_000, 3)

    _, lines = checked()

    assert (lines["workers"]["status"], lines["partitions"]["status"]) == ("warn", "warn")
    found = lines["workers"]["found"]
    assert f"2 running: host-1-abc (partitions: {KEYS.partitions - 1}" in found
    assert found.endswith("; not running: host-2-def")
    assert lines["partitions"]["found"] == "no running worker holds: 3"


def test_partitions_without_a_owner_are_named(checked, redis, alive):
    redis.hdel(KEYS.owners, "3", "commands")
    own(redis, "", int(time.time() * 1000), 7)

    code, lines = checked()

    assert code == 0
    assert lines["partitions"]["found"] == "no running worker holds: 3, 7"
    assert lines["commands"]["status"] == "warn"


def test_scripts_that_can_not_be_loaded_fail(checked, redis, alive):
    redis.execute_command("ACL", "SETUSER", "default", "-script")
    try:
        code, lines = checked()
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+@all")

    assert (code, lines["scripts"]["status"]) == (1, "fail")


def test_check_works_when_redis_forbids_config(checked, redis, alive):
    redis.execute_command("ACL", "SETUSER", "default", "-config")
    try:
        _, lines = checked()
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+@all")

    assert lines["eviction"]["found"] == "maxmemory-policy noeviction"
    assert lines["persistence"]["status"] == "warn"


def test_check_that_takes_long_says_what_it_waits_for(run, redis, alive, monkeypatch):
    assert "still checking" not in run("check", "--offline", **SERVICE).err
    monkeypatch.setattr(check_run, "SLOW_AFTER_S", 0)
    ran = run("check", "--offline", "--json", **SERVICE)
    assert ran.err.startswith("still checking: waiting for Redis at /")
    assert [line["name"] for line in ran.json][:2] == ["sources", "settings"]
