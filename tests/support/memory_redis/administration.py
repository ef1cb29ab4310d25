"""Commands that concern the server and not its keys."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tests.support.memory_redis.keyspace import Command, Keyspace
from tests.support.memory_redis.values import OK, Refusal, Reply, Status

if TYPE_CHECKING:
    from tests.support.memory_redis.server import MemoryServer

#: What a Redis without any key uses, about, bytes: set to less than this it is full; what keys take is not counted.
EMPTY_BYTES = 900_000
_UNITS = {b"": 1, b"b": 1, b"k": 1000, b"kb": 1024, b"m": 10**6, b"mb": 2**20, b"g": 10**9, b"gb": 2**30}


def own_commands(server: "MemoryServer") -> dict[bytes, Command]:
    """The commands of one server, by name."""
    table: dict[bytes, Command] = {}

    def note(name: str, run: Callable[[list[bytes]], Reply]) -> None:
        def handler(_db: Keyspace, argv: list[bytes]) -> Reply:
            return run(argv)

        table[name.encode()] = Command(handler)

    note("PING", lambda argv: argv[1] if len(argv) > 1 else Status(b"PONG"))
    note("ECHO", lambda argv: argv[1])
    note("TIME", lambda _: server.time())
    note("INFO", lambda _: _info(server))
    note("CONFIG GET", lambda argv: _settings(server, argv[2:]))
    note("CONFIG SET", lambda argv: _set(server, argv[2:]))
    note("SCRIPT LOAD", lambda argv: server.scripts.load(argv[2]))
    note("SCRIPT FLUSH", lambda _: _forget_scripts(server))
    note("EVAL", lambda argv: server.run_script(server.scripts.load(argv[1]), argv))
    note("EVALSHA", lambda argv: server.run_script(_known(server, argv[1]), argv))
    return table


def _info(server: "MemoryServer") -> Reply:
    """Every section that anyone here asks for, whichever was named."""
    lines = {
        "redis_version": ".".join(map(str, server.version)),
        "redis_mode": "standalone",
        "run_id": server.run_id,
        "uptime_in_seconds": max(0, server.db.now_ms() - server.started_ms) // 1000,
        "role": "slave" if server.is_read_only else "master",
        "maxmemory": server.settings[b"maxmemory"].decode(),
        "maxmemory_policy": server.settings[b"maxmemory-policy"].decode(),
    }
    return "".join(f"{name}:{value}\r\n" for name, value in lines.items()).encode()


def _settings(server: "MemoryServer", patterns: list[bytes]) -> Reply:
    shown = {name: value for name, value in server.settings.items()
             if any(fnmatchcase(name.decode(), pattern.decode().lower()) for pattern in patterns)}  # fmt: skip
    return [part for pair in shown.items() for part in pair]


def _set(server: "MemoryServer", words: list[bytes]) -> Reply:
    for name, value in zip(words[::2], words[1::2], strict=True):
        setting = name.lower()
        server.settings[setting] = b"%d" % _bytes_of(value) if setting == b"maxmemory" else value
    server.is_full = 0 < int(server.settings[b"maxmemory"]) < EMPTY_BYTES
    server.lacks_replicas = server.settings[b"min-replicas-to-write"] != b"0"
    return OK


def _bytes_of(value: bytes) -> int:
    digits = value.rstrip(b"bgkm")
    return int(digits) * _UNITS[value[len(digits) :]]


def _forget_scripts(server: "MemoryServer") -> Reply:
    server.scripts.forget()
    return OK


def _known(server: "MemoryServer", digest: bytes) -> bytes:
    digest = digest.lower()
    if not server.scripts.knows(digest):
        raise Refusal("NOSCRIPT No matching script. Please use EVAL.")
    return digest
