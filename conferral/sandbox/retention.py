"""Retention: how many finished calls and log entries a sandbox keeps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conferral.sandbox.model.pruning import prune_finished
from conferral.sandbox.model.state import State

if TYPE_CHECKING:
    from conferral.sandbox.runtime import SandboxRuntime


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits; beyond them, the oldest tenth is removed at a time."""

    finished_calls_max: int = 2_000  #: And as many finished conferences.
    log_entries_max: int = 10_000  #: Of each list in the request log.

    def __str__(self) -> str:
        return (
            f"{self.finished_calls_max:,} finished calls and conferences, "
            f"and {self.log_entries_max:,} requests of each kind"
        )


def exceeds(count: int, limit: int) -> bool:
    """Whether a count is a tenth over its limit: pruning scans everything."""
    return count > limit + max(1, limit // 10)


class RetentionEnforcer:
    """Prunes what exceeds the limits."""

    def __init__(self, keeps: Retention | None) -> None:
        self.retention = keeps
        self._left_by_pruning = 0  # finished calls left after the last pruning, maybe still needed

    def prune(self, sandbox: "SandboxRuntime", referenced: frozenset[str]) -> None:
        """Prune beyond the limits; keep `referenced` calls, whose scripts run."""
        if self.retention is None:
            return
        sandbox.request_log.trim(self.retention.log_entries_max)
        state = sandbox.model.state
        if not exceeds(_finished_count(state), max(self.retention.finished_calls_max, self._left_by_pruning)):
            self._left_by_pruning = min(self._left_by_pruning, _finished_count(state))  # a reset leaves none
            return
        removed = prune_finished(sandbox.model, self.retention.finished_calls_max, referenced)
        for phone in sandbox.phones.values():
            phone.forget(removed)
        self._left_by_pruning = _finished_count(state)


def _finished_count(state: State) -> int:
    return max(len(state.calls) - len(state.live_calls), len(state.conferences) - len(state.conference_sids))
