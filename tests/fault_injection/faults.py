"""The list of faults: what goes wrong, and what has to follow. The tests of this folder bear its numbers."""

from typing import NamedTuple


class Fault(NamedTuple):
    """One row of the list."""

    fault: str
    follows: str


#: By number. Numbers never change their meaning; new faults get new ones.
FAULTS: dict[int, Fault] = {
    1: Fault("a commit is stored, its reply is lost", "recognised as our own: nothing is decided or done twice"),
    2: Fault("a commit reaches Redis twice", "the second changes nothing"),
    3: Fault("a callback is on the stream twice", "one decision, the other is stale"),
    4: Fault("the reply to a read is lost", "read again, decided once, the stream empty in the end"),
    5: Fault("a worker is killed before the commit", "the next one decides, one effect"),
    6: Fault("a worker is killed after the commit, before the request", "the next one sends it"),
    7: Fault("a worker is killed after the request, before its outcome", "looked up first, nobody dialled twice"),
    8: Fault("a worker is killed while an outcome is written", "the outcome is there once"),
    9: Fault("a worker is paused for longer than its lease", "its commit is refused, no request after it wakes"),
    10: Fault("a worker is paused in the middle of a request", "a late answer counts for the holder alone"),
    11: Fault("a worker's loop stands still for longer than its lease", "as if it was paused"),
    12: Fault("the lease is lost between two commits", "the first stands, the second is refused"),
    13: Fault("two workers believe in the same epoch", "the whole name decides who commits"),
    14: Fault("Redis is killed and restarted", "all that was acknowledged is there; scripts are sent again"),
    15: Fault("Redis restarts with a torn append-only file", "a commit is there whole or not at all"),
    16: Fault("Redis comes back from an older file", "noticed; looked up before anything is sent; nobody stranded"),
    17: Fault("a failover loses writes", "as with an older file"),
    18: Fault("the primary is demoted while we are connected", "connects anew, to the primary"),
    19: Fault(
        "Redis is emptied in operation", "groups are made again; sessions come back from callbacks and the sweep"
    ),
    20: Fault("a stream is deleted while it is read", "made again; no busy loop"),
    21: Fault("Redis forgets its scripts", "sent again, nobody notices"),
    22: Fault("Redis is full", "callers are connected, the backlog drains, and all goes on when there is room"),
    23: Fault("Redis may evict keys", "`conferral check` fails"),
    24: Fault(
        "Redis refuses writes: replicas missing, disk failing", "nothing half done, `/readyz` 503, callers connected"
    ),
    25: Fault("Redis is silent, the connection open", "every command ends at its deadline, TwiML in time"),
    26: Fault("Redis is slow", "less is done, no lease is lost"),
    27: Fault("a connection breaks in the middle of a reply", "connects anew, no reply is taken for another's"),
    28: Fault("a task is cancelled at any await", "no wrong reply, no connection lost"),
    29: Fault("another tenant's script keeps Redis busy", "waits, then goes on"),
    30: Fault("a cluster's slot moves under load", "followed, nothing lost"),
    31: Fault("a cluster's node dies, a replica is promoted", "as with a failover"),
    32: Fault("an entry can't be understood", "to the dead letters, whole; the stream goes on"),
    33: Fault("an entry kills the worker that decides it", "to the dead letters after three deaths"),
    34: Fault("somebody trims a stream", "the sweep makes up for what is lost"),
    35: Fault("a backlog of a million events", "memory bounded, oldest first, timers put on the stream on time"),
    36: Fault("our machine's clock is set by an hour", "nothing: no timer fires early, no lease is lost"),
    37: Fault("Redis's clock is set", "one hand-over at most, no effect twice, timers on time"),
    38: Fault(
        "a request times out before its effect", "looked up and sent once more; a call that can't be looked up never"
    ),
    39: Fault("a request times out after its effect", "found, not repeated"),
    40: Fault("Twilio never answers", "given up at the deadline; other sessions don't wait"),
    41: Fault("429, 503, resets, half an answer, HTML", "waits with jitter, order kept, a breaker opens"),
    42: Fault(
        "credentials are refused (401, 403)", "nothing is dialled, one alarm, sessions kept, and all goes on later"
    ),
    43: Fault("callbacks lost, doubled a hundred times, late, reversed", "as Twilio has it, after one sweep at most"),
    44: Fault("callbacks of a foreign account, an unknown or ended session", "403, rebuilt, or ignored with a reason"),
    45: Fault("a flood of wrong signatures", "403, nothing is published, good ones are answered"),
    46: Fault("huge bodies, slow senders, bombs, too many fields", "refused or cut off, memory flat"),
    47: Fault("webhooks without Redis", "callers bridged; the action of a dial waits, then asks Twilio"),
    48: Fault("webhooks are stopped under load", "what was answered is on the stream; gone within 10 s"),
    49: Fault("a worker is stopped with a request under way", "waits for it within bounds, else leaves it to the next"),
    50: Fault("all workers are restarted one after the other", "nobody stranded, hand-overs below a second"),
    51: Fault("two versions at once", "unknown fields are kept, unknown events not dropped in silence"),
    52: Fault("the disk is full, the log can't be written", "the service goes on"),
    53: Fault("no more file descriptors", "sheds load, recovers"),
    54: Fault("a worker runs out of memory", "as if it was killed"),
    55: Fault(
        "commands that repeat or contradict each other", "one wins, the others are rejected; one id, one outcome"
    ),
    56: Fault("braces, globs and the like in ids", "rejected before they are part of a key"),
    57: Fault("no worker runs when a timer is due", "fired once, after the take-over"),
    58: Fault("the sweep meets a change under way", "what is older than the newest fact is not taken"),
    59: Fault("a partition has no holder", "told by `/readyz` and a metric"),
    60: Fault("an outcome can't be written", "kept in the outbox, looked up first"),
    61: Fault("stream ids go back after a failover", "every entry is decided, none is passed over"),
    62: Fault("a former holder wakes with a read open", "no entry is skipped or overtaken"),
}
