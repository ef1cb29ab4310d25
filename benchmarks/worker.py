"""How much CPU time does a worker need per event, compared with two task queues and with only reading the events?"""

from dataclasses import dataclass
from random import Random

from benchmarks.support import backlog
from benchmarks.support.children import Child
from benchmarks.support.conferences import Conference, in_turn, open_all
from benchmarks.support.fake_twilio import FakeTwilio
from benchmarks.support.figures import Figures
from benchmarks.support.machine import OTHER_CORE, PEERS
from benchmarks.support.redis_load import RedisMeter, pinned_client
from conferral.storage.connection.client import Client


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    events: int
    #: Events that the task queues get.
    peer_events: int
    calls_at_once: int


SIZES = {
    "full": Size(rounds=5, events=20_000, peer_events=4_000, calls_at_once=1_000),
    "quick": Size(rounds=2, events=7_000, peer_events=1_000, calls_at_once=1_000),
    "tiny": Size(rounds=1, events=140, peer_events=70, calls_at_once=10),
}


async def _ordinary(kind: str, redis_url: str, client: Client, size: Size, figures: Figures) -> None:
    """Calls of seven events each, stored before the process starts."""
    await backlog.store(client, backlog.events(size.events, size.calls_at_once))
    meter = RedisMeter(client)
    async with Child(kind, redis_url=redis_url, api_url=backlog.NO_API) as child:
        await meter.start()
        await backlog.all_decided(client, child)
        _add(figures, "ordinary" if kind == "worker" else kind, await backlog.work_done(child), size.events)
        if kind == "worker":
            redis = await meter.read()
            figures.add("ordinary.redis_us", redis.cpu_s / size.events * 1e6)
            redis.add_scripts(figures, "ordinary.")
            figures.add("ordinary.redis_commands", redis.commands_run / size.events)


async def _conference(redis_url: str, client: Client, size: Size, figures: Figures) -> None:
    """Callbacks of conferences (join, speech, mute, hold, leave), stored while the worker is paused."""
    conferences = [Conference(number) for number in range(size.calls_at_once)]
    async with FakeTwilio() as twilio, Child("worker", redis_url=redis_url, api_url=twilio.url) as worker:
        await open_all(client, worker, conferences)
        requests = twilio.arrivals.qsize()
        events, meter = in_turn(conferences, size.events), RedisMeter(client)
        used, _ = await backlog.decided(client, worker, events, meter)
        _add(figures, "conference", used, len(events))
        redis = await meter.read()
        figures.add("conference.redis_us", redis.cpu_s / len(events) * 1e6)
        redis.add_scripts(figures, "conference.")
        figures.add("conference.requests_per_event", (twilio.arrivals.qsize() - requests) / len(events))


async def _peer(name: str, redis_url: str, size: Size, figures: Figures) -> None:
    """The same number of steps per call in a task queue, stored before its worker starts."""
    async with (
        Child("publisher", peer=name, core=OTHER_CORE, redis_url=redis_url, events=size.peer_events),
        Child("worker", peer=name, redis_url=redis_url, api_url=backlog.NO_API) as worker,
    ):
        while (used := await worker.used()).get("commits", 0) < size.peer_events:
            await backlog.pause()
    _add(figures, name, used, size.peer_events)


def _add(figures: Figures, name: str, used: dict[str, dict[str, float]], events: int) -> None:
    first, last = used["first_read"], used["last_commit"]
    cpu_s = last["cpu_s"] - first["cpu_s"]
    figures.add(f"{name}.cpu_us", cpu_s / events * 1e6)
    figures.add(f"{name}.core_events_per_s", events / cpu_s)
    figures.add(f"{name}.events_per_s", events / (last["s"] - first["s"]))


async def measure(size: Size, _chance: Random) -> Figures:
    """Alternate between all of them; each round has fresh processes and a fresh backlog."""
    figures = Figures()
    async with pinned_client() as (redis_url, client):
        for _ in range(size.rounds):
            for kind in ("reader", "worker"):
                await client.flushall()
                await _ordinary(kind, redis_url, client, size, figures)
            await client.flushall()
            await _conference(redis_url, client, size, figures)
            for name in PEERS:
                await client.flushall()
                await _peer(name, redis_url, size, figures)
    for name in PEERS:
        figures.add_ratio(f"ordinary.against_{name}_times", f"{name}.cpu_us", "ordinary.cpu_us")
    return figures
