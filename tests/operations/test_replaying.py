"""A session as it was at any version, and its history as a file."""

import hypothesis
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conferral.operations import hearing, replaying, standing
from conferral.operations.reader import LogEntry
from conferral.operations.replaying import BadHistoryError, History
from conferral.statemachine.session import Session
from conferral.storage import session_codec
from tests.statemachine.stages import conferenced, talking
from tests.statemachine.story import Story
from tests.statemachine.test_grid import MOVES
from tests.statemachine.test_order_histories import BEGINNINGS, ORDER_MOVES, OrderHistory
from tests.support.folding import shown
from tests.support.logs import told


def assert_same_at_every_version(log: list[LogEntry], sessions: list[Session]) -> None:
    last = session_codec.encode(sessions[-1])
    for session in sessions:
        folded = replaying.at_version(log, session.version, last)
        assert shown(folded) == shown(session_codec.encode(session))


@pytest.mark.parametrize("beginning", BEGINNINGS)
@given(st.data())
@settings(max_examples=4, deadline=None, derandomize=True, phases=set(hypothesis.Phase) - {hypothesis.Phase.explain})
def test_what_was_changed_folds_to_the_session_at_every_version(beginning: str, data: st.DataObject) -> None:
    def play() -> Story:
        history = OrderHistory(BEGINNINGS[beginning](), data)
        for name in data.draw(st.lists(st.sampled_from([*MOVES, *ORDER_MOVES]), max_size=15)):
            getattr(history, name)()
        return history.story

    assert_same_at_every_version(*told(play))


def completed() -> Story:
    return talking("consult").complete().leaves("agent").confirms("customer", "target")


def test_parties_have_the_addresses_that_belong_to_their_legs_whatever_they_are_called_by_now() -> None:
    log, sessions = told(completed)
    last = session_codec.encode(sessions[-1])
    version = next(one.version for one in sessions if one.transfer and one.transfer.status == "consulting")

    then = replaying.at_version(log, version, last)

    addresses = {party: then[f"party.{party}.address"] for party in ("customer", "agent", "target")}
    assert addresses == {party: sessions[version - 1].parties[party].address for party in addresses}
    assert standing.company(then) == "agent client:alice and target client:bob talk; customer +…23 is held"
    assert [one.words for one in hearing.hearing(then)][1:] == ["agent hears target", "target hears agent"]


def test_no_address_is_in_what_was_changed() -> None:
    log, _ = told(completed)

    for entry in log:
        assert "client:" not in entry["changes"]
        assert "+1415" not in entry["changes"]


def test_a_moment_is_the_version_that_was_decided_last_by_then() -> None:
    log, sessions = told(lambda: Story().answered().later(5_000).convert())
    last = session_codec.encode(sessions[-1])
    at_ms = sessions[-1].updated_at_ms

    assert replaying.at_time(log, at_ms - 1, last)["state"] == "bridged"
    assert replaying.at_time(log, at_ms, last)["state"] == "converting"
    assert replaying.version_at(log, 0) == 0


def test_without_the_beginning_of_the_log_what_was_never_changed_since_is_as_it_is_now() -> None:
    log, sessions = told(lambda: conferenced().transfer("warm"))
    last = session_codec.encode(sessions[-1])
    late = [entry for entry in log if int(entry["version"]) >= 6]

    then = replaying.at_version(late, 6, last)

    assert not History(last, tuple(late)).is_whole
    assert then["party.customer.call_sid"] == last["party.customer.call_sid"]
    assert "transfer.mode" not in then
    assert replaying.at_version(late, sessions[-1].version, last)["transfer.mode"] == "warm"


def test_what_was_asked_of_twilio_without_an_answer_is_pending() -> None:
    log, sessions = told(lambda: Story().answered().convert())

    (asked,) = replaying.pending_at(log, sessions[-1].version)

    assert asked.words == "move agent into the conference"
    assert replaying.pending_at(log, sessions[-1].version - 1) == ()


def test_a_history_survives_its_file() -> None:
    log, sessions = told(completed)
    history = History(session_codec.encode(sessions[-1]), tuple(log))

    again = replaying.read_file(replaying.write(history))

    assert again == history
    assert again.is_whole


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"session": {}}', b'{"session": {"id": 1}, "log": []}', b'{"session": {}, "log": [1]}', b"\xff"],
)
def test_what_is_no_history_is_refused(body: bytes) -> None:
    with pytest.raises(BadHistoryError):
        replaying.read_file(body)


@pytest.mark.parametrize("changes", ["{", "[]", '{"phase": 1}', ""])
def test_an_entry_that_makes_no_sense_changes_nothing(changes: str) -> None:
    entry = LogEntry("1-0", {"version": "1", "to": "bridged", "changes": changes})

    assert replaying.at_version([entry], 1, {"id": "CA1"}).get("phase") is None
    assert orjson.loads(replaying.write(History({}, (entry,))))["log"][0]["entry"] == "1-0"
