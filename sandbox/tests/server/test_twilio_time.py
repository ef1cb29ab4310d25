"""Twilio's time alone, under a loop whose clock a test sets."""

import asyncio
from collections.abc import Iterator

import pytest

from offhook.twilio_time import Timer, TwilioTime

START_S, SPEED = 1_000.0, 20.0


class SetLoop(asyncio.SelectorEventLoop):
    """A loop that is as late as a test says."""

    now_s = 50.0

    def time(self) -> float:
        return self.now_s

    def turn(self, pause_s: float = 0.0) -> None:
        """Let real time pass, then do what is due."""
        self.now_s += pause_s
        for _ in range(20):
            self.run_until_complete(asyncio.sleep(0))


class Twilio:
    """Twilio's time, and what has happened in it, in seconds from the start."""

    def __init__(self) -> None:
        self.loop = SetLoop()
        self.time = TwilioTime(lambda: SPEED, START_S)
        self.time.bind(self.loop)
        self.happened: list[tuple[str, float]] = []

    @property
    def now_s(self) -> float:
        return self.time.now_s - START_S

    def plan(self, name: str, after_s: float, *, stops: bool = False) -> Timer:
        def act() -> None:
            self.happened.append((name, self.now_s))
            if stops:
                self.time.stand_still()

        return self.time.call_later(after_s, act)


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    it = Twilio()
    yield it
    it.loop.close()


def test_late_loop_changes_neither_order_nor_times(twilio: Twilio) -> None:
    twilio.time.run()
    twilio.plan("ends", 4)
    twilio.plan("rings", 1)
    twilio.plan("answers", 1)
    twilio.loop.turn(pause_s=60)
    assert twilio.happened == [("rings", 1), ("answers", 1), ("ends", 4)]
    assert twilio.now_s == 60 * SPEED


def test_time_does_not_pass_what_is_due_before_it_has_happened(twilio: Twilio) -> None:
    twilio.time.run()
    twilio.plan("rings", 1)
    twilio.loop.now_s += 60
    assert twilio.now_s == 1


def test_pause_while_time_stands_still_changes_nothing(twilio: Twilio) -> None:
    twilio.time.run()
    twilio.plan("rings", 1, stops=True)
    twilio.plan("ends", 4)
    twilio.loop.turn(pause_s=60)
    twilio.loop.turn(pause_s=60)
    assert (twilio.happened, twilio.now_s) == ([("rings", 1)], 1)
    twilio.time.run()
    twilio.loop.turn(pause_s=2.9 / SPEED)
    assert twilio.happened == [("rings", 1)]
    twilio.loop.turn(pause_s=0.2 / SPEED)
    assert twilio.happened[1:] == [("ends", 4)]


def test_what_is_due_now_happens_while_time_stands_still(twilio: Twilio) -> None:
    twilio.plan("rings", 0)
    twilio.plan("answers", 0.1)
    twilio.loop.turn(pause_s=60)
    assert twilio.happened == [("rings", 0)]


@pytest.mark.parametrize("runs", [True, False])
def test_canceled_timer_neither_acts_nor_brings_others_forward(twilio: Twilio, runs: bool) -> None:
    twilio.time.run()
    twilio.plan("rings", 1).cancel()
    twilio.plan("ends", 4)
    twilio.loop.turn(pause_s=1.1 / SPEED)
    assert twilio.happened == []
    if not runs:
        twilio.time.stand_still()
        twilio.time.jump_to_next()
    twilio.loop.turn(pause_s=3 / SPEED)
    assert twilio.happened == [("ends", 4)]


def test_jump_does_what_is_due_on_the_way_in_order(twilio: Twilio) -> None:
    twilio.plan("ends", 4)
    twilio.plan("rings", 1)
    twilio.time.jump(START_S + 3)
    assert (twilio.happened, twilio.now_s) == ([("rings", 1)], 3)
    twilio.time.jump_to_next()
    assert (twilio.happened[1:], twilio.now_s) == ([("ends", 4)], 4)
    assert twilio.time.next_due_s is None


def test_restart_sets_the_time_and_keeps_what_is_due_later(twilio: Twilio) -> None:
    twilio.time.run()
    twilio.plan("token expires", 10)
    twilio.loop.turn(pause_s=5 / SPEED)
    twilio.time.restart(START_S)
    twilio.loop.turn(pause_s=9 / SPEED)
    assert twilio.happened == []
    twilio.loop.turn(pause_s=2 / SPEED)
    assert twilio.happened == [("token expires", 10)]


def test_time_does_not_go_back(twilio: Twilio) -> None:
    twilio.time.run()
    twilio.loop.now_s += 60
    before_s = twilio.now_s
    twilio.time.call_at(START_S + 1, lambda: None)
    assert twilio.now_s == before_s == 60 * SPEED
    twilio.loop.turn()
    twilio.time.restart(START_S)
    assert twilio.now_s == 0
