"""The list of faults: each fault, and the required result. The tests of this folder have its numbers.

Some are played by other tests, among much else; the list names their files.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """One row of the list."""

    fault: str
    follows: str
    #: Which test plays it, in `tests/`; empty for those of this folder.
    played_in: str = ""


WORLDS, COMMITS = "simulation/test_simulation.py", "storage/partition/test_commit.py"
#: By number. Numbers never change their meaning; new faults get new ones.
FAULTS: dict[int, Fault] = {
    1: Fault("a commit is stored, its reply is lost", "recognized as our own: nothing is decided or done twice"),
    2: Fault("a commit reaches Redis twice", "the second changes nothing", COMMITS),
    3: Fault("a callback is on the stream twice", "one decision; the other entry is stale"),
    4: Fault("the reply to a read is lost", "read again, decided once; the stream ends up empty"),
    5: Fault("a worker is killed before the commit", "the next one decides, one effect"),
    6: Fault("a worker is killed after the commit, before the request", "the next one sends it"),
    7: Fault("a worker is killed after the request, before its outcome", "verified first; no one is dialed twice"),
    8: Fault("a worker is killed while an outcome is written", "the outcome is stored once"),
    9: Fault("a worker is paused for longer than its lease", "its commit is refused, no request after it wakes"),
    10: Fault("a worker is paused in the middle of a request", "only the owner uses a late answer", WORLDS),
    11: Fault("a worker's event loop is blocked for longer than its lease", "as if it was paused", WORLDS),
    12: Fault("the lease is lost between two commits", "the first is kept, the second is refused", WORLDS),
    13: Fault("two workers have the same epoch", "the full `holder` decides which commits", COMMITS),
    14: Fault("Redis is killed and restarted", "nothing acknowledged is lost; scripts are sent again"),
    15: Fault("Redis restarts with a torn append-only file", "a commit is complete or absent"),
    16: Fault("Redis comes back from an older file", "detected; verified before anything is sent; no one is stranded"),
    17: Fault("a failover loses writes", "as with an older file", WORLDS),
    18: Fault("the primary is demoted during a connection", "reconnects to the primary"),
    19: Fault("Redis is emptied in operation", "sessions come back from callbacks and the sweep"),
    20: Fault("a stream is deleted while it is read", "recreated; no busy loop"),
    21: Fault("Redis forgets its scripts", "sent again, without an effect on calls", COMMITS),
    22: Fault("Redis is full", "callers are connected, the backlog drains, and work continues when there is memory"),
    23: Fault("Redis may evict keys", "`conferral check` fails"),
    24: Fault(
        "Redis refuses writes: replicas missing, disk failing",
        "nothing is half done, `/readyz` answers 503, callers are connected",
    ),
    25: Fault("Redis is silent, the connection open", "every request ends at its deadline; TwiML is answered in time"),
    26: Fault("Redis is slow", "lower throughput; no lease is lost", "simulation/test_slow_redis.py"),
    27: Fault(
        "a connection breaks in the middle of a reply",
        "reconnects; no reply is matched to another request",
        "storage/connection/test_store_errors.py",
    ),
    28: Fault(
        "a task is canceled at any await",
        "no wrong reply, no connection lost",
        "storage/connection/test_store_errors.py",
    ),
    29: Fault("another tenant's script keeps Redis busy", "waits, then continues"),
    30: Fault("a cluster's slot moves under load", "followed, nothing lost"),
    31: Fault("the primary dies or hands over, a replica is promoted", "followed; consults are completed"),
    32: Fault("an entry can't be parsed", "dead-lettered in full; the stream continues"),
    33: Fault("an entry kills the worker that decides it", "the other partitions go on; an alert names its partition"),
    34: Fault("another program trims a stream", "the sweep repairs the loss"),
    35: Fault("a backlog of a million events", "memory bounded, oldest first, timers put on the stream on time"),
    36: Fault("the machine's clock is set by an hour", "no effect: no timer fires early, no lease is lost"),
    37: Fault("Redis's clock is set", "no handover, nothing twice or early", "worker/test_clocks_in_calls.py"),
    38: Fault(
        "a request times out before its effect", "verified and sent once more; never for a call that can't be verified"
    ),
    39: Fault("a request times out after its effect", "found by a check, not repeated"),
    40: Fault("Twilio never answers", "given up at the deadline; other sessions don't wait"),
    41: Fault(
        "429, 503, resets, half an answer, HTML", "waits with jitter, keeps the order, opens the circuit breaker"
    ),
    42: Fault(
        "credentials are refused (401, 403)",
        "no dials, one alert, sessions are kept, and work continues later",
        "flows/test_twilio_errors.py",
    ),
    43: Fault("callbacks lost, repeated a hundred times, late, reversed", "agrees with Twilio after one sweep at most"),
    44: Fault("callbacks of another account, an unknown or ended session", "403, rebuilt, or ignored with a reason"),
    45: Fault(
        "a flood of wrong signatures",
        "403, nothing is published, valid ones are answered",
        "webhooks/test_authentication.py",
    ),
    46: Fault(
        "huge bodies, slow senders, bombs, too many fields",
        "refused or cut off before they are read",
        "webhooks/test_server.py",
    ),
    47: Fault(
        "webhooks without Redis",
        "callers bridged; the action of a dial waits, then asks Twilio",
        "processes/test_redis_restarts.py",
    ),
    48: Fault("webhooks are stopped under load", "everything answered is on the stream; stops within 10 s"),
    49: Fault("a worker is stopped during a request", "waits for it within a limit, else leaves it to the next"),
    50: Fault(
        "all workers are restarted one after the other",
        "no one is stranded; handovers take less than a second",
        "soak/test_load.py",
    ),
    51: Fault("two versions at once", "unknown fields are kept; unknown events are not dropped silently"),
    52: Fault("the disk is full, the log can't be written", "the service continues"),
    53: Fault("no more file descriptors", "sheds load, recovers"),
    54: Fault("a worker runs out of memory", "as if it was killed", "runtime/test_containment.py"),
    55: Fault("commands that repeat or contradict each other", "one wins, the others are rejected; one outcome per id"),
    56: Fault(
        "braces, globs, and similar characters in ids",
        "rejected before they become part of a key",
        "commands/test_parser.py",
    ),
    57: Fault("no worker runs when a timer is due", "fires once, after the takeover"),
    58: Fault("the sweep runs during a change", "findings older than the newest fact are ignored"),
    59: Fault("a partition has no owner", "reported by `/readyz` and a metric"),
    60: Fault("an outcome can't be written", "kept in the outbox, verified first", WORLDS),
    61: Fault("stream ids go back after a failover", "every entry is decided, none is skipped"),
    62: Fault("a former owner wakes with a read open", "no entry is skipped or overtaken", WORLDS),
    63: Fault("a redirect takes effect late, up to 30 s", "no second one is sent meanwhile; the two talk on"),
    64: Fault("an unhold that was given up takes effect in a consult", "no one is overheard, or held again at once"),
    65: Fault("a worker is killed while it offers a caller in a queue", "another goes on; no desk is rung twice"),
    66: Fault(
        "a replica lags, hangs, or only reads", "delays by its lag, by up to 11 s, or nothing; no callback is refused"
    ),
}
