"""LRU cache of sessions. It may be stale: the version in the commit decides, so a miss only costs time."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

from conferral.statemachine.session import Session
from conferral.storage.codecs import session_hash

_T = TypeVar("_T")

#: Sessions kept, count. A packed one takes about 1 KB.
SESSIONS_MAX = 200_000
#: Sessions also kept decoded, count: those with several events in a row. One takes about 5 KB, and unpacking one 4 µs.
DECODED_MAX = 100


class SessionCache:
    """Evicts the least recently used session first; keeps most sessions packed.

    A packed session takes a fifth of the memory, and the garbage collector does not walk over it.
    """

    def __init__(self, sessions_max: int = SESSIONS_MAX, decoded_max: int = DECODED_MAX) -> None:
        self._sessions_max = sessions_max
        self._decoded_max = decoded_max
        self._packed: OrderedDict[str, bytes] = OrderedDict()
        self._decoded: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._packed)

    def get(self, session_id: str) -> Session | None:
        """Return the session, or None on a miss."""
        packed = self._packed.get(session_id)
        if packed is None:
            return None
        return self._decoded.get(session_id) or session_hash.unpack(packed)

    def put(self, session: Session, packed: bytes) -> None:
        """Cache a session as committed."""
        _put(self._packed, session.id, packed, self._sessions_max)
        _put(self._decoded, session.id, session, self._decoded_max)

    def drop(self, session_ids: Iterable[str]) -> None:
        """Remove sessions from the cache."""
        for session_id in session_ids:
            self._packed.pop(session_id, None)
            self._decoded.pop(session_id, None)

    def clear(self) -> None:
        """Remove all sessions."""
        self._packed.clear()
        self._decoded.clear()


def _put(kept: OrderedDict[str, _T], session_id: str, value: _T, most: int) -> None:
    kept[session_id] = value
    kept.move_to_end(session_id)
    if len(kept) > most:
        kept.popitem(last=False)
