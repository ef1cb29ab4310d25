"""Histories of sessions: the events of each, and what the state machine decided.

`python -m tests.statemachine.histories` decides the same events again, shows what differs, and records it: after a
change that decides something else. `python -m tests.simulation.histories` chooses other sessions.
"""

import json
import lzma
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec

from conferral.statemachine.events import Event
from conferral.statemachine.machine import step
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Session
from conferral.statemachine.step import Step
from conferral.storage.codecs import event_codec

#: What a refusal says of all commands: `test_allowed.py` compares that, so a new command changes no history.
_ALLOWED = re.compile("; (?:allowed now: [a-z, ]+|no commands are allowed)")
FILE = Path(__file__).with_name("histories.json.xz")
#: Fields of effects and sessions that a line has already, that change with each decision, or that say how urgent it is.
_LEFT_OUT = {
    "effect_id", "session_id", "read_version", "timers", "version", "known_version", "verified_version",
    "updated_at_ms", "seen", "call_token", "is_background",
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
    """What an event did: states, effects, timers, reports, outcomes, and the changed fields; without names of code.

    Only what is not the default has a place there: a new field changes no history, nor does another default.
    """
    after = taken.session
    effects = [
        f"{effect.kind}({', '.join(f'{name}={value}' for name, value in _content(effect).items())})"
        for effect in taken.effects
    ]
    dues = sorted(f"{one.timer} {'off' if one.due_ms is None else one.due_ms - now_ms}" for one in taken.timers)
    reports = [f"{report.command_id} {report.status} {report.reason}".rstrip() for report in taken.reports]
    outcomes = [str(sorted(_content(record).items())) for record in taken.conclusions]
    old, new = _flat(before) if before.version else {}, _flat(after)
    changed = [f"{name}={new.get(name)}" for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    states = f"{event.name}: {before.state}/{before.phase} -> {after.state}/{after.phase}"
    first = f"{states} {taken.kind} {taken.reason}".rstrip()
    return without_allowed(_EFFECT_ID.sub("ID", " | ".join([first, *effects, *dues, *reports, *outcomes, *changed])))


def without_allowed(line: str) -> str:
    """A line without the commands that a refusal names as allowed."""
    return _ALLOWED.sub("", line)


def _flat(session: Session) -> dict[str, Any]:
    """A session's fields, each party's under its name; the order of the parties numbers the next effects."""
    content = _content(session) | {"party_order": [*session.parties]}
    parties: dict[str, dict[str, Any]] = content.pop("parties", {})
    return content | {f"{party}.{name}": one for party, held in parties.items() for name, one in held.items()}


def _content(value: Any) -> Any:
    """Plain values, of a record those that are not the default."""
    if is_dataclass(value):
        found = ((one, getattr(value, one.name)) for one in fields(value) if one.name not in _LEFT_OUT)
        return {one.name: _content(content) for one, content in found if content != _default(one)}
    if isinstance(value, Mapping):
        return {name: _content(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_content(one) for one in value]
    return str(value) if isinstance(value, str) else value


def _default(one: Any) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


def save(histories: list[History]) -> None:
    """Write histories with the lines that they have now."""
    content = [
        {
            "session": one.session_id,
            "policy": asdict(one.policy),  # all of it: another default changes no history
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
        lines = [without_allowed(line) for *_, line in found["decisions"]]
        yield History(found["session"], msgspec.convert(found["policy"], Policy), decisions), lines


def main() -> None:
    """Record the histories again, and show what differs."""
    recorded = [*load()]
    for history, before in recorded:
        for number, (old, new) in enumerate(zip(before, history.lines(), strict=True), start=1):
            if old != new:
                was, is_now = old.split(" | "), new.split(" | ")
                sys.stdout.write(f"{history.session_id} {number} {new.partition(' | ')[0]}\n")
                sys.stdout.writelines(f"  - {part}\n" for part in was if part not in is_now)
                sys.stdout.writelines(f"  + {part}\n" for part in is_now if part not in was)
    save([history for history, _ in recorded])


if __name__ == "__main__":
    main()
