"""The command line while a node of a Redis Cluster does not answer."""

import asyncio

import pytest

from conferral import redis_connection
from conferral.storage.codecs import session_codec
from tests.conferral.cli_helpers import CREATED_MS, KEYS, make_session
from tests.support.memory_redis import MemoryServer
from tests.support.split_redis import SplitClient

HEALTHY, SILENT = "10.0.0.1:6379", "10.0.0.2:6379"
REASON = f"Redis node {SILENT} did not answer in time"


def _node_of(key):
    """The odd partitions and the calls are on the silent node."""
    return SILENT if ":call:" in key or any(f"{{{odd}}}" in key for odd in range(1, 16, 2)) else HEALTHY


def _id_in(parity):
    return next(name for name in map("call{}".format, range(99)) if KEYS.partition_of(name) % 2 == parity)


FOUND, MISSING = _id_in(0), _id_in(1)


async def _store(client):
    await client.hset(KEYS.config, mapping={"partitions": 16, "schema": 1})
    for name in (FOUND, MISSING):
        await client.hset(KEYS.session(name), mapping=session_codec.encode(make_session(name)))
        await client.sadd(KEYS.live(KEYS.partition_of(name)), name)


@pytest.fixture(autouse=True)
def silent_node(monkeypatch):
    """Two live calls, one on each node; one node does not answer."""
    server = MemoryServer(lambda: CREATED_MS + 5_000)
    asyncio.run(_store(server.client()))

    def connect(_url, max_connections=8):
        client = SplitClient(server, _node_of, timeout_s=0.05)
        client.silent = {SILENT}
        return client

    monkeypatch.setenv("REDIS_URL", "redis://user:secret@seed.example:7000/?cluster=true")
    monkeypatch.setattr(redis_connection, "make_redis_client", connect)


def test_list_of_sessions_is_refused_with_the_silent_nodes_name(run):
    listed = run("sessions")
    assert (listed.code, listed.err.strip()) == (1, REASON)


def test_session_on_a_healthy_node_is_explained(run):
    explained = run("explain", FOUND)
    assert (explained.code, explained.err) == (0, "")
    assert "connected" in explained.out
    assert run("show", FOUND).code == 0


def test_session_on_a_silent_node_is_refused_with_that_nodes_name(run):
    for command in ("explain", "show"):
        refused = run(command, MISSING)
        assert refused.code == 1
        assert refused.err.strip() == REASON, "not the node that REDIS_URL names"
