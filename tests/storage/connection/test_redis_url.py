"""`REDIS_URL` is checked before anything connects: what is wrong with it is named, and no secret is shown."""

from pathlib import Path

import pytest

from conferral.runtime.errors import SettingsError
from conferral.runtime.settings import StoreSettings, load
from conferral.storage.connection.client import make_client
from conferral.storage.connection.configured import find_primary
from conferral.storage.connection.primary import primary_of
from conferral.storage.connection.url import RedisUrl
from tests.support.each import each


@each(
    "url, options",
    [
        ("redis://h", {}),
        ("redis://h/3", {"db": 3}),
        ("unix://me:secret@/run/redis.sock?db=1", {"path": "/run/redis.sock", "db": 1}),
        ("redis://h?cluster=False", {}),
        ("rediss://h/0?cluster=true&ssl_ca_certs=/ca.pem", {"ssl_ca_certs": "/ca.pem"}),
        ("redis://me:p%2Fw%40@h1,h2:7000/?cluster=true", {"username": "me", "password": "p/w@"}),
        ("redis+sentinel://:p%40ss@h1,h2:7000/main/3", {"password": "p@ss", "db": 3}),
        ("rediss+sentinel://h/main?ssl_ca_certs=/ca.pem&sentinel_password=x", {"ssl_ca_certs": "/ca.pem"}),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=no",
            {"ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False},
        ),
        (
            "redis://h?socket_timeout=3&health_check_interval=5&client_name=x",
            {"socket_timeout": 3, "health_check_interval": 5, "client_name": "x"},
        ),
    ],
)
def test_options_of_redis_py_are_accepted(url: str, options: dict[str, object]) -> None:
    client = make_client(url, primary_of(url, "{c}"))

    assert options.items() <= client.connection_pool.connection_kwargs.items()


def problem_of(url: str) -> str:
    with pytest.raises(SettingsError) as wrong:
        find_primary(StoreSettings.model_construct(redis_url=url, prefix="{c}"))
    (line,) = wrong.value.problems
    return line


NO_NAME = "a name must follow the Sentinels, such as redis+sentinel://H1:26379,H2:26379/NAME/0"
NO_SOCKET = "the path of the socket must follow three slashes, such as unix:///run/redis.sock"
NO_SCHEME = "the scheme is missing or not valid"
BAD_HOST = "the host or the port is not valid, or the password has a character to encode, such as / as %2F"


@each(
    "url, reason",
    [
        ("", NO_SCHEME),
        ("h:6379", NO_SCHEME),
        ("http://h:6379", NO_SCHEME),
        ("rediss+cluster://h:6379", NO_SCHEME),
        ("redis://h:port/0", BAD_HOST),
        ("redis://h:99999/0", BAD_HOST),
        ("redis://[::1/0", BAD_HOST),
        ("redis://h ", "the host must not contain spaces"),
        ("unix://", NO_SOCKET),
        ("unix://run/redis.sock", NO_SOCKET),
        ("redis://h?cluser=true", "redis:// has no option cluser"),
        ("redis://h?cluster=true&tls=1", "redis:// has no option tls"),
        ("redis://h?ssl_ca_certs=/ca.pem", "redis:// has no option ssl_ca_certs"),
        ("redis://h?passwrod=***", "redis:// has no option passwrod"),
        ("redis://h?socket_timeout=long", "the value of socket_timeout is not valid"),
        ("redis://h?cluster=yes", "cluster must be true or false"),
        ("redis://h?cluster", "cluster must be true or false"),
        ("redis://h?socket_timeout=", "socket_timeout has no value"),
        ("redis://h?cluster=true&cluster=false", "cluster must be true or false"),
        ("redis://***@h/abc", "the database must be a number"),
        ("redis://h/-1", "the database must be a number"),
        ("redis://h1,h2/0", "several hosts need redis+sentinel://, or ?cluster=true"),
        ("redis://h1,/?cluster=true", BAD_HOST),
        ("redis+sentinel://h1,h2:x/main", BAD_HOST),
        ("redis+sentinel://h1,h2", NO_NAME),
        ("redis+sentinel://h1/0/main", "the database must be a number"),
        ("redis+sentinel://h/main?sentinel_pasword=***", "redis+sentinel:// has no option sentinel_pasword"),
        ("redis://h/0?sentinel_username=x", "redis:// has no option sentinel_username"),
        ("redis://h/²?cluster=true", "the database must be a number"),
        ("redis+sentinel://h/main?cluster=true", "Sentinels name a server; leave cluster out"),
        ("redis://h/1?cluster=true", "a cluster has no socket, and no database but 0"),
        ("unix:///run/redis.sock?cluster=true", "a cluster has no socket, and no database but 0"),
    ],
)
def test_problem_of_a_url_is_named(url: str, reason: str) -> None:
    line = problem_of(url.replace("***", "hidden"))

    assert line.startswith(f'REDIS_URL: {reason}; given: "{url}"; it must be ')
    assert "\n" not in line


