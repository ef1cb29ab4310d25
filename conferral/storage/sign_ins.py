"""Sign-ins at desks, and the unused codes of links: one hash, by digest.

A code, or what a browser keeps in its cookie, is 256 random bits, of which Redis holds only the digest. So no one can
sign in with what Redis holds.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from conferral.runtime.json_decoding import json_decoder
from conferral.statemachine.record import BaseRecord, Hidden
from conferral.storage import scripts
from conferral.storage.connection.client import Client, run_or_raise
from conferral.storage.keys import Keys
from conferral.storage.server import time_ms

#: How long an unused code is valid, milliseconds.
CODE_TTL_MS = 600_000
#: The longest sign-in, milliseconds.
LIFETIME_MAX_MS = 30 * 86_400_000
#: Sign-ins and codes of one agent (count): a further one removes the one that would end first.
EACH_MAX = 50


class SignIn(BaseRecord, frozen=True):
    """A sign-in, or an unused code."""

    identity: Hidden[str]
    #: Name of the API token in whose name it was made.
    token: str
    #: Its end, Unix milliseconds of Redis's clock.
    until_ms: int = 0
    #: Of a code: how long a sign-in with it lasts, milliseconds. Of a sign-in: 0.
    for_ms: int = 0
    #: Whether the code can be used again: the demo's.
    is_reusable: bool = False
    #: Whether a sign-in proxy named the person, and must go on to do so.
    is_by_proxy: bool = False
    #: Digest of the browser's first one, if it had another: they end together. Empty for the first.
    first: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """What an end of sign-ins has changed."""

    #: Sign-ins and codes (count).
    count: int
    #: Whether the desk that may have the agent's call was of one of them.
    had_phone: bool


_decode = json_decoder(SignIn)


def new_secret() -> str:
    """Return a random code, or a value for a cookie."""
    return secrets.token_urlsafe(32)


def digest_of_secret(text: str) -> str:
    """Return what Redis holds of a code, or of a cookie's value."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class SignIns:
    """The sign-ins of all processes. Methods may raise StoreError."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def add_code(self, sign_in: SignIn, *, ttl_ms: int = CODE_TTL_MS) -> str:
        """Return a new code, with which someone may sign in."""
        code = new_secret()
        await self._add(code, sign_in, ttl_ms)
        return code

    async def add(self, sign_in: SignIn, lifetime_ms: int, former: str = "") -> tuple[str, SignIn]:
        """Sign someone in; return the cookie's value, and the sign-in.

        `former` is the digest of the cookie that the browser had.
        """
        secret = new_secret()
        stored = await self._add(secret, sign_in, lifetime_ms, former=former)
        return secret, _decode(stored)

    async def code(self, identity: str, code: str) -> SignIn | None:
        """Return an agent's unused code, which may be too old; None without it."""
        (found,) = await run_or_raise(self._client, ("HGET", self._keys.sign_ins, digest_of_secret(code)))
        readable = next(_readable([found] if found else []), None)
        return readable if readable is not None and readable.identity == identity and readable.for_ms else None

    async def use_code(self, identity: str, code: str, former: str = "") -> tuple[str, SignIn] | None:
        """Sign an agent in with a code; return as `add` does, None if it is wrong."""
        secret = new_secret()
        stored = await self._add(secret, SignIn(identity, ""), 0, digest_of_secret(code), former)
        return (secret, _decode(stored)) if stored else None

    async def _add(self, secret: str, sign_in: SignIn, lifetime_ms: int, code: str = "", former: str = "") -> bytes:
        arguments: list[scripts.Argument] = [digest_of_secret(secret), msgspec.json.encode(sign_in), lifetime_ms]
        arguments += [EACH_MAX, code, former, LIFETIME_MAX_MS]
        return bytes(await scripts.add_sign_in.durably(self._client, [self._keys.sign_ins], arguments) or b"")

    async def end(self, identity: str, digest: str = "", *, everything: bool = False) -> Ended:
        """End one sign-in of an agent, with its browser's others, or everything.

        Each time, and alone without a digest, the presence of desks whose sign-ins are over goes.
        """
        keys = [self._keys.sign_ins, self._keys.agents]
        count, had_phone = await scripts.end_sign_ins.durably(self._client, keys, [identity, digest, int(everything)])
        return Ended(int(count), bool(had_phone))

    async def count(self, identity: str) -> int:
        """Return how many sign-ins and codes of an agent are stored."""
        (found,) = await run_or_raise(self._client, ("HVALS", self._keys.sign_ins))
        return sum(one.identity == identity for one in _readable(found))

    async def has(self, digest: str) -> bool:
        """Whether there is a sign-in, or a code, with this digest."""
        (found,) = await run_or_raise(self._client, ("HEXISTS", self._keys.sign_ins, digest))
        return bool(found)

    async def read(self) -> Mapping[str, SignIn]:
        """Return all sign-ins by digest, without codes, by Redis's time."""
        time, found = await run_or_raise(self._client, ("TIME",), ("HGETALL", self._keys.sign_ins))
        now_ms, sign_ins = time_ms(time), {}
        for digest, stored in found.items():
            for one in _readable([stored]):
                if one.until_ms > now_ms and not one.for_ms:
                    sign_ins[digest.decode(errors="replace")] = one
        return sign_ins


def _readable(stored: Iterable[bytes]) -> Iterator[SignIn]:
    """Yield records; skip what another program has written."""
    for one in stored:
        with suppress(ValueError):
            yield _decode(one)
