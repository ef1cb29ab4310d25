"""What the check says about Redis itself: its version, and what a restart would lose."""

import aiohttp.http_parser
import pytest

from conferral.check import redis_server
from conferral.check.redis_server import ServerVersion, check_version
from conferral.check.settings import check_http_parser
from conferral.storage.connection.client import make_client
from tests.support.each import each
from tests.support.redis_server import RedisServer


def version_of(text):
    """A version as people write it, such as `Valkey 8.1.10`."""
    product, _, number = text.partition(" ")
    return ServerVersion.of({"redis_version": "7.2.4"} | {f"{product.lower()}_version": number})


@each("text, status", [("Redis 6.0.20", "fail"), ("Redis 6.2.24", "warn"), ("Redis 7.2.16", "ok"),
                       ("Valkey 8.1.12", "ok"), ("Redis unstable", "fail")])  # fmt: skip
def test_version_without_what_is_needed_is_reported(text, status):
    assert check_version(version_of(text)).status == status


@each("text, fixed", [
    ("Redis 6.2.23", "6.2.24"), ("Redis 7.0.15", "7.2.16"), ("Redis 7.2.4", "7.2.16"), ("Redis 7.2.17", ""),
    ("Redis 8.0.6", "8.2.10"), ("Redis 8.10.1", "8.10.2"), ("Redis 8.10.2", ""), ("Redis 8.12.0", ""),
    ("Redis 9.0.0", ""), ("Valkey 8.1.10", "8.1.12"), ("Valkey 9.1.4", ""), ("Valkey 10.0.0", ""),
])  # fmt: skip
def test_version_without_known_security_fixes_is_warned_of(text, fixed):
    assert version_of(text).missing_security_fixes == fixed
    line = check_version(version_of(text))
    assert ("lacks security fixes" in line.found) == bool(fixed) == (f"update to {fixed} or newer" in line.fix)


@pytest.mark.parametrize("is_python", [True, False])
def test_the_python_parser_of_aiohttp_fails(monkeypatch, is_python):
    if is_python:
        parser = aiohttp.http_parser.HttpRequestParserPy
        monkeypatch.setattr(aiohttp.http_parser, "HttpRequestParser", parser)

    assert check_http_parser().status == ("fail" if is_python else "ok")


@each("text, is_affected", [
    ("Redis 6.2.14", False), ("Redis 7.0.0", True), ("Redis 7.0.15", True), ("Redis 8.4.7", True),
    ("Redis 8.6.0", False), ("Valkey 7.2.14", True), ("Valkey 8.0.11", True), ("Valkey 8.1.9", True),
    ("Valkey 8.1.10", False), ("Valkey 9.0.5", True), ("Valkey 9.0.6", False), ("Valkey 9.2.0", False),
])  # fmt: skip
def test_versions_that_lose_what_scripts_wrote_are_known(text, is_affected):
    assert version_of(text).loses_scripts_writes is is_affected


@each("appends, fsync, status", [
    ("yes", "everysec", "ok"), ("yes", "always", "ok"), ("yes", "no", "warn"), ("yes", "", "warn"), ("no", "", "warn"),
])  # fmt: skip
def test_persistence_is_fine_only_if_it_is_known_to_be(appends, fsync, status):
    line = redis_server.check_persistence(appends, fsync)
    assert line.status == status
    assert "unknown" not in line.found


def replicas(*given):
    """What INFO says of replicas: of each, what it has acknowledged, and seconds since then."""
    found = {
        f"slave{number}": {"state": "online", "offset": offset, "lag": lag}
        for number, (offset, lag) in enumerate(given)
    }
    return {"connected_slaves": len(given)} | found


@each("info, status, words", [
    (replicas((900, 1)), "ok", "1 of 1"),
    (replicas((900, 9), (900, 10)), "ok", "1 of 2"),
    (replicas((900, 10)), "warn", "0 of 1"),
    (replicas((0, 1)), "warn", "0 of 1"),
    (replicas((900, 1)) | {"slave0": {"state": "wait_bgsave", "offset": 900, "lag": 0}}, "warn", "0 of 1"),
])  # fmt: skip
def test_replica_must_acknowledge(info, status, words):
    (line,) = redis_server.check_replicas(info)
    assert (line.status, line.found.startswith(words)) == (status, True), line
    assert redis_server.check_replicas(replicas()) == []


@pytest.fixture
async def client(redis_program):
    with RedisServer(redis_program) as server:
        client = make_client(server.url)
        await client.execute_command("ACL SETUSER", "admin", "on", ">secret", "~*", "&*", "+@all")
        yield client
        await client.aclose()


async def lines_about_the_default_user(client, **info):
    given = await client.info() | {"aof_enabled": 1, "redis_version": "7.0.15"} | info
    return [
        (line.status, line.found.partition(":")[0], line.fix)
        for line in await redis_server.check_server(client, given)
        if line.name == "default user"
    ]


@pytest.mark.redis
@pytest.mark.parametrize(("rules", "state"), [
    (["off"], "off"), (["off", "-@all"], "off"), (["-@all", "+@read", "+acl"], "restricted"),
    (["resetkeys", "~mine"], "restricted"),
])  # fmt: skip
async def test_default_user_that_makes_a_restart_lose_writes_fails(client, rules, state):
    assert await lines_about_the_default_user(client) == []
    await client.execute_command("AUTH", "admin", "secret")
    await client.execute_command("ACL SETUSER", "default", *rules)

    ((status, found, fix),) = await lines_about_the_default_user(client)

    assert (status, found) == ("fail", f"the user default is {state}")
    assert "ACL SETUSER default on" in fix
    assert await lines_about_the_default_user(client, aof_enabled=0) == []
    assert await lines_about_the_default_user(client, redis_version="8.6.0") == []


@pytest.mark.redis
async def test_acl_that_can_not_be_read_is_warned_of_with_the_rule(client):
    await client.execute_command("ACL SETUSER", "default", "-acl")

    ((status, found, fix),) = await lines_about_the_default_user(client)

    assert (status, found) == ("warn", "the ACL can't be read")
    assert "+acl|getuser" in fix
