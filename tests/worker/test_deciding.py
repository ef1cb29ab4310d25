"""From decisions to one batch: what others are told and what is forgotten at the end is ordered with the commit."""

import pytest

from statemachine.events import End
from statemachine.session import Party, Session
from statemachine.states import Phase, State
from statemachine.step import Conclusion, Outcome, Step
from streams import effect_codec, session_codec
from streams.effect_codec import ForgetCalls, PublishOutcome
from streams.partition import Entry
from streams.store import Stored
from worker import deciding

NOW_MS = 1_795_165_380_000
SESSION = Session(
    "CA1",
    State.CONFERENCED,
    Phase.NONE,
    version=4,
    parties={"customer": Party("customer", "customer-1", "CA1"), "agent": Party("agent", "agent-2", "CA3")},
    former_calls=("CA2", "CA3"),
)
TRANSFER = Conclusion("CA1:t1", "transfer", "CA1", "completed", to="client:bob")
WHOLE = Conclusion("CA1:end", "session", "CA1", "ended", "command")


@pytest.fixture
def decided(monkeypatch):
    """One event of a session that ends by it, with news for other systems."""
    after = Session(**{
        **{name: getattr(SESSION, name) for name in SESSION.__dataclass_fields__},
        "state": State.ENDED, "version": 5, "ended_at_ms": NOW_MS,
    })  # fmt: skip
    monkeypatch.setattr(
        deciding, "step", lambda *_: Step(after, Outcome.MOVED, "command", conclusions=(TRANSFER, WHOLE))
    )
    event = End(session_id="CA1", token="c1", entry_id="1-0")
    stored = Stored(SESSION, session_codec.encode(SESSION))
    return deciding.decide([(Entry("1-0", {}), event)], {"CA1": stored}, NOW_MS, None, lambda _: {"e1"})


def test_conclusions_are_chores_of_the_same_commit(decided):
    wanted = [PublishOutcome(TRANSFER), PublishOutcome(WHOLE)]
    assert [chore for chore in decided.chores if isinstance(chore, PublishOutcome)] == wanted
    for chore in wanted:
        assert effect_codec.decode(decided.batch.outbox_put[chore.chore_id]).work == chore
    assert len({chore.chore_id for chore in decided.chores}) == len(decided.chores)


def test_calls_of_parties_that_were_replaced_are_forgotten_too(decided):
    (chore,) = [chore for chore in decided.chores if isinstance(chore, ForgetCalls)]
    assert chore.call_sids == ("CA1", "CA3", "CA2")
    assert chore.chore_id in decided.batch.outbox_put


def test_news_survive_what_the_end_drops(decided):
    assert decided.batch.outbox_del == ["e1"]
    assert not {chore.chore_id for chore in decided.chores} & set(decided.batch.outbox_del)
