"""Where outcomes are sent: signed requests, following Standard Webhooks.

Whatever it answers costs little: no body is read, headers have limits, and redirects are not followed.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import aiohttp
from standardwebhooks.webhooks import Webhook

from conferral.runtime.clock import Clock
from conferral.runtime.settings import ServiceSettings
from conferral.telephony.errors import retry_after_s

#: Concurrent requests.
REQUESTS_MAX = 16
#: How long an answer may take, seconds.
TIMEOUT_S = 10.0
#: Limits of an answer's headers: their count, and the size of each and of the first line (bytes).
HEADERS_MAX, LINE_MAX_BYTES = 64, 4096
#: How much of an answer is read at a time, and waits in memory (bytes).
BUFFER_BYTES = 4096

Result = Literal["delivered", "gone", "redirected", "refused", "failed", "timeout", "unreachable", "malformed"]
_BY_STATUS: dict[int, Result] = {2: "delivered", 3: "redirected", 4: "refused"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request."""

    result: Result
    #: HTTP status; 0 without an answer.
    status: int = 0
    retry_after_s: float = 0.0


class OutcomeReceiver:
    """Where outcomes are sent; opens its session at the first request."""

    def __init__(self, url: str, secrets: Sequence[str], clock: Clock, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._signers = [Webhook(one) for one in secrets]
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def of(cls, settings: ServiceSettings, clock: Clock) -> "OutcomeReceiver | None":
        """Return the one in the settings; None without."""
        if settings.outcomes_url is None or settings.outcomes_secret is None:
            return None
        return cls(settings.outcomes_url, settings.outcomes_secret.get_secret_value().split(" "), clock)

    async def post(self, outcome_id: str, body: str) -> Answer:
        """Send one outcome, signed for this moment; never raise for an answer."""
        try:
            # Leaving the block closes the connection, unless the whole body has arrived with the headers.
            async with self._open_session().post(
                self._url, data=body.encode(), headers=self._headers(outcome_id, body), allow_redirects=False
            ) as response:
                result = "gone" if response.status == 410 else _BY_STATUS.get(response.status // 100, "failed")
                return Answer(result, response.status, retry_after_s(response.headers))
        except TimeoutError:
            return Answer("timeout")
        except (aiohttp.ClientConnectionError, OSError):
            return Answer("unreachable")
        except (aiohttp.ClientError, ValueError):  # an answer that aiohttp can't or won't parse
            return Answer("malformed")

    def _headers(self, outcome_id: str, body: str) -> dict[str, str]:
        now_s = self._clock.wall_ms() // 1000
        at = datetime.fromtimestamp(now_s, UTC)
        return {
            "content-type": "application/json",
            "webhook-id": outcome_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": " ".join(one.sign(outcome_id, at, body) for one in self._signers),
        }

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=REQUESTS_MAX, socket_factory=_open_socket),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=BUFFER_BYTES,
                max_headers=HEADERS_MAX,
                max_line_size=LINE_MAX_BYTES,
                max_field_size=LINE_MAX_BYTES,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket with a small buffer.

    What has arrived is parsed in one piece: with the usual buffer, a flood of interim responses would stop the loop.
    """
    opened = socket.socket(*address[:3])
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    return opened
