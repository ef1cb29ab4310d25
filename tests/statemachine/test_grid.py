"""Every event in every situation: never an exception, and what must always hold, holds."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statemachine.events import COMMANDS, TIMERS
from statemachine.machine import DEFAULT_POLICY, step
from statemachine.session import Session
from statemachine.states import CallStatus, State
from statemachine.step import Outcome
from tests.statemachine.stages import conferenced
from tests.statemachine.story import AGENT_CALL, BOB, CUSTOMER_CALL, OTHER_ROOM, ROOM, Story

PARTIES = st.sampled_from(["customer", "agent"])
STATUSES = st.sampled_from([status.value for status in CallStatus])
ROOMS = st.sampled_from([ROOM, OTHER_ROOM])
DIALS = st.sampled_from(["bridge", "conference"])


def _moves() -> st.SearchStrategy[tuple[str, tuple, dict]]:
    def move(name, *args, **kwargs):
        return st.tuples(st.just(name), st.tuples(*args), st.fixed_dictionaries(kwargs))

    return st.one_of(
        move("comes_in"),
        move("call", PARTIES, STATUSES, sip=st.sampled_from([0, 486, 603])),
        move("dial_ends", STATUSES, call_status=STATUSES, dial=DIALS, party=PARTIES,
             other_side_lives=st.booleans()),
        move("joins", st.sampled_from(["customer", "agent", "guest"]), room=ROOMS),
        move("leaves", st.sampled_from(["customer", "agent", "guest"]), status=STATUSES,
             reason=st.sampled_from(["participant_hung_up", "participant_updated_via_api"])),
        move("conference_starts"),
        move("conference_ends", room=ROOMS),
        move("reads", customer=STATUSES, agent=STATUSES, room=st.just(ROOM),
             inside=st.sampled_from([(), ("agent",), ("customer",), ("customer", "agent")])),
        move("convert", st.sampled_from(["c1", "c2"])),
        move("end", st.sampled_from(["e1", "e2"])),
        move("succeeds", st.sampled_from(["redirect_call", "hang_up_call", "end_conference"])),
        move("fails", st.sampled_from(["redirect_call", "read_calls", "hang_up_call"]), gone=st.booleans()),
        move("is_unknown", st.sampled_from(["redirect_call", "read_calls"])),
        move("timer"),
    )  # fmt: skip


@given(st.lists(_moves(), max_size=25), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_any_history_keeps_the_invariants(moves, random):
    story = Story()
    for name, args, kwargs in moves:
        before = story.session
        if name == "timer":
            set_now = [timer for timer in TIMERS if timer.timer in before.timers]
            if not set_now:
                continue
            story.fires(random.choice(set_now))
        else:
            getattr(story, name)(*args, **kwargs)
        check(before, story)


def check(before: Session, story: Story) -> None:
    after, last = story.session, story.last
    if before.version == 0 and last.outcome in (Outcome.UNEXPECTED, Outcome.REFUSED):
        assert after == before
        return
    assert after.version == before.version + 1
    assert after.updated_at_ms >= before.updated_at_ms
    if before.state is State.ENDED:
        assert after.state is State.ENDED
        assert after.end_reason == before.end_reason
    if after.state is State.ENDED:
        assert not after.timers
        assert after.end_reason
        assert not after.converting_for
        assert all(party.is_gone for party in after.parties.values())
    else:
        # A live session always waits for something that will come by itself.
        assert after.timers
    if after.state is State.CONVERTING:
        assert {"convert", "repair"} & set(after.timers)
    if after.state is State.CONFERENCED and len(after.in_room) < 2:
        assert "lone" in after.timers
    assert len({effect.effect_id for effect in last.effects}) == len(last.effects)
    if last.outcome is Outcome.STALE:
        assert not last.effects
        assert dataclasses.replace(after, version=before.version, seen=before.seen, updated_at_ms=0, timers={}) == (
            dataclasses.replace(before, updated_at_ms=0, timers={})
        )
    if last.outcome is Outcome.REFUSED:
        assert len(last.reports) == 1


FIELDS = {"call": {"agent": "client:alice", "customer": "+14155550123"}, "transfer": {"to": BOB, "mode": "warm"}}
SITUATIONS = {
    "unknown": Story,
    "ringing": lambda: Story().comes_in(),
    "connected": lambda: Story().answered(),
    "converting": lambda: Story().answered().convert(),
    "conferenced": conferenced,
    "transferring": lambda: conferenced().transfer("warm").confirms("agent"),
    "ended": lambda: Story().answered().end(),
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_command_is_answered_in_every_state(situation, command):
    story = SITUATIONS[situation]().command(command, "any", **FIELDS.get(command.name, {}))

    assert len(story.reports["any"]) == 1


def test_effect_ids_follow_from_the_entry_alone():
    first, second = Story().answered(), Story().answered()
    assert first.convert().last.effects == second.convert().last.effects
    assert first.last.effects[0].call_sid == AGENT_CALL


def test_time_never_goes_back():
    story = Story().answered()
    earlier = step(story.session, story.last and _end(), story.session.updated_at_ms - 5_000, DEFAULT_POLICY)
    assert earlier.session.ended_at_ms == story.session.updated_at_ms


def _end():
    from statemachine.events import End

    return End(session_id=CUSTOMER_CALL, entry_id="8-8", token="e")
