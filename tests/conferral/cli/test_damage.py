"""A session hash that was damaged by hand: every surface says so, and what to do."""

import pytest

from tests.conferral.cli_helpers import CALL, KEYS, log_entry, make_session, put

pytestmark = pytest.mark.redis


@pytest.fixture
def damaged(redis):
    put(redis, make_session(), log=[log_entry("call_received", version="1")])
    redis.hset(KEYS.session(CALL), "state", "foo")


def shown(run, command):
    """What a command prints, in one line."""
    return " ".join(run(command, CALL).out.split())


def test_show_and_explain_name_the_damaged_field_and_what_to_do(damaged, run):
    for command in ("show", "explain"):
        out = shown(run, command)
        assert "state" in out
        assert "until the field is repaired" in out
        assert "conferral forget" in out
    assert "foo connected" not in run("explain", CALL).out


def test_sessions_marks_it_first(damaged, redis, run):
    put(redis, make_session("CA" + "9" * 32))

    rows = run("sessions").out.splitlines()

    assert rows[0].startswith(CALL)
    assert "damaged" in rows[1]


def test_a_key_of_another_type_is_damage_that_only_forget_removes(redis, run):
    put(redis, make_session(), log=[log_entry("call_received", version="1")])
    redis.delete(KEYS.session(CALL))
    redis.set(KEYS.session(CALL), "text")

    for command in ("show", "explain"):
        out = shown(run, command)
        assert "the Redis type of the key" in out
        assert f"{'conferral forget' if command == 'show' else 'forget ' + CALL}" in out
        assert "dead retry" not in out
    assert "damaged" in run("sessions").out.splitlines()[1]
    assert run("forget", CALL, "--yes").code == 0
    assert not redis.exists(KEYS.session(CALL), KEYS.log(CALL))
    assert "no call" in run("show", CALL).err
