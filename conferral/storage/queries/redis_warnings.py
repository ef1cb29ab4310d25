"""States of Redis that lose calls or results, although it takes writes."""

from dataclasses import dataclass
from typing import Any

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import Client, raise_refusals, run_all, store_errors
from conferral.storage.connection.errors import FOREIGN, URL_ERRORS
from conferral.storage.keys import Keys

#: The highest id of a stream. A stream that has had it refuses every entry. Source: Redis docs, XADD.
HIGHEST_ID = b"18446744073709551615-18446744073709551615"
#: What `read_warnings` may find: also the values of a metric's label.
KINDS = ("eviction", "commands", "outcomes", "dead")


@dataclass(frozen=True, slots=True)
class RedisWarning:
    """A state of Redis that a person must change."""

    #: One of `KINDS`.
    kind: str
    text: str


async def eviction_policy(client: Client) -> str:
    """Return a policy that evicts any key; empty if none does.

    Pass if Redis forbids INFO: `conferral check` reports that.
    """
    try:
        with store_errors():
            info = await client.info("memory")
    except StoreUnreachableError:
        raise
    except StoreError as error:
        if str(error) in URL_ERRORS:
            raise
        return ""
    nodes = [info, *(node for node in info.values() if isinstance(node, dict))]  # a cluster answers per node
    policies = (str(node.get("maxmemory_policy", "")) for node in nodes)
    return next((policy for policy in policies if policy.startswith("allkeys-")), "")


async def read_stream_warnings(client: Client, keys: Keys) -> list[RedisWarning]:
    """Return which shared streams refuse entries."""
    streams = {"commands": keys.commands, "outcomes": keys.outcomes, "dead": keys.dead}
    with store_errors():
        answers = await run_all(client, [("XINFO STREAM", key) for key in streams.values()])
    found = []
    for (kind, key), answer in zip(streams.items(), answers, strict=True):
        if problem := _problem(answer):
            found.append(RedisWarning(kind, f"{key} takes no entries: it {problem}"))
    return found


async def read_warnings(client: Client, keys: Keys) -> list[RedisWarning]:
    """Return all warnings."""
    policy = await eviction_policy(client)
    found = [RedisWarning("eviction", evicts(policy))] if policy else []
    return found + await read_stream_warnings(client, keys)


def evicts(policy: str) -> str:
    """Return what is wrong with an eviction policy."""
    return f"with maxmemory-policy {policy} a full Redis forgets live calls; set it to noeviction"


def _problem(answer: Any) -> str:
    if isinstance(answer, Exception):
        if "WRONGTYPE" in str(answer):
            return FOREIGN
        raise_refusals([answer])  # a missing stream takes entries
        return ""
    return "has had the highest possible id" if answer["last-generated-id"] == HIGHEST_ID else ""
