"""Offers of callers in queues: who waits, and which desk is free.

An agent is offered one caller at a time: the claim names the offer, from before it is sent until its end was noted.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from conferral.statemachine.session import Session
from conferral.storage import scripts
from conferral.storage.agents import Agent, AgentStatus, identities_of, identity_of, present_agents
from conferral.storage.codecs.text_codec import int_of
from conferral.storage.connection.client import Client, Command, run_each, run_or_raise
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import CommitStore, waits_in_queue
from conferral.storage.presence_runs import PresenceRuns, read_command
from conferral.storage.server import time_ms

#: How long a claim is kept, milliseconds: longer than an offer may take; it is renewed while the desk rings.
CLAIM_MS = 60_000
#: How long an offer may take to be decided; how long after a call one that no one answers shows no absence, because
#: the page may be loading again. Milliseconds.
DEADLINE_MS, LATELY_MS = 8_000, 15_000
#: For how long an agent who did not answer stays away without a click, seconds.
AWAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Claim:
    """The offer that an agent gets: also when it is sent again."""

    session_id: str
    #: As in the `Offer`, both.
    number: int
    deadline_ms: int

    @property
    def text(self) -> str:
        """The claim as it is stored."""
        return f"{self.number} {self.deadline_ms} {self.session_id}"

    @classmethod
    def parse(cls, text: bytes | None) -> "Claim | None":
        """Return a stored claim; None if there is none that can be read."""
        number, _, rest = (text or b"").decode(errors="replace").partition(" ")
        deadline_ms, _, session_id = rest.partition(" ")
        is_claim = number.isdecimal() and deadline_ms.isdecimal() and session_id
        return cls(session_id, int(number), int(deadline_ms)) if is_claim else None

    def offer_id(self, address: str) -> str:
        """Return the id of the offer's command, which no other claim has."""
        digest = hashlib.sha256(f"{self.session_id} {address}".encode()).hexdigest()[:32]
        return f"offer-{digest}-{self.number}-{self.deadline_ms}"


@dataclass(frozen=True, slots=True)
class Desk:
    """An agent who may be offered callers."""

    address: str
    #: The desk is ready, or the agent is in a call: as `Presence.has_desk` judges.
    is_there: bool = False
    #: Since when the agent could be offered a caller, Unix ms; 0 if they can't be now.
    free_since_ms: int = 0
    claim: Claim | None = None
    #: The agent is in a call, was some seconds before the open offer, or has just left the page, which may be loading
    #: again: a ring that no one answers shows no absence.
    may_be_loading: bool = False


@dataclass(frozen=True, slots=True)
class Desks:
    """What was read of desks at one moment."""

    by_address: Mapping[str, Desk]
    #: The moment by Redis's clock, Unix ms.
    now_ms: int = 0


class _Stored(NamedTuple):
    """A session as it was read; the version is empty if there was none."""

    version: bytes
    #: None if it can't be read.
    session: Session | None


