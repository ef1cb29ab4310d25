"""The laws that hold after every fault, once everyone has hung up.

1. Nothing is left: streams, outboxes, timers and lists of live sessions are empty, no one is on the phone, and nothing
   was dead-lettered.
2. One dial an intent, by the sandbox's request log.
3. A session's log has no gap, each entry begins where the one before has ended, and the last is what is stored.
4. The log replays: what was decided, decided again from nothing, comes to the very fields that are stored;
   and the changes in its entries add up to the fields that people read.
5. No one was alone, and no one in silence, for longer than the grace and a sweep.
"""

from collections import defaultdict
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from conferral.storage.codecs import session_codec
from offhook.model.state import Call
from tests.fault_injection.fault_system import FaultSystem
from tests.support.call_spans import alone
from tests.support.dials import assert_one_dial_an_intent
from tests.support.flat_sessions import flat
from tests.support.log_replay import difference

#: What REST requests, callbacks and a busy machine may add to the time for which someone is alone, seconds.
SLACK_S = 2.0
#: Where a session's log begins.
FIRST_VERSION = 1


async def assert_invariants(
    system: FaultSystem,
    *,
    outage_s: float = 0.0,
    dead_lettered: int = 0,
    replays: bool = True,
) -> None:
    """Waits until everything has come to its end, then holds the whole run against the laws.

    Args:
        system: Where; everyone has hung up, or is about to be hung up.
        outage_s: How long no one could do anything about someone who was alone: Redis away, no worker there.
        dead_lettered: How many entries the fault itself has put to the dead letters (count).
        replays: False where a worker decided whose decisions are not kept.
    """
    await system.comes_to_rest()
    letters = await system.client.xrange(system.keys.dead)
    assert len(letters) == dead_lettered, letters
    assert_one_dial_an_intent(system.sandbox)
    await _assert_logs(system, replays=replays)
    await assert_no_one_was_stranded(system, outage_s=outage_s)


# ---- logs ------------------------------------------------------------------------------------------------------------


async def session_ids(system: FaultSystem) -> list[str]:
    """Every session that is stored, live ones too."""
    names: set[bytes] = set()
    for partition in range(system.keys.partitions):
        names |= await system.client.smembers(system.keys.live(partition))
        names |= set(await system.client.zrange(system.keys.ended(partition), 0, -1))
    return sorted(name.decode() for name in names)


async def _assert_logs(system: FaultSystem, *, replays: bool) -> None:
    found = {}
    for session_id in await session_ids(system):
        record = await system.client.hgetall(system.keys.session(session_id))
        session = session_codec.load(session_id, record)
        # The sweep may still write to a session that has ended.
        found[session_id] = (
            session,
            [entry for entry in await system.log(session_id) if int(entry["version"]) <= session.version],
        )
    system.decisions.read_files()
    for session_id, (session, log) in found.items():
        stored = flat(session)
        versions = [int(entry["version"]) for entry in log]
        assert versions == list(range(FIRST_VERSION, FIRST_VERSION + len(versions))), f"{session_id}: {versions}"
        for before, after in pairwise(log):
            assert after["from"] == before["to"], f"{session_id}: {before} is followed by {after}"
        assert (log[-1]["to"], log[-1]["version"]) == (stored["state"], stored["version"]), session_id
        assert stored["state"] == "ended", f"{session_id}: {stored}"
        if replays:
            replayed = flat(system.decisions.replayed(session_id, log))
            assert replayed == stored, f"{session_id} replays to {_difference(replayed, stored)}"
        different = difference(log, session)
        assert not different, f"{session_id}: {different}"


def _difference(one: dict[str, str], other: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Fields that differ, each with its two values."""
    names = sorted(one.keys() | other.keys())
    return {
        name: (one.get(name, "-"), other.get(name, "-")) for name in names if one.get(name, "-") != other.get(name, "-")
    }


# ---- who was alone ---------------------------------------------------------------------------------------------------


async def assert_no_one_was_stranded(system: FaultSystem, *, outage_s: float = 0.0) -> None:
    """No one who had picked up was without anyone else on the line, or in silence, for longer than may be."""
    settings = system.settings
    most_s = settings.lone_grace_s + settings.sweep_interval_s + SLACK_S + outage_s
    for session_id, calls in (await _calls_by_session(system)).items():
        for call in calls:
            for since_s, until_s in alone(call, calls, system.sandbox.now_s):
                alone_s = until_s - since_s
                assert alone_s <= most_s, f"{call.sid} of {session_id} was alone for {alone_s:.1f} s"
            silent_s = system.listening.longest_silence(call.sid)
            assert silent_s <= most_s, f"{call.sid} of {session_id}: {silent_s:.1f} s of silence"


async def _calls_by_session(system: FaultSystem) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = defaultdict(list)
    calls = system.sandbox.model.state.calls
    for call in calls.values():
        if call.is_foreign:
            continue
        first = call
        while first.parent_sid:
            first = calls[first.parent_sid]
        placed_for = parse_qs(urlsplit(first.subscription.url).query).get("session") if first.subscription else None
        known = await system.client.get(system.keys.call(first.sid))
        found[placed_for[0] if placed_for else known.decode() if known else first.sid].append(call)
    return dict(found)
