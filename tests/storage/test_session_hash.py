"""A session's hash: the packed session, the readable fields, and what is said if they contradict each other."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.record import replace
from conferral.statemachine.session import RESTLESS, Party, Session
from conferral.statemachine.states import TransferMode
from conferral.statemachine.transfer import TransferState
from conferral.storage.codecs import session_codec, session_hash
from conferral.storage.codecs.hash_codec import CorruptHashError
from conferral.storage.partition.session_store import SessionChange
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
    values = [record.get(name.encode()) for name in session_hash.LOADED]
    assert session_hash.load(session.id, values) == session


def large_session(parties: int, version: int = 1) -> Session:
    names = [f"guest-{number}" for number in range(parties)]
    return Session("CA1", version=version, parties={name: Party(name, name) for name in names})


def muted(session: Session, *names: str) -> Session:
    """Return the session's next version, in which some more parties are muted."""
    changed = {name: replace(session.parties[name], muted=True) for name in names}
    return replace(session, version=session.version + 1, parties={**session.parties, **changed})


def stored_as(session: Session, before: Session) -> tuple[bytes, dict[str, str | None]]:
    """Return the packed session, and the other fields that its commit writes."""
    change = SessionChange(before, session)
    return change.packed, {name: value for name, value in change.readable.items() if name == "packed_parties"}


@given(st.data())
def test_session_whose_parties_are_packed_apart_is_loaded_as_it_was_at_every_version(data):
    session, packed_parties = Session("CA1"), None
    for version in range(1, data.draw(st.integers(2, 8))):
        names = data.draw(st.lists(st.sampled_from([f"guest-{number}" for number in range(40)]), unique=True))
        parties = dict(session.parties)
        match data.draw(st.sampled_from(["add", "change", "remove", "order"])):
            case "add":
                parties |= {name: Party(name, name) for name in names if name not in parties}
            case "change":
                parties |= {name: replace(parties[name], digits=str(version)) for name in names if name in parties}
            case "remove":
                parties = {name: party for name, party in parties.items() if name not in names[:3]}
            case "order":
                parties = dict(sorted(parties.items(), reverse=True))
        after = replace(session, version=version, parties=parties)
        packed, others = stored_as(after, session)
        packed_parties = others.get("packed_parties", packed_parties)
        session = session_hash.unpack(packed, packed_parties and packed_parties.encode())
        assert session == after
        assert list(session.parties) == list(after.parties)
        assert (packed_parties is None) == (len(parties) <= 16)
        if data.draw(st.booleans()):
            session = after


def test_event_does_not_write_the_unchanged_parties_of_a_large_session_again():
    session = large_session(100)
    size = len(stored_as(session, Session("CA1"))[1]["packed_parties"])
    for number in range(16):
        before, session = session, muted(session, f"guest-{number}")
        packed, others = stored_as(session, before)
        assert (others, len(packed) < size / 3) == ({}, True), number
    # With so many changed, all are packed apart once more.
    packed, others = stored_as(muted(session, "guest-50"), session)
    assert (len(others["packed_parties"]) >= size, len(packed) < 100) == (True, True)


def test_loaded_large_session_is_written_like_one_in_memory():
    first = large_session(20)
    packed, others = stored_as(first, Session("CA1"))
    loaded = session_hash.unpack(packed, others["packed_parties"].encode())
    assert stored_as(muted(loaded, "guest-3"), loaded) == stored_as(muted(first, "guest-3"), first)
    assert stored_as(muted(loaded, "guest-3"), loaded)[1] == {}


def test_session_of_few_parties_takes_no_space_for_parties_apart():
    packed, others = stored_as(large_session(16), Session("CA1"))
    assert (len(msgspec.json.decode(packed)), others) == (2, {})


def test_session_that_is_no_longer_large_has_no_parties_apart():
    large, small = large_session(20), large_session(16, version=2)
    stored_as(large, Session("CA1"))
    assert stored_as(small, large)[1] == {"packed_parties": None}
    assert stored_as(replace(small, version=3), small)[1] == {}


