"""In which states the live sessions of a partition are: for the metric alone, so nothing waits for it."""

import asyncio

import structlog

from conferral.runtime.errors import StoreError
from conferral.runtime.outage import note_unreachable
from conferral.statemachine.states import State
from conferral.storage.partition import PartitionAccess

log = structlog.get_logger()

#: Sessions asked for in one round trip, count.
CHUNK_MAX = 200


class LiveStates:
    """Known from the decisions made here, and once from Redis for the sessions that were live before."""

    def __init__(self, partition: int, access: PartitionAccess) -> None:
        self._partition = partition
        self._access = access
        self._learning: asyncio.Task[None] | None = None
        self._ended_meanwhile: set[str] = set()
        #: States by session id.
        self.by_session: dict[str, State] = {}

    def start(self) -> None:
        """Asks Redis in the background; deciding does not wait for it."""
        self._learning = asyncio.get_running_loop().create_task(self._learn())

    def stop(self) -> None:
        """Leaves it at what is known."""
        if self._learning is not None:
            self._learning.cancel()

    def note(self, session_id: str, state: State) -> None:
        """A session was committed in this state."""
        if state is not State.ENDED:
            self.by_session[session_id] = state
            return
        self.by_session.pop(session_id, None)
        if self._learning is not None:
            self._ended_meanwhile.add(session_id)

    async def _learn(self) -> None:
        try:
            names = await self._access.live_sessions(self._partition)
            for start in range(0, len(names), CHUNK_MAX):
                states = await self._access.states_of(names[start : start + CHUNK_MAX])
                for session_id, state in states.items():
                    if session_id not in self._ended_meanwhile:
                        self.by_session.setdefault(session_id, state)
        except StoreError as error:
            note_unreachable(error, partition=self._partition)
        self._ended_meanwhile.clear()
        self._learning = None
