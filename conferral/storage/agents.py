"""Agents with a desk: their presence, and which desk may be registered.

A desk renews its agent's presence every 9 to 15 s; `presence_runs` says what silence means. All times are Redis's.
Twilio rings every browser that is registered for an identity, so only one of an agent's desks may be: the newest that
is ready, or, while the agent has a call, the one that was registered before it.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any

from conferral.runtime.json_decoding import json_decoder
from conferral.statemachine.guards import agent_before_recall
from conferral.statemachine.presence import IN_A_CALL_MS, UNKNOWN_PRESENCE, Presence
from conferral.statemachine.reasons import Reason
from conferral.statemachine.record import BaseRecord, Hidden, replace
from conferral.statemachine.session import Session
from conferral.storage import scripts
from conferral.storage.connection.client import Client, Command, run_or_raise
from conferral.storage.keys import Keys
from conferral.storage.presence_runs import PRESENCE_MS, SILENT_MS, PresenceRuns, read_command, renewal_command
from conferral.storage.server import time_ms

#: How long an agent whose last desk was left is still ready: a page that loads again is there by then. Milliseconds.
LEFT_COUNTS_MS = 10_000
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
    #: When the last desk that was ready was left; 0 if one is there, or none was.
    left_ms: int = 0
    #: Why the agent is away until the next click on *Go ready*: `no-answer` after an offer; empty for no such reason.
    reason: str = ""
    identity: Hidden[str] = ""

    @property
    def is_there(self) -> bool:
        """Whether callers may wait for the agent: ready, or in a call."""
        return self.status is AgentStatus.READY or bool(self.in_call)

    def at(self, now_ms: int) -> "Agent":
        """Return the agent as of now."""
        away_ms = self.left_ms + LEFT_COUNTS_MS
        is_left = self.status is AgentStatus.READY and self.left_ms and now_ms >= away_ms
        return replace(self, status=AgentStatus.AWAY, since_ms=away_ms) if is_left else self


class _Renewal(BaseRecord, frozen=True):
    """What any version can read of an agent."""

    renewed_ms: int


_decode, _decode_renewal = json_decoder(Agent), json_decoder(_Renewal)


class Agents:
    """The agents of all processes. Methods may raise StoreError."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def renew(
        self,
        identity: str,
        name: str,
        desk: str,
        sign_in: str = "",
        *,
        is_ready: bool,
        is_busy: bool,
        is_left: bool = False,
        takes_over: bool = False,
        is_click: bool = False,
    ) -> Agent:
        """Renew the presence of one desk's agent.

        `desk` is the id of the desk; `sign_in`, the digest of its sign-in, if any; `is_ready`, whether it takes calls,
        or `is_left`, whether its page was closed or left; `is_busy`, whether the agent has a call; `takes_over`,
        whether this desk takes that call over; `is_click`, whether the agent has just said that they are ready.
        """
        status = "left" if is_left else AgentStatus.READY if is_ready else AgentStatus.AWAY
        arguments: list[scripts.Argument] = [identity, name, status, desk, int(is_busy), PRESENCE_MS, DESKS_MAX]
        arguments += [sign_in, int(takes_over), int(is_click), SILENT_MS, LEFT_COUNTS_MS]
        keys = [self._keys.agents, self._keys.agent_away(identity)]
        renewals = renewal_command(self._keys), scripts.renew_agent.command(keys, arguments)
        _, stored = await run_or_raise(self._client, *renewals)
        return _agent(identity, stored)

    async def note_busy(self, call_sid: str) -> None:
        """Keep that a desk rejects this call's ring, as its agent is busy."""
        ring: Command = ("SET", self._keys.ring(call_sid), Reason.BUSY.value, "EX", RING_TTL_S)
        await run_or_raise(self._client, ring)

    async def list(self) -> list[Agent]:
        """Return all agents, by identity; remove those that are gone."""
        reads = (("TIME",), read_command(self._keys), ("HGETALL", self._keys.agents))
        time, runs, found = await run_or_raise(self._client, *reads)
        now_ms, current = time_ms(time), PresenceRuns.parse(runs)
        readable = {one.identity.encode(): one for one in _readable(found.items())}
        renewed_ms = {name: one.renewed_ms for name, one in readable.items()}
        renewed_ms |= {name: _renewed_ms(stored) for name, stored in found.items() if name not in readable}
        gone = {name for name, at_ms in renewed_ms.items() if not current.counts(at_ms, now_ms)}
        if gone:
            flat = [one for name in gone for one in (name, found[name])]
            await scripts.remove_unchanged(self._client, [self._keys.agents], flat)
        return [one.at(now_ms) for name, one in readable.items() if name not in gone]

    async def read(self, now_ms: int) -> Sequence[Agent]:
        """Return all agents by Redis's time, for users who may only read."""
        reads = read_command(self._keys), ("HGETALL", self._keys.agents)
        runs, found = await run_or_raise(self._client, *reads)
        return _current(found.items(), PresenceRuns.parse(runs), now_ms)


def _readable(found: Iterable[tuple[bytes, bytes]]) -> list[Agent]:
    """Return agents by identity; skip what another program has written."""
    agents = []
    for identity, stored in sorted(found):
        with suppress(ValueError):
            agents.append(_agent(identity.decode(), stored))
    return agents


def _renewed_ms(stored: bytes) -> int:
    """Return when an agent renewed, which any version can read; else 0."""
    try:
        return _decode_renewal(stored).renewed_ms
    except ValueError:
        return 0


def _agent(identity: str, stored: bytes) -> Agent:
    return replace(_decode(stored), identity=identity)


# ---- who of a number's agents is rung ------------------------------------------------------------------------------


def _current(found: Iterable[tuple[bytes, bytes]], runs: PresenceRuns, now_ms: int) -> list[Agent]:
    """Return agents by identity who have a desk, or may have one."""
    return [one.at(now_ms) for one in _readable(found) if runs.counts(one.renewed_ms, now_ms)]


def present_agents(
    identities: Sequence[str], records: Sequence[bytes | None], runs: PresenceRuns, now_ms: int
) -> Mapping[str, Agent]:
    """Return those of the agents whose presence counts, as `HMGET` found them."""
    found = {identity.encode(): one for identity, one in zip(identities, records, strict=True) if one}
    return {agent.identity: agent for agent in _current(found.items(), runs, now_ms)}


def identity_of(address: str) -> str:
    """Return the identity of a `client:` address; empty for another one."""
    kind, _, identity = address.partition(":")
    return identity if kind == "client" else ""


def identities_of(session: Session) -> frozenset[str]:
    """Return whose browsers take part in a session now, or are being rung.

    The agent whose leg was lost is about to be: callers in queues are offered to no one who may be reloading.
    """
    if session.is_ended:
        return frozenset()
    lost = agent_before_recall(session)
    found = (*session.present.values(), *((lost,) if lost is not None else ()))
    return frozenset(filter(None, (identity_of(party.address) for party in found)))


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
    reads: list[Command] = [("TIME",), read_command(keys), ("HMGET", keys.agents, *identities)]
    time, found, stored, *queued = await run(*reads, *([("HGETALL", keys.queued)] if with_queue else []))
    now_ms, runs = time_ms(time), PresenceRuns.parse(found)
    is_kept = runs.is_kept(now_ms)
    away, idle_since_ms = set(), {}
    present = present_agents(identities, stored, runs, now_ms)
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
    numbers = frozenset(number.decode(errors="replace") for one in queued for number in one.values())
    return Presence(frozenset(away), idle_since_ms, is_kept=is_kept, queued_numbers=numbers)
