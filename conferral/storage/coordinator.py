"""The coordinator: scripts in Redis say who owns what, and who may dial.

The owner of a partition then writes its epoch and name into the partition's lease key, so that a former owner can't
commit: every commit compares it. The key also shows that Redis may have lost something: its server's run id differs
from what the owner stored, or it has fewer commits than the owner has made.

A log and a replica lose only an end. So if the server has restarted, and the owner finds its newest commit, and each
mark and result of its effects, all of its writes are there, and it goes on as if nothing had happened.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from conferral.runtime.clock import Clock
from conferral.runtime.errors import ConferralError, LeaseLostError
from conferral.storage import scripts
from conferral.storage.codecs.text_codec import parse_object
from conferral.storage.connection.client import Client, as_store_errors
from conferral.storage.foreign import log_removed
from conferral.storage.keys import Keys

#: How long a worker may be silent before it counts as dead and is taken over, if Redis answers quickly, milliseconds.
LIFETIME_MS = 2_000
#: Without a tick for this long, a worker is shown as dead, milliseconds. Workers ask the coordinator instead.
SHOWN_DEAD_AFTER_MS = 3_500
#: How long a dead worker stays listed, milliseconds.
DEAD_LISTED_MS = 30_000
#: What one worker at a time does, next to the partitions.
ROUTER, SWEEP, OUTCOMES = "commands", "sweep", "outcomes"
TASKS = (ROUTER, SWEEP, OUTCOMES)
#: How long everything is verified after Redis may have lost something, seconds.
VERIFY_S = 60.0
#: An answer of `hold_partition-2.lua`: the server has restarted, with all commits of this owner.
_RESTARTED = 3
#: Maximum wait between two requests for a permit, seconds. A worker that has not asked for twice as long expires.
PERMIT_RETRY_MAX_S = 1.0


class Wants(Enum):
    """What a worker asks for."""

    SHARE = "share"
    #: It hands its partitions over, when they are idle, and does no task.
    NOTHING = "nothing"
    #: It stops: everything is free immediately.
    TO_LEAVE = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A worker's call of the coordinator, every half second."""

    name: str
    #: Grows with each tick of this worker.
    number: int
    lifetime_s: float
    wants: Wants = Wants.SHARE
    #: What it takes if it is free.
    tasks: Collection[str] = TASKS
    #: By partition: the highest epoch of it that has ended, also one that its own key has.
    ended_epochs: Mapping[int, int] = field(default_factory=dict)
    #: By name, the number that has not changed for the worker's lifetime.
    dead: Mapping[str, int] = field(default_factory=dict)
    #: Whether Twilio accepts its credentials; False if that is unknown.
    is_accepted: bool = False


@dataclass(frozen=True, slots=True)
class OtherWorker:
    """Another worker's newest tick, and how long it counts."""

    number: int
    lifetime_s: float
    #: Whether Twilio accepts its credentials.
    is_accepted: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """The coordinator's answer."""

    #: Redis's time, Unix milliseconds.
    now_ms: int
    #: How many partitions the worker has above its share (count).
    surplus: int
    #: Partitions without an owner (count).
    free: int
    #: Everything that the worker owns now, with its epoch: partition numbers, as texts, and tasks.
    epochs: Mapping[str, int]
    others: Mapping[str, OtherWorker]


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a partition or task, as people see it."""

    #: Empty without one.
    name: str = ""
    #: How often it has changed hands (count).
    epoch: int = 0
    #: Redis's time of the last renewal, Unix milliseconds.
    renewed_at_ms: int = 0

    def at(self, now_ms: int) -> "Owner":
        """Return it, without a name if not renewed lately by Redis's time."""
        is_live = abs(now_ms - self.renewed_at_ms) <= SHOWN_DEAD_AFTER_MS
        return self if is_live else Owner("", self.epoch, self.renewed_at_ms)


