"""What the check says about a failover, and about commands that a managed Redis may lack."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from conferral.check import failover
from conferral.check.failover import check_failover, check_replica_clocks, check_replicas
from conferral.check.redis_server import check_commands
from conferral.storage.connection.client import make_client
from conferral.storage.connection.primary import read_time_s
from conferral.storage.connection.url import Address, RedisUrl
from conferral.storage.keys import Keys
from tests.support.each import each
from tests.support.ports import HOST
from tests.support.replicated_redis import started

SENTINEL, CLUSTER = "redis+sentinel://h1,h2/main/0", "redis://h1/?cluster=true"


def settings(least: str = "1", lag: str = "2") -> dict[str, str]:
    return {"min-replicas-to-write": least, "min-replicas-max-lag": lag}


@each("replicas, given, may_fail_over, status, words", [
    (0, settings("0"), False, "ok", "none"),
    (0, settings("0"), True, "fail", "min-replicas-to-write is 0"),
    (0, settings(), True, "warn", "the primary has none"),
    (1, settings("0"), False, "fail", "min-replicas-to-write is 0"),
    (2, settings(lag="0"), True, "fail", "min-replicas-max-lag is 0"),
    (1, settings(), True, "warn", "if one fails, Redis takes no writes"),
    (2, settings(), True, "ok", "2, min-replicas-to-write 1, min-replicas-max-lag 2"),
    (2, {}, True, "warn", "2; min-replicas-to-write can't be read"),
    (2, {}, False, "warn", "2; min-replicas-to-write can't be read"),
])  # fmt: skip
def test_primary_that_is_cut_off_must_refuse_writes(replicas, given, may_fail_over, status, words):
    line = check_replicas(replicas, given, may_fail_over=may_fail_over)
    assert (line.status, words in line.found) == (status, True), line
    assert bool(line.fix) is (status != "ok")


def server_with(*, wait: Any = None, **given: Any) -> Any:
    """Has settings; the others can't be read. `wait` is what it answers to WAIT."""

    async def execute_command(*_command: Any) -> Any:
        if isinstance(wait, Exception):
            raise wait
        return wait

    async def config_get(name: str) -> dict[str, Any]:
        key = name.replace("-", "_")
        if key not in given:
            raise NoPermissionError("this user has no permissions", status_code="NOPERM")
        return {name: given[key]}

    return SimpleNamespace(config_get=config_get, execute_command=execute_command)


def sentinels_have(
    monkeypatch: pytest.MonkeyPatch, *down_after_ms: int | None, priorities: tuple[int, ...] = (100,)
) -> None:
    """Each has a setting of its own; None of one that doesn't answer. `priorities` are those of the replicas."""
    monkeypatch.setattr(failover.Sentinels, "replica_priorities", AsyncMock(return_value=set(priorities)))
    found = {
        (f"h{number}", 26_379): None if value is None else {"down-after-milliseconds": value}
        for number, value in enumerate(down_after_ms, start=1)
    }
    monkeypatch.setattr(failover.Sentinels, "settings_of_each", AsyncMock(return_value=found))


@each("lag, down_after_ms, status, words", [
    ("2", [5_000], "ok", "down-after-milliseconds 5000, on all Sentinels"),
    ("2", [5_000, 6_000, 5_000], "ok", "down-after-milliseconds 5000, 6000, on all Sentinels"),
    ("10", [13_000], "ok", "13000"),
    ("2", [4_999], "fail", "down-after-milliseconds 4999 at h1:26379 is less than"),
    ("2", [5_000, 3_000, 5_000], "fail", "down-after-milliseconds 3000 at h2:26379 is less than"),
    ("2", [None, 3_000, 1_000], "fail", "3000 at h2:26379, 1000 at h3:26379"),
    ("10", [5_000], "fail", "5000 at h1:26379"),
    ("2", [5_000, None], "warn", "down-after-milliseconds can't be read at h2:26379"),
    ("2", [None], "warn", "can't be read at h1:26379"),
])  # fmt: skip
async def test_each_sentinel_must_wait_until_the_former_primary_refuses(monkeypatch, lag, down_after_ms, status, words):
    sentinels_have(monkeypatch, *down_after_ms)
    client = server_with(min_replicas_to_write="1", min_replicas_max_lag=lag)

    replicas, sentinels = await check_failover(client, SENTINEL, {"connected_slaves": 2})

    assert (replicas.status, sentinels.status, words in sentinels.found) == ("ok", status, True), sentinels
    if status == "fail":
        assert f"down-after-milliseconds {1000 * (int(lag) + 3)}, on h" in sentinels.fix


@each("given, statuses", [
    ({"min_replicas_to_write": "0", "min_replicas_max_lag": "10"}, ["fail", "ok"]),  # the first advises a lag of 2 s
    ({}, ["warn", "warn"]),
])  # fmt: skip
async def test_sentinels_are_judged_by_the_lag_that_is_advised(monkeypatch, given, statuses):
    sentinels_have(monkeypatch, 5_000)
    lines = await check_failover(server_with(**given), SENTINEL, {"connected_slaves": 2})
    assert [line.status for line in lines] == statuses


async def test_refused_wait_and_different_priorities_are_reported(monkeypatch):
    sentinels_have(monkeypatch, 5_000, priorities=(10, 100))
    client = server_with(
        wait=ResponseError("unknown command 'WAIT'"), min_replicas_to_write="1", min_replicas_max_lag="2"
    )
    lines = await check_failover(client, SENTINEL, {"connected_slaves": 2})
    assert [(line.status, line.found.partition(":")[0]) for line in lines if line.status != "ok"] == [
        ("warn", "WAIT is refused"),
        ("warn", "replica-priority 10, 100"),
    ]


