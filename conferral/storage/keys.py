"""Redis key names; no other module formats one.

On a cluster, the prefix is in braces, a hash tag: it keeps all keys in one slot.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

#: The consumer group that shows operators position and lag.
GROUP = "workers"


class Key:
    """A key's name, and what the reference page says about it."""

    def __init__(self, name: str, about: str) -> None:
        self.name = name
        self.about = about


class PartitionKey(Key):
    """A key that each partition has."""

    def __get__(self, keys: "Keys", _class: type["Keys"]) -> Callable[[int], str]:
        return lambda partition: f"{keys.prefix}:{partition}:{self.name}"


class SessionKey(Key):
    """A key that each session has in its partition, by id."""

    def __get__(self, keys: "Keys", _class: type["Keys"]) -> Callable[[str], str]:
        return lambda session_id: f"{keys.prefix}:{keys.partition_of(session_id)}:{self.name}:{session_id}"


class NamedKey(Key):
    """A key that each call, command, or the like has, by id."""

    def __get__(self, keys: "Keys", _class: type["Keys"]) -> Callable[[str], str]:
        return lambda name: f"{keys.prefix}:{self.name}:{name}"


class AgentKey(Key):
    """A key that each agent has, by identity."""

    def __get__(self, keys: "Keys", _class: type["Keys"]) -> Callable[[str], str]:
        return lambda identity: f"{keys.prefix}:agent:{identity}:{self.name}"


class PrefixKey(Key):
    """A key that a prefix has once."""

    def __get__(self, keys: "Keys", _class: type["Keys"]) -> str:
        return f"{keys.prefix}:{self.name}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys under one prefix."""

    prefix: str
    partitions: int

    events = PartitionKey("events", "Stream of unprocessed events.")
    lease = PartitionKey("lease", "Hash: `holder`, `commit`, and the tries of the `oldest` entry after a death.")
    outbox = PartitionKey("outbox", "Hash of unfinished effects, by effect id.")
    timers = PartitionKey("timers", "Sorted set of timers, by due time in ms.")
    live = PartitionKey("live", "Set of live session ids.")
    ended = PartitionKey("ended", "Sorted set of ended session ids, by end time in ms.")
    new_log = PartitionKey("new-log", "Stream that exists only while a commit runs.")
    session = SessionKey("session", "Hash: the session.")
    log = SessionKey("log", "Stream: the session's log.")
    gates = SessionKey("gates", "Hash: which call has which dial; which dials won or lost ring groups.")
    call = NamedKey(
        "call",
        "String: the newest session of a call. Expires with the session, or after a week if later.",
    )
    identity = NamedKey("identity", "Sorted set: a browser identity's calls in the last minute, by digest.")
    dials = PrefixKey("dials", "Sorted set: dials by REST of the last minute, by time in ms.")
    call_dials = NamedKey("dials", "Sorted set: those of one call's sessions. Expires a day after the last one.")
    commands = PrefixKey("commands", "Stream to which commands are published.")
    owners = PrefixKey("owners", "Hash: the owner of each partition and task, and each worker's newest tick, as JSON.")
    command = NamedKey("command", "Hash: a command's outcome, sender, stream entry, and request digest.")
    digits = NamedKey(
        "digits",
        "String: the digits of a `press`, by command id; empty once Twilio requested them, or it failed. Expires soon.",
    )
    outcomes = PrefixKey("outcomes", "Stream for other systems: finished transfers, ended sessions, recorded messages.")
    undelivered = PrefixKey(
        "undelivered", "Sorted set: ids of outcomes that could not be delivered, by their time in ms."
    )
    sending = PrefixKey("sending", "Hash: outcomes to send over HTTP, by session: failures of the first, and ids.")
    sending_due = PrefixKey("sending:due", "Sorted set: those sessions, by when the first outcome is due, in ms.")
    sending_state = PrefixKey(
        "sending:state",
        "Hash: up to where outcomes were queued; when a 410 stopped all; since when and why none was delivered.",
    )
    dead = PrefixKey("dead", "Stream of dead letters: entries that could not be read or stored, or kept failing.")
    probe = PrefixKey("probe", "String written to check whether Redis accepts writes.")
    workers = PrefixKey("workers", "Sorted set of live workers, by last tick in ms.")
    processes = PrefixKey("processes", "Hash: running processes by name: kind, version, statistics, last registration.")
    agents = PrefixKey(
        "agents", "Hash: presence of each agent with a desk, by identity, as JSON. Expires with the last of them."
    )
    agent_calls = AgentKey(
        "calls", "List: an agent's own calls, newest first, as JSON. Expires a day after the last of them."
    )
    agent_sessions = AgentKey(
        "sessions", "Set: the live sessions in which an agent's browser takes part or is rung. Expires after a day."
    )
    agent_away = AgentKey(
        "away", "String: why the agent is away until the next click on *Go ready*. Expires after a day."
    )
    agent_talked = AgentKey("talked", "String: when the agent's call, or line, last ended, in ms. Expires soon.")
    offer = NamedKey(
        "offer",
        "String: number, deadline, and session of an agent's open offer, from its claim to its end. Expires soon.",
    )
    queued = PrefixKey("queued", "Hash: our number that was called, of each session in a queue, by id.")
    sign_ins = PrefixKey(
        "sign-ins", "Hash: sign-ins at desks and unused codes, as JSON, by digest. Expires with the last of them."
    )
    presence = PrefixKey(
        "presence",
        "Hash: since when webhooks keep presence, and desks renew it, without a pause, and when they last did, in ms. "
        "Expires 5 min later.",
    )
    ring = NamedKey(
        "ring", "String: `busy` if a desk rejected the ring of this call by itself. Expires after a minute."
    )
    config = PrefixKey(
        "config",
        "Hash: partition count, a digest of the account's SID, schema, random keys of console cookies and desk tokens.",
    )

    def partition_of(self, session_id: str) -> int:
        """Return a session's partition: CRC-32 of its id, modulo the count."""
        return zlib.crc32(session_id.encode()) % self.partitions


def config_key(prefix: str) -> str:
    """Return the key of the partition count and the schema, read before all."""
    return Keys(prefix, 1).config
