"""When a virtual clock jumps, under real time that a test sets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from offhook import pace as pace_module
from offhook.pace import QUIET_S, SLICE_S, Pace
from offhook.twilio_time import TwilioTime


class Waiting:
    """A test that waits for what is due in an hour."""

    real_s = 100.0

    def __init__(self) -> None:
        time = TwilioTime(lambda: 1.0, 0.0)
        time.bind(asyncio.get_running_loop())
        self.pace = Pace(time, lambda: "virtual", lambda: True)
        self.has_happened = False
        time.call_later(3600, self._happen)
        self.wait = asyncio.create_task(self.pace.next_change(0, 3600, self.real_s))

    def _happen(self) -> None:
        self.has_happened = True

    async def poll(self, *, after_s: float = 0.0, turns: int = 30) -> None:
        """Wake up the wait, and let the loop take so many turns."""
        self.real_s += after_s
        self.pace.wake_up()
        for _ in range(turns):
            await asyncio.sleep(0)


@pytest.fixture
async def waiting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Waiting]:
    it = Waiting()
    monkeypatch.setattr(pace_module, "monotonic_s", lambda: it.real_s)
    await it.poll()
    yield it
    it.wait.cancel()


async def test_pause_of_the_machine_is_no_quiet(waiting: Waiting) -> None:
    await waiting.poll(after_s=60)
    assert not waiting.has_happened
    for _ in range(round(QUIET_S / SLICE_S)):
        await waiting.poll(after_s=1.5 * SLICE_S)
    assert waiting.has_happened


async def test_request_that_has_arrived_is_seen_before_a_jump(waiting: Waiting) -> None:
    for _ in range(round(QUIET_S / SLICE_S)):
        await waiting.poll(after_s=1.5 * SLICE_S, turns=4)
    with waiting.pace.request():
        await waiting.poll()
        assert not waiting.has_happened
    for _ in range(round(QUIET_S / SLICE_S)):
        assert not waiting.has_happened
        await waiting.poll(after_s=1.5 * SLICE_S)
    assert waiting.has_happened