@pytest.mark.parametrize(
    "given, replicas, statuses",
    [
        ({"cluster_require_full_coverage": "no"}, 1, ["ok", "ok"]),
        ({"cluster_require_full_coverage": "yes"}, 1, ["ok", "warn"]),
        ({}, 0, ["warn", "ok"]),
    ],
)
async def test_cluster_needs_a_replica_and_no_full_coverage(given, replicas, statuses):
    lines = await check_failover(server_with(**given), CLUSTER, {"connected_slaves": replicas})
    assert [line.status for line in lines] == statuses


@pytest.mark.parametrize(
    "version, url, replicas, status",
    [
        ("6.2.6", SENTINEL, 2, "fail"),
        ("6.2.6", "redis://h1/0", 2, "fail"),
        ("6.2.6", "redis://h1/0", 0, "ok"),
        ("6.2.7", SENTINEL, 2, "ok"),
        ("6.2.14", SENTINEL, 2, "ok"),
    ],
)
async def test_primary_that_is_cut_off_must_refuse_scripts_too(monkeypatch, version, url, replicas, status):
    sentinels_have(monkeypatch, 5_000)
    client = server_with(min_replicas_to_write="1", min_replicas_max_lag="2")
    line, *_ = await check_failover(client, url, {"connected_slaves": replicas, "redis_version": version})
    assert (line.name, line.status) == ("replicas", status)


async def test_replica_is_not_taken_for_the_primary():
    (line,) = await check_failover(server_with(), "redis://h1/0", {"role": "slave"})
    assert (line.status, line.fix) == ("fail", "use the primary's address")


class Managed:
    """A Redis behind an address that may lead to several servers, and that may refuse commands."""

    def __init__(self, *run_ids: bytes, refuses: str = "", error: Exception | None = None) -> None:
        self._run_ids, self._refuses, self._error = list(run_ids), refuses, error

    async def execute_command(self, name: str, *_arguments: Any) -> Any:
        if name == self._refuses and self._error is not None:
            raise self._error
        if name == "EVALSHA":
            self._run_ids.append(self._run_ids.pop(0))
            return [self._run_ids[0], b"100", b"0"]
        return None

    def pipeline(self) -> Any:
        names: list[str] = []

        async def execute(*, raise_on_error: bool) -> list[Any]:
            assert not raise_on_error
            return [self._error if name == self._refuses else None for name in names]

        return SimpleNamespace(execute_command=lambda name, *_: names.append(name), execute=execute)


NO_PERMISSION = NoPermissionError("this user has no permissions", status_code="NOPERM")


@pytest.mark.parametrize(
    "client, status, fix",
    [
        (Managed(b"a"), "ok", ""),
        (Managed(b"a", b"b"), "fail", "use an address that leads to the primary only"),
        (Managed(b"a", refuses="EVALSHA", error=NO_PERMISSION), "fail", "allow EVALSHA with a key for this user"),
        (Managed(b"a", refuses="XREAD", error=NO_PERMISSION), "fail", "allow a blocking XREAD for this user"),
        (
            Managed(b"a", refuses="EXISTS", error=ResponseError("CROSSSLOT Keys in request don't hash")),
            "fail",
            "put CONFERRAL_PREFIX in braces, such as {conferral}",
        ),
    ],
)
async def test_what_a_managed_redis_lacks_is_reported(client, status, fix):
    line = await check_commands(client, Keys("c", 4))
    assert (line.status, line.fix) == (status, fix)


def read_with(ahead_s: dict[int, float]) -> Any:
    """Reads servers' clocks, of which those at some ports are wrong by seconds."""

    async def read(url: RedisUrl, address: Address) -> float | None:
        read_s = await read_time_s(url, address)
        return None if read_s is None else read_s + ahead_s.get(address[1], 0.0)

    return read


@pytest.mark.redis
@pytest.mark.processes
async def test_replica_whose_clock_is_apart_from_the_primary_s_is_named(redis_program, tmp_path):
    async with started(redis_program, tmp_path) as servers:
        await servers.attach()
        port, url = servers.replica.port, f"redis://{HOST}:{servers.primary.port}"
        client = make_client(url)
        info = await client.info()
        for ahead_s, status, found in [
            (0.0, "ok", "within 0.5 s of the primary's"),
            (0.3, "ok", "within 0.5 s of the primary's"),
            (30.0, "warn", f"127.0.0.1:{port} is 30.0 s ahead of the primary"),
            (-30.0, "warn", f"127.0.0.1:{port} is 30.0 s behind the primary"),
        ]:
            (line,) = await check_replica_clocks(client, "key", url, info, read_with({port: ahead_s}))
            assert (line.name, line.status, line.found) == ("replicas' clocks", status, found)
            assert ("NTP" in line.fix) is (status == "warn")
        servers.replica.kill()
        (line,) = await check_replica_clocks(client, "key", url, info)
        assert (line.status, line.found) == ("ok", f"127.0.0.1:{port} can't be read from here")
        assert await check_replica_clocks(client, "key", url, {"role": "master"}) == []
        await client.aclose()


@each("apart_s, status", [(0.45, "ok"), (-0.45, "ok"), (0.6, "warn"), (-0.6, "warn")])
async def test_replica_s_clock_may_be_apart_by_half_a_second(monkeypatch, apart_s, status):
    monkeypatch.setattr(failover.SystemClock, "monotonic_s", lambda _clock: 7.0)

    async def read(_url: RedisUrl, _address: Address) -> float:
        return 1_000.25 + apart_s

    client = SimpleNamespace(execute_command=AsyncMock(return_value=[b"", b"0", b"1000250"]))
    replica = {"slave0": {"ip": "h2", "port": 6379}}
    (line,) = await check_replica_clocks(client, "key", "redis://h1/0", replica, read)
    assert line.status == status
