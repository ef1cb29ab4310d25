"""Generate docs/reference/readyz.md, the lines of `/readyz` and what to do."""

from page_parts import page, prose, table

#: What `missing` may have, and what to do.
_LINES = (
    (
        "`redis: no answer` (within 2 s)",
        "check that Redis is up, and its CPU",
    ),
    (
        "`redis: connection refused`, `no such socket`, `host name not found`, `TLS failed`",
        "check that Redis is up, and `REDIS_URL`",
    ),
    (
        "`redis: no Sentinel knows the name in REDIS_URL`",
        "correct the name in `REDIS_URL`, or `sentinel monitor`",
    ),
    (
        "`redis: loading`, `not reached yet`",
        "wait: Redis is loading its data, or the worker is starting",
    ),
    (
        "`redis: full (OOM)`",
        "add memory, or lower `CONFERRAL_SESSION_TTL`. New calls are bridged, callbacks get 503",
    ),
    (
        "`redis: read-only (READONLY)`",
        (
            "make `REDIS_URL` lead to [the primary](../redis.md#one-primary). After a failover, wait: "
            "Conferral looks for it every half second"
        ),
    ),
    (
        "`redis: too few replicas (NOREPLICAS)`",
        "restore a replica",
    ),
    (
        "`redis: can't write to its disk (MISCONF)`",
        "check the disk: the append-only file can't grow",
    ),
    (
        "`redis: busy with a script (BUSY)`",
        "another program's script has run for over 5 s: `SCRIPT KILL`",
    ),
    (
        (
            "`redis: cluster down (CLUSTERDOWN)`, `primary down (MASTERDOWN)`, `slots are being moved "
            "(TRYAGAIN)`, `slots are being moved (ASK)`"
        ),
        "wait, or `redis-cli --cluster check`",
    ),
    (
        (
            "`redis: a cluster, but REDIS_URL lacks ?cluster=true (MOVED)`, `a cluster, but "
            "CONFERRAL_PREFIX lacks braces (CROSSSLOT)`"
        ),
        "correct [the settings](../redis.md#one-primary)",
    ),
    (
        "`redis: password refused`, `not permitted (NOPERM)`",
        "correct the password, or the [user's rules](../redis.md#users)",
    ),
    (
        "`redis: refuses (WORD)`",
        "look the word up in Redis's documentation",
    ),
    (
        "`redis: nothing is set up under the prefix PREFIX; …`",
        "the console: start a worker; check `REDIS_URL` and `CONFERRAL_PREFIX`",
    ),
    (
        "`draining`",
        "send no new requests here: the webhooks got SIGTERM",
    ),
    (
        "`no request may leave: Redis took 2.0 s to renew the leases`",
        "check `redis-cli --latency`, and the worker's CPU",
    ),
    (
        "`partitions unassigned` (for 5 s)",
        "[the alert](alerts.md#conferralpartitionsunassigned)",
    ),
    (
        "`twilio: credentials refused (20003)`",
        "[change the credentials](../operating.md#changing-credentials)",
    ),
    (
        "`twilio: no answer`",
        "wait; bridged calls continue",
    ),
)


def readyz_page() -> str:
    """Return every line of `/readyz`."""
    intro = prose(
        "`/readyz` returns 200, or 503 with one line in `missing` for each problem. These lines are part of the public "
        "interface. Meanwhile, Conferral still bridges calls."
    )
    return page("scripts/readyz_page.py", "# Lines of `/readyz`\n", intro, table(("Line", "What to do"), _LINES))
