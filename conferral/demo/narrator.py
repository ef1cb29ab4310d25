"""Narrate a session's story live from its log, and from nothing else."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from conferral import output
from conferral.demo import characters
from conferral.operations import wording
from conferral.operations.history.change_feed import ChangeFeed
from conferral.operations.session_queries import LogEntry
from conferral.runtime.clock import SystemClock

POLL_EVERY_S = 0.05
_INDENT = " " * 12

_CALLER = f"customer {wording.display_address(characters.CUSTOMER)}"
#: How the stories phrase events; other events are skipped or phrased as usual.
_SENTENCES = {
    "call_received": _CALLER + " calls {line}; alice is dialed",
    "client_call_received": "alice calls the customer from a browser, and waits in a conference",
    "call": "call requested; alice is dialed first, then the customer",
    "convert": "convert requested; alice is moved into a conference first",
}
_WAITS = _CALLER + " calls {line}, and waits in a conference while alice is dialed"
#: How the stories phrase call statuses; others are skipped.
_STATUSES = {
    "ringing": "{who}'s phone rings",
    "in-progress": "{who} answers",
    "completed": "{who}'s call ends",
    "busy": "{who} is busy",
    "no-answer": "{who} does not answer",
}
_CHANGES = {
    "participant-hold": "{who} is on hold",
    "participant-unhold": "{who} is off hold",
    "participant-mute": "{who} is muted",
    "participant-unmute": "{who} is heard again",
}
#: Skipped: other events already report who hung up and what the gate decided.
_NOT_NARRATED = frozenset(
    {"dial_ended", "effect_succeeded", "conference_started", "conference_ended", "participant_left", "gate_reached"}
)


@dataclass(slots=True)
class Narrator:
    """Narrates one session's story."""

    follower: ChangeFeed
    #: Names by party, or by "agent 1 of 2". The story sets them: a role passes from one person to the next.
    people: dict[str, str] = field(default_factory=lambda: {"customer": "the customer", "agent": "alice"})
    #: The number that the customer calls.
    line: str = characters.BUSINESS
    is_over: bool = False
    _began_ms: int = 0
    _clock: SystemClock = field(default_factory=SystemClock)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Narrate until the story is over."""
        while not self.is_over:
            await self.narrate_new()
            await asyncio.sleep(POLL_EVERY_S)

    async def narrate_new(self) -> None:
        """Narrate new log entries."""
        async with self._turn:
            for change in await self.follower.poll(self._clock.wall_ms()):
                at_ms = wording.parse_time_ms(change.entry["at"])
                self._began_ms = self._began_ms or at_ms
                sentence = narrate_entry(change.entry, self.people, self.line)
                if sentence:
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
async def narrating(follower: ChangeFeed, line: str = characters.BUSINESS) -> AsyncIterator[Narrator]:
    """Yield a narrator that runs during the block, then narrates the rest."""
    narrator = Narrator(follower, line=line)
    await follower.start(SystemClock().wall_ms())
    announcing = asyncio.create_task(narrator.run())
    try:
        yield narrator
        await narrator.narrate_new()
    finally:
        # Stop by a flag: a cancellation during a Redis read can get lost.
        narrator.is_over = True
        await asyncio.wait({announcing})
        error = announcing.exception()
    if error is not None:
        raise error


def narrate_entry(entry: LogEntry, people: Mapping[str, str], line: str = characters.BUSINESS) -> str:
    """Return a log entry in the story's words; empty to skip it."""
    if entry["event"] == "call_received":
        text = _WAITS if entry["to"] == "conferenced" else _SENTENCES["call_received"]
        return f"{text.format(line=wording.display_address(line))}  [{entry['to']}]"
    if entry["from"] == entry["to"] and entry["version"] != "1":
        return "" if entry["outcome"] in ("stale", "unexpected") else _event_sentence(entry, people)
    reason = f", {entry['reason']}" if entry["reason"] else ""
    state = f"[{entry['to']}{reason}]"
    if entry["to"] == "ended":
        # On this number, the customer isn't hung up with the others: the survey follows.
        goes_on = line == characters.AFTER_CALL_LINE and entry["reason"] == "agent-left"
        return f"{'the conference ends, and the survey begins' if goes_on else 'the call ends for everyone'}  {state}"
    if entry["event"] == "participant_left":  # before the call's end, so it changes the state itself
        party = wording.details(entry)["party"]
        return f"{people.get(party, party)} leaves the conference  {state}"
    return f"{_event_sentence(entry, people) or wording.describe_entry(entry)}  {state}"


def _event_sentence(entry: LogEntry, people: Mapping[str, str]) -> str:
    """Return a sentence about an event; empty if it isn't narrated."""
    event, details = entry["event"], wording.details(entry)
    who = people.get(details["party"], details["party"])
    if event in _SENTENCES:
        return _SENTENCES[event]
    if event == "call_progressed":
        return _STATUSES.get(details["status"], "").format(who=people.get(wording.agent_position(details), who))
    if event == "participant_joined":
        return f"{who} is in the conference"
    if event == "participant_changed":
        text = _CHANGES.get(details["kind"], "")
        if details["coaches"]:  # both an unmute and a change of flags mention it
            text = "{who} is heard by {agent} alone" if details["kind"] == "participant-modify" else ""
        return text.format(who=who, agent=people["agent"])
    if event in _NOT_NARRATED or (event == "gate_decided" and details["decision"] == "accepted"):
        return ""
    return wording.describe_entry(entry)
