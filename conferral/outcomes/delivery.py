"""Requests with outcomes: signed, and judged by the status line alone.

HTTP libraries refuse a response for its headers, which don't matter here, and hide its status then: for a 204 with two
lengths, with a line without a colon or longer than 8 KB, or cut off after its first line, aiohttp 3.14 raises. So the
few lines of a response that matter are read here. Requests follow Standard Webhooks. Whatever the receiver sends costs
little: no body is read, what is read has limits, and redirects are not followed.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal
from urllib.parse import urlsplit

from standardwebhooks.webhooks import Webhook

from conferral.runtime.clock import Clock
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.urls import may_receive_plain
from conferral.telephony.errors import retry_after_s

#: How long a response may take, and of that connecting to one of several addresses, seconds.
TIMEOUT_S, CONNECT_TIMEOUT_S = 10.0, 3.0
#: Limits of what is read: interim responses (count), headers of each response (count), and a header (bytes).
INTERIM_MAX, HEADERS_MAX, LINE_MAX_BYTES = 16, 64, 4096
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})")
_STATUS_LINE_BYTES = len(b"HTTP/1.1 200")

Result = Literal["delivered", "gone", "redirected", "refused", "failed", "timeout", "unreachable", "malformed"]
_BY_STATUS: dict[int, Result] = {2: "delivered", 3: "redirected", 4: "refused"}


@dataclass(frozen=True, slots=True)
class ReceiverResponse:
    """What became of one request."""

    result: Result
    #: HTTP status; 0 without a response.
    status: int = 0
    retry_after_s: float = 0.0
    #: Why it failed, in words without personal data; empty if it didn't.
    reason: str = ""


@dataclass(slots=True)
class _Head:
    """What has been read of a response."""

    #: 0 before the status line.
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> ReceiverResponse:
        """Return the response, which the status alone decides."""
        result: Result = "gone" if self.status == 410 else _BY_STATUS.get(self.status // 100, "failed")
        reason = "" if result == "delivered" else f"HTTP {self.status}"
        return ReceiverResponse(result, self.status, retry_after_s(self.headers), reason)


class _NoAddressError(OSError):
    """The host has no address to which http:// may connect."""


class OutcomeDelivery:
    """Where outcomes are sent: a connection for each request."""

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        clock: Clock,
        *,
        header: str = "",
        allow_private: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Create one.

        Args:
            header: Sent along, as `Name: value`; empty for none.
            allow_private: Whether http:// may connect to private addresses, too.
        """
        self._url = urlsplit(url)
        self._signers = [Webhook(one) for one in secrets]
        self._clock = clock
        name, _, value = header.partition(":")
        self._header = {name.lower(): value.strip()} if name else {}
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._user_agent = f"conferral/{version('conferral')}"
        self._tls = _tls_context() if self._url.scheme == "https" else None

    @classmethod
    def of(cls, settings: ServiceSettings, clock: Clock) -> "OutcomeDelivery | None":
        """Return the one in the settings; None without."""
        if settings.outcomes_url is None or settings.outcomes_secret is None:
            return None
        return cls(
            settings.outcomes_url,
            settings.outcomes_secret.get_secret_value().split(" "),
            clock,
            header=settings.outcomes_header.get_secret_value() if settings.outcomes_header else "",
            allow_private=settings.outcomes_insecure,
        )

    async def post(self, outcome_id: str, body: str) -> ReceiverResponse:
        """Send one outcome, signed for this moment; never raise for a response."""
        head = _Head()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._exchange(self._request(outcome_id, body.encode()), head)
        except (OSError, EOFError, ValueError) as error:  # what asyncio's streams raise, ValueError for a long line
            return head.response() if head.status else self._failure(error)
        return head.response()

    def _failure(self, error: Exception) -> ReceiverResponse:
        """Return the response if there is none."""
        match error:
            case TimeoutError():
                return ReceiverResponse("timeout", reason=f"no response within {self._timeout_s:g} s")
            case _NoAddressError():
                allowed = "private and loopback addresses" if self._allow_private else "loopback addresses"
                return ReceiverResponse("unreachable", reason=f"its address is not allowed: http:// only to {allowed}")
            case socket.gaierror() | UnicodeError():
                return ReceiverResponse("unreachable", reason="its host name can't be resolved")
            case ssl.SSLCertVerificationError():
                return ReceiverResponse("unreachable", reason="its TLS certificate is not valid")
            case ssl.SSLError():
                return ReceiverResponse("unreachable", reason="TLS failed")
            case ConnectionRefusedError():
                return ReceiverResponse("unreachable", reason="it refuses connections")
            case asyncio.IncompleteReadError(partial=b""):
                return ReceiverResponse("unreachable", reason="it closed the connection without a response")
            case OSError():
                return ReceiverResponse("unreachable", reason="it can't be reached, or closed the connection")
            case _:
                return ReceiverResponse("malformed", reason="its response is not HTTP/1")

    def _request(self, outcome_id: str, body: bytes) -> bytes:
        now_s = self._clock.wall_ms() // 1000
        at, text = datetime.fromtimestamp(now_s, UTC), body.decode()
        headers = {
            "accept": "*/*",
            "user-agent": self._user_agent,
            **self._header,
            "host": self._url.netloc,
            "connection": "close",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "webhook-id": outcome_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": " ".join(one.sign(outcome_id, at, text) for one in self._signers),
        }
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body

    async def _exchange(self, request: bytes, head: _Head) -> None:
        """Send a request, and read the head of its response."""
        host = self._url.hostname
        reader, writer = await asyncio.open_connection(
            sock=await self._connect(host or ""),
            ssl=self._tls,
            server_hostname=host if self._tls else None,
            limit=LINE_MAX_BYTES,
        )
        try:
            writer.write(request)
            await _read_head(reader, head)
        finally:
            writer.transport.abort()  # a body is not read, and a receiver that reads nothing is not waited for

    async def _connect(self, host: str) -> socket.socket:
        """Return a socket that is connected to one of the host's addresses."""
        loop, port = asyncio.get_running_loop(), self._url.port or (443 if self._tls else 80)
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        problem: OSError = _NoAddressError()
        for family, kind, protocol, _, address in found:
            if self._tls is None and not may_receive_plain(str(address[0]), private=self._allow_private):
                continue
            opened = socket.socket(family, kind, protocol)
            try:
                opened.setblocking(False)
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await loop.sock_connect(opened, address)
            except TimeoutError:
                opened.close()
                problem = ConnectionError()  # of this address alone; the response has not timed out
            except OSError as error:
                opened.close()
                problem = error
            except asyncio.CancelledError:
                opened.close()
                raise
            else:
                return opened
        raise problem


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _read_head(reader: asyncio.StreamReader, head: _Head) -> None:
    """Read a response up to its headers' end, without its interim responses.

    Raises ValueError if it is no HTTP, or too long.
    """
    for _ in range(INTERIM_MAX):
        found = _STATUS_LINE.fullmatch(await reader.readexactly(_STATUS_LINE_BYTES))
        if found is None:
            break
        status = int(found[1])
        if status // 100 != 1 or status == 101:  # switching protocols would be final
            head.status = status
            head.headers = await _read_headers(reader)
            return
        await _read_headers(reader)
    raise ValueError


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    """Return the headers after a status code, as far as they are read."""
    headers: dict[str, str] = {}
    await reader.readline()  # the rest of the status line
    for _ in range(HEADERS_MAX):
        line = (await reader.readline()).strip()
        if not line:
            return headers
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.title()] = value.strip()
    return headers