SERVER = "redis://localhost:6379/0"
SENTINELS = "redis+sentinel://H1:26379,H2:26379/NAME/0"
CLUSTER = "redis://H1:6379,H2:6379/?cluster=true with CONFERRAL_PREFIX={conferral}"


@each(
    "url, example",
    [
        ("http://h:6379", SERVER),
        ("redis://h/abc", SERVER),
        ("redis://me:a,b@h/abc", SERVER),
        ("unix://run/redis.sock", "unix:///run/redis.sock"),
        ("redis+sentinel://h1,h2", SENTINELS),
        ("redis+sentinel://h/main?cluster=true", SENTINELS),
        ("redis://h1,h2/0", CLUSTER),
        ("redis://h?cluster=yes", CLUSTER),
        ("redis://h/1?cluster=true", CLUSTER),
        ("unix:///run/redis.sock?cluster=true", CLUSTER),
    ],
)
def test_example_is_of_the_kind_that_a_url_seems_to_be(url: str, example: str) -> None:
    assert problem_of(url).endswith(f", for example REDIS_URL={example}")


@each("example", ["unix:///run/redis.sock", SENTINELS, SERVER, CLUSTER.split(" ")[0]])
def test_examples_are_valid(example: str) -> None:
    assert RedisUrl.parse(example)


@each(
    "url, hosts",
    [
        ("redis://h", [("h", 6379)]),
        ("redis://", [("localhost", 6379)]),
        ("redis://h1,h2:7000/?cluster=true", [("h1", 6379), ("h2", 7000)]),
        ("redis+sentinel://me:a,b%40@[::1]:1,h2/main", [("::1", 1), ("h2", 26379)]),
        ("unix:///run/redis.sock", []),
    ],
)
def test_hosts_of_a_url(url: str, hosts: list[tuple[str, int]]) -> None:
    assert [*RedisUrl.parse(url).hosts] == hosts


@each("prefix", ["conferral", "a{}", "{", "}a{"])
def test_prefix_of_a_cluster_must_have_braces(prefix: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        find_primary(StoreSettings.model_construct(redis_url="redis://h/?cluster=true", prefix=prefix))
    (line,) = wrong.value.problems
    assert line.startswith("CONFERRAL_PREFIX: must be in braces on a cluster, such as {conferral}")
    assert line.endswith(", for example CONFERRAL_PREFIX={conferral}")


@each("prefix, is_valid", [("{c}", True), ("a:{c.d}-e", True), ("a{b", False), ("a{}", False), ("{a}{b}", False)])
def test_prefix_may_have_one_pair_of_braces(prefix: str, is_valid: bool) -> None:
    given = {"CONFERRAL_PREFIX": prefix, "REDIS_URL": "redis://h"}
    if is_valid:
        assert load(StoreSettings, given).prefix == prefix
        return
    with pytest.raises(SettingsError, match="CONFERRAL_PREFIX"):
        load(StoreSettings, given)


def test_file_of_a_private_ca_is_read_before_anything_connects(tmp_path: Path) -> None:
    (no_pem := tmp_path / "no.pem").write_text("nothing")
    assert "ssl_ca_certs can't be read (no such file or directory)" in problem_of(
        f"rediss://h?ssl_ca_certs={tmp_path}/x"
    )
    assert "ssl_ca_certs holds no certificate in PEM form" in problem_of(f"rediss://h?ssl_ca_certs={no_pem}")


def test_rest_of_a_password_is_not_taken_for_an_option() -> None:
    assert "hunter2" not in problem_of("redis://:2024?hunter2@cache.example:6379/0")


@each("url", ["rediss://h?ssl_cert_reqs=maybe", "redis://h?retry=3"])
def test_url_that_redis_py_refuses_is_not_valid(url: str) -> None:
    assert problem_of(url).startswith(f'REDIS_URL: "{url}" is not valid; ')
