"""Cache of sessions. It may be stale: the commit checks the version."""

from collections import OrderedDict
from collections.abc import Iterable

from conferral.statemachine.session import Session

#: Sessions kept, count; one takes about 5 KB.
SESSIONS_MAX = 50_000


class SessionCache:
    """Keeps live sessions; evicts the one whose last commit is oldest."""

    def __init__(self, sessions_max: int = SESSIONS_MAX) -> None:
        self._sessions_max = sessions_max
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, session_id: str) -> Session | None:
        """Return the session; None if it is not cached."""
        return self._sessions.get(session_id)

    def put(self, session: Session) -> None:
        """Cache a session as committed; forget it once it has ended."""
        if session.is_ended:  # only a few late callbacks follow
            self.drop([session.id])
            return
        self._sessions[session.id] = session
        self._sessions.move_to_end(session.id)
        if len(self._sessions) > self._sessions_max:
            self._sessions.popitem(last=False)

    def drop(self, session_ids: Iterable[str]) -> None:
        """Remove sessions from the cache."""
        for session_id in session_ids:
            self._sessions.pop(session_id, None)
