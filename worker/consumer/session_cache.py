"""LRU cache of sessions. It may be stale: the version in the commit decides, so a miss only costs time."""

from collections import OrderedDict
from collections.abc import Iterable

from conferral.storage.partition.session_store import StoredSession

#: Sessions kept, count. One takes about 4 KB.
SESSIONS_MAX = 20_000


class SessionCache:
    """Evicts the least recently used session first."""

    def __init__(self, sessions_max: int = SESSIONS_MAX) -> None:
        self._sessions_max = sessions_max
        self._sessions: OrderedDict[str, StoredSession] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, session_id: str) -> StoredSession | None:
        """Return the session, or None on a miss."""
        found = self._sessions.get(session_id)
        if found is not None:
            self._sessions.move_to_end(session_id)
        return found

    def put(self, stored: StoredSession) -> None:
        """Cache a session as committed."""
        self._sessions[stored.session.id] = stored
        self._sessions.move_to_end(stored.session.id)
        while len(self._sessions) > self._sessions_max:
            self._sessions.popitem(last=False)

    def drop(self, session_ids: Iterable[str]) -> None:
        """Remove sessions from the cache."""
        for session_id in session_ids:
            self._sessions.pop(session_id, None)

    def clear(self) -> None:
        """Remove all sessions."""
        self._sessions.clear()
