"""Holds a run against the laws, by the sandbox's request log and by what is left in Redis.

1. Nothing is left: streams, outboxes, timers and lists of live sessions are empty, no one is on the phone, nothing was
   dead-lettered.
2. One call an intent: of each dial, and of each label in a conference, there is one call at most.
3. Every session that is stored has ended, its log has no gap, and the last entry is what is stored.
4. No one was on the line alone, with no one being dialed, for longer than may be, but for those who were parked.
5. No process ended by itself.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import Client, Command, as_store_errors, run_or_raise
from conferral.storage.coordinator import read_owners
from conferral.storage.keys import Keys
from offhook import Sandbox
from offhook.model.state import Call
from tests.soak.services import Services
from tests.support.call_spans import alone
from tests.support.dials import dialed_twice
from tests.support.stalls import Stalls

#: How often the check for leftovers runs, seconds.
CHECK_EVERY_S = 0.5
#: Reads in one pipeline, count.
CHUNK = 200


async def broken_laws(
    sandbox: Sandbox,
    client: Client,
    keys: Keys,
    services: Services,
    stalls: Stalls,
    *,
    settle_s: float,
    alone_s: float,
) -> list[str]:
    """Waits until everything has ended, then checks; the laws that were broken are sentences.

    Args:
        sandbox: Where everyone has hung up.
        client: Of Redis.
        keys: Its keys.
        services: The processes.
        stalls: When this process stood still, and Twilio and all people with it: that time does not count.
        settle_s: How long the end may take, seconds.
        alone_s: How long someone may have been on the line alone, seconds.
    """
    began_s = time.monotonic()
    left = await _what_is_left(sandbox, client, keys)
    while left and time.monotonic() < began_s + settle_s:
        await asyncio.sleep(CHECK_EVERY_S)
        left = await _what_is_left(sandbox, client, keys)
    wrong_logs, parked = await _wrong_logs(client, keys)
    alone_times = sorted(_times_alone(sandbox, parked, stalls), reverse=True)
    return [
        *left,
        *dialed_twice(sandbox),
        *(f"{count} calls for one <Dial>: {call}" for call, count in _children(sandbox).items() if count > 1),
        *wrong_logs,
        *(f"{sid} was alone for {seconds:.1f} s" for seconds, sid in alone_times if seconds > alone_s),
        *services.unexpected_ends(),
    ]


async def _what_is_left(sandbox: Sandbox, client: Client, keys: Keys) -> list[str]:
    left = [f"on the phone: {call!r}" for call in sandbox.live_calls()]
    try:
        with as_store_errors():
            for name, length in (("commands", client.xlen(keys.commands)), ("dead letters", client.xlen(keys.dead))):
                if count := await length:
                    left.append(f"{count} {name}")
            requests: list[Command] = []
            for number in range(keys.partitions):
                requests += [("XLEN", keys.events(number)), ("HLEN", keys.outbox(number))]
                requests += [("ZCARD", keys.timers(number)), ("SCARD", keys.live(number))]
            found = await run_or_raise(client, *requests)
            names = ("events", "effects", "timers", "live sessions")
            left += [f"{count} {names[at % 4]} in partition {at // 4}" for at, count in enumerate(found) if count]
            for number in range(keys.partitions):
                effects = await client.hgetall(keys.outbox(number)) if found[number * 4 + 1] else {}
                left += [f"{name!r}: {effect!r}" for name, effect in effects.items()]
    except StoreError as error:
        return [*left, str(error)]
    return left


def _children(sandbox: Sandbox) -> Counter[str]:
    """How many calls each `<Dial>` has placed to an address."""
    calls = sandbox.model.state.calls.values()
    return Counter(f"{call.parent_sid} to {call.to}" for call in calls if call.parent_sid)


def _field(call: Call, name: str) -> str:
    """A field of the callback URL that a call was placed with."""
    url = call.subscription.url if call.subscription else ""
    return parse_qs(urlsplit(url).query).get(name, [""])[0]


async def _wrong_logs(client: Client, keys: Keys) -> tuple[list[str], set[str]]:
    """What is wrong, and the sessions that were parked at some time: a parked party is alone on purpose."""
    names: list[str] = []
    for number in range(keys.partitions):
        names += [name.decode() for name in await client.zrange(keys.ended(number), 0, -1)]
    wrong: list[str] = []
    parked: set[str] = set()
    for start in range(0, len(names), CHUNK):
        some = names[start : start + CHUNK]
        requests: list[Command] = []
        for name in some:
            requests += [("HMGET", keys.session(name), "state", "version"), ("XRANGE", keys.log(name), "-", "+")]
        answers = await run_or_raise(client, *requests)
        for name, stored, log in zip(some, answers[::2], answers[1::2], strict=True):
            if any(fields[b"event"] == b"park" for _, fields in log):
                parked.add(name)
            wrong += [f"{name}: {what}" for what in _gaps(stored, [fields for _, fields in log])]
    return wrong, parked


def _gaps(stored: list[bytes | None], log: list[dict[bytes, bytes]]) -> list[str]:
    versions = [int(entry[b"version"]) for entry in log]
    found = []
    if stored[0] != b"ended":
        found.append(f"stored as {stored[0]!r}")
    if not log or versions != list(range(1, len(log) + 1)):
        found.append(f"versions {versions}")
    elif [log[-1][b"to"], log[-1][b"version"]] != stored:
        found.append(f"the log ends at {log[-1]}, stored is {stored}")
    found += [f"{one} is followed by {other}" for one, other in pairwise(log) if other[b"from"] != one[b"to"]]
    return found


# ---- who was alone ---------------------------------------------------------------------------------------------------


def _times_alone(sandbox: Sandbox, parked: Collection[str], stalls: Stalls) -> list[tuple[float, str]]:
    """How long each call was on the line while no other of its session was, nor was anyone rung."""
    of_session: dict[str, list[Call]] = defaultdict(list)
    calls = sandbox.model.state.calls
    for call in calls.values():
        first = call
        while first.parent_sid:
            first = calls[first.parent_sid]
        of_session[_field(first, "session") or first.sid].append(call)
    found = []
    offset_s = time.monotonic() - sandbox.now_s  # from the sandbox's clock to ours
    for name, together in of_session.items():
        for call in [] if name in parked else together:
            spans = alone(call, together, sandbox.now_s)
            found += [
                (end_s - start_s - stalls.lost_s(offset_s + start_s, offset_s + end_s), call.sid)
                for start_s, end_s in spans
            ]
    return found


# ---- who holds what --------------------------------------------------------------------------------------------------


class LeaseWatch:
    """Notes who holds each partition, as Redis has it, a few times a second."""

    CHECK_EVERY_S = 0.02

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self.holders: list[str] = [""] * keys.partitions
        #: Partitions that are released and not taken.
        self._free: set[int] = set()

    async def watch(self) -> None:
        """Checks until it is cancelled; while Redis is away nothing is recorded."""
        while True:
            with suppress(StoreError):
                await self._check()
            await asyncio.sleep(self.CHECK_EVERY_S)

    async def _check(self) -> None:
        owners = await read_owners(self._client, self._keys)
        for number in range(self._keys.partitions):
            owner = owners[str(number)]
            self._note(number, f"{owner.epoch}:{owner.name}" if owner.name else "")

    def _note(self, number: int, holder: str) -> None:
        if holder:
            self.holders[number] = holder
            self._free.discard(number)
        else:
            self._free.add(number)

    def shares(self) -> dict[int, int]:
        """How many partitions each process holds that holds any, by its id; released ones are no one's."""
        holders = (holder for at, holder in enumerate(self.holders) if holder and at not in self._free)
        return dict(Counter(map(pid_of, holders)))


def pid_of(holder: str) -> int:
    """The process of a lease's holder: `7:host-123-4f1c…`."""
    parts = holder.rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 else 0


async def until(holds: Callable[[], Any], timeout_s: float, what: str) -> None:
    """Waits until something holds."""
    began_s = time.monotonic()
    while not holds():
        assert time.monotonic() < began_s + timeout_s, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.01)