async def read_owners(client: Client, keys: Keys) -> dict[str, Owner]:
    """Return the owners of all partitions, by their numbers, and of all tasks."""
    items = [*map(str, range(keys.partitions)), *TASKS]
    with as_store_errors(keys.owners):
        found = await client.hmget(keys.owners, items)
    return {
        item: _owner(parse_object((text or b"").decode(errors="replace")))
        for item, text in zip(items, found, strict=True)
    }


def _owner(fields: dict[str, object]) -> Owner:
    match fields:
        case {"holder": str(name), "epoch": int(epoch), "renewed_at": int(renewed_at_ms)}:
            return Owner(name, epoch, renewed_at_ms)
    return Owner()  # another program's


async def send_tick(client: Client, keys: Keys, tick: Tick) -> Granted | None:
    """Renew what a worker owns; return None if a later tick was there before.

    After a StoreError, it may have been done or not.
    """
    arguments: list[scripts.Argument] = [
        tick.name,
        tick.number,
        round(tick.lifetime_s * 1000),
        tick.wants.value,
        keys.partitions,
        " ".join(tick.tasks),
        " ".join(f"{number}={epoch}" for number, epoch in tick.ended_epochs.items()),
        " ".join(f"{name}={number}" for name, number in tick.dead.items()),
        int(tick.is_accepted),
        DEAD_LISTED_MS,
    ]
    answer = await scripts.answer_tick(client, [keys.owners, keys.workers], arguments)
    if not answer:
        return None
    now_ms, surplus, free, mine, others, removed = answer
    log_removed(keys.owners, int(removed))
    found = [one.decode(errors="replace") for one in others]
    return Granted(
        int(now_ms),
        int(surplus),
        int(free),
        {item.decode(): int(epoch) for item, epoch in zip(mine[::2], mine[1::2], strict=True)},
        {
            name: OtherWorker(int(number), int(lifetime_ms) / 1000, accepted == "1")
            for name, number, lifetime_ms, accepted in zip(*(found[at::4] for at in range(4)), strict=True)
        },
    )


class RolledBackError(ConferralError):
    """Redis lacks what this owner has seen there."""


class EpochUsedError(ConferralError):
    """The partition's lease key has this epoch or a higher one."""

    def __init__(self, epoch: int) -> None:
        super().__init__("the epoch is used up")
        self.epoch = epoch


@dataclass(slots=True)
class Lease:
    """A partition that this worker holds."""

    #: Epoch and name of the worker: `7:host-81-4f1c`.
    holder: str
    #: That of the last commit.
    commit_number: int
    #: Redis's time when it was claimed, Unix milliseconds.
    claimed_at_ms: int
    #: Name of the worker that held it last; empty if it gave the partition back, or there was none.
    last_holder: str
    #: Until when Redis may lack what was sent before, monotonic seconds.
    verify_until_s: float
    #: Redis's time when a rollback was last noticed, Unix milliseconds: what was requested later is not lost.
    rolled_back_at_ms: int = 0
    #: Id of the newest entry when a rollback was last noticed: later ones are of Redis as it is now.
    newest_id: str = "0-0"
    #: Undecided entries, as last seen (count).
    waiting: int = 0
    #: The key's `verify_until`, and when this owner last asked for the key and found the server that the key names,
    #: monotonic seconds.
    verify_until_ms: int = 0
    seen_at_s: float = 0.0

    def writes_may_be_lost(self, clock: Clock) -> bool:
        """Whether Redis may lack what was sent before."""
        return clock.monotonic_s() < self.verify_until_s


