"""Offers of callers in queues: who waits, and which desk is free.

An agent is offered one caller at a time: the claim names the offer, from before it is sent until its end was noted.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from conferral.statemachine.session import Session
from conferral.storage import scripts
from conferral.storage.agents import PRESENCE_MS, Agent, AgentStatus, identity_of, read_agents
from conferral.storage.connection.client import Client, Command, run_or_raise
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import CommitStore

#: How long a claim is kept, milliseconds: longer than an offer may take; it is renewed while the desk rings.
CLAIM_MS = 60_000


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
    #: The desk is ready, or the agent is in a call.
    is_there: bool = False
    #: Since when the agent could be offered a caller, Unix ms; 0 if they can't be now.
    free_since_ms: int = 0
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Desks:
    """What was read of desks at one moment."""

    by_address: Mapping[str, Desk]
    #: Whether any desk of the installation has renewed its presence lately.
    is_kept: bool = False


class Offers:
    """What the task `queue` reads and writes; methods may raise StoreError."""

    def __init__(self, client: Client, keys: Keys, sessions: CommitStore) -> None:
        self._client = client
        self._keys = keys
        self._sessions = sessions
        #: Sessions as last read, by id.
        self._read: dict[str, Session] = {}

    async def waiting(self, others: Collection[str] = ()) -> dict[str, Session]:
        """Return the sessions that wait in queues, and these others, by id."""
        (found,) = await run_or_raise(self._client, ("HKEYS", self._keys.queued))
        names = list(dict.fromkeys([*(name.decode(errors="replace") for name in found), *others]))
        reads: list[Command] = [("HMGET", self._keys.session(name), "version") for name in names]
        versions = await run_or_raise(self._client, *reads) if reads else []
        is_same = {
            name: name in self._read and version == str(self._read[name].version).encode()
            for name, (version,) in zip(names, versions, strict=True)
        }
        changed = [name for name in names if not is_same[name]]
        loaded = await self._sessions.load(changed) if changed else {}
        known = {name: self._read[name] for name in names if is_same[name]}
        self._read = known | {name: one for name, one in loaded.items() if isinstance(one, Session)}
        return dict(self._read)

    async def desks(self, addresses: Iterable[str]) -> Desks:
        """Return desks by the addresses of agents."""
        agents = {address: identity for address in addresses if (identity := identity_of(address))}
        reads: list[Command] = [("TIME",), ("EXISTS", self._keys.presence)]
        reads.append(("HMGET", self._keys.agents, *agents.values()))
        for identity in agents.values():
            reads += [("GET", self._keys.offer(identity)), ("SCARD", self._keys.agent_sessions(identity))]
        time, is_kept, records, *rest = await run_or_raise(self._client, *reads)
        now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
        found = {}
        for at, (address, identity) in enumerate(agents.items()):
            text, sessions = rest[2 * at : 2 * at + 2]
            agent = next(iter(read_agents([(identity.encode(), records[at])])), None) if records[at] else None
            found[address] = _desk(address, agent, Claim.parse(text), now_ms, is_in_session=int(sessions) > 0)
        return Desks(found, bool(is_kept))

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
        keys = [self._keys.offer(identity), self._keys.agents]
        return bool(int(await scripts.end_offer(self._client, keys, [claim.text, identity, away])))

    async def was_refused(self, address: str, claim: Claim) -> bool:
        """Whether the session has refused the offer."""
        key = self._keys.command(claim.offer_id(address))
        ((status,),) = await run_or_raise(self._client, ("HMGET", key, "status"))
        return bool(status == b"rejected")


def _desk(address: str, agent: Agent | None, claim: Claim | None, now_ms: int, *, is_in_session: bool) -> Desk:
    is_known = agent is not None and abs(now_ms - agent.renewed_ms) < PRESENCE_MS
    if agent is None or not is_known:
        return Desk(address, is_in_session, claim=claim)
    is_ready = agent.status is AgentStatus.READY
    is_free = is_ready and not (agent.in_call or is_in_session or claim)
    free_since_ms = max(1, agent.since_ms, agent.called_ms) if is_free else 0
    return Desk(address, is_ready or bool(agent.in_call) or is_in_session, free_since_ms, claim)
