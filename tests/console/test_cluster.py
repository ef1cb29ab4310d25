"""The console over a Redis Cluster: the same code, the same page."""

from dataclasses import replace

import pytest

from conferral.storage.codecs import session_codec
from tests.conferral.cli_helpers import KEYS, conferenced, make_session
from tests.console.console_helpers import Page, console_over
from tests.support.redis_cluster import ClusterServers


@pytest.mark.soak
@pytest.mark.redis
@pytest.mark.timeout(120)
async def test_a_page_shows_sessions_of_all_nodes_their_changes_and_health(redis_program):
    names = [f"CA{number:032x}" for number in range(40)]
    with ClusterServers(redis_program) as servers:
        async with console_over(servers.url) as (console, client):
            await client.hset(KEYS.config, mapping={"partitions": 16, "schema": 1})
            for name in names:
                await put(client, make_session(name))
            page = await Page.open(console, {"view": "sessions"})
            await page.until(lambda page: page.rows.keys() == set(names))

            for name in names[:8]:
                await put(client, replace(conferenced(name), version=5))
            await page.until(lambda page: sum(row["state"] == "conferenced" for row in page.rows.values()) == 8)
            await page.say(view="health")
            health = await page.next("health")
            await page.say(view="session", id=names[0])
            reported = await page.next("session")

    assert sum(partition["live"] for partition in health["partitions"]) == 40
    assert reported["fields"]["state"] == "conferenced"


async def put(client, session):
    """A commit, as far as a reader sees it."""
    partition = KEYS.partition_of(session.id)
    await client.hset(KEYS.session(session.id), mapping=session_codec.encode(session))
    await client.sadd(KEYS.live(partition), session.id)
    await client.hincrby(KEYS.lease(partition), "commit", 1)
