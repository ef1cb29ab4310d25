"""Presence of the agents whom sessions may ring, or wait for, next."""

import asyncio
from collections.abc import Iterable
from functools import partial

from conferral.runtime.errors import StoreError
from conferral.statemachine.guards.queue import may_enter_queue
from conferral.statemachine.guards.waiting_party import may_ring_next_agent
from conferral.statemachine.presence import UNKNOWN_PRESENCE, Presence
from conferral.statemachine.session import Session
from conferral.storage.agents import read_presence
from conferral.storage.connection.client import run_or_raise
from conferral.worker.core import WorkerCore

#: Timeout, seconds: callers wait, and the partition's other sessions, too.
PRESENCE_DEADLINE_S = 0.5


def _agents_to_judge(session: Session) -> tuple[str, ...]:
    """Return the agents whose presence may decide what follows."""
    if may_enter_queue(session):
        return session.agents
    return session.agents[session.agent_number + 1 :] if may_ring_next_agent(session) else ()


async def presence_of_next_agents(core: WorkerCore, sessions: Iterable[Session]) -> Presence:
    """Return the presence of these agents; if that takes long, all are there."""
    agents = list(dict.fromkeys(agent for session in sessions for agent in _agents_to_judge(session)))
    if not agents:
        return UNKNOWN_PRESENCE
    try:
        async with asyncio.timeout(PRESENCE_DEADLINE_S):
            return await read_presence(partial(run_or_raise, core.client), core.keys, agents, core.people())
    except (TimeoutError, StoreError):  # a commit that fails, too, is logged
        return UNKNOWN_PRESENCE
