"""Adopts the conference of a session that Redis has lost."""

from typing import Protocol

import structlog

from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import ConferenceFound
from conferral.worker.sweep.diff import Difference

log = structlog.get_logger()


class Adopter(Protocol):
    """Publishes a recovered conference; implemented by `worker.sweep.store.SweepStore`."""

    async def recover(self, found: ConferenceFound) -> bool:
        """Publish the conference of a lost session; return False if that is not possible now."""
        ...


async def adopt_conference(records: Adopter, found: ConferenceFound, metrics: Metrics) -> None:
    """Publish a conference, then count and log it. Do nothing if it can't be published now.

    Raises:
        StoreError: Redis failed.
    """
    if not await records.recover(found):
        return
    metrics.sweep_findings.labels(Difference.CONFERENCE_UNKNOWN.value).inc()
    log.warning(
        "conference_recovered",
        session_id=found.session_id,
        conference_sid=found.conference_sid,
        count=len(found.participants),
    )
