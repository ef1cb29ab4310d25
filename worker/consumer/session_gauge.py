"""Gauge of live sessions by state; nothing waits for it."""

import asyncio

from conferral.runtime.errors import StoreError
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.states import State
from conferral.storage.partition.partition_store import PartitionStore

CHUNK_MAX = 200


class SessionGauge:
    """Counts states from the decisions here, and from one read of Redis."""

    def __init__(self, partition: int, store: PartitionStore) -> None:
        self._partition = partition
        self._store = store
        self._load_task: asyncio.Task[None] | None = None
        self._ended_while_loading: set[str] = set()
        self.states: dict[str, State] = {}

    def start(self) -> None:
        """Read the live sessions in the background; deciding does not wait."""
        self._load_task = asyncio.get_running_loop().create_task(self._load())

    def stop(self) -> None:
        """Stop reading; keep what is known."""
        if self._load_task is not None:
            self._load_task.cancel()

    def update(self, session_id: str, state: State) -> None:
        """Note a session's state after a commit."""
        if state is not State.ENDED:
            self.states[session_id] = state
            return
        self.states.pop(session_id, None)
        if self._load_task is not None:
            self._ended_while_loading.add(session_id)

    async def _load(self) -> None:
        """Read the states of live sessions; what commits say is newer."""
        try:
            session_ids = await self._store.live_sessions(self._partition)
            for start in range(0, len(session_ids), CHUNK_MAX):
                states = await self._store.states_of(session_ids[start : start + CHUNK_MAX])
                for session_id, state in states.items():
                    if session_id not in self._ended_while_loading:
                        self.states.setdefault(session_id, state)
        except StoreError as error:
            log_unreachable(error, partition=self._partition)
        self._ended_while_loading.clear()
        self._load_task = None
