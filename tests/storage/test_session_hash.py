"""A session's hash: the packed session, the readable fields, and what is said if they contradict each other."""

import pytest
from hypothesis import given

from conferral.statemachine.record import replace
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import TransferMode
from conferral.statemachine.transfer import TransferState
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


def test_hash_without_the_empty_fields_that_an_older_worker_leaves_out_is_whole():
    stored = {name: value for name, value in session_hash.encode(SESSION).items() if not name.startswith("transfer.")}
    assert session_hash.all_fields(as_read(stored)) == session_codec.encode(SESSION)


def test_fields_of_the_newest_transfer_are_there_from_the_start_and_written_again_only_if_they_change():
    before = Session("CA1", version=1)
    empty = {f"transfer.{name}": "" for name in ("mode", "to", "by", "status", "reason")}
    assert empty.items() <= session_codec.changes(before, Session("CA1")).readable.items()
    first = TransferState(number=1, mode=TransferMode.WARM, to="client:bob")
    changed = session_codec.changes(replace(before, version=2, transfer=first), before).readable
    assert changed == {"version": "2", "transfer.mode": "warm", "transfer.to": "client:bob",
                       "transfer.status": "dialing", "transfer.stage": "converting"}  # fmt: skip
    failed = replace(before, transfer=replace(first, reason="busy"))
    assert session_codec.changes(replace(failed, transfer=first), failed).readable == {"transfer.reason": ""}


def test_log_of_a_new_session_leaves_out_only_what_every_session_begins_with():
    session = Session("CA1", version=1, parties={"agent": Party("agent", "agent-1", muted=True)})
    logged = session_codec.changes(session, Session("CA1")).logged
    assert logged == {"phase": "ringing", "party.agent.label": "agent-1", "party.agent.status": "dialing",
                      "party.agent.muted": "true"}  # fmt: skip
    empty = ("ended_at", "end_reason", "conference_sid", "party.agent.call_sid", "party.agent.left_reason",
             "transfer.mode", "transfer.to", "transfer.by", "transfer.status", "transfer.reason")  # fmt: skip
    assert session_codec.with_initial(logged) == {**logged, **dict.fromkeys(empty, ""), "party.agent.held": "false"}
