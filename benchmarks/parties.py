"""What does an event cost in a session of many parties, and how long is the longest script?"""

from dataclasses import dataclass
from random import Random

from benchmarks.support import backlog
from benchmarks.support.children import Child
from benchmarks.support.conferences import Conference, open_all
from benchmarks.support.fake_twilio import FakeTwilio
from benchmarks.support.figures import Figures
from benchmarks.support.redis_load import RedisMeter, pinned_client
from conferral.storage.connection.client import Client

#: Numbers of the calls of each count of parties start at its multiple of this.
_APART = 10_000


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    parties: tuple[int, ...]
    sessions: int
    #: Events of each session, with the session in the worker's memory.
    events: int
    #: Log entries of the session whose scripts are measured.
    log_entries: int


SIZES = {
    "full": Size(rounds=5, parties=(2, 10, 30, 100), sessions=50, events=40, log_entries=5_000),
    "quick": Size(rounds=2, parties=(2, 100), sessions=10, events=20, log_entries=1_000),
    "tiny": Size(rounds=1, parties=(2, 5), sessions=2, events=2, log_entries=10),
}


async def _cost(redis_url: str, client: Client, conferences: list[Conference], size: Size) -> tuple[float, float]:
    """Return microseconds of CPU per event: the first of each session, which loads it, and the following ones."""
    async with FakeTwilio() as twilio, Child("worker", redis_url=redis_url, api_url=twilio.url) as worker:
        found = []
        for count in (1, size.events):
            events = [one.mute() for _ in range(count) for one in conferences]
            _, cpu_s = await backlog.decided(client, worker, events)
            found.append(cpu_s / (count * len(conferences)) * 1e6)
    return found[0], found[1]


async def _longest_script(redis_url: str, client: Client, size: Size, figures: Figures, number: int) -> None:
    """Fill one session's log, then measure full batches of its events, and its end."""
    conference = Conference(number, size.parties[-1])
    async with FakeTwilio() as twilio, Child("worker", redis_url=redis_url, api_url=twilio.url) as worker:
        await open_all(client, worker, [conference])
        meter = RedisMeter(client)
        await meter.start()
        async with worker.paused():
            await backlog.store(client, [conference.mute() for _ in range(size.log_entries)])
        await backlog.all_decided(client, worker)
        async with worker.paused():
            await backlog.store(client, conference.closing())
        await backlog.settled(client, worker)
        (await meter.read()).add_scripts(figures)


async def measure(size: Size, _chance: Random) -> Figures:
    """Open all sessions once, then alternate between the counts of parties; each has a fresh worker."""
    figures = Figures()
    async with pinned_client() as (redis_url, client):
        by_parties = {
            parties: [Conference(number, parties) for number in backlog.of_one_partition(size.sessions, index * _APART)]
            for index, parties in enumerate(size.parties)
        }
        async with FakeTwilio() as twilio, Child("worker", redis_url=redis_url, api_url=twilio.url) as worker:
            for conferences in by_parties.values():
                await open_all(client, worker, conferences)
        for turn in range(size.rounds):
            for parties, conferences in by_parties.items():
                load_us, event_us = await _cost(redis_url, client, conferences, size)
                figures.add(f"parties_{parties}.load_us", load_us)
                figures.add(f"parties_{parties}.cpu_us", event_us)
            await _longest_script(redis_url, client, size, figures, len(size.parties) * _APART + turn)
    fewest, most = f"parties_{size.parties[0]}", f"parties_{size.parties[-1]}"
    for kind in ("load_us", "cpu_us"):
        figures.add_ratio(f"many_to_two_{kind}_times", f"{most}.{kind}", f"{fewest}.{kind}")
    return figures