class Offers:
    """What the task `queue` reads and writes; methods may raise StoreError."""

    def __init__(self, client: Client, keys: Keys, sessions: CommitStore) -> None:
        self._client = client
        self._keys = keys
        self._sessions = sessions
        #: Sessions as read for this poll, and for the one before, by id.
        self._read: dict[str, _Stored] = {}
        self._former: dict[str, _Stored] = {}

    async def waiting(self, others: Collection[str] = ()) -> dict[str, Session]:
        """Return the sessions that wait in queues, and these others, by id."""
        self._former, self._read = self._read, {}
        (found,) = await run_or_raise(self._client, ("HKEYS", self._keys.queued))
        queued = _decode(found)
        await self._load([*queued, *others])
        # One that this version can't read stays: it may wait, and a later version offers it again.
        judged = [name for name in queued if self._read[name].session is not None or not self._read[name].version]
        await self._keep(self._keys.queued, "HDEL", judged, waits_in_queue)
        return {name: one.session for name, one in self._read.items() if one.session is not None}

    async def _load(self, names: Iterable[str]) -> None:
        """Read these sessions, as far as they have changed."""
        names = list(dict.fromkeys(names))
        found = await run_each(self._client, [("HGET", self._keys.session(name), "version") for name in names])
        versions = {name: version or b"" for name, version in zip(names, found, strict=True)}
        known = self._former | self._read
        changed = [name for name in names if name not in known or known[name].version != versions[name]]
        self._read |= {name: known[name] for name in names if name not in changed}
        for name, loaded in (await self._sessions.load(changed) if changed else {}).items():
            self._read[name] = _Stored(versions[name], loaded if isinstance(loaded, Session) else None)

    async def _keep(self, index: str, removes: str, names: Sequence[str], belongs: Callable[[Session], bool]) -> bool:
        """Remove the sessions that don't belong to an index; whether any does.

        An erased session, or a write that Redis refused, has left them: newcomers would wait behind them, and agents
        would never be free.
        """
        stored = {name: self._read[name] for name in names}
        stale = {name: one for name, one in stored.items() if one.session is None or not belongs(one.session)}
        for name, one in stale.items():
            await scripts.remove_member(self._client, [index, self._keys.session(name)], [name, one.version, removes])
        return len(stale) < len(stored)

    async def open(self) -> dict[str, str]:
        """Return agents whose offers are open, each with the session."""
        (found,) = await run_or_raise(self._client, ("HKEYS", self._keys.agents))
        identities = _decode(found)
        texts = await run_each(self._client, [("GET", self._keys.offer(identity)) for identity in identities])
        claims = {f"client:{identity}": Claim.parse(text) for identity, text in zip(identities, texts, strict=True)}
        return {address: claim.session_id for address, claim in claims.items() if claim is not None}

    async def desks(self, addresses: Iterable[str]) -> Desks:
        """Return desks by the addresses of agents."""
        agents = {address: identity for address in addresses if (identity := identity_of(address))}
        reads: list[Command] = [("TIME",), read_command(self._keys)]
        reads.append(("HMGET", self._keys.agents, *agents.values()))
        for identity in agents.values():
            reads += [("GET", self._keys.offer(identity)), ("SMEMBERS", self._keys.agent_sessions(identity))]
        time, runs, records, *rest = await run_or_raise(self._client, *reads)
        now_ms = time_ms(time)
        present = present_agents([*agents.values()], records, PresenceRuns.parse(runs), now_ms)
        await self._load(name for names in rest[1::2] for name in _decode(names))
        claims = dict(zip(agents, map(Claim.parse, rest[0::2]), strict=True))
        found, soon = {}, await self._made_soon({one: claim for one, claim in claims.items() if claim is not None})
        for at, (address, identity) in enumerate(agents.items()):
            index, takes_part = self._keys.agent_sessions(identity), partial(_takes_part, identity)
            is_in_session = await self._keep(index, "SREM", _decode(rest[2 * at + 1]), takes_part)
            desk = _desk(address, present.get(identity), claims[address], is_in_session=is_in_session)
            found[address] = replace(desk, may_be_loading=is_in_session or address in soon or desk.may_be_loading)
        return Desks(found, now_ms)

    async def _made_soon(self, claims: Mapping[str, Claim]) -> set[str]:
        """Return the agents whose offers were made soon after a call of theirs."""
        keys = [self._keys.agent_talked(identity_of(address)) for address in claims]
        talked_ms = map(int_of, await run_each(self._client, [("GET", key) for key in keys]))
        until_ms = {one: at_ms and at_ms + LATELY_MS for one, at_ms in zip(claims, talked_ms, strict=True)}
        return {one for one, claim in claims.items() if claim.deadline_ms - DEADLINE_MS < until_ms[one]}

    async def claim(self, address: str, claim: Claim) -> bool:
        """Claim an agent for an offer; False if another offer has the agent."""
        key = self._keys.offer(identity_of(address))
        (claimed,) = await run_or_raise(self._client, ("SET", key, claim.text, "NX", "PX", CLAIM_MS))
        return bool(claimed)

    async def keep(self, address: str) -> None:
        """Keep a claim while the desk rings."""
        await run_or_raise(self._client, ("PEXPIRE", self._keys.offer(identity_of(address)), CLAIM_MS))

    async def end(self, address: str, claim: Claim, away: str = "") -> bool:
        """End an offer; `away` is why the agent is away from now on."""
        identity = identity_of(address)
        keys = [self._keys.offer(identity), self._keys.agents, self._keys.agent_away(identity)]
        return bool(int(await scripts.end_offer(self._client, keys, [claim.text, identity, away, AWAY_S])))

    async def was_refused(self, address: str, claim: Claim) -> bool:
        """Whether the session has refused the offer, or Redis lost what it did."""
        key = self._keys.command(claim.offer_id(address))
        ((status,),) = await run_or_raise(self._client, ("HMGET", key, "status"))
        return status in (b"rejected", b"failed")


def _decode(names: Iterable[bytes]) -> list[str]:
    return [name.decode(errors="replace") for name in names]


def _takes_part(identity: str, session: Session) -> bool:
    return identity in identities_of(session)


def _desk(address: str, agent: Agent | None, claim: Claim | None, *, is_in_session: bool) -> Desk:
    if agent is None:
        return Desk(address, claim=claim)
    is_ready = agent.status is AgentStatus.READY
    # One whose last desk was left is rung, but offered no one. Sessions know of a call's end before the next renewal.
    is_free = is_ready and agent.registered and not (is_in_session or claim)
    free_since_ms = max(1, agent.since_ms, agent.called_ms) if is_free else 0
    return Desk(address, agent.is_there, free_since_ms, claim, may_be_loading=is_ready and not agent.registered)
