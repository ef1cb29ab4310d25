"""Everything that a Redis carries out, in its own order, by MONITOR: who committed which version under which lease."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.storage import scripts
from conferral.storage.connection.client import Client, make_client
from tests.support.tcp_relay import Address

_LINE = re.compile(rb"^\+(?P<at>[\d.]+) \[(?P<db>\d+) (?P<who>[^\]]*)\] (?P<words>.*)\r\n$", re.DOTALL)
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SESSION = re.compile(r"^.*\{(?P<partition>\d+)\}:session:(?P<id>[^:]+)$")
_LEASE = re.compile(r"^.*(\{\d+\}:lease|:lease:\w+)$")
#: Words that name a commit: its script's digest and, where Redis has forgotten it, its text.
_COMMIT = {scripts.commit_batch.sha, scripts.commit_batch.text}


class Commit(NamedTuple):
    """A version of a session that was written."""

    at_s: float
    session_id: str
    version: int
    #: Who wrote it, as the commit says.
    holder: str
    #: Who had the lease at that moment, as the lease said; None where that is not known.
    leased_to: str | None
    #: Version that was written before; None where that is not known.
    before: int | None


class RedisHistory:
    """Listens from its start to its end. What happens while its connection is away is missed.

    Args:
        server: Its socket, or its port on loopback.
    """

    def __init__(self, server: Address) -> None:
        self._server = server
        self.commits: list[Commit] = []
        #: Versions that someone wrote otherwise than by a commit.
        self.strange: list[str] = []
        #: What each command was called how often (count), those within scripts left out.
        self.calls: dict[str, int] = {}
        self._holders: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        self._committing: tuple[str, str] | None = None
        self._seen: set[str] = set()
        self._markers = 0
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._listens = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())
        await self._listens.wait()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._listening.cancel()
        await asyncio.wait({self._listening})

    def follow(self, server: Address) -> None:
        """From now on listens to another server, the one that has taken over."""
        self._server = server
        if self._writer is not None:
            self._writer.close()

    async def caught_up(self) -> None:
        """Waits until everything that was sent before is known."""
        self._markers += 1
        marker = f"marker-{id(self)}-{self._markers}"
        client: Client = make_client(url_of(self._server))
        try:
            async with asyncio.timeout(60):
                while marker not in self._seen:
                    with suppress(RedisConnectionError, RedisTimeoutError):
                        await client.execute_command("PING", marker)
                    await asyncio.sleep(0.01)
        finally:
            await client.aclose()

    # ---- listening -----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            try:
                reader, writer = await self._connect()
                self._writer = writer
                try:
                    writer.write(b"MONITOR\r\n")
                    await self._take(reader)
                finally:
                    self._writer = None
                    writer.close()
            except OSError:
                await asyncio.sleep(0.002)
            self._forget()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._server, Path):
            return await asyncio.open_unix_connection(str(self._server), limit=1 << 24)
        return await asyncio.open_connection("127.0.0.1", self._server, limit=1 << 24)

    async def _take(self, reader: asyncio.StreamReader) -> None:
        if await reader.readline() != b"+OK\r\n":
            return
        self._listens.set()
        while line := await reader.readline():
            match = _LINE.match(line)
            if match:
                words = [_plain(word) for word in _WORD.findall(match["words"])]
                if words:
                    self._note(float(match["at"]), match["who"] == b"lua", words)

    def _forget(self) -> None:
        self._holders.clear()
        self._versions.clear()
        self._committing = None

    def _note(self, at_s: float, by_script: bool, words: list[str]) -> None:
        name, arguments = words[0].upper(), words[1:]
        if not by_script:
            self.calls[name] = self.calls.get(name, 0) + 1
            self._committing = None
            if name in ("EVALSHA", "EVAL") and arguments[0] in _COMMIT:
                keys = int(arguments[1])
                self._committing = arguments[2 + keys], arguments[2 + 1]
            self._seen |= {word for word in arguments if word.startswith("marker-")}
        if name in ("FLUSHALL", "FLUSHDB"):
            self._forget()
        elif name == "DEL":
            for key in arguments:
                self._holders.pop(key, None)
                self._versions.pop(key, None)
        elif name == "HSET" and arguments:
            self._note_hash(at_s, by_script, arguments[0], dict(zip(arguments[1::2], arguments[2::2], strict=False)))

    def _note_hash(self, at_s: float, by_script: bool, key: str, fields: dict[str, str]) -> None:
        if _LEASE.match(key) and "holder" in fields:
            self._holders[key] = fields["holder"]
        match = _SESSION.match(key)
        if match is None or "version" not in fields:
            return
        if not by_script or self._committing is None:
            self._versions[key] = int(fields["version"])
            self.strange.append(f"{key} {fields['version']}")
            return
        version, (holder, lease) = int(fields["version"]), self._committing
        before, self._versions[key] = self._versions.get(key), version
        self.commits.append(Commit(at_s, match["id"], version, holder, self._holders.get(lease), before))


def url_of(server: Address) -> str:
    """For a client of Redis."""
    return f"unix://{server}" if isinstance(server, Path) else f"redis://127.0.0.1:{server}"


_ESCAPED = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


def _plain(word: bytes) -> str:
    """A word without MONITOR's escapes."""

    def meant(match: re.Match[bytes]) -> bytes:
        escaped = match[1]
        return bytes([int(escaped[1:], 16)]) if len(escaped) == 3 else _LETTERS.get(escaped, escaped)

    return _ESCAPED.sub(meant, word).decode(errors="replace")
