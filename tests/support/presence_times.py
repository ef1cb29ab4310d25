"""Moves what is stored of presence back in time, as if it had happened earlier."""

import json
from typing import Any

from conferral.storage.keys import Keys
from conferral.storage.presence_runs import KEPT_MS, keep_presence


async def moved(client: Any, keys: Keys, run: str, by_ms: int) -> None:
    """Let a run, `webhooks` or `desks`, have begun and ended so much earlier."""
    for name in (f"{run}_since_ms", f"{run}_ms"):
        await client.hincrby(keys.presence, name, -by_ms)


async def kept_for(client: Any, keys: Keys, ms: int = KEPT_MS) -> None:
    """Let webhooks have kept presence for so long, until now."""
    await keep_presence(client, keys)
    since_ms = int(await client.hget(keys.presence, "webhooks_ms")) - ms
    await client.hset(keys.presence, "webhooks_since_ms", since_ms)


async def silent_for(client: Any, keys: Keys, ms: int) -> None:
    """Let all desks have renewed, or been left, so much earlier."""
    await moved(client, keys, "desks", ms)
    for identity, stored in (await client.hgetall(keys.agents)).items():
        agent = json.loads(stored)
        for one in (agent, *agent["desks"].values()):
            one |= {name: max(0, one[name] - ms) for name in ("renewed_ms", "left_ms", "since_ms") if name in one}
        await client.hset(keys.agents, identity, json.dumps(agent))
