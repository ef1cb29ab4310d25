"""The Redis in memory next to a real one: both are asked the same, and have to answer the same."""

import re
from collections.abc import Sequence
from typing import Any

import redis
from hypothesis import HealthCheck, settings

from conferral.runtime.clock import SystemClock
from tests.support.memory_redis import MemoryServer
from tests.support.memory_redis.client import converted, encoded
from tests.support.memory_redis.stream_commands import Blocked

Words = tuple[bytes | int | str, ...]
KEYS = [b"a", b"b", b"{t}c", b"\x00\xff"]
#: The run id of a server.
RUN_ID = re.compile(rb"[0-9a-f]{40}")
#: What the clock says, in ids and in times of milliseconds or microseconds.
BY_CLOCK = re.compile(rb"\d{13,16}(-\d+)?")
#: Scripts that run another command, in ways that differ in what becomes of an error.
IN_SCRIPTS = (
    "return redis.call(unpack(ARGV))",
    """
      local answer = redis.pcall(unpack(ARGV))
      return type(answer) == 'table' and answer.err and string.match(answer.err, '%S+') or answer
    """,
    "redis.call('HDEL', KEYS[1], 'f')\nreturn redis.call(unpack(ARGV))",
)


def replies_of_real(client: Any, commands: Sequence[Words]) -> list[Any]:
    client.execute_command("FLUSHALL")
    client.execute_command("SCRIPT", "FLUSH")
    client.execute_command("CONFIG", "SET", "maxmemory", "0", "min-replicas-to-write", "0")
    pipeline = client.pipeline(transaction=False)
    for one in commands:
        pipeline.execute_command(*one)
    return pipeline.execute(raise_on_error=False)


def replies_of_memory(commands: Sequence[Words]) -> list[Any]:
    server = MemoryServer(SystemClock().wall_ms)
    replies, fault = server.perform([encoded(one) for one in commands])
    assert fault is None
    answers = []
    for one, reply in zip(commands, replies, strict=True):
        if type(reply) is Blocked:  # no one writes meanwhile, so it comes back empty
            reply = None
        try:
            answers.append(converted(one[0], {}, reply))
        except redis.ResponseError as error:
            answers.append(error)
    return answers


def reading_commands(keys: Sequence[bytes]) -> list[Words]:
    """Everything that can be seen of the keys."""
    reset: list[Words] = [("CONFIG", "SET", "maxmemory", "0", "min-replicas-to-write", "0")]
    return reset + [
        (*command[:1], one, *command[1:])
        for one in keys
        for command in (("TYPE",), ("TTL",), ("GET",), ("HGETALL",), ("SMEMBERS",), ("ZRANGE", 0, -1, "WITHSCORES"),
                     ("XRANGE", "-", "+"))
    ] + [("XINFO", kind, one) for one in keys for kind in ("STREAM", "GROUPS")]  # fmt: skip


def comparable(one: Words, reply: Any) -> Any:
    """A reply without what may differ: the order of sets, the clock, how a stream is stored, which server it is."""
    if one[0] == "EVAL" and one[1] in IN_SCRIPTS:
        one = one[4:]
    name = one[0] if one else ""
    if name in ("TTL", "PTTL") and isinstance(reply, int):
        return min(reply, 1)
    if name in ("KEYS", "SMEMBERS", "HKEYS", "HGETALL") and isinstance(reply, list):
        return sorted(reply)
    if name == "XINFO" and isinstance(reply, list) and reply and reply[0] == b"length":
        shown = dict(zip(reply[::2], reply[1::2], strict=True))
        reply = [(word, shown[word]) for word in shown if not word.startswith(b"radix-tree")]
    if name == "XINFO" and one[1:2] in ((b"GROUPS",), ("GROUPS",)) and isinstance(reply, list):
        reply = [group[:8] for group in reply]  # without its lag
    return plain(reply)


def plain(reply: Any) -> Any:
    if isinstance(reply, Exception):
        return type(reply).__name__
    if isinstance(reply, (list, tuple)):
        return [plain(part) for part in reply]
    if isinstance(reply, dict):
        return {name: plain(part) for name, part in reply.items()}
    if isinstance(reply, bytes) and RUN_ID.fullmatch(reply):
        return b"server"
    return BY_CLOCK.sub(b"*", reply) if isinstance(reply, bytes) else reply


def compare(client: redis.Redis, commands: Sequence[Words], keys: Sequence[bytes]) -> None:
    """Has both do the same on their own, and compares every reply and what then stands at the keys."""
    commands = [*commands, *reading_commands(keys)]
    wanted, found = replies_of_real(client, commands), replies_of_memory(commands)
    for at, (one, theirs, ours) in enumerate(zip(commands, wanted, found, strict=True)):
        assert comparable(one, ours) == comparable(one, theirs), f"command {at}: {one!r} after {commands[:at]!r}"


def limits(examples: int) -> Any:
    kept = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, print_blob=True, suppress_health_check=kept)
