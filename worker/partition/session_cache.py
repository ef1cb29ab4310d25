"""A partition's live sessions: states of all, and what was committed here."""

from collections.abc import Iterable

import structlog

from conferral.statemachine.session import Session
from conferral.storage.codecs.session_codec import CorruptHashError
from conferral.storage.codecs.text_codec import parse_time_ms
from conferral.worker.core import WorkerCore

log = structlog.get_logger()


class SessionCache:
    """One partition's live sessions, and the state of each."""

    def __init__(self, partition: int, core: WorkerCore) -> None:
        #: By id, 5 KB each: those committed since the takeover. One may be stale: the commit checks the version.
        self.sessions: dict[str, Session] = {}
        #: By id, of all; the takeover reads them once.
        self.states: dict[str, str] = {}
        self._partition = partition
        self._core = core

    async def load_states(self) -> None:
        """Load the states of the live sessions, and catch up with their time."""
        store = self._core.partition_store
        found = await store.fields_of(await store.live_sessions(self._partition), "state", "updated_at")
        for session_id, (state, updated_at) in found.items():
            self._core.store_clock.catch_up(parse_time_ms(updated_at))
            if state:
                self.states[session_id] = state

    async def load(self, session_ids: Iterable[str]) -> dict[str, Session]:
        """Return sessions, new if unknown; log and leave out unreadable ones."""
        wanted = dict.fromkeys(session_ids)
        sessions = {one: self.sessions[one] for one in wanted if one in self.sessions}
        if missing := [one for one in wanted if one not in sessions]:
            for session_id, loaded in (await self._core.commit_store.load(missing)).items():
                if isinstance(loaded, CorruptHashError):
                    key = self._core.keys.session(session_id)
                    log.error("records_skipped", names=[key], partition=self._partition, reason=loaded.field)
                else:
                    sessions[session_id] = loaded
        return sessions

    def update(self, sessions: Iterable[Session]) -> None:
        """Keep what was committed, as long as it is live."""
        for session in sessions:
            self.sessions[session.id], self.states[session.id] = session, session.state.value
            if session.is_ended:  # only a few late callbacks follow
                del self.sessions[session.id], self.states[session.id]

    def forget(self, session_ids: Iterable[str]) -> None:
        """Load sessions again before the next decision."""
        for session_id in session_ids:
            self.sessions.pop(session_id, None)
