"""Who is signed in at desks, and whom a sign-in proxy names."""

import hmac
from collections.abc import Iterable, Mapping
from enum import StrEnum
from ipaddress import ip_address

from aiohttp import web

from conferral.operations.desk_sign_out import end_sign_ins
from conferral.operations.redis_access import RedisAccess
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.settings import ServiceSettings
from conferral.storage.agents import Agent
from conferral.storage.sign_ins import SignIn, SignIns
from conferral.telephony.directory import DirectoryFile

#: How old the knowledge may be (seconds): an end takes effect within a second.
READ_EVERY_S = 0.4
#: The header with the proxy's secret.
SECRET_HEADER = "X-Conferral-Desk-Secret"  # noqa: S105  # its name
#: What Google's Identity-Aware Proxy writes before an address, which contains no colon. Source: Google Cloud docs,
#: "Get the user's identity".
_IAP_PREFIX = "accounts.google.com:"
#: Of a name, so much is compared (characters): an address has at most 254. Source: RFC 5321, section 4.5.3.1.
_PERSON_MAX = 320


class KnownSignIns:
    """The live sign-ins. While Redis is away, those that were live stay so."""

    def __init__(self, sign_ins: SignIns, redis: RedisAccess, clock: Clock) -> None:
        self.stored = sign_ins
        self._redis = redis
        self._clock = clock
        self._known: Mapping[str, SignIn] = {}
        #: None before the first time.
        self._read_at_s: float | None = None

    async def refresh(self, *, now: bool = False) -> None:
        """Read them, if what is known is too old; raise StoreError."""
        now_s = self._clock.monotonic_s()
        if now or self._read_at_s is None or now_s - self._read_at_s >= READ_EVERY_S:
            found = await self._redis.limiter(self.stored.read())
            if self._read_at_s is None or now_s >= self._read_at_s:  # another read may have begun later
                self._known, self._read_at_s = found, now_s

    async def find(self, identity: str, digest: str) -> SignIn | None:
        """Return an agent's live sign-in; raise StoreError if it isn't known."""
        try:
            await self.refresh()
        except StoreError:
            if self.known(identity, digest) is None:
                raise
        found = self.known(identity, digest)
        # It may be as new as this request. Anyone may guess, and reading all would cost the others much.
        if found is None and await self._redis.limiter(self.stored.has(digest)):
            await self.refresh(now=True)
            found = self.known(identity, digest)
        return found

    def known(self, identity: str, digest: str) -> SignIn | None:
        """Return an agent's sign-in if it was live when last read."""
        found = self._known.get(digest)
        return found if found is not None and found.identity == identity else None

    def is_over(self, digest: str) -> bool:
        """Whether a sign-in was over when last read."""
        return self._read_at_s is not None and digest not in self._known

    async def end_presence(self, agents: Iterable[Agent]) -> bool:
        """End the presence of desks whose sign-ins are over.

        Return whether there were any.
        """
        await self.refresh()
        over = [agent.identity for agent in agents if agent.sign_in and self.is_over(agent.sign_in)]
        for identity in over:
            await self.end(identity)
        return bool(over)

    async def end(self, identity: str, digest: str = "") -> None:
        """End a sign-in, and what an agent's former ones left; raise StoreError."""
        await self._redis.run(lambda reader: end_sign_ins(reader, identity, digest))


class ProxyProblem(StrEnum):
    """What is wrong with the headers that a sign-in proxy should add."""

    NO_SECRET = "no-secret"  # noqa: S105
    SECRET_TWICE = "secret-twice"  # noqa: S105  # a word, not a secret
    WRONG_SECRET = "wrong-secret"  # noqa: S105
    WRONG_SENDER = "wrong-sender"
    NO_NAME = "no-name"
    NAME_TWICE = "name-twice"
    UNKNOWN_NAME = "unknown-name"


class SignInProxy:
    """A proxy in front of the desk that says who is signed in."""

    def __init__(self, settings: ServiceSettings, directory: DirectoryFile) -> None:
        self._settings = settings
        self._directory = directory

    def identity_of(self, request: web.Request) -> tuple[str, ProxyProblem | None]:
        """Return whom the proxy names, or else what is wrong; neither without one.

        A header that occurs twice, or holds a comma, may be half the client's.
        """
        settings = self._settings
        if settings.desk_proxy_header is None or settings.desk_proxy_secret is None:
            return "", None
        secrets = request.headers.getall(SECRET_HEADER, [])
        people = request.headers.getall(settings.desk_proxy_header, [])
        expected = settings.desk_proxy_secret.get_secret_value()
        if len(secrets) != 1:
            return "", ProxyProblem.SECRET_TWICE if secrets else ProxyProblem.NO_SECRET
        if not hmac.compare_digest(secrets[0].encode(errors="surrogateescape"), expected.encode()):
            return "", ProxyProblem.WRONG_SECRET
        if not self._is_from_proxy(request):
            return "", ProxyProblem.WRONG_SENDER
        if len(people) != 1 or "," in people[0]:
            return "", ProxyProblem.NAME_TWICE if people else ProxyProblem.NO_NAME
        identity = self._directory.current.identity_of(people[0].removeprefix(_IAP_PREFIX)[:_PERSON_MAX])
        return identity, None if identity else ProxyProblem.UNKNOWN_NAME

    def _is_from_proxy(self, request: web.Request) -> bool:
        try:
            sender = ip_address(request.remote or "")
        except ValueError:
            return False
        sender = getattr(sender, "ipv4_mapped", None) or sender
        return any(sender in network for network in self._settings.desk_proxy_from)
