"""Adopts the conference of a session that Redis has lost."""

from typing import Protocol

import structlog

from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import ConferenceFound
from conferral.worker.sweep.diff import Difference

log = structlog.get_logger()


class Adopter(Protocol):
    """Publishes what was found; `worker.sweep.records.SweepStore` in earnest."""

    async def recover(self, found: ConferenceFound) -> bool:
        """Publish what was found of a lost session; False if that was not possible now."""
        ...


async def adopt_conference(records: Adopter, found: ConferenceFound, metrics: Metrics) -> None:
    """Publish a conference as found, then count and log it. Does nothing if it can't be published now.

    Raises:
        StoreError: as of any write.
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
