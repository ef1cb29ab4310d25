"""Checks of workers and clocks."""

from collections import Counter
from urllib.parse import urlsplit

from conferral.check.result import CheckResult, fail, ok, warn
from conferral.operations.health import read_health
from conferral.runtime.clock import SystemClock
from conferral.runtime.settings import ServiceSettings
from conferral.storage import coordinator
from conferral.storage.command_stream import COMMANDS_MAX, count_waiting
from conferral.storage.connection.client import Client, run_each
from conferral.storage.keys import Keys
from conferral.storage.outcome_queue import OutcomeQueue
from conferral.storage.queries.live_workers import live_workers, read_lost_workers
from conferral.storage.queries.session_reader import SessionReader
from conferral.storage.server import server_time_ms

#: Difference above which the check warns, seconds: Twilio's times are whole seconds.
APART_MAX_S = 3
_FIX = "synchronize the machines' clocks (NTP): logs and reports show Redis's time, access tokens this machine's"


def twilio_ahead_s(twilio_ms: int | None) -> float | None:
    """Return how far Twilio's clock is ahead of this machine's, seconds."""
    # A `Date` is rounded down, by half a second on average.
    return None if twilio_ms is None else (twilio_ms + 500 - SystemClock().wall_ms()) / 1000


async def check_clocks(client: Client, key: str, twilio_s: float | None) -> CheckResult:
    """Compare the clocks; `twilio_s`: how far Twilio's is ahead, if known."""
    redis_s = (await server_time_ms(client, key) - SystemClock().wall_ms()) / 1000
    apart_s = {"Redis": redis_s - (twilio_s or 0.0)}
    if twilio_s is not None:
        apart_s["this machine"] = -twilio_s
    other = "this machine" if twilio_s is None else "Twilio"
    far = [
        f"{name} is {abs(by_s):.0f} s {'ahead of' if by_s > 0 else 'behind'} {other}"
        for name, by_s in apart_s.items()
        if abs(by_s) > APART_MAX_S
    ]
    if far:
        return warn("clocks", "; ".join(far), _FIX)
    return ok("clocks", f"{' and '.join(apart_s)} within {APART_MAX_S} s of {other}")


#: Number of waiting commands above which the check warns. A worker routes this many per second.
BACKLOG_MAX = 1_000
_AGAIN = "run the check again in 5 s; if it persists, check the workers"


async def check_workers(reader: SessionReader) -> list[CheckResult]:
    """Check workers, partitions, and the command router."""
    client, keys = reader.client, reader.keys
    backlog = await _backlog(client, keys)
    health, lost = await read_health(reader), await read_lost_workers(client, keys)
    held = Counter(one.owner.name for one in health.partitions)
    running = sorted(await live_workers(client, keys))
    dead = f"; not running: {', '.join(lost.names)}" if lost else ""
    if not running:
        found = f"none running: calls are answered, but nothing else happens{dead}"
        return [fail("workers", found, "start one: conferral worker"), *backlog]
    named = ", ".join(f"{name} (partitions: {held[name]})" for name in running)
    fixes = ["start a second worker: if the only one dies, no call is transferred or cleaned up"] * (len(running) == 1)
    fixes += ["if a worker was not stopped on purpose, read its log"] * bool(lost)
    found, free = f"{len(running)} running: {named}{dead}", ", ".join(map(str, health.unassigned))
    return [
        warn("workers", found, "; ".join(fixes)) if fixes else ok("workers", found),
        warn("partitions", f"no running worker holds: {free}", _AGAIN)
        if free
        else ok("partitions", f"all {keys.partitions} assigned"),
        ok("commands", "routed") if health.router.name else warn("commands", "no worker routes them", _AGAIN),
        *backlog,
    ]


async def check_outcomes(reader: SessionReader, settings: ServiceSettings) -> CheckResult:
    """Check whether outcomes arrive over HTTP.

    A container of webhooks lacks the workers' URL, so who sends them decides.
    """
    state = await OutcomeQueue(reader.client, reader.keys).read_state()
    owner = (await coordinator.read_owners(reader.client, reader.keys))[coordinator.OUTCOMES]
    is_owned = bool(owner.at(await server_time_ms(reader.client, reader.keys.owners)).name)
    if settings.outcomes_url is None and not is_owned:
        return ok("outcomes", "not sent over HTTP: no worker has CONFERRAL_OUTCOMES_URL, and it is not set here")
    host = urlsplit(settings.outcomes_url).hostname if settings.outcomes_url else "the URL that the workers have"
    if state.stopped_at_ms:
        found = f"to {host}: {state.problem}"
        return fail("outcomes", found, "correct the receiver, then: conferral outcomes resend --since TIME")
    if not is_owned:
        return warn("outcomes", f"no running worker sends them to {host}", "restart the workers with this URL")
    number = "1 session waits" if state.waiting == 1 else f"{state.waiting:,} sessions wait"
    waiting = f"; {number} to be sent" if state.waiting else ""
    undelivered = f"; {state.undelivered:,} could not be delivered" if state.undelivered else ""
    if state.problem:
        fix = "correct the receiver: each outcome is sent again for three days"
        return warn("outcomes", f"to {host}: {state.problem}{waiting}{undelivered}", fix)
    if state.undelivered:
        fix = "correct the receiver, then: conferral dead resend --all"
        return warn("outcomes", f"sent to {host}{waiting}{undelivered}", fix)
    return ok("outcomes", f"sent to {host}{waiting}")


async def check_dead_letters(client: Client, keys: Keys) -> CheckResult:
    """Check whether entries could not be processed."""
    (count,) = await run_each(client, [("XLEN", keys.dead)])  # `check_streams` reports another program's key
    if not count:
        return ok("dead letters", "none")
    found = f"{count:,} {'entry' if count == 1 else 'entries'} could not be processed"
    return warn("dead letters", found, "list them: conferral dead; then retry or drop them")


async def _backlog(client: Client, keys: Keys) -> list[CheckResult]:
    waiting = await count_waiting(client, keys)
    if waiting <= BACKLOG_MAX:
        return []
    found = f"{waiting:,} commands wait to be routed"
    if waiting > COMMANDS_MAX:
        found += f", more than Conferral's own limit of {COMMANDS_MAX:,}: a program publishes with XADD"
    return [warn("backlog", found, "make sure that a worker is running, and find out which programs publish commands")]
