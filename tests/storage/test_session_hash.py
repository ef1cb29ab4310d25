"""A session's hash: the packed session, the readable fields, and what is said if they contradict each other."""

import pytest
from hypothesis import given

from conferral.statemachine.session import Party, Session
from conferral.storage.codecs import session_codec, session_hash
from conferral.storage.codecs.hash_codec import CorruptHashError
from tests.storage.test_codecs import sessions
from tests.support.each import each

SESSION = Session("CA1", version=1, parties={"agent": Party("agent", "agent-1")})


def as_read(stored: dict[str, str | bytes]) -> dict[bytes, bytes]:
    """Return a hash as Redis returns it."""
    return {name.encode(): value if isinstance(value, bytes) else value.encode() for name, value in stored.items()}


@given(sessions)
def test_every_packed_session_can_be_unpacked(session):
    found = session_hash.unpack(session_hash.pack(session))
    assert found == session
    assert list(found.parties) == list(session.parties)


@given(sessions)
def test_hash_shows_all_fields_and_is_not_damaged(session):
    record = as_read(session_hash.encode(session))
    assert session_hash.all_fields(record) == session_codec.encode(session)
    values = [record[name.encode()] for name in session_hash.LOADED]
    assert session_hash.load(session.id, values) == session


@each("packed", [
    b"", b"{}", b"[]", b"[1]", b"\xff", b'["1", {"id": "s"}]', b'[1, {"id": 7}]', b'[0, {"id": "s"}]',
    b'[2, {"id": "s"}]', b'[1, {"id": "s", "state": "flying"}]',
])  # fmt: skip
def test_packed_session_that_is_damaged_or_of_another_layout_is_refused(packed):
    with pytest.raises(CorruptHashError) as error:
        session_hash.unpack(packed)
    assert error.value.field == "packed"


@pytest.mark.parametrize("name, value", [("version", b"2"), ("state", b"ended"), ("packed", None), ("version", None)])
def test_hash_whose_fields_contradict_each_other_is_not_loaded(name, value):
    stored = {**session_hash.encode(Session("s", version=1)), name: value or ""}
    stored = {one: text for one, text in stored.items() if text}
    values = [as_read(stored).get(one.encode()) for one in session_hash.LOADED]
    with pytest.raises(CorruptHashError) as error:
        session_hash.load("s", values)
    assert error.value.field == name


def test_packed_session_of_another_session_is_not_loaded():
    stored = session_hash.encode(Session("s", version=1))
    values = [as_read(stored).get(one.encode()) for one in session_hash.LOADED]
    with pytest.raises(CorruptHashError):
        session_hash.load("other", values)


def test_field_that_contradicts_the_packed_session_is_shown_and_named():
    stored = {**session_hash.encode(SESSION), "party.agent.held": "perhaps"}
    found = session_hash.all_fields(as_read(stored))
    assert (found["party.agent.held"], found["damaged"]) == ("perhaps", "party.agent.held")
