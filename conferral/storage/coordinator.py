"""The coordinator: scripts in Redis say who owns what, and who may dial.

The owner of a partition then writes its epoch and name into the partition's lease key, so that a former owner can't
commit: every commit compares it. Commits and marks of dials are counted there. A log and a replica lose only an end, so
an owner that finds fewer than it knows has lost something, and one that finds its own has not.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from conferral.runtime.errors import ConferralError, LeaseLostError
from conferral.storage import scripts
from conferral.storage.codecs.text_codec import parse_object
from conferral.storage.connection.client import Client, as_store_errors
from conferral.storage.keys import Keys

#: How long a worker may be silent before it counts as dead and is taken over, if Redis answers quickly, milliseconds.
WORKER_LIFETIME_MS = 2_000
#: Without a tick for this long, a worker is shown as dead, milliseconds. Workers ask the coordinator instead.
SHOWN_DEAD_AFTER_MS = 3_500
#: How long a dead worker stays listed, milliseconds.
DEAD_LISTED_MS = 30_000
#: What one worker at a time does, next to the partitions.
ROUTER, SWEEP, OUTCOMES, QUEUE = "commands", "sweep", "outcomes", "queue"
TASKS = (ROUTER, SWEEP, OUTCOMES, QUEUE)


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


@dataclass(frozen=True, slots=True)
class OtherWorker:
    """Another worker's newest tick, and how long it counts."""

    number: int
    lifetime_s: float


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
        DEAD_LISTED_MS,
    ]
    answer = await scripts.answer_tick(client, [keys.owners, keys.workers], arguments)
    if not answer:
        return None
    now_ms, surplus, free, mine, others = answer
    found = [one.decode(errors="replace") for one in others]
    return Granted(
        int(now_ms),
        int(surplus),
        int(free),
        {item.decode(): int(epoch) for item, epoch in zip(mine[::2], mine[1::2], strict=True)},
        {
            name: OtherWorker(int(number), int(lifetime_ms) / 1000)
            for name, number, lifetime_ms in zip(*(found[at::3] for at in range(3)), strict=True)
        },
    )


class WritesLostError(LeaseLostError):
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
    #: How many dials and announcements were marked as sent, by all owners (count).
    marks: int
    #: Redis's time when it was claimed, Unix milliseconds.
    claimed_at_ms: int
    #: Id of the newest entry at the claim; later ones are of Redis as it is now.
    newest_id: str
    #: Name of the worker that held it last; empty if it released the lease, or there was none.
    last_holder: str
    #: Whether Redis may lack what was done before the claim.
    is_after_loss: bool = False
    #: Whether the key notes that, until each live session's read is in the outbox.
    awaits_reads: bool = False
    #: Undecided entries, as last seen (count).
    waiting: int = 0
    #: The last owner has died, or failed, and may have done so of the oldest entry.
    is_after_death: bool = False


async def claim_partition(client: Client, keys: Keys, partition: int, holder: str) -> Lease:
    """Make `holder` the partition's owner, or raise EpochUsedError."""
    arguments: list[scripts.Argument] = [holder, "", 0, 0, "", 0]
    answer = await scripts.hold_partition.durably(client, _lease_keys(keys, partition), arguments)
    if int(answer[0]) == 0:
        raise EpochUsedError(int(answer[1]))
    _, commit_number, marks, now_ms, last_holder, waiting, is_lost, newest_id, _ = answer
    return Lease(
        holder,
        int(commit_number),
        int(marks),
        claimed_at_ms=int(now_ms),
        newest_id=newest_id.decode(),
        last_holder=last_holder.decode(errors="replace").partition(":")[2],
        is_after_loss=bool(is_lost),
        awaits_reads=bool(is_lost),
        waiting=int(waiting),
    )


async def confirm_partition(
    client: Client,
    keys: Keys,
    partition: int,
    lease: Lease,
    *,
    is_release: bool = False,
    reads_requested: bool = False,
    is_try: bool = False,
) -> int:
    """Compare a partition with its key.

    Raise WritesLostError or LeaseLostError if they differ. The key notes a loss, for later owners, until
    `reads_requested`: each live session's read is in the outbox. `is_release`: release the lease. `is_try`: note that
    its oldest entry is about to be decided after a death; return how often that was so.
    """
    reads: scripts.Argument = int(reads_requested) if lease.awaits_reads else ""
    known: list[scripts.Argument] = [lease.holder, lease.commit_number, lease.marks]
    arguments = [*known, int(is_release), reads, int(is_try)]
    answer = await scripts.hold_partition(client, _lease_keys(keys, partition), arguments)
    if int(answer[0]) == 0:
        raise LeaseLostError("another worker owns the partition")
    if int(answer[0]) != 1:
        raise WritesLostError("Redis lacks something")
    lease.waiting = int(answer[5])
    lease.awaits_reads = lease.awaits_reads and not reads_requested
    return int(answer[8])


def _lease_keys(keys: Keys, partition: int) -> list[str]:
    return [keys.lease(partition), keys.events(partition)]
