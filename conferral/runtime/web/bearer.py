"""Bearer authentication with the API token; rate limit of wrong tokens."""

import hmac
import math
from collections import OrderedDict, deque

import structlog
from aiohttp import hdrs, web
from pydantic import SecretStr

from conferral.runtime.clock import Clock
from conferral.runtime.web.json_requests import RequestError

log = structlog.get_logger()

#: Wrong tokens that one address may send in any 60 s, count.
WRONG_MAX = 20
WRONG_WITHIN_S = 60.0
#: Addresses whose wrong tokens are tracked, count: the most recent ones.
ADDRESSES_MAX = 10_000


class WrongTokenLimiter:
    """Counts wrong tokens per address."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: When an address sent its recent wrong tokens, oldest first, monotonic seconds.
        self._sent_s: OrderedDict[str, deque[float]] = OrderedDict()

    def record(self, address: str) -> float:
        """Count a wrong token; return seconds to wait, 0 below the limit."""
        now_s = self._clock.monotonic_s()
        sent_s = self._sent_s.pop(address, None) or deque()
        self._sent_s[address] = sent_s
        if len(self._sent_s) > ADDRESSES_MAX:
            self._sent_s.popitem(last=False)
        while sent_s and now_s - sent_s[0] >= WRONG_WITHIN_S:
            sent_s.popleft()
        if len(sent_s) >= WRONG_MAX:
            return sent_s[0] + WRONG_WITHIN_S - now_s  # not counted, so that waiting helps
        sent_s.append(now_s)
        if len(sent_s) == 1:
            log.warning("api_token_refused", host=address)
        if len(sent_s) == WRONG_MAX:
            log.warning("api_tokens_limited", host=address, count=WRONG_MAX)
        return 0.0


class BearerAuthenticator:
    """Compares tokens with the configured one.

    The right token is never rate-limited, or anyone could lock everyone out. Its length protects it from guessing.
    """

    def __init__(self, token: SecretStr, clock: Clock) -> None:
        self._token = token.get_secret_value().encode()
        self._limiter = WrongTokenLimiter(clock)

    def is_valid(self, token: str, request: web.Request) -> bool:
        """Whether this is the token; raise RequestError after too many wrong ones."""
        # Headers may hold any byte. The constant-time comparison does not reveal where the two differ.
        if hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token):
            return True
        if token and (wait_s := self._limiter.record(request.remote or "")):
            raise RequestError("too-many", "too many wrong tokens from this address", retry_after_s=math.ceil(wait_s))
        return False

    def has_valid_token(self, request: web.Request) -> bool:
        """Whether a request has the bearer token; see `is_valid`."""
        # Source: RFC 6750, section 2.1.
        sent = request.headers.getall(hdrs.AUTHORIZATION, [])
        scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
        return self.is_valid(token.strip(" ") if scheme.lower() == "bearer" else "", request)
