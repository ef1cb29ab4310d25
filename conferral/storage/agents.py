"""Agents with a desk: their presence, and which desk may be registered.

A desk renews its agent's presence every 9 to 12 s. An agent is gone 30 s after the last renewal, by Redis's clock.
Twilio rings every browser that is registered for an identity, so only one of an agent's desks may be: the newest that
is ready, or, while the agent has a call, the one that was registered before it.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import StrEnum

import msgspec

from conferral.statemachine.record import BaseRecord, Hidden, replace
from conferral.storage import scripts
from conferral.storage.connection.client import Client, run_or_raise
from conferral.storage.foreign import log_removed
from conferral.storage.keys import Keys

#: How long a renewal counts, milliseconds.
PRESENCE_MS = 30_000
#: How many desks of one agent may be ready (count).
DESKS_MAX = 8


class AgentStatus(StrEnum):
    """Whether an agent takes calls; `busy` is never stored: sessions tell."""

    READY = "ready"
    BUSY = "busy"
    AWAY = "away"


class Agent(BaseRecord, frozen=True):
    """An agent with a desk."""

    name: Hidden[str]
    status: AgentStatus
    #: Since when the status is so.
    since_ms: int
    renewed_ms: int
    #: Id of the desk that may be registered at Twilio; empty without one.
    registered: str = ""
    #: Digest of its sign-in, or else of the last desk's that renewed; empty for a desk with a token of your server's.
    sign_in: str = ""
    identity: Hidden[str] = ""


_DECODER = msgspec.json.Decoder(Agent)


class Agents:
    """The agents of all processes. Methods may raise StoreError."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def renew(
        self, identity: str, name: str, desk: str, *, is_ready: bool, is_busy: bool, sign_in: str = ""
    ) -> Agent:
        """Renew the presence of one desk's agent.

        `desk` is the id of the desk; `is_ready`, whether it takes calls; `is_busy`, whether the agent has a call;
        `sign_in`, the digest of the desk's sign-in, if it has one.
        """
        status = AgentStatus.READY if is_ready else AgentStatus.AWAY
        arguments: list[scripts.Argument] = [identity, name, status, desk, int(is_busy), PRESENCE_MS, DESKS_MAX]
        arguments.append(sign_in)
        return _agent(identity, await scripts.renew_agent(self._client, [self._keys.agents], arguments))

    async def list(self) -> list[Agent]:
        """Return all agents, by identity; remove those that are gone."""
        removed, *found = await scripts.list_agents(self._client, [self._keys.agents], [PRESENCE_MS])
        log_removed(self._keys.agents, int(removed))
        return _readable(zip(found[::2], found[1::2], strict=True))

    async def read(self, now_ms: int) -> Sequence[Agent]:
        """Return all agents by Redis's time, for users who may only read."""
        (found,) = await run_or_raise(self._client, ("HGETALL", self._keys.agents))
        # A time in the future was left when the clock was set back.
        return [one for one in _readable(found.items()) if abs(now_ms - one.renewed_ms) < PRESENCE_MS]


def _readable(found: Iterable[tuple[bytes, bytes]]) -> list[Agent]:
    """Return agents by identity; skip what another program has written."""
    agents = []
    for identity, stored in sorted(found):
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            agents.append(_agent(identity.decode(), stored))
    return agents


def _agent(identity: str, stored: bytes) -> Agent:
    return replace(_DECODER.decode(stored), identity=identity)
