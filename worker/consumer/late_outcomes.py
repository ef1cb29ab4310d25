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
    #: Whether it waits no longer: no callback may correct it, or its time is over.
    is_final: bool = False


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
        added = _LateOutcome(write)
        self._waiting.setdefault(session.id, []).append(added)
        self.correct(session)
        if not added.is_final:
            wait_s = max(0.0, self._wait_max_s - waited_s)
            asyncio.get_running_loop().call_later(wait_s, self._end_wait, session.id, added)

    def correct(self, session: Session) -> None:
        """Add what a commit revealed to a session's outcomes; publish final ones."""
        for one in self._waiting.get(session.id, ()):
            with catch_unexpected() as correcting:
                record = with_durations(one.write.outcome_record, session)
                one.write = replace(one.write, outcome_record=record)
                one.is_final = one.is_final or is_settled(record, session)
            if correcting.unexpected is not None:  # it stays as it was, and waits no longer
                log_unexpected(ItemKind.DECISION, self._metrics, correcting.unexpected, session_id=session.id)
                one.is_final = True
        self._publish_final(session.id)

    def stop(self) -> None:
        """Leave those that wait to the next holder."""
        self._is_stopped = True

    def _end_wait(self, session_id: str, late: _LateOutcome) -> None:
        # No time is compared: a timer may fire a moment before its time, and nothing would look again.
        late.is_final = True
        self._publish_final(session_id)

    def _publish_final(self, session_id: str) -> None:
        waiting = self._waiting.pop(session_id, [])
        count = next((i for i, one in enumerate(waiting) if not one.is_final), len(waiting))
        if waiting[count:]:
            self._waiting[session_id] = waiting[count:]
        if count and not self._is_stopped:
            self._publish([one.write for one in waiting[:count]])
