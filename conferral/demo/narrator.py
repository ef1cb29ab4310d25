"""Narrate a session's story live from its log, in the console's words."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from conferral.cli import output
from conferral.operations import catalog
from conferral.operations.explain.timeline import build_timeline, details_of, reason_of
from conferral.statemachine.states import State
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.queries.session_reader import SessionReader

POLL_EVERY_S = 0.05
_INDENT = " " * 12
#: Skipped unless they change the session's state: other entries say the same in people's terms.
_NOT_NARRATED = frozenset(
    {"dial_ended", "effect_succeeded", "conference_started", "conference_ended", "participant_left", "gate_reached"}
)


@dataclass(slots=True)
class Narrator:
    """Narrates one session's story."""

    reader: SessionReader
    session_id: str
    #: Names by party, or by "agent 1 of 2". The story sets them: a role passes from one person to the next.
    people: dict[str, str] = field(default_factory=lambda: {"customer": "the customer", "agent": "alice"})
    _newest_id: str = ""
    _began_ms: int = 0
    _newest_sentence: str = ""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Narrate until canceled."""
        while True:
            await self.narrate_new()
            await asyncio.sleep(POLL_EVERY_S)

    async def narrate_new(self) -> None:
        """Narrate new log entries."""
        async with self._turn:
            for entry in (await self.reader.logs({self.session_id: self._newest_id}))[self.session_id]:
                self._newest_id = entry.id
                at_ms = entry.at_ms
                self._began_ms = self._began_ms or at_ms
                sentence = narrate_entry(entry, self.people)
                if sentence and sentence != self._newest_sentence:  # two sources may report one fact
                    self._newest_sentence = sentence
                    output.print_folded(f" {max(0, at_ms - self._began_ms) / 1000:+7.2f} s  {sentence}", len(_INDENT))

    async def announce(self, sentence: str) -> None:
        """Narrate everything so far, then announce a person's next action."""
        await self.narrate_new()
        output.print_folded(sentence, 2)

    async def add_observation(self, fact: str) -> None:
        """Narrate everything so far, then add another source's observation."""
        await self.narrate_new()
        output.print_folded(f"{_INDENT}{fact}", len(_INDENT) + 2)


@asynccontextmanager
async def narrating(reader: SessionReader, session_id: str) -> AsyncIterator[Narrator]:
    """Yield a narrator that runs during the block, then narrates the rest."""
    narrator = Narrator(reader, session_id)
    narration = asyncio.create_task(narrator.run())
    try:
        yield narrator
        await narrator.narrate_new()
    finally:
        narration.cancel()
        with suppress(asyncio.CancelledError):
            await narration


def narrate_entry(entry: LogEntry, people: Mapping[str, str]) -> str:
    """Return a log entry in the console's words, with names; or empty."""
    (moment,) = build_timeline([entry])
    is_change = entry.state_before != entry.state_after or entry.version == 1
    is_hold, hold = _is_hold(entry), _newly_held(entry)
    if not is_change and not hold and (is_hold or _is_detail(entry) or moment.is_confirmation):
        return ""
    names = "|".join(sorted(people, key=len, reverse=True))  # `agent 1 of 2` before `agent`
    pattern = rf"(?<!\d )\b(?:the )?({names})\b(?![-/])"
    text = re.sub(pattern, lambda found: people[found[1]], hold or moment.what)
    if not is_change:
        return text
    if entry.state_after == State.ENDED:
        text = "the call ends for everyone"
    return f"{text}  [{', '.join(filter(None, (entry.state_after, reason_of(entry))))}]"


def _is_hold(entry: LogEntry) -> bool:
    """Whether it says that a party is on hold or off hold."""
    return _update_in(entry) in ("hold", "unhold") and entry.event in ("effect_succeeded", "participant_changed")


def _newly_held(entry: LogEntry) -> str:
    """Describe a hold that this entry shows first; else empty.

    Callbacks of two parties may arrive in another order than that in which Twilio did what was asked.
    """
    is_first = any(name.endswith(".held") for name in entry.changes)
    return (
        catalog.describe_update(_update_in(entry), details_of(entry)["party"]) if is_first and _is_hold(entry) else ""
    )


def _update_in(entry: LogEntry) -> str:
    details = details_of(entry)
    return details["detail"] or details["kind"].removeprefix("participant-")


def _is_detail(entry: LogEntry) -> bool:
    details = details_of(entry)
    is_unheard = "initiated" in details.values() or details["decision"] == "accepted" or details["left_reason"]
    return bool(entry.event in _NOT_NARRATED or entry.outcome == "unexpected" or is_unheard)
