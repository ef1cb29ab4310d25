"""Histories of sessions: the events of each, and what the state machine decided.

`python -m tests.simulation.histories` records them. A change that decides something else records again and says why.
"""

import json
import lzma
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from conferral.statemachine.events import Event
from conferral.statemachine.machine import step
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Session
from conferral.statemachine.step import Step
from conferral.storage.codecs import event_codec, session_codec

FILE = Path(__file__).with_name("histories.json.xz")
#: Fields of effects and sessions that a line has already, that change with each decision, or that say how urgent it is.
_LEFT_OUT = {
    "effect_id", "session_id", "read_version", "timers", "version", "known_version", "verified_version", "updated_at",
    "seen", "call_token", "is_background",
}  # fmt: skip
#: An effect's id, which follows from the event's.
_EFFECT_ID = re.compile(r"\b[0-9a-f]{20}\b")


@dataclass(frozen=True, slots=True)
class Decision:
    """One event, and when it was decided, in Unix milliseconds."""

    now_ms: int
    event: Event


@dataclass(slots=True)
class History:
    """A session's decisions, from its first event on."""

    session_id: str
    policy: Policy
    decisions: list[Decision] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """One line for each decision, made again."""
        session = Session(self.session_id)
        for one in self.decisions:
            taken = step(session, one.event, one.now_ms, self.policy)
            yield line_of(one.event, taken, session, one.now_ms)
            if taken.session.version != session.version:
                session = taken.session


def line_of(event: Event, taken: Step, before: Session, now_ms: int) -> str:
    """What an event did: states, effects, timers, reports, outcomes, and the changed fields; without names of code."""
    after = taken.session
    effects = [
        f"{effect.kind}({', '.join(f'{name}={value}' for name, value in _arguments(effect))})"
        for effect in taken.effects
    ]
    dues = sorted(f"{one.timer} {'off' if one.due_ms is None else one.due_ms - now_ms}" for one in taken.timers)
    reports = [f"{report.command_id} {report.status} {report.reason}".rstrip() for report in taken.reports]
    outcomes = [str(sorted(asdict(record).items())) for record in taken.conclusions]
    changed = session_codec.changes(after, before).stored if after.version != before.version else {}
    fields_now = [
        f"{name}={text}" for name, text in sorted(changed.items()) if name.rpartition(".")[2] not in _LEFT_OUT
    ]
    states = f"{event.name}: {before.state}/{before.phase} -> {after.state}/{after.phase}"
    first = f"{states} {taken.outcome} {taken.reason}".rstrip()
    return _EFFECT_ID.sub("ID", " | ".join([first, *effects, *dues, *reports, *outcomes, *fields_now]))


def _arguments(effect: Any) -> Iterator[tuple[str, Any]]:
    for one in fields(effect):
        if one.name not in _LEFT_OUT and (value := getattr(effect, one.name)) not in ("", None):
            yield one.name, value


def save(histories: list[History]) -> None:
    """Write histories with the lines that they have now."""
    content = [
        {
            "session": one.session_id,
            # Only what is not the default: another default then shows in the decisions.
            "policy": {name: value for name, value in asdict(one.policy).items() if value != getattr(Policy(), name)},
            "decisions": [
                [made.now_ms, made.event.entry_id, event_codec.encode(made.event), line]
                for made, line in zip(one.decisions, one.lines(), strict=True)
            ],
        }
        for one in histories
    ]
    text = "\n".join(json.dumps(one, separators=(",", ":")) for one in content)
    FILE.write_bytes(lzma.compress(text.encode(), preset=9))


def load() -> Iterator[tuple[History, list[str]]]:
    """The recorded histories, each with the lines that it had then."""
    for text in lzma.decompress(FILE.read_bytes()).decode().splitlines():
        found = json.loads(text)
        decisions = [Decision(at, event_codec.decode(entry, name)) for at, name, entry, _ in found["decisions"]]
        lines = [line for *_, line in found["decisions"]]
        yield History(found["session"], Policy(**found["policy"]), decisions), lines
