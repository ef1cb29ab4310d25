"""The commands that were given, and whether each has its outcome in time."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from conferral.storage.keys import Keys
from tests.simulation.invariants import InvariantChecker

#: When a command has an outcome at the latest, seconds: a target may ring for 60 s, confirm, and be tried twice, while
#: those who drive it die.
OUTCOME_MAX_S = 240.0


@dataclass(slots=True)
class SubmittedCommand:
    """A command that was given."""

    kind: str
    session: str
    at_s: float


class SubmittedCommands(dict[str, SubmittedCommand]):
    """By id."""

    def __init__(self, values: Callable[[], Mapping[bytes, Any]], keys: Keys) -> None:
        super().__init__()
        self._values = values
        self._keys = keys
        self._late: set[str] = set()

    def judge_late(self, judge: InvariantChecker, now_s: float) -> None:
        """Each command has its outcome in time, also while everything else goes on."""
        for command_id, given in self.items():
            is_due = now_s - given.at_s >= OUTCOME_MAX_S and command_id not in self._late
            if is_due and not self._is_over(self.status_of(command_id)):
                self._late.add(command_id)
                late = f"command {command_id} ({given.kind}) has no outcome after {OUTCOME_MAX_S:.0f} s"
                judge.blame(given.session, late)

    def judge_the_end(self, judge: InvariantChecker, counts: Counter[str], *, all_of_them: bool) -> None:
        """Counts outcomes; in the end each command has one."""
        for command_id, given in self.items():
            status = self.status_of(command_id)
            counts[f"commands {status or 'without outcome'}"] += 1
            if all_of_them and not self._is_over(status):
                judge.blame(given.session, f"command {command_id} ({given.kind}) is {status or 'unknown'}")

    def status_of(self, command_id: str) -> str:
        record = self._values().get(self._keys.command(command_id).encode()) or {}
        return str(record.get(b"status", b"").decode())

    @staticmethod
    def _is_over(status: str) -> bool:
        return status in ("done", "rejected", "failed")
