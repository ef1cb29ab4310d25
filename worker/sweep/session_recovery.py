"""Sessions that Redis has lost though their calls go on: what arrives for one shows it, long before a sweep would.

A rollback can lose the moment in which a session was opened. Its callbacks then name a session that nobody knows. Each
was signed by Twilio and carries our URL, so the session's conference is searched for at Twilio, and adopted as by the
sweep.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ProviderError, StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.events import Command, ConferenceEnded, ConferenceFound, Event, TimerExpired
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.step import Outcome
from conferral.storage.schema import RECOVERY_SINCE, SchemaVersion
from conferral.telephony.lost_conferences import LostConference
from conferral.telephony.parameters.participant import is_label
from conferral.worker.consumer.batch import Decision
from conferral.worker.sweep.adoption import Adopter, adopt_conference
from conferral.worker.sweep.orphans import has_own_name

log = structlog.get_logger()

#: How long after a callback Twilio is asked, seconds: by then its lists show what happened, and whatever opens the
#: session has arrived if it was only late.
SETTLE_S = 2.0
#: When a search that failed is repeated, seconds, and how often one is tried (count).
RETRY_AFTER_S = 3.0
ATTEMPTS_MAX = 4
#: The pause between two searches, seconds: after a loss of everything, all sessions are unknown at the same time.
PAUSE_S = 0.2
#: Sessions that wait for their search, count; the sweep finds the others.
WAITING_MAX = 1_000


class ConferenceFinder(Protocol):
    """Who searches; `telephony.lost_conferences.LostConferences` in earnest. Both methods raise `ProviderError`."""

    async def by_sid(self, conference_sid: str) -> LostConference | None:
        """Return a conference by its SID; None if it is over."""
        ...

    async def by_name(self, name: str) -> LostConference | None:
        """Return the newest live conference of a name; None if there is none."""
        ...


class RecoveryStore(Adopter, Protocol):
    """What is read and written in Redis; `worker.sweep.records.SweepStore` in earnest."""

    async def find_unknown(self, session_ids: list[str]) -> set[str]:
        """Return those of whom there is no record at all."""
        ...


@dataclass(frozen=True, slots=True)
class _Search:
    #: When it is due, monotonic seconds.
    due_s: float
    #: The conference that the callback named, if it named one.
    conference_sid: str = ""
    attempts: int = 0


class SessionRecovery:
    """Searches for the conferences of sessions that nobody knows, one after the other."""

    def __init__(
        self,
        *,
        finder: ConferenceFinder,
        store: RecoveryStore,
        session_of: Callable[[str], str],
        clock: Clock,
        metrics: Metrics,
        schema: SchemaVersion,
    ) -> None:
        """Start with nothing to search for.

        Args:
            finder: Asks Twilio.
            store: Reads and writes Redis.
            session_of: Tells whose a conference with a name of a chosen id is; empty for every other name.
            clock: For durations.
            metrics: Where is counted.
            schema: At which records are written.
        """
        self._finder = finder
        self._store = store
        self._session_of = session_of
        self._clock = clock
        self._metrics = metrics
        self._schema = schema
        self._waiting: dict[str, _Search] = {}

    def record_unknown(self, decisions: Iterable[Decision]) -> None:
        """Note what was decided of sessions that nobody knows, and forget those that are known again."""
        for decision in decisions:
            event = decision.event
            if decision.step.session.version:
                self._waiting.pop(event.session_id, None)
            elif decision.step.outcome is Outcome.UNEXPECTED and not isinstance(
                event, Command | TimerExpired | ConferenceEnded
            ):
                self._note(event)

    def _note(self, event: Event) -> None:
        before = self._waiting.get(event.session_id)
        if before is None and len(self._waiting) >= WAITING_MAX:
            return
        conference_sid = getattr(event, "conference_sid", "") or (before.conference_sid if before else "")
        if not conference_sid and not has_own_name(event.session_id):
            return  # a chosen id does not tell the conference's name
        due_s = before.due_s if before else self._clock.monotonic_s() + SETTLE_S
        self._waiting[event.session_id] = _Search(due_s, conference_sid, before.attempts if before else 0)

    async def run(self, stop: asyncio.Event) -> None:
        """Search until the process stops."""
        while not stop.is_set():
            session_id = next(iter(self._waiting), "")
            search = self._waiting.get(session_id)
            if search is not None and search.due_s <= self._clock.monotonic_s() and self._schema.allows(RECOVERY_SINCE):
                del self._waiting[session_id]
                with contain(ItemKind.SWEEP, self._metrics, session_id=session_id):
                    await self._attempt(session_id, search)
            await pause(stop, PAUSE_S)

    async def _attempt(self, session_id: str, search: _Search) -> None:
        try:
            if await self._store.find_unknown([session_id]):
                await self._search(session_id, search)
        except ProviderError as error:
            log.warning("session_not_found", session_id=session_id, error_type=type(error).__name__)
        except StoreError as error:
            log_unreachable(error, task="lost_sessions")
        else:
            return
        if search.attempts + 1 < ATTEMPTS_MAX:
            due_s = self._clock.monotonic_s() + RETRY_AFTER_S
            self._waiting.setdefault(session_id, replace(search, due_s=due_s, attempts=search.attempts + 1))

    async def _search(self, session_id: str, search: _Search) -> None:
        """Adopt the session's conference, if it has one."""
        if search.conference_sid:
            found = await self._finder.by_sid(search.conference_sid)
        else:
            found = await self._finder.by_name(session_id)
        if (
            found is None
            or not _is_ours(found, session_id, search, self._session_of)
            or _is_opened_by_wait_request(found)
        ):
            return
        event = ConferenceFound(
            session_id=session_id,
            token=f"unknown:{found.conference_sid}",
            conference_sid=found.conference_sid,
            participants=found.participants,
            conference_name=found.name,
        )
        await adopt_conference(self._store, event, self._metrics)


def _is_ours(found: LostConference, session_id: str, search: _Search, session_of: Callable[[str], str]) -> bool:
    """Whether a conference is the session's: by its name, and by who is in it.

    The name alone proves nothing. A conference that no callback of ours has named needs a call of one of our numbers.
    """
    if session_id not in (found.name, session_of(found.name)):
        return False
    labelled = {one.call_sid for one in found.participants if is_label(one.label)}
    return bool(labelled if search.conference_sid else labelled & found.own_calls)


def _is_opened_by_wait_request(found: LostConference) -> bool:
    """Whether a caller waits for the first agent: the request for the music opens the session, and dials the agent."""
    if found.has_started or len(found.participants) != 1:
        return False
    (one,) = found.participants
    return one.came_in and one.label.startswith(f"{CUSTOMER}-")
