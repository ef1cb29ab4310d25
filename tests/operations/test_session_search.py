"""A session is found by what people know of a call, when only one fits; and no message holds a number."""

import pytest

from conferral.operations.errors import AmbiguousSession, UnknownSession
from conferral.operations.session_search import find_session, match_session, name_matcher
from conferral.statemachine.record import replace
from conferral.statemachine.states import PartyStatus
from conferral.storage.queries.session_reader import SessionReader
from tests.conferral.cli_helpers import AGENT_CALL, CALL, KEYS, ended, make_session, put
from tests.support.each import each
from tests.support.flat_sessions import session_of

CONFERENCE = "CF" + "3c" * 16
FIELDS = {
    "id": CALL,
    "conference_sid": CONFERENCE,
    **{f"party.{name}.status": "connected" for name in ("customer", "agent", "expert")},
    "party.customer.address": "+14155550123",
    "party.customer.label": "customer-1",
    "party.agent.address": "client:Alice",
    "party.agent.label": "agent-1",
    "party.expert.address": "sip:+14155550167@example.com",
    "transfer.to": "+14155550199",
}


@each(
    "named",
    [
        CONFERENCE, "23", "0123", "14155550123", "+14155550123", "67", "alice", "ALICE", "client:alice", "agent-1",
        "customer-1", "customer", "agent", "expert", "sip:+14155550167@example.com",
    ],
)  # fmt: skip
def test_any_known_identifier_matches_the_session(named):
    assert name_matcher(named)(session_of(FIELDS))


@each("named", ["CF" + "4d" * 16, "24", "3", "99", "-1", "ali", "client:bob", "supervisor", "", "55550123x", "1"])
def test_other_identifiers_do_not_match_the_session(named):
    assert not name_matcher(named)(session_of(FIELDS))


@pytest.fixture
def reader(client):
    return SessionReader(client, KEYS)


@pytest.fixture
def redis(redis_server):
    with redis_server.client() as client:
        yield client


@pytest.mark.redis
async def test_id_and_calls_come_first_then_live_ones_then_those_that_have_ended(reader, redis):
    put(redis, ended("CA" + "8" * 32))
    assert await find_session(reader, "alice") == "CA" + "8" * 32
    put(redis, make_session())
    assert (
        await find_session(reader, "alice")
        == await find_session(reader, "0123")
        == await find_session(reader, AGENT_CALL)
        == CALL
    )
    put(redis, make_session("alice"))
    assert await find_session(reader, "alice") == "alice"


@pytest.mark.redis
async def test_several_are_listed_without_a_number(reader, redis):
    for number in range(7):
        put(redis, make_session(f"S{number}"))
    with pytest.raises(AmbiguousSession) as several:
        await find_session(reader, "+14155550123")
    assert len(several.value.session_ids) == 7
    text = str(several.value)
    assert text.startswith("+…23 matches 7 live calls: S")
    assert "(bridged, +…23, client:alice)" in text
    assert text.endswith(" and 2 more; use an id")
    assert "0123" not in text


@pytest.mark.redis
async def test_a_prefix_of_at_least_4_characters_selects_one_live_session(reader, redis):
    put(redis, make_session("CA" + "7" * 32))
    put(redis, ended("CA" + "78" * 16))
    assert await find_session(reader, "CA77") == await find_session(reader, "CA7777777") == "CA" + "7" * 32
    with pytest.raises(UnknownSession):
        await find_session(reader, "CA7")
    put(redis, make_session("CA" + "79" * 16))
    assert await find_session(reader, "CA777") == "CA" + "7" * 32
    put(redis, make_session("CA7" + "7a" * 15 + "0"))
    with pytest.raises(AmbiguousSession, match=r"^CA77 matches 2 live calls: "):
        await find_session(reader, "CA77")


@pytest.mark.redis
async def test_a_name_that_only_ended_calls_have_says_so_and_selects_none_of_them_for_a_command(reader, redis):
    put(redis, ended("S1"))
    assert await find_session(reader, "alice") == "S1"
    with pytest.raises(UnknownSession, match=r"^no live call matches alice; 1 ended call does: S1 \(ended, "):
        await match_session(reader, "alice", live_only=True)
    put(redis, ended("S2"))
    with pytest.raises(AmbiguousSession, match=r"^no live call matches alice; 2 ended calls do: .*; use an id$"):
        await find_session(reader, "alice")


@pytest.mark.redis
async def test_a_party_who_has_left_a_live_call_does_not_select_it(reader, redis):
    put(redis, make_session())
    assert await match_session(reader, "alice", live_only=True) == CALL
    session = make_session()
    gone = replace(session.parties["agent"], status=PartyStatus.LEFT)
    put(redis, replace(session, parties=session.parties | {"agent": gone}))
    assert await match_session(reader, "alice", live_only=True) == ""


@pytest.mark.redis
async def test_unknown_session_is_reported_without_the_phone_number(reader, redis):
    put(redis, make_session())
    for named, reported in (
        ("99", "99"), ("+14155550199", "+…99"), ("14155550199", "(digits alone)"), ("bob", "bob"),
        ("sip:14155550199@pbx.example.com", "sip:…99@pbx.example.com"), ("+1 415 555 0199", "+…99"),
    ):  # fmt: skip
        with pytest.raises(UnknownSession) as unknown:
            await find_session(reader, named)
        assert str(unknown.value) == f"no call {reported} found"
