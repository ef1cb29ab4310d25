"""`REDIS_URL` is checked before anything connects: what is wrong with it is named, and no secret is shown."""

import pytest

from conferral.redis_connection import make_redis_client
from conferral.runtime.errors import SettingsError
from conferral.storage.connection.client import is_cluster
from tests.support.each import each


@each(
    "url, of_cluster, options",
    [
        ("redis://h", False, {}),
        ("redis://h/3", False, {"db": 3}),
        ("unix://me:secret@/run/redis.sock?db=1", False, {"path": "/run/redis.sock", "db": 1}),
        ("redis://h?cluster=False", False, {}),
        ("redis://h?cluster=True", True, {}),
        ("rediss://h/0?cluster=true&ssl_ca_certs=/ca.pem", True, {}),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=no",
            False,
            {"ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False},
        ),
        (
            "redis://h?socket_timeout=3&health_check_interval=5&client_name=x",
            False,
            {"socket_timeout": 3, "health_check_interval": 5, "client_name": "x"},
        ),
    ],
)
def test_options_of_redis_py_are_accepted(url: str, of_cluster: bool, options: dict[str, object]) -> None:
    client = make_redis_client(url)

    assert is_cluster(client) is of_cluster
    if not of_cluster:
        assert options.items() <= client.connection_pool.connection_kwargs.items()


def problem_of(url: str) -> str:
    with pytest.raises(SettingsError) as wrong:
        make_redis_client(url)
    (line,) = wrong.value.problems
    return line


NO_SOCKET = "the path of the socket must follow three slashes, such as unix:///run/redis.sock"
BAD_HOST = "the host or the port is not valid, or the password has a character to encode, such as / as %2F"


@each(
    "url, reason",
    [
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
        ("redis://h/1?cluster=true", "a cluster has no socket, and no database but 0"),
        ("unix:///run/redis.sock?cluster=true", "a cluster has no socket, and no database but 0"),
    ],
)
def test_problem_of_a_url_is_named(url: str, reason: str) -> None:
    line = problem_of(url.replace("***", "hidden"))

    assert line.startswith(f'REDIS_URL: {reason}; given: "{url}"; it must be ')
    assert line.endswith(", for example REDIS_URL=redis://localhost:6379/0")


def test_rest_of_a_password_is_not_taken_for_an_option() -> None:
    assert "hunter2" not in problem_of("redis://:2024?hunter2@cache.example:6379/0")


@each("url", ["rediss://h?ssl_cert_reqs=maybe", "redis://h?retry=3"])
def test_url_that_redis_py_refuses_is_not_valid(url: str) -> None:
    assert problem_of(url).startswith(f'REDIS_URL: "{url}" is not valid; ')
