"""`conferral upgrade`: raised only when every process that runs knows the level."""

import json

import pytest

from conferral.main import main
from conferral.storage import config, schema
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.queries import process_registry
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
#: The schema version of the release after this one.
SCHEMA_VERSION = schema.SCHEMA_VERSION + 1


@pytest.fixture
async def client(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION)
    monkeypatch.setattr(schema, "SCHEMA_VERSIONS", schema.SCHEMA_VERSIONS | {SCHEMA_VERSION: "what the next one adds"})
    client = make_client(redis_server.url)
    yield client
    await client.aclose()


async def at_level(client: object, level: int, **running: int) -> None:
    keys = (await config.ensure(client, "conferral", 4, schema_version=level)).keys
    for name, known in running.items():
        await process_registry.register(client, keys, process_registry.Process(name, "worker", known, "0.1.0"))


def run(*arguments: str) -> int:
    """As at a terminal; in a thread, since the command has a loop of its own."""
    return main(["upgrade", *arguments])


async def output_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    import asyncio

    code = await asyncio.to_thread(run, *arguments)
    out, err = capsys.readouterr()
    return code, out, err


async def test_level_is_raised_when_all_know_it(client, capsys: pytest.CaptureFixture[str]) -> None:
    await at_level(client, 1, w1=SCHEMA_VERSION)
    code, out, _ = await output_of(capsys)
    assert code == 0
    assert out.startswith(f"schema version was raised from 1 to {SCHEMA_VERSION}")
    assert f"  {SCHEMA_VERSION}: what the next one adds" in out
    assert await config.read_schema_version(client, "conferral") == SCHEMA_VERSION
    code, out, _ = await output_of(capsys)
    assert (code, out) == (0, f"schema version {SCHEMA_VERSION} is current; nothing to do\n")


async def test_check_changes_nothing(client, capsys: pytest.CaptureFixture[str]) -> None:
    await at_level(client, 1, w1=1)
    code, out, err = await output_of(capsys, "--check")
    assert code == 0
    assert out.startswith(f"schema version would be raised from 1 to {SCHEMA_VERSION}")
    assert "worker w1 supports schema version 1" in err
    assert await config.read_schema_version(client, "conferral") == 1


async def test_process_that_does_not_know_it_is_named(client, capsys: pytest.CaptureFixture[str]) -> None:
    await at_level(client, 1, w1=SCHEMA_VERSION, w2=1)
    code, _, err = await output_of(capsys)
    assert code == 1
    assert "worker w2 supports schema version 1" in err
    assert "w1" not in err
    assert await config.read_schema_version(client, "conferral") == 1
    code, _, _ = await output_of(capsys, "--force")
    assert code == 0
    assert await config.read_schema_version(client, "conferral") == SCHEMA_VERSION


async def test_program_reads_it_as_json(client, capsys: pytest.CaptureFixture[str]) -> None:
    await at_level(client, 1, w1=1)
    code, out, _ = await output_of(capsys, "--check", "--json")
    assert (code, json.loads(out)) == (0, {"before": 1, "after": SCHEMA_VERSION, "behind": ["w1"]})


async def test_newer_level_is_left_to_newer_versions(client, capsys: pytest.CaptureFixture[str]) -> None:
    await at_level(client, SCHEMA_VERSION)
    await client.hset(Keys("conferral", 4).config, "schema", SCHEMA_VERSION + 1)
    code, _, err = await output_of(capsys)
    assert code == 1
    assert f"this release supports {SCHEMA_VERSION}" in err


async def test_redis_without_conferral_is_reported(client, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = await output_of(capsys)
    assert code == 1
    assert "nothing is set up" in err
