"""A program that commits decisions on two Redis servers in turns, as a worker does, and stores how long each took."""

import asyncio
import json
import sys
import time
from pathlib import Path

from benchmarks.support.calls import call_sids
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.storage.connection.client import Client, make_client
from conferral.storage.coordinator import Lease, claim_partition
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import Commit, CommitStore, SessionChange
from tests.support.stores import commit_store_of

_KEYS = Keys("conferral", 1)
#: Each connection is made by the first, and asks for replicas.
_WARM_UP = 20


async def _commit_s(client: Client, store: CommitStore, lease: Lease, number: int) -> float:
    """Return how long one commit takes: of one entry, one session, one effect, and one timer, in seconds."""
    session = Session(call_sids(number)[0])
    entry_id = await client.xadd(_KEYS.events(0), {"number": number})
    change = SessionChange(session)
    change.after = replace(session, version=1)
    commit = Commit([entry_id.decode()], [change], {f"E{number}": b"{}"}, [], {f"lone|{session.id}": number})
    began_s = time.perf_counter()
    await store.commit(0, lease, commit)
    return time.perf_counter() - began_s


async def _durations_s(count: int, *urls: str) -> list[list[float]]:
    """Return the commits' durations for each server, in seconds."""
    clients = [make_client(url) for url in urls]
    stores = [commit_store_of(client, _KEYS) for client in clients]
    leases = [await claim_partition(client, _KEYS, 0, f"{time.time_ns()}:worker") for client in clients]
    found: list[list[float]] = [[] for _ in urls]
    for number in range(count + _WARM_UP):
        for client, store, lease, durations in zip(clients, stores, leases, found, strict=True):
            durations.append(await _commit_s(client, store, lease, number))
    for client in clients:
        await client.aclose()
    return [durations[_WARM_UP:] for durations in found]


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(_durations_s(int(sys.argv[1]), *sys.argv[3:]))), "utf-8")
