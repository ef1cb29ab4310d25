"""Recovery of sessions that Redis has lost while their calls continue.

After a loss, callbacks may name an unknown session. Twilio signed them, and they carry our URL. So the worker
searches for the session's conference and adopts it, long before a sweep would.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ProviderError, StoreError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import log_unreachable
from conferral.statemachine.events import Command, ConferenceEnded, ConferenceFound, Event, TimerExpired
from conferral.statemachine.step import Outcome
from conferral.storage.queries.session_reader import SessionReader
from conferral.telephony.account_lists import AccountListReader, LostConference
from conferral.telephony.parameters import is_label
from conferral.worker.core import WorkerCore
from conferral.worker.partition_parts.batch import Decision
from conferral.worker.sweep.diff import has_own_name, is_opened_by_wait_request

log = structlog.get_logger()

#: From a callback to the search, seconds: Twilio's lists are then up to date, and late events have arrived.
SETTLE_S = 2.0
#: Between searches: after a complete data loss, every session is unknown.
PAUSE_S = 0.2
#: Sessions queued for a search, count; the sweep finds others.
WAITING_MAX = 1_000


class SessionRecovery:
    """Searches for the conferences of unknown sessions, one at a time."""

    def __init__(
        self,
        core: WorkerCore,
        *,
        finder: AccountListReader,
        reader: SessionReader,
        adopt: Callable[[ConferenceFound], Awaitable[None]],
        session_of: Callable[[str], str],
    ) -> None:
        self._finder = finder
        self._reader = reader
        self._adopt = adopt
        #: Returns the session id in a conference's name, or empty.
        self._session_of = session_of
        self._clock = core.clock
        self._metrics = core.metrics
        #: By session: when the search is due, monotonic seconds, and the conference that a callback has named, if any.
        self._waiting: dict[str, tuple[float, str]] = {}

    def queue_searches(self, decisions: Iterable[Decision]) -> None:
        """Queue searches for unknown sessions; drop those of known ones."""
        for decision in decisions:
            event = decision.event
            if decision.step.session.version:
                self._waiting.pop(event.session_id, None)
            elif decision.step.outcome is Outcome.UNEXPECTED and not isinstance(
                event, Command | TimerExpired | ConferenceEnded
            ):
                self._queue_search(event)

    def _queue_search(self, event: Event) -> None:
        """Queue the search for an event's session, if it can be found."""
        new_search = self._clock.monotonic_s() + SETTLE_S, ""
        due_s, conference_sid = self._waiting.get(event.session_id, new_search)
        conference_sid = getattr(event, "conference_sid", "") or conference_sid
        # An app-chosen id does not determine the conference's name.
        can_be_found = conference_sid or has_own_name(event.session_id)
        if can_be_found and (event.session_id in self._waiting or len(self._waiting) < WAITING_MAX):
            self._waiting[event.session_id] = due_s, conference_sid

    async def run(self, stop: asyncio.Event) -> None:
        """Search until the process stops."""
        while not stop.is_set():
            session_id, (due_s, conference_sid) = next(iter(self._waiting.items()), ("", (math.inf, "")))
            if due_s <= self._clock.monotonic_s():
                del self._waiting[session_id]
                with contain(ItemKind.SWEEP, self._metrics, session_id=session_id):
                    await self._search_tolerantly(session_id, conference_sid)
            await wait_at_most(stop, PAUSE_S if self._waiting else SETTLE_S)

    async def _search_tolerantly(self, session_id: str, conference_sid: str) -> None:
        """Search, unless the session is known by now; the sweep repeats it."""
        try:
            if not await self._reader.read_sessions([session_id]):
                await self._search(session_id, conference_sid)
        except ProviderError as error:
            log.warning("session_not_found", session_id=session_id, error_type=type(error).__name__)
        except StoreError as error:
            log_unreachable(error, task="lost_sessions")

    async def _search(self, session_id: str, sid: str) -> None:
        """Find the session's conference at Twilio, and adopt it if it is ours."""
        found = await (self._finder.lost_conference(sid) if sid else self._finder.lost_conference_named(session_id))
        if found is None or not _is_of_session(found, session_id, self._session_of):
            return
        if is_opened_by_wait_request(found.participants, has_started=found.has_started):
            return
        event = ConferenceFound(
            session_id=session_id,
            token=f"unknown:{found.conference_sid}",
            conference_sid=found.conference_sid,
            participants=found.participants,
            conference_name=found.name,
        )
        await self._adopt(event)


def _is_of_session(conference: LostConference, session_id: str, session_of: Callable[[str], str]) -> bool:
    """Whether a conference is the session's: its name, and a label of ours.

    The name alone proves nothing.
    """
    has_name = session_id in (conference.name, session_of(conference.name))
    return has_name and any(is_label(participant.label) for participant in conference.participants)
