"""How much a sandbox keeps of what is over. Without a bound it keeps all until it is reset, as tests want it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conferral.sandbox.exchange.model import State
    from conferral.sandbox.switchboard import Switchboard


@dataclass(frozen=True, slots=True)
class Keeps:
    """Bounds; what is beyond goes, the oldest first, a tenth at a time."""

    over: int = 2_000
    """Calls that are over, and likewise conferences (count)."""
    entries: int = 10_000
    """Entries of each of the ledger's lists (count)."""

    def __str__(self) -> str:
        """In words, for those who look."""
        return (
            f"the newest {self.over:,} calls and conferences that are over, "
            f"and the newest {self.entries:,} requests of each kind"
        )


def is_too_much(count: int, most: int) -> bool:
    """Whether it is time to let go: not for each single one, since that looks at all."""
    return count > most + max(1, most // 10)


class Keeper:
    """Lets go of what is beyond the bounds.

    Args:
        keeps: The bounds; None for none.
    """

    def __init__(self, keeps: Keeps | None) -> None:
        self.keeps = keeps
        #: How much of what is over was left the last time: some of it may be needed still.
        self._left = 0

    def let_go(self, sandbox: Switchboard, held: frozenset[str]) -> None:
        """Keep no more of what is over than is wanted.

        Args:
            sandbox: Whose.
            held: Calls that are kept in any case: whose phones still have something to do.
        """
        if self.keeps is None:
            return
        sandbox.ledger.keep(self.keeps.entries)
        state = sandbox.exchange.state
        if not is_too_much(_count_over(state), max(self.keeps.over, self._left)):
            self._left = min(self._left, _count_over(state))  # after a reset there is nothing
            return
        gone = sandbox.exchange.forget_over(self.keeps.over, held)
        for phone in sandbox.phones.values():
            phone.forget(gone)
        self._left = _count_over(state)


def _count_over(state: State) -> int:
    return max(len(state.calls) - len(state.live), len(state.conferences) - len(state.rooms))