@each("names", [
    ["guest-1", "guest-0", *(f"guest-{number}" for number in range(2, 20))],
    [f"guest-{number}" for number in range(19)],
    [*(f"guest-{number}" for number in range(19)), "agent"],
])  # fmt: skip
def test_parties_in_another_order_removed_or_renamed_are_packed_apart_once_more(names):
    before = large_session(20)
    stored_as(before, Session("CA1"))
    parties = {name: before.parties.get(name) or Party(name, name) for name in names}
    packed, others = stored_as(replace(before, version=2, parties=parties), before)
    assert [*session_hash.unpack(packed, others["packed_parties"].encode()).parties] == names


def test_loaded_large_session_knows_who_is_restless():
    session = large_session(20)
    session.__dict__[RESTLESS] = ["guest-3"]
    packed, others = stored_as(session, Session("CA1"))
    packed_parties = others["packed_parties"].encode()
    assert session_hash.unpack(packed, packed_parties).__dict__[RESTLESS] == ["guest-3"]
    noted_otherwise = session_hash.unpack(packed.replace(RESTLESS.encode(), b"excited"), packed_parties)
    assert RESTLESS not in noted_otherwise.__dict__
    with pytest.raises(CorruptHashError) as error:
        session_hash.unpack(packed.replace(b"guest-3", b"guest-x"), packed_parties)
    assert error.value.field == "packed"


@each("packed_parties", [None, b"", b"[]", b"[1]", b"[2, []]", b'[1, [{"name": 7}]]', b"\xff"])  # fmt: skip
def test_large_session_whose_parties_apart_are_damaged_or_of_another_version_is_refused(packed_parties):
    packed, _ = stored_as(large_session(20), Session("CA1"))
    with pytest.raises(CorruptHashError) as error:
        session_hash.unpack(packed, packed_parties)
    assert error.value.field == "packed_parties"


def test_large_session_is_shown_whole_and_damage_to_its_parties_is_named():
    session = large_session(30)
    record = as_read(session_hash.encode(session))
    assert session_hash.all_fields(record) == session_codec.encode(session)
    assert session_hash.all_fields(record | {b"packed_parties": b"{}"})["damaged"] == "packed_parties"


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


@pytest.mark.parametrize("name", ["id", "state"])
def test_missing_field_that_makes_a_hash_a_session_is_damage(name):
    record = as_read(session_hash.encode(SESSION))
    del record[name.encode()]
    assert session_hash.all_fields(record)["damaged"] == name


def test_field_that_contradicts_the_packed_session_is_shown_and_named():
    stored = {**session_hash.encode(SESSION), "party.agent.held": "perhaps"}
    found = session_hash.all_fields(as_read(stored))
    assert (found["party.agent.held"], found["damaged"]) == ("perhaps", "party.agent.held")


@pytest.mark.parametrize("name, value", [
    ("mode", "conference"),
    ("parked_until", "2027-01-15T08:00:00.000Z"),
    ("recording.sid", "RE1"),
    ("party.customer.supervises", "agent"),
    ("party.nobody.held", "false"),
    ("transfer.stage", "over"),
    ("party.agent.is_leaving", "true"),
    ("party_order", "agent customer"),
])  # fmt: skip
def test_field_that_the_packed_session_lacks_is_damage(name, value):
    found = session_hash.all_fields(as_read({**session_hash.encode(SESSION), name: value}))
    assert found["damaged"] == name
    # What only the packed session may say is not taken from the hash.
    assert found.get(name) == (value if session_codec.is_readable(name) else session_codec.encode(SESSION).get(name))


def test_field_of_a_newer_version_is_shown_and_no_damage():
    found = session_hash.all_fields(as_read({**session_hash.encode(SESSION), "party.agent.mood": "good"}))
    assert found == {**session_codec.encode(SESSION), "party.agent.mood": "good"}


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
