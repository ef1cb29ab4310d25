"""A session to which another program wrote: lists leave it out, name its key, and only `forget` takes it."""

import pytest

from tests.conferral.cli_helpers import CALL, KEYS, log_entry, make_session, put

pytestmark = pytest.mark.redis
OTHER = "CA" + "9" * 32


@pytest.fixture(params=["field", "type"])
def foreign(redis, request):
    put(redis, make_session(), log=[log_entry("call_received", version="1")])
    put(redis, make_session(OTHER))
    if request.param == "field":
        redis.hset(KEYS.session(CALL), "session", "{")
    else:
        redis.delete(KEYS.session(CALL))
        redis.set(KEYS.session(CALL), "text")


def test_session_to_which_another_program_wrote_is_left_out_and_its_key_named(foreign, redis, run):
    ran = run("sessions")
    assert (ran.code, ran.out.count("CA")) == (1, 1)
    assert f"{KEYS.session(CALL)} belongs to another program" in ran.err
    for command in ("show",):
        assert f"{KEYS.session(CALL)} belongs to another program" in run(command, CALL).err
    assert run("forget", CALL, "--yes").code == 0
    assert not redis.exists(KEYS.session(CALL), KEYS.log(CALL))
    assert run("sessions").code == 0
