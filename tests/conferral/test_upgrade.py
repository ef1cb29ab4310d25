"""`conferral upgrade`: raised only when every process that runs knows the level."""

import asyncio
from functools import partial

import pytest

from conferral.storage import config
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.queries import process_registry
from offhook import ACCOUNT_SID
from tests.conferral.cli_helpers import Ran
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
#: The schema version of the release after this one.
OLD, SCHEMA_VERSION = config.SCHEMA_VERSION, config.SCHEMA_VERSION + 1


@pytest.fixture
async def client(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setattr(config, "SCHEMA_VERSION", SCHEMA_VERSION)
    monkeypatch.setattr(config, "SCHEMA_VERSIONS", config.SCHEMA_VERSIONS | {SCHEMA_VERSION: "what the next one adds"})
    client = make_client(redis_server.url)
    yield client
    await client.aclose()


async def at_level(client: object, level: int, **running: int) -> None:
    await config.ensure(client, "conferral", 4, schema_version=level, account_sid=ACCOUNT_SID)
    keys = Keys("conferral", 4)
    for name, known in running.items():
        await process_registry.register(client, keys, process_registry.Process(name, "worker", known, "0.1.0"))


@pytest.fixture
def upgrade(run):
    """Runs the command in a thread, since it has a loop of its own."""
    return partial(asyncio.to_thread, run, "upgrade")


async def test_level_is_raised_when_all_know_it(client, upgrade) -> None:
    await at_level(client, OLD, w1=SCHEMA_VERSION)
    ran = await upgrade()
    assert ran.code == 0
    assert ran.out.startswith(f"schema version was raised from {OLD} to {SCHEMA_VERSION}")
    assert f"  {SCHEMA_VERSION}: what the next one adds" in ran.out
    assert await config.read_schema_version(client, "conferral") == SCHEMA_VERSION
    assert await upgrade() == Ran(0, f"schema version {SCHEMA_VERSION} is current; nothing to do\n", "")


async def test_check_changes_nothing(client, upgrade) -> None:
    await at_level(client, OLD, w1=OLD)
    ran = await upgrade("--check")
    assert ran.code == 0
    assert ran.out.startswith(f"schema version would be raised from {OLD} to {SCHEMA_VERSION}")
    assert f"worker w1 supports schema version {OLD}" in ran.err
    assert await config.read_schema_version(client, "conferral") == OLD


async def test_process_that_does_not_know_it_is_named(client, upgrade) -> None:
    await at_level(client, OLD, w1=SCHEMA_VERSION, w2=OLD)
    ran = await upgrade()
    assert ran.code == 1
    assert f"worker w2 supports schema version {OLD}" in ran.err
    assert "w1" not in ran.err
    assert await config.read_schema_version(client, "conferral") == OLD
    assert (await upgrade("--force")).code == 0
    assert await config.read_schema_version(client, "conferral") == SCHEMA_VERSION


async def test_program_reads_it_as_json(client, upgrade) -> None:
    await at_level(client, OLD, w1=OLD)
    ran = await upgrade("--check", "--json")
    assert (ran.code, ran.json) == (0, {"before": OLD, "after": SCHEMA_VERSION, "behind": ["w1"]})


async def test_newer_level_is_left_to_newer_versions(client, upgrade) -> None:
    await at_level(client, SCHEMA_VERSION)
    await client.hset(Keys("conferral", 4).config, "schema", SCHEMA_VERSION + 1)
    ran = await upgrade()
    assert ran.code == 1
    assert config.newer_schema(SCHEMA_VERSION + 1, SCHEMA_VERSION) in ran.err
