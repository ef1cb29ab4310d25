"""Keeps what workers decide, so that a session's log can be replayed: each entry's event, time, policy, and presence.

A worker's own decisions are kept in memory; those of another process go to a file, before they are committed, so that
they are there even if it is killed right after.
"""

import pickle
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from conferral.statemachine.events import Event
from conferral.statemachine.machine import step
from conferral.statemachine.policy import Policy
from conferral.statemachine.presence import UNKNOWN_PRESENCE, Presence
from conferral.statemachine.session import Session
from conferral.worker.partition import partition
from conferral.worker.partition.batch import Decision
from conferral.worker.partition.log_entry import log_entry


class Kept(NamedTuple):
    """One decision that changed a session: repeating it gives the same result."""

    session_id: str
    #: The session's version behind it.
    version: int
    event: Event
    now_ms: int
    policy: Policy
    #: What the session's log says of it, once it is committed.
    logged: dict[str, str]
    presence: Presence = UNKNOWN_PRESENCE


@dataclass
class Decisions:
    """What was decided, committed or not."""

    by_version: dict[tuple[str, int], list[Kept]] = field(default_factory=lambda: defaultdict(list))
    files: list[Path] = field(default_factory=list)

    def keep(self, kept: Kept) -> None:
        self.by_version[kept.session_id, kept.version].append(kept)

    def read_files(self) -> None:
        """Takes over what other processes have written so far."""
        for path in self.files:
            if path.exists():
                for kept in _read(path):
                    self.keep(kept)
        self.files.clear()

    def replayed(self, session_id: str, log: list[dict[str, str]]) -> Session:
        """The session that results when every entry of its log is decided again, from nothing.

        Raises:
            AssertionError: the log has an entry that was never decided, or the result differs.
        """
        session = Session(session_id)
        for entry in log:
            version = int(entry["version"])
            found = [one for one in self.by_version.get((session_id, version), ()) if one.logged == entry]
            assert found, f"nobody has decided {entry} of {session_id}"
            taken = step(session, found[0].event, found[0].now_ms, found[0].policy, found[0].presence)
            assert taken.session.version == version, f"replayed to version {taken.session.version}: {entry}"
            assert taken.session.state.value == entry["to"], f"replayed to {taken.session.state}: {entry}"
            session = taken.session
        return session


def _read(path: Path) -> Iterator[Kept]:
    with path.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)
            except EOFError:  # also in the middle of one that a killed process was writing: it was not committed
                return


@contextmanager
def keeping(keep: Callable[[Kept], object]) -> Iterator[None]:
    """Within it, everything that workers of this process decide is kept."""
    real = partition.decide

    def decide(
        events: Iterable[Event], sessions: Mapping[str, Session], now_ms: int, policy: Policy, presence: Presence
    ) -> tuple[list[Decision], set[str]]:
        decisions, timed_session_ids = real(events, sessions, now_ms, policy, presence)
        for one in (one for one in decisions if one.is_stored):
            logged = log_entry(one.event, one.step, one.before, now_ms).stored()
            keep(Kept(one.event.session_id, one.step.session.version, one.event, now_ms, policy, logged, presence))
        return decisions, timed_session_ids

    partition.decide = decide
    try:
        yield
    finally:
        partition.decide = real


@contextmanager
def keeping_in(path: Path) -> Iterator[None]:
    """The same, into a file."""
    with path.open("ab", buffering=0) as file, keeping(lambda kept: file.write(pickle.dumps(kept))):
        yield
