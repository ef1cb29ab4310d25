"""Forgetting one caller: an ended session is erased from Redis at once, by whatever names it, and told what went."""

import re
from dataclasses import dataclass, field

import structlog

from conferral.operations.partition_clock import read_partition_clocks
from conferral.operations.session_queries import Fields, SessionQueries
from conferral.runtime.errors import ConferralError
from conferral.statemachine.ids import ID_PATTERN
from conferral.storage.erasure import ErasureReport, SessionEraser

log = structlog.get_logger()

#: How long a session has to be over before it may be erased, seconds: Twilio says again for 15 s what was not answered,
#: and a late callback of the agent's call would open the session anew. Source: Twilio docs, "Webhooks connection
#: overrides".
QUIET_PERIOD_S = 60
#: Ids that Twilio makes, and Conferral: nobody's name, nobody's number.
_CALL_OR_COMMAND_SID = re.compile(r"C[AS][0-9a-f]{32}")


class ErasureRefused(ConferralError):  # noqa: N818  # nothing is wrong: it is not to be erased yet
    """The session may not be erased now; nothing was removed. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What would be erased."""

    traces: ErasureReport
    #: The session's hash, empty where it has expired. Holds addresses, so it is in no repr.
    fields: Fields = field(repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of it, or nothing any more."""
        return not any(self.traces.counts.values()) and not self.traces.ended_at_ms


class SessionErasure:
    """Plans and erases. Everything may raise StoreError."""

    def __init__(self, reader: SessionQueries) -> None:
        """Binds the way into Redis.

        Args:
            reader: Opened.
        """
        self._reader = reader
        self._eraser = SessionEraser(reader.client, reader.keys)

    async def plan(self, named: str) -> ErasurePlan:
        """What there is of a session; nothing is written.

        Args:
            named: The id of a session, even if its hash has expired and only other places still hold something of it;
                a call's SID; or what `Reader.search` finds. An id that Twilio or Conferral made may be unknown: then
                there is nothing to erase.

        Raises:
            UnknownSession, AmbiguousSession: nobody knows it; several fit.
            NotForgotten: it lives, has only just ended, or something is still done for it.
        """
        session_id = await self._reader.find_exact(named)
        if not session_id and ID_PATTERN.fullmatch(named):
            plan = ErasurePlan(await self._eraser.find(named), {})
            if not plan.is_empty or _CALL_OR_COMMAND_SID.fullmatch(named):
                await self._check(plan.traces)
                return plan
        session_id = session_id or await self._reader.find(named)
        traces = await self._eraser.find(session_id)
        await self._check(traces)
        return ErasurePlan(traces, await self._reader.read_session(session_id))

    async def erase(self, plan: ErasurePlan) -> None:
        """Erases what was planned. Said again, it removes what is left.

        Raises:
            NotForgotten: something was decided about the session meanwhile.
        """
        traces = plan.traces
        if not await self._eraser.erase(traces):
            raise ErasureRefused(f"{traces.session_id} has changed meanwhile; nothing was done, say it again")
        log.info("session_forgotten", session_id=traces.session_id, count=sum(traces.counts.values()))

    async def _check(self, traces: ErasureReport) -> None:
        session_id = traces.session_id
        if traces.is_live:
            raise ErasureRefused(
                f"{session_id} is live; end it first (conferral end {session_id}), or name one that has ended by its id"
            )
        if traces.pending_work:
            raise ErasureRefused(f"{session_id} can't be forgotten yet: {traces.pending_work}. Is a worker running?")
        if not traces.ended_at_ms:
            return
        times = await read_partition_clocks(self._reader)
        rested_s = (times.now_of({"id": session_id}) - traces.ended_at_ms) / 1000
        if rested_s < QUIET_PERIOD_S:
            raise ErasureRefused(
                f"{session_id} has only just ended, and Twilio may still tell of it: try again in "
                f"{QUIET_PERIOD_S - max(0, int(rested_s))} s"
            )
