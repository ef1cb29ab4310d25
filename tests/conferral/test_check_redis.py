"""What the check says about Redis itself: its version, and what a restart would lose."""

import pytest

from conferral.check import redis_server
from conferral.check.redis_server import ServerVersion, check_version
from conferral.storage.connection.client import make_client
from tests.support.each import each
from tests.support.redis_server import RedisServer


def version_of(text):
    """A version as people write it, such as `Valkey 8.1.10`."""
    product, _, number = text.partition(" ")
    return ServerVersion.of({"redis_version": "7.2.4"} | {f"{product.lower()}_version": number})


@each("text, status, fix", [
    ("Redis 6.0.20", "fail", "use Redis 6.2 or newer"),
    ("Redis 6.2.23", "warn", "update it to 6.2.24 or newer"),
    ("Redis 6.2.24", "warn", "use 7.0 or newer"),
    ("Redis 7.0.15", "warn", "its line gets no patches: update it to one of 6.2.24, 7.2.16, 7.4.11"),
    ("Redis 7.2.15", "warn", "update it to 7.2.16 or newer"),
    ("Redis 7.2.16", "ok", ""),
    ("Redis 7.4.8", "warn", "update it to 7.4.11 or newer"),
    ("Redis 8.0.6", "warn", "its line gets no patches"),
    ("Redis 8.2.2", "warn", "update it to 8.2.10 or newer"),
    ("Redis 8.10.2", "ok", ""),
    ("Redis 8.10.10", "ok", ""),
    ("Redis 8.12.0", "ok", ""),
    ("Valkey 7.2.13", "warn", "update it to 7.2.14 or newer"),
    ("Valkey 8.1.10", "ok", ""),
    ("Valkey 9.1.1", "warn", "update it to 9.1.2 or newer"),
    ("Valkey 9.2.0", "ok", ""),
    ("Redis 255.255.255", "ok", ""),
    ("Redis unstable", "fail", "use Redis 6.2 or newer"),
])  # fmt: skip
def test_versions_with_known_vulnerabilities_are_warned_of(text, status, fix):
    line = check_version(version_of(text))
    assert (line.status, line.fix[: len(fix)]) == (status, fix)


@each("text, is_affected", [
    ("Redis 6.2.14", False), ("Redis 7.0.0", True), ("Redis 7.0.15", True), ("Redis 8.4.7", True),
    ("Redis 8.6.0", False), ("Valkey 7.2.14", True), ("Valkey 8.0.11", True), ("Valkey 8.1.9", True),
    ("Valkey 8.1.10", False), ("Valkey 9.0.5", True), ("Valkey 9.0.6", False), ("Valkey 9.2.0", False),
])  # fmt: skip
def test_versions_that_lose_what_scripts_wrote_are_known(text, is_affected):
    assert version_of(text).loses_scripts_writes is is_affected


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
