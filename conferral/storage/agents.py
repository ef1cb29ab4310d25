"""Agents with a desk: their presence, and which desk may be registered.

A desk renews its agent's presence every 9 to 12 s. An agent is gone 30 s after the last renewal, by Redis's clock.
Twilio rings every browser that is registered for an identity, so only one of an agent's desks may be: the newest that
is ready, or, while the agent has a call, the one that was registered before it.
"""

import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any

from conferral.runtime.json_decoding import json_decoder
from conferral.statemachine.presence import IN_A_CALL_MS, UNKNOWN_PRESENCE, Presence
from conferral.statemachine.reasons import Reason
from conferral.statemachine.record import BaseRecord, Hidden, replace
from conferral.statemachine.session import Session
from conferral.storage import scripts
from conferral.storage.connection.client import Client, Command, run_or_raise
from conferral.storage.foreign import log_unreadable_removed
from conferral.storage.keys import Keys
from conferral.storage.server import time_ms

#: How long a renewal counts, milliseconds.
PRESENCE_MS = 30_000
#: Without any renewal for this long, presence is not kept: Redis was away, or webhooks. Milliseconds.
PAUSE_MS = 15_000
#: For how long presence must have been kept before it shows that an agent has no desk, milliseconds.
KEPT_MS = 45_000
#: How long it is kept that a desk rejected a ring as busy, seconds: until Twilio reports the ring's end.
RING_TTL_S = 60
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
    #: 1 while the agent has a call, and when it last had one; 0 for never.
    in_call: int = 0
    called_ms: int = 0
    #: Why the agent is away until the next click on *Go ready*: `no-answer` after an offer; empty for no such reason.
    reason: str = ""
    identity: Hidden[str] = ""

    @property
    def is_there(self) -> bool:
        """Whether callers may wait for the agent: ready, or in a call."""
        return self.status is AgentStatus.READY or bool(self.in_call)


_decode = json_decoder(Agent)
#: As good as forever, seconds.
_LONG_S = 1e9


class Agents:
    """The agents of all processes. Methods may raise StoreError."""

    def __init__(self, client: Client, keys: Keys, up_s: Callable[[], float] = lambda: math.inf) -> None:
        """Bind them; `up_s` says for how long the desks' process has run."""
        self._client = client
        self._keys = keys
        self._up_s = up_s

    async def renew(
        self,
        identity: str,
        name: str,
        desk: str,
        *,
        is_ready: bool,
        is_busy: bool,
        takes_over: bool = False,
        sign_in: str = "",
        is_click: bool = False,
    ) -> Agent:
        """Renew the presence of one desk's agent.

        `desk` is the id of the desk; `is_ready`, whether it takes calls; `is_busy`, whether the agent has a call;
        `takes_over`, whether this desk takes that call over; `sign_in`, the digest of the desk's sign-in, if any;
        `is_click`, whether the agent has just said that they are ready.
        """
        status = AgentStatus.READY if is_ready else AgentStatus.AWAY
        arguments: list[scripts.Argument] = [identity, name, status, desk, int(is_busy), PRESENCE_MS, DESKS_MAX]
        arguments += [sign_in, round(min(self._up_s(), _LONG_S) * 1000), PAUSE_MS, int(takes_over), int(is_click)]
        keys = [self._keys.agents, self._keys.presence, self._keys.agent_away(identity)]
        return _agent(identity, await scripts.renew_agent(self._client, keys, arguments))

    async def note_busy(self, call_sid: str) -> None:
        """Keep that a desk rejects this call's ring, as its agent is busy."""
        ring: Command = ("SET", self._keys.ring(call_sid), Reason.BUSY.value, "EX", RING_TTL_S)
        await run_or_raise(self._client, ring)

    async def list(self) -> list[Agent]:
        """Return all agents, by identity; remove those that are gone."""
        removed, *found = await scripts.list_agents(self._client, [self._keys.agents], [PRESENCE_MS])
        log_unreadable_removed(self._keys.agents, int(removed))
        return _readable(zip(found[::2], found[1::2], strict=True))

    async def read(self, now_ms: int) -> Sequence[Agent]:
        """Return all agents by Redis's time, for users who may only read."""
        (found,) = await run_or_raise(self._client, ("HGETALL", self._keys.agents))
        return _current(found.items(), now_ms)


def _readable(found: Iterable[tuple[bytes, bytes]]) -> list[Agent]:
    """Return agents by identity; skip what another program has written."""
    agents = []
    for identity, stored in sorted(found):
        with suppress(ValueError):
            agents.append(_agent(identity.decode(), stored))
    return agents


def _agent(identity: str, stored: bytes) -> Agent:
    return replace(_decode(stored), identity=identity)


# ---- who of a number's agents is rung ------------------------------------------------------------------------------


def _current(found: Iterable[tuple[bytes, bytes]], now_ms: int) -> list[Agent]:
    """Return agents by identity whose presence counts."""
    # A time in the future was left when the clock was set back.
    return [one for one in _readable(found) if abs(now_ms - one.renewed_ms) < PRESENCE_MS]


def present_agents(identities: Sequence[str], records: Sequence[bytes | None], now_ms: int) -> dict[str, Agent]:
    """Return those of the agents whose presence counts, as `HMGET` found them."""
    found = {identity.encode(): one for identity, one in zip(identities, records, strict=True) if one}
    return {agent.identity: agent for agent in _current(found.items(), now_ms)}


def identity_of(address: str) -> str:
    """Return the identity of a `client:` address; empty for another one."""
    kind, _, identity = address.partition(":")
    return identity if kind == "client" else ""


def identities_of(session: Session) -> frozenset[str]:
    """Return whose browsers take part in a session now, or are being rung."""
    if session.is_ended:
        return frozenset()
    return frozenset(filter(None, (identity_of(party.address) for party in session.present.values())))


async def read_presence(
    run: Callable[..., Awaitable[Sequence[Any]]],
    keys: Keys,
    agents: Sequence[str],
    listed: Collection[str],
    *,
    with_queue: bool = False,
) -> Presence:
    """Return the presence of agents.

    The identities in `listed` work at desks. `with_queue`: also return for which numbers callers wait.
    `run` runs commands together. An absence shows nothing unless presence was being kept.
    """
    identities = [*filter(None, map(identity_of, agents))]
    if not identities:
        return UNKNOWN_PRESENCE
    reads: list[Command] = [("TIME",), ("GET", keys.presence), ("PTTL", keys.presence)]
    reads += [("HMGET", keys.agents, *identities), *([("HGETALL", keys.queued)] if with_queue else [])]
    time, kept_since, left_ms, stored, *queued = await run(*reads)
    now_ms = time_ms(time)
    is_kept = bool(kept_since) and kept_since.isdigit() and now_ms - int(kept_since) >= KEPT_MS
    # Where the clock was set back, all renewals are in the future, until each desk's next one.
    is_kept = is_kept and left_ms <= PAUSE_MS
    away, idle_since_ms = set(), {}
    present = present_agents(identities, stored, now_ms)
    for address in filter(identity_of, agents):
        agent = present.get(identity_of(address))
        if agent is None:
            if is_kept and identity_of(address) in listed:
                away.add(address)
            continue
        if agent.status is AgentStatus.AWAY:
            away.add(address)
        if agent.is_there:
            idle_since_ms[address] = IN_A_CALL_MS if agent.in_call else max(agent.since_ms, agent.called_ms)
    numbers = frozenset(number.decode(errors="replace") for found in queued for number in found.values())
    return Presence(frozenset(away), idle_since_ms, is_kept=is_kept, queued_numbers=numbers)