async def claim_partition(client: Client, keys: Keys, partition: int, holder: str, clock: Clock) -> Lease:
    """Make `holder` the partition's owner, or raise EpochUsedError."""
    requested_at_s = clock.monotonic_s()
    arguments: list[scripts.Argument] = [holder, "", round(VERIFY_S * 1000), 0, "", ""]
    answer = await scripts.hold_partition.durably(client, _lease_keys(keys, partition), arguments)
    if int(answer[0]) == 0:
        raise EpochUsedError(int(answer[1]))
    commit_number, now_ms, verify_until_ms = map(int, answer[1:4])
    newest_id = answer[6].decode()
    return Lease(
        holder,
        commit_number,
        claimed_at_ms=now_ms,
        last_holder=answer[4].decode(errors="replace").partition(":")[2],
        verify_until_s=requested_at_s + (verify_until_ms - now_ms) / 1000,
        # No entry from before is later, even if someone has set Redis's clock back since.
        rolled_back_at_ms=max(verify_until_ms - round(VERIFY_S * 1000), int(newest_id.partition("-")[0])),
        newest_id=newest_id,
        waiting=int(answer[5]),
        verify_until_ms=verify_until_ms,
        seen_at_s=requested_at_s,
    )


async def confirm_partition(
    client: Client, keys: Keys, partition: int, lease: Lease, *, is_release: bool = False
) -> None:
    """Compare a partition with its key.

    Raise RolledBackError or LeaseLostError if they differ. The key notes a rollback, for later owners. `is_release`:
    note that this worker has not died of anything in the partition.
    """
    _confirmed(lease, await _confirm(client, keys, partition, lease, int(is_release), "", ""))


async def confirm_or_resume(
    client: Client, keys: Keys, partition: int, lease: Lease, clock: Clock, has_all: Callable[[], Awaitable[bool]]
) -> bool:
    """Compare a partition with its key; resume if a restart lost nothing.

    Raise RolledBackError or LeaseLostError if they differ. Return whether Redis was restarted. `has_all` tells
    whether Redis has the marks and results of all effects. Ask it only once the server has answered: what the former
    one acknowledged has arrived by then.
    """
    requested_at_s = clock.monotonic_s()
    unseen_ms = round((requested_at_s - lease.seen_at_s) * 1000)
    answer = await _confirm(client, keys, partition, lease, 0, unseen_ms, "")
    if is_restarted := int(answer[0]) == _RESTARTED:
        proven = answer[1].decode() if await has_all() else ""
        answer = await _confirm(client, keys, partition, lease, 0, unseen_ms if proven else "", proven)
    _confirmed(lease, answer)
    lease.seen_at_s = requested_at_s
    return is_restarted


def _confirmed(lease: Lease, answer: list[bytes]) -> None:
    if int(answer[0]) == 0:
        raise LeaseLostError("another worker owns the partition")
    # The key may have been noted by a worker that has held the partition since, in what Redis lost.
    if int(answer[0]) != 1 or int(answer[3]) > lease.verify_until_ms:
        raise RolledBackError
    lease.waiting = int(answer[5])


async def _confirm(
    client: Client, keys: Keys, partition: int, lease: Lease, is_release: int, unseen_ms: int | str, compared: str
) -> list[bytes]:
    verify_ms = round(VERIFY_S * 1000)
    arguments: list[scripts.Argument] = [lease.holder, lease.commit_number, verify_ms, is_release, unseen_ms, compared]
    return await _hold(client, keys, partition, arguments)


async def _hold(client: Client, keys: Keys, partition: int, arguments: list[scripts.Argument]) -> list[bytes]:
    answer: list[bytes] = await scripts.hold_partition(client, _lease_keys(keys, partition), arguments)
    return answer


def _lease_keys(keys: Keys, partition: int) -> list[str]:
    return [keys.lease(partition), keys.events(partition)]


async def acquire_dial_permit(client: Client, keys: Keys, name: str, per_second: float, *, urgent: bool) -> float:
    """Request a permit to place a call, from the rate limit of all workers.

    Return 0.0 if granted, else the seconds to wait before asking again. Urgent dials go first: callers wait.
    """
    arguments: list[scripts.Argument] = [name, per_second, int(urgent), round(PERMIT_RETRY_MAX_S * 1000)]
    is_granted, wait_ms = await scripts.acquire_dial_permit(client, [keys.dial_rate], arguments)
    return 0.0 if int(is_granted) else max(1, int(wait_ms)) / 1000
