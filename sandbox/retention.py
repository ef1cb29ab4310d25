"""Retention: how many finished calls and log entries a sandbox keeps. Tests keep everything until a reset."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conferral.sandbox.model.pruning import prune_finished
from conferral.sandbox.model.state import State

if TYPE_CHECKING:
    from conferral.sandbox.runtime import SandboxRuntime


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits; beyond them, the oldest tenth is removed at a time."""

    finished_calls_max: int = 2_000
    """Finished calls, and likewise finished conferences (count)."""
    log_entries_max: int = 10_000
    """Entries of each list in the request log (count)."""

    def __str__(self) -> str:
        """Describe the limits for people."""
        return (
            f"{self.finished_calls_max:,} finished calls and conferences, "
            f"and {self.log_entries_max:,} requests of each kind"
        )


def exceeds(count: int, limit: int) -> bool:
    """Whether a count exceeds its limit by more than a tenth; pruning scans all entries, so it must be rare."""
    return count > limit + max(1, limit // 10)


class RetentionEnforcer:
    """Prunes what exceeds the limits."""

    def __init__(self, keeps: Retention | None) -> None:
        self.retention = keeps
        #: Number of finished calls left after the last pruning, some of which may still be needed.
        self._left_by_pruning = 0

    def prune(self, sandbox: "SandboxRuntime", referenced: frozenset[str]) -> None:
        """Prune finished calls and log entries beyond the limits.

        Args:
            referenced: Calls to keep in any case, because their phones' scripts are still running.
        """
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
