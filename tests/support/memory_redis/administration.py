"""Commands that concern the server and not its keys."""

import re
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

    def note(name: str, arity: int, run: Callable[[list[bytes]], Reply], *, in_scripts: bool = False) -> None:
        def handler(_db: Keyspace, argv: list[bytes]) -> Reply:
            return run(argv)

        table[name.encode()] = Command(name, handler, arity, in_scripts=in_scripts)

    note("PING", -1, lambda argv: argv[1] if len(argv) > 1 else Status(b"PONG"), in_scripts=True)
    note("ECHO", 2, lambda argv: argv[1], in_scripts=True)
    note("TIME", 1, lambda _: server.time(), in_scripts=True)
    note("INFO", -1, lambda _: _info(server), in_scripts=True)
    note("CONFIG GET", -3, lambda argv: _settings(server, argv[2:]))
    note("CONFIG SET", -4, lambda argv: _set(server, argv[2:]))
    note("SCRIPT LOAD", 3, lambda argv: server.scripts.load(argv[2]))
    note("SCRIPT FLUSH", -2, lambda _: _forget_scripts(server))
    note("EVAL", -3, lambda argv: server.run_script(server.scripts.load(argv[1]), argv))
    note("EVALSHA", -3, lambda argv: server.run_script(_known(server, argv[1]), argv))
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
        if setting not in server.settings:
            raise Refusal(f"ERR Unknown option or number of arguments for CONFIG SET - '{name.decode()}'")
        server.settings[setting] = b"%d" % _bytes_of(value) if setting == b"maxmemory" else value
    server.is_full = 0 < int(server.settings[b"maxmemory"]) < EMPTY_BYTES
    server.lacks_replicas = server.settings[b"min-replicas-to-write"] != b"0"
    return OK


def _bytes_of(value: bytes) -> int:
    match = re.fullmatch(rb"(\d+)([a-z]*)", value.lower())
    if match is None or match[2] not in _UNITS:
        raise Refusal(
            "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"
        )
    return int(match[1]) * _UNITS[match[2]]


def _forget_scripts(server: "MemoryServer") -> Reply:
    server.scripts.forget()
    return OK


def _known(server: "MemoryServer", digest: bytes) -> bytes:
    digest = digest.lower()
    if not server.scripts.knows(digest):
        raise Refusal("NOSCRIPT No matching script. Please use EVAL.")
    return digest
