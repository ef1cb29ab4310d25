"""What the small parser accepts, aiohttp's reads in the same way."""

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from conferral.runtime.web.complete_post import parse_complete_post

USUAL = b"POST /a/b?c=1 HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
#: Pieces of requests, usual and not.
PIECES = st.sampled_from(
    [
        b"POST /a/b?c=1 HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n", b"POST /a HTTP/1.0\r\n",
        b"POST /a#b HTTP/1.1\r\n", b"POST //a?b HTTP/1.1\r\n", b"POST  / HTTP/1.1\r\n", b"POST /?%zz HTTP/1.1\r\n",
        b"Host: x\r\n", b"Content-Length: 2\r\n", b"Content-Length: 02\r\n", b"Content-Length: 0\r\n",
        b"content-length: 2 \r\n", b"Content-Length:2\r\n", b"Content-Length: 2, 2\r\n", b"Content-Length: +2\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"X: \r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"Content-Encoding: gzip\r\n",
        b"Sec-WebSocket-Key1: a\r\n", b"X:  a b\t \r\n", b"X: a\r\n b\r\n", b": a\r\n", b"X : a\r\n", b"X: \x80\r\n",
        b"X: a\rb\r\n", b"X: a\nb\r\n", b"X: a\0\r\n", b"X-Y: 1\r\n", b"\r\n", b"\n", b"hi", b"h", b"0\r\n\r\n",
    ]
)  # fmt: skip


def aiohttp_messages(data):
    async def messages():
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(
            BaseProtocol(loop), loop, 2**16, max_line_size=8190, max_field_size=8190, max_headers=128
        )
        found, upgraded, tail = parser.feed_data(data)
        return [
            (message.method, message.version, message.path, message.headers, message.should_close, payload.is_eof(),
             b"".join(payload._buffer), upgraded, tail)
            for message, payload in found
        ]  # fmt: skip

    return asyncio.run(messages())


def check(data):
    found = parse_complete_post(data)
    if found is None:
        return
    ((method, version, target, headers, should_close, is_complete, body, upgraded, tail),) = aiohttp_messages(data)
    assert (method, version, target, should_close) == ("POST", (1, 1), found.target, False)
    assert (is_complete, upgraded, tail) == (True, False, b"")
    assert found.path == target.partition("?")[0]
    assert {name.lower(): value for name, value in headers.items()} == found.headers
    assert len(headers) == len(found.headers)
    assert body == found.body


@given(st.lists(PIECES, max_size=9).map(b"".join))
@example(USUAL)
def test_what_is_accepted_is_what_aiohttp_reads(data):
    check(data)


@given(st.integers(0, len(USUAL)), st.integers(0, 3), st.binary(max_size=3))
def test_a_change_anywhere_is_refused_or_read_as_aiohttp_does(at, removed, added):
    check(USUAL[:at] + added + USUAL[at + removed :])


def test_usual_request_is_accepted():
    found = parse_complete_post(USUAL)
    assert found is not None
    assert (found.path, found.target, found.body) == ("/a/b", "/a/b?c=1", b"hi")
    assert found.headers == {"host": "x", "content-type": "text/plain", "content-length": "2"}


@pytest.mark.parametrize("filler", [b"X: " + b"x" * 8_000, b"\r\n".join(b"X-%d: a" % n for n in range(1_000))])
def test_long_heads_are_left_to_aiohttp(filler):
    assert parse_complete_post(USUAL.replace(b"Host: x", b"Host: x\r\n" + filler)) is None
