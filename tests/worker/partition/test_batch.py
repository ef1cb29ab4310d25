"""From decisions to one batch: what a session's end writes and removes is part of the commit."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.outcomes.outcome import encode_outcome
from conferral.runtime.clock import SystemClock
from conferral.statemachine.effects import Effect, EndConference, HangUpCall, ReadCalls, SayAndHangUp, UpdateParticipant
from conferral.statemachine.events import Convert, End, Event, ParticipantChanged, ReadOverdue
from conferral.statemachine.parts import PendingCommand
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import Phase, State
from conferral.statemachine.step import CommandReport, CommandStatus, Conclusion, DecisionKind, Step
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.partition.commit_store import LOG_ENTRIES_MAX
from conferral.worker.executor.job import Job
from conferral.worker.partition import batch
from conferral.worker.partition.effects import OpenEffects
from conferral.worker.times import in_workers_time

NOW_MS = 1_795_165_380_000
SESSION = Session(
    "CA1",
    State.CONFERENCED,
    Phase.CONNECTED,
    version=4,
    parties={"customer": Party("customer", "customer-1", "CA1"), "agent": Party("agent", "agent-2", "CA3")},
    former_calls=("CA2", "CA3"),
)
TRANSFER = Conclusion("CA1:t1", "transfer", "CA1", "completed", to=("client:bob",))
WHOLE = Conclusion("CA1:end", "session", "CA1", "ended", "command")
STRAY = HangUpCall(effect_id="stray", session_id="CA1", call_sid="CA9")
OF_AGENT = HangUpCall(effect_id="of agent", session_id="CA1", party="agent", call_sid="CA3")
SAID = SayAndHangUp(effect_id="said", session_id="CA1", party="agent", call_sid="CA3")
OF_CUSTOMER = HangUpCall(effect_id="of customer", session_id="CA1", party="customer", call_sid="CA1")
OF_CONFERENCE = EndConference(effect_id="of room", session_id="CA1", conference_sid="CF1")
HOLD = UpdateParticipant(
    effect_id="e1", session_id="CA1", party="customer", call_sid="CA1", conference_sid="CF1", update="hold"
)


def decided_of(events: list[Event], session: Session, is_open: dict[str, Effect] | None = None) -> batch.Batch:
    decisions, _ = batch.decide(events, {"CA1": session}, NOW_MS, Policy())
    return batch.encode(decisions, {"CA1": session}, NOW_MS, is_open or {}, {})


@pytest.fixture
def decided(monkeypatch):
    """One event of a session that ends by it, with news for other systems."""
    after = replace(SESSION, state=State.ENDED, version=5, ended_at_ms=NOW_MS)
    monkeypatch.setattr(
        batch, "step", lambda *_: Step(after, DecisionKind.MOVED, "command", conclusions=(TRANSFER, WHOLE))
    )
    event = End(session_id="CA1", token="c1", entry_id="1-0")
    return decided_of([event], SESSION, {"e1": HOLD})


def test_end_stores_outcomes_and_lets_calls_of_replaced_parties_expire_too(decided):
    assert decided.commit.outcomes == [encode_outcome(TRANSFER), encode_outcome(WHOLE)]
    assert decided.commit.calls_over == {"CA1": ("CA1", "CA3", "CA2")}
    assert (decided.commit.outbox_set, decided.commit.outbox_remove) == ({}, ["e1"]), "only what the end drops"


def test_outcome_counts_from_the_log_as_stored_and_the_batch_itself():
    joined = {"party.agent.label": "agent-1", "party.agent.in_conference": "true"}
    stored = [LogEntry(version=one + 1, at_ms=NOW_MS - 5_000, changes=joined) for one in range(SESSION.version)]
    end = End(session_id="CA1", token="c1", entry_id="1-0")
    decisions, timed_session_ids = batch.decide([end], {"CA1": SESSION}, NOW_MS, Policy())
    assert timed_session_ids == {"CA1"}
    for log, counted in ((stored, "5.0"), (stored[1:], "")):
        decided = batch.encode(decisions, {"CA1": SESSION}, NOW_MS, {}, {"CA1": log})
        assert [one["conference_s"] for one in decided.commit.outcomes] == [counted]


def test_log_that_was_trimmed_is_not_read():
    end, long = End(session_id="CA1", token="c1", entry_id="1-0"), replace(SESSION, version=LOG_ENTRIES_MAX)
    _, timed_session_ids = batch.decide([end], {"CA1": long}, NOW_MS, Policy())
    assert not timed_session_ids


async def test_next_owner_executes_the_effects_of_several_commits_at_one_time_in_their_order(monkeypatch):
    """A batch that stores much is committed in parts, all at the time of the batch."""
    after = replace(SESSION, version=5)
    other, unhold = replace(HOLD, effect_id="e0"), replace(HOLD, effect_id="e2", update="unhold")
    first = Step(after, DecisionKind.STAYED, effects=(other, HOLD))
    steps = iter([first, Step(replace(after, version=6), DecisionKind.STAYED, effects=(unhold,))])
    monkeypatch.setattr(batch, "step", lambda *_: next(steps))
    outbox = {}
    for name in ("c1", "c2"):
        event = Convert(session_id="CA1", token=name, entry_id="1-0")
        outbox = decided_of([event], SESSION).commit.outbox_set | outbox

    jobs = list[Job]()
    core: Any = SimpleNamespace(store_clock=SimpleNamespace(now_ms=lambda: NOW_MS), clock=SystemClock())
    lease: Any = SimpleNamespace(is_after_loss=False)
    executor: Any = SimpleNamespace(submit=jobs.append)
    await OpenEffects(0, lease, core, executor).restore(outbox)
    assert [job.effect for job in jobs] == [other, HOLD, unhold]


# ---- what the end drops and keeps ------------------------------------------------------------------------------------


@pytest.fixture(params=["the same batch", "a later batch"])
def ends(request, monkeypatch):
    """Decides that the session ends after these effects were ordered, in the same batch or in an earlier one."""

    def run(earlier: list[Effect], of_the_end: list[Effect]) -> batch.Batch:
        goes_on = replace(SESSION, version=5)
        over = replace(SESSION, state=State.ENDED, version=6, ended_at_ms=NOW_MS)
        steps = [Step(over, DecisionKind.MOVED, "command", tuple(of_the_end))]
        events = [End(session_id="CA1", token="c1", entry_id="2-0")]
        is_open = {effect.effect_id: effect for effect in earlier}
        if request.param == "the same batch":
            steps.insert(0, Step(goes_on, DecisionKind.STAYED, "", tuple(earlier)))
            events.insert(0, Convert(session_id="CA1", token="c0", entry_id="1-0"))
            is_open = {}
        following = iter(steps)
        monkeypatch.setattr(batch, "step", lambda *_: next(following))
        return decided_of(events, SESSION, is_open)

    return run


def open_after(decided: batch.Batch, earlier: list[Effect], batch: str) -> set[str]:
    """Effects that are in the outbox after the commit."""
    put = {*decided.commit.outbox_set}
    assert put == {effect.effect_id for effect, *_ in decided.effects.values()}
    assert not put & set(decided.commit.outbox_remove)
    before = {effect.effect_id for effect in earlier} if batch == "a later batch" else set()
    return put | before - set(decided.commit.outbox_remove)


@pytest.mark.parametrize(
    "earlier, of_the_end, left",
    [
        ([STRAY], [OF_CUSTOMER], {"stray", "of customer"}),
        ([STRAY, HOLD], [], {"stray"}),
        ([SAID], [OF_CUSTOMER], {"said", "of customer"}),
        ([OF_CONFERENCE], [OF_CUSTOMER], {"of room", "of customer"}),
        # The end itself asks for it.
        ([SAID], [OF_AGENT, OF_CUSTOMER], {"of agent", "of customer"}),
        ([replace(OF_CONFERENCE, effect_id="before")], [OF_CONFERENCE], {"of room"}),
        ([HOLD], [OF_CONFERENCE], {"of room"}),
    ],
)
def test_end_drops_all_but_endings_that_it_does_not_order_itself(ends, request, earlier, of_the_end, left):
    batch = request.node.callspec.params["ends"]
    assert open_after(ends(earlier, of_the_end), earlier, batch) == left


def test_log_records_command_results_but_not_acceptance(monkeypatch):
    session = replace(SESSION, pending_commands=(PendingCommand("c1", "add", "expert"),))
    reports = (
        CommandReport("c1", CommandStatus.FAILED, "busy"),
        CommandReport("c2", CommandStatus.ACCEPTED),
        CommandReport("c2", CommandStatus.DONE),
    )
    taken = Step(replace(session, version=5), DecisionKind.STAYED, reports=reports)
    monkeypatch.setattr(batch, "step", lambda *_: taken)
    decided = decided_of([Convert(session_id="CA1", token="c2", entry_id="1-0")], session)
    (change,) = decided.commit.sessions
    assert change.log[0].reports == (
        {"command": "c1", "type": "add", "status": "failed", "reason": "busy", "code": ""},
        {"command": "c2", "type": "convert", "status": "done", "reason": "", "code": ""},
    )


def test_read_that_follows_an_overdue_one_takes_it_out_of_the_outbox():
    """So of reads that can't be sent for long, a session has one."""
    old_ms = NOW_MS - Policy().read_timeout_ms
    inside = {name: replace(party, in_conference=True) for name, party in SESSION.parties.items()}
    session = replace(
        SESSION, parties=inside, open_read_id="overdue", open_read_since_ms=old_ms, timers={"read": NOW_MS},
        unsettled_since_ms={"suspicion anyone": old_ms},
    )  # fmt: skip
    event = ReadOverdue(session_id="CA1", token="read:1", entry_id="1-0", due_ms=NOW_MS)
    found = decided_of([event], session)
    assert any(isinstance(effect, ReadCalls) for effect, *_ in found.effects.values())
    assert found.commit.outbox_remove == ["overdue"]


