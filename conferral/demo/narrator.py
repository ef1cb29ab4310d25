"""Tells a session's story while it happens, from its log; nothing is told that the log does not say."""

import asyncio
from dataclasses import dataclass, field

from conferral import output, words
from conferral.access import LogEntry
from conferral.demo.stage import BUSINESS, CUSTOMER
from conferral.following import Follower
from runtime.clock import SystemClock

LOOK_EVERY_S = 0.05

_CALLER, _CALLED = f"customer {words.address(CUSTOMER)}", words.address(BUSINESS)
#: What an entry means in this story, by its event and detail; the rest is not told, or in the usual words.
_TOLD = {
    ("call_received", ""): f"{_CALLER} calls {_CALLED}, and alice is dialled: an ordinary bridge",
    ("call_progressed", "agent ringing"): "alice's phone rings",
    ("call_progressed", "agent in-progress"): "alice answers; they talk",
    ("convert", ""): "convert is asked for; alice is moved into a conference first",
    ("participant_joined", "agent-1"): "alice is in the conference",
    ("participant_joined", "customer-1"): "the customer is in the conference",
    ("participant_left", "agent-1 participant_hung_up"): "alice hangs up; the customer is alone",
    ("lone_overdue", ""): "alone for the grace of 2 s: the conference is ended, and the customer let go",
}
#: What goes without saying when all is well.
_SILENT = frozenset(
    {"call_progressed", "dial_ended", "effect_succeeded", "conference_started", "conference_ended", "participant_left"}
)


@dataclass(slots=True)
class Narrator:
    """Tells one session's story."""

    follower: Follower
    #: Set when there is nothing more to tell.
    is_over: bool = False
    _began_ms: int = 0
    _clock: SystemClock = field(default_factory=SystemClock)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def tell(self) -> None:
        """Tells what happens until it is over."""
        await self.follower.start(self._clock.wall_ms())
        while not self.is_over:
            await self.catch_up()
            await asyncio.sleep(LOOK_EVERY_S)

    async def catch_up(self) -> None:
        """Tells what is new."""
        async with self._turn:
            for change in await self.follower.look(self._clock.wall_ms()):
                at_ms = words.time_ms(change.entry["at"])
                self._began_ms = self._began_ms or at_ms
                line = told(change.entry)
                if line:
                    self._print(at_ms, line)

    def add(self, fact: str) -> None:
        """Tells what was measured elsewhere."""
        self._print(self._clock.wall_ms(), fact)

    def _print(self, at_ms: int, line: str) -> None:
        output.result(f"  {max(0, at_ms - self._began_ms) / 1000:+7.2f} s  {line}")


def told(entry: LogEntry) -> str:
    """An entry in the story's words; empty when it is not worth a line."""
    line = _TOLD.get((entry["event"], entry["detail"]))
    if line is None and (entry["outcome"] == "stale" or entry["event"] in _SILENT):
        line = ""
    elif line is None:
        line = words.happened(entry)
    if entry["from"] != entry["to"] or entry["version"] == "1":
        reason = f", {entry['reason']}" if entry["reason"] else ""
        line = f"{line or words.happened(entry)}  [{entry['to']}{reason}]"
    return line
