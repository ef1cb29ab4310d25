"""Bearer authentication with API tokens; rate limit of wrong ones."""

import math
from collections import OrderedDict, deque

import structlog
from aiohttp import hdrs, web

from conferral.runtime.clock import Clock
from conferral.runtime.log import LogRateLimit
from conferral.runtime.web.guard import protect
from conferral.runtime.web.json_requests import RequestError
from conferral.runtime.web.tokens import Token, Tokens, digest_of

log = structlog.get_logger()

#: Wrong tokens that one address may send in any 60 s, count.
WRONG_TOKENS_MAX = 20
WRONG_TOKENS_WITHIN_S = 60.0
#: Addresses whose wrong tokens are tracked, count: the most recent ones.
ADDRESSES_MAX = 10_000
#: Interval between log lines of a kind, seconds.
LOG_EVERY_S = 60.0


class WrongTokenLimiter:
    """Counts wrong tokens per address."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: When an address sent its recent wrong tokens, oldest first, monotonic seconds.
        self._sent_s: OrderedDict[str, deque[float]] = OrderedDict()
        self._log_limit = LogRateLimit(clock.monotonic_s)

    def record(self, address: str) -> float:
        """Count a wrong token; return seconds to wait, 0 below the limit."""
        now_s = self._clock.monotonic_s()
        sent_s = self._sent_s.pop(address, None) or deque()
        self._sent_s[address] = sent_s
        if len(self._sent_s) > ADDRESSES_MAX:
            self._sent_s.popitem(last=False)
        while sent_s and now_s - sent_s[0] >= WRONG_TOKENS_WITHIN_S:
            sent_s.popleft()
        if len(sent_s) >= WRONG_TOKENS_MAX:
            return sent_s[0] + WRONG_TOKENS_WITHIN_S - now_s  # not counted, so that waiting helps
        sent_s.append(now_s)
        # Limited over all addresses: a sender may have many.
        if count := self._log_limit.count("api_token_refused", LOG_EVERY_S):
            log.warning("api_token_refused", host=address, count=count)
        if len(sent_s) == WRONG_TOKENS_MAX and (count := self._log_limit.count("api_tokens_limited", LOG_EVERY_S)):
            log.warning("api_tokens_limited", host=address, count=count)
        return 0.0


class BearerAuthenticator:
    """Finds the token that a request was sent with.

    The right token is never rate-limited, or anyone could lock everyone out. Its length protects it from guessing.
    """

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self.tokens = tokens
        self._limiter = WrongTokenLimiter(clock)

    def authenticate(self, text: str, request: web.Request) -> Token | None:
        """Return the valid token with this text, or None.

        Raise RequestError after too many wrong ones.
        """
        if not text:
            return None
        # How long a look-up takes may depend on the digest, from which no one can tell the token.
        if token := self.tokens.current.get(digest_of(text)):
            protect(request)
            return token
        self.refuse(request)
        return None

    def refuse(self, request: web.Request) -> None:
        """Count a wrong token; raise RequestError after too many."""
        if wait_s := self._limiter.record(request.remote or ""):
            raise RequestError("too-many", "too many wrong tokens from this address", retry_after_s=math.ceil(wait_s))

    def token_of(self, request: web.Request) -> Token | None:
        """Return the token in a request's header; see `authenticate`."""
        return self.authenticate(sent_token(request), request)


def sent_token(request: web.Request) -> str:
    """Return the text of a request's bearer token; empty without one."""
    # Source: RFC 6750, section 2.1.
    sent = request.headers.getall(hdrs.AUTHORIZATION, [])
    scheme, _, given = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    return given.strip(" ") if scheme.lower() == "bearer" else ""
