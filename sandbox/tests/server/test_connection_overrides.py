"""The fragment of a webhook's URL."""

import socket

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from offhook.webhook_delivery import Target, failure_of, parse_target

URL = "http://a.example/x?y=1"


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", Target(URL, 5_000, 15_000, 15_000, 1, frozenset({"ct"}))),
        ("#rc=3&rp=5xx,ct,rt&ct=200&rt=900&tt=2000&e=dublin",
         Target(URL, 200, 900, 2_000, 3, frozenset({"5xx", "ct", "rt"}))),
        ("#rc=9&ct=1&rt=99999", Target(URL, retries=5, connect_ms=100, read_ms=15_000)),
        ("#rc=many&section", Target(URL)),
        ("#rp=sometimes", Target(URL, fragment_error="Invalid retry policy: sometimes")),
    ],
)  # fmt: skip
def test_keys_of_a_fragment_are_read_drawn_to_their_edges_or_ignored(fragment: str, expected: Target) -> None:
    assert parse_target(URL + fragment) == expected


def test_all_means_every_failure() -> None:
    assert all(Target("", retry_on=frozenset({"all"})).is_retried(it) for it in ("4xx", "5xx", "ct", "rt"))


def test_failures_differ_with_each_aiohttp() -> None:
    key = ConnectionKey("a", 80, False, None, None, None, None)  # type: ignore[arg-type]
    before_310 = aiohttp.ClientConnectorError(key, socket.gaierror(8, "unknown name"))
    for error, expected in (
        (before_310, (11210, "ct")),
        (aiohttp.ClientConnectorDNSError(key, OSError(None, "unknown name")), (11210, "ct")),
        (aiohttp.ClientConnectorError(key, ConnectionRefusedError()), (11205, "ct")),
        (aiohttp.ServerTimeoutError("Connection timeout to host http://a"), (11205, "ct")),
        (aiohttp.ConnectionTimeoutError("Connection timeout to host http://a"), (11205, "ct")),
        (aiohttp.ServerTimeoutError("Timeout on reading data from socket"), (11200, "rt")),
        (aiohttp.InvalidURL("x"), (11100, "url")),
        (TimeoutError(), (11200, "rt")),
    ):
        assert failure_of(error) == expected, error