def test_other_changes_of_state_keep_the_open_effects(monkeypatch):
    after = replace(SESSION, state=State.TRANSFERRING, version=5)
    monkeypatch.setattr(batch, "step", lambda *_: Step(after, DecisionKind.MOVED))
    found = decided_of([End(session_id="CA1", token="c1", entry_id="1-0")], SESSION, {"e1": HOLD})
    assert (found.commit.outbox_remove, found.commit.outbox_set, found.commit.calls_over) == ([], {}, {})


@pytest.mark.parametrize("twilio_now_ms, at_ms", [(7_200_000, 5_000 - 1_500), (None, 0)])
def test_twilio_s_timestamp_becomes_the_partition_s_time_of_equal_age(twilio_now_ms: int | None, at_ms: int) -> None:
    event = ParticipantChanged(
        session_id="S1", source="CF1", sequence=1, conference_sid="CF1", call_sid="CA1", kind="participant-hold",
        occurred_at_ms=7_200_000 - 1_500,
    )  # fmt: skip
    given = [event, replace(event, occurred_at_ms=0), Convert(session_id="S1", token="c1", occurred_at_ms=4_000)]
    events = in_workers_time(given, 5_000, twilio_now_ms)
    assert events == [replace(event, occurred_at_ms=at_ms), *given[1:]]
