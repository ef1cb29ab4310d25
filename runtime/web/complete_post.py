"""Parser of usual POSTs that arrive whole, at less than the usual cost.

It accepts only what can be read in one way, a small part of RFC 9112; the caller gives aiohttp the rest. A test
compares both parsers.
"""

import re

import msgspec

#: Longest head and longest body, bytes. aiohttp refuses longer lines than this head.
HEAD_BYTES_MAX = 8_000
BODY_BYTES_MAX = 16 * 1024
#: Separators of a form's fields, count. These limits are below those of the handlers, which do not check them again.
SEPARATORS_MAX = 256
#: A request line with a path and query without unusual characters, and headers without folding or bare line breaks.
_HEAD = re.compile(
    r"POST ((/[A-Za-z0-9/_.-]*)(?:\?[A-Za-z0-9/_.~%&=+:,@-]*)?) HTTP/1\.1((?:\r\n[A-Za-z0-9-]+: [ -~]*)+)"
)
#: Headers that ask for more than an answer, or say that the body is not what it seems.
_UNUSUAL = frozenset(
    {"transfer-encoding", "content-encoding", "expect", "upgrade", "te", "trailer", "sec-websocket-key1"}
)


class CompletePost(msgspec.Struct, frozen=True):
    """A request."""

    path: str
    #: Path and query as sent, undecoded.
    target: str
    #: By name in lower case; each was sent once.
    headers: dict[str, str]
    body: bytes


def parse_complete_post(data: bytes) -> CompletePost | None:
    """Return these bytes as a request; None unless they are one usual POST."""
    head, _, body = data.partition(b"\r\n\r\n")
    if len(head) > HEAD_BYTES_MAX or len(body) > BODY_BYTES_MAX or not head.isascii():
        return None
    found = _HEAD.fullmatch(head.decode())
    if found is None:
        return None
    target, path, lines = found.groups()
    pairs = [line.partition(": ") for line in lines[2:].split("\r\n")]
    headers = {name.lower(): value.strip(" ") for name, _, value in pairs}
    if (
        len(headers) != len(pairs)  # a name was repeated
        or "host" not in headers
        or headers.get("content-length") != str(len(body))
        or body.count(b"&") > SEPARATORS_MAX
        or not _UNUSUAL.isdisjoint(headers)
        or headers.get("connection", "keep-alive").lower() != "keep-alive"
    ):
        return None
    return CompletePost(path, target, headers, body)
