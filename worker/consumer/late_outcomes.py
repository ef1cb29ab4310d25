"""Late outcomes: those that a callback on its way may still correct.

They stay in the outbox meanwhile, so no stop or death loses one.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conferral.runtime.containment import ItemKind, log_unexpected
from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.metrics import Metrics
from conferral.statemachine.durations import is_settled, with_durations
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.storage.codecs.effect_codec import PostCommitWrite, PublishOutcome

#: How long an outcome waits at most, seconds: callbacks that come later than that count as lost.
WAIT_MAX_S = 6.0


@dataclass(slots=True)
class _LateOutcome:
    write: PublishOutcome
    #: By the event loop's clock.
    due_s: float
    is_settled: bool = False


class LateOutcomes:
    """The outcomes of one partition that wait, each session's in order."""

    def __init__(
        self, publish: Callable[[Sequence[PostCommitWrite]], None], metrics: Metrics, wait_max_s: float
    ) -> None:
        self._publish = publish
        self._metrics = metrics
        self._wait_max_s = wait_max_s
        self._waiting: dict[str, list[_LateOutcome]] = {}
        self._is_stopped = False

    def add(self, write: PublishOutcome, session: Session, waited_s: float = 0.0) -> None:
        """Publish an outcome when no callback may correct it, or after a time."""
        loop, wait_s = asyncio.get_running_loop(), max(0.0, self._wait_max_s - waited_s)
        self._waiting.setdefault(session.id, []).append(_LateOutcome(write, loop.time() + wait_s))
        self.correct(session)
        if session.id in self._waiting:
            loop.call_later(wait_s, self._publish_ready, session.id)

    def correct(self, session: Session) -> None:
        """Add what a commit revealed to a session's outcomes; publish final ones."""
        for one in self._waiting.get(session.id, ()):
            with catch_unexpected() as correcting:
                record = with_durations(one.write.outcome_record, session)
                one.write = replace(one.write, outcome_record=record)
                one.is_settled = is_settled(record, session)
            if correcting.unexpected is not None:  # it stays as it was, and waits no longer
                log_unexpected(ItemKind.DECISION, self._metrics, correcting.unexpected, session_id=session.id)
                one.is_settled = True
        self._publish_ready(session.id)

    def stop(self) -> None:
        """Leave those that wait to the next holder."""
        self._is_stopped = True

    def _publish_ready(self, session_id: str) -> None:
        waiting, now_s = self._waiting.pop(session_id, []), asyncio.get_running_loop().time()
        ready = next((i for i, one in enumerate(waiting) if not (one.is_settled or one.due_s <= now_s)), len(waiting))
        if waiting[ready:]:
            self._waiting[session_id] = waiting[ready:]
        if ready and not self._is_stopped:
            self._publish([one.write for one in waiting[:ready]])
