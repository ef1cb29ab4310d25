"""Cache of sessions. It may be stale: the commit checks the version."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.storage.codecs import session_hash

_T = TypeVar("_T")

#: Packed sessions kept, count; one takes about 1 KB.
SESSIONS_MAX = 200_000
#: Sessions also kept decoded, count: one takes about 5 KB, and unpacking one 4 µs.
DECODED_MAX = 100
#: Largest share of ended sessions: a call's last callbacks follow within seconds.
ENDED_MAX_FRACTION = 0.1


class SessionCache:
    """Evicts the session whose last commit is oldest; limits ended ones.

    A packed session takes a fifth of the memory, and the garbage collector does not walk over it.
    """

    def __init__(self, sessions_max: int = SESSIONS_MAX, decoded_max: int = DECODED_MAX) -> None:
        self._sessions_max = sessions_max
        self._decoded_max = decoded_max
        self._packed: OrderedDict[str, bytes] = OrderedDict()
        #: Of sessions with many parties, those packed apart.
        self._packed_parties: dict[str, bytes] = {}
        self._decoded: OrderedDict[str, Session] = OrderedDict()
        self._ended_max = max(1, int(sessions_max * ENDED_MAX_FRACTION))
        self._ended: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._packed)

    def get(self, session_id: str) -> Session | None:
        """Return the session; None if it is not cached."""
        packed = self._packed.get(session_id)
        if packed is None:
            return None
        return self._decoded.get(session_id) or session_hash.unpack(packed, self._packed_parties.get(session_id))

    def put(self, session: Session, packed: bytes) -> None:
        """Cache a session as committed, and its packed form."""
        self.drop(_put_last(self._packed, session.id, packed, self._sessions_max))
        if (apart := session_hash.apart_of(session)).number:
            self._packed_parties[session.id] = apart.packed
        else:
            self._packed_parties.pop(session.id, None)
        _put_last(self._decoded, session.id, session, self._decoded_max)
        if session.state is State.ENDED:  # evict the session that ended longest ago
            self.drop(_put_last(self._ended, session.id, None, self._ended_max))

    def drop(self, session_ids: Iterable[str]) -> None:
        """Remove sessions from the cache."""
        for session_id in session_ids:
            self._packed.pop(session_id, None)
            self._packed_parties.pop(session_id, None)
            self._decoded.pop(session_id, None)
            self._ended.pop(session_id, None)


def _put_last(cache: OrderedDict[str, _T], session_id: str, value: _T, size_max: int) -> list[str]:
    """Store a value as the newest; return the session evicted for it, if any."""
    cache[session_id] = value
    cache.move_to_end(session_id)
    return [cache.popitem(last=False)[0]] if len(cache) > size_max else []
