"""How much a sandbox keeps of what is over. Without a bound it keeps all until it is reset, as tests want it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conferral.sandbox.model.state import State
    from conferral.sandbox.runtime import SandboxRuntime


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds; what is beyond goes, the oldest first, a tenth at a time."""

    finished_calls_max: int = 2_000
    """Calls that are over, and likewise conferences (count)."""
    log_entries_max: int = 10_000
    """Entries of each of the ledger's lists (count)."""

    def __str__(self) -> str:
        """In words, for those who look."""
        return (
            f"the newest {self.finished_calls_max:,} calls and conferences that are over, "
            f"and the newest {self.log_entries_max:,} requests of each kind"
        )


def exceeds(count: int, limit: int) -> bool:
    """Whether it is time to let go: not for each single one, since that looks at all."""
    return count > limit + max(1, limit // 10)


class RetentionEnforcer:
    """Lets go of what is beyond the bounds.

    Args:
        keeps: The bounds; None for none.
    """

    def __init__(self, keeps: Retention | None) -> None:
        self.retention = keeps
        #: How much of what is over was left the last time: some of it may be needed still.
        self._until_next = 0

    def prune(self, sandbox: SandboxRuntime, referenced: frozenset[str]) -> None:
        """Keep no more of what is over than is wanted.

        Args:
            sandbox: Whose.
            referenced: Calls that are kept in any case: whose phones still have something to do.
        """
        if self.retention is None:
            return
        sandbox.request_log.trim(self.retention.log_entries_max)
        state = sandbox.model.state
        if not exceeds(_finished_count(state), max(self.retention.finished_calls_max, self._until_next)):
            self._until_next = min(self._until_next, _finished_count(state))  # after a reset there is nothing
            return
        removed = sandbox.model.prune_finished(self.retention.finished_calls_max, referenced)
        for phone in sandbox.phones.values():
            phone.forget(removed)
        self._until_next = _finished_count(state)


def _finished_count(state: State) -> int:
    return max(len(state.calls) - len(state.live_calls), len(state.conferences) - len(state.conference_sids))
