"""The Redis in memory against the real one: the same commands at random, the same replies and the same keys afterwards.

All are well formed: the Redis in memory has no words for others, which only a mistake of ours could send.

A failure shows the shortest sequence that hypothesis found, and the line that repeats it.
"""

import re
from collections.abc import Sequence
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conferral.runtime.clock import SystemClock
from tests.support.memory_redis import MemoryServer
from tests.support.memory_redis.client import converted, encoded
from tests.support.memory_redis.stream_commands import Blocked

pytestmark = pytest.mark.redis
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


#: What one run of `make test` sees, and what `make soak` does.
EXAMPLES, EXAMPLES_SOAK = 50, 2_000

key = st.sampled_from(KEYS)
field = st.sampled_from([b"f", b"g", b"", b"\xff\x00", b"n"])
value = st.sampled_from([b"", b"v", b"7", b"-3", b"9223372036854775807", b"\r\n\x00", b"\xc3\xbc", b"x" * 70])
number = st.sampled_from([b"0", b"1", b"-1", b"2", b"-2", b"3", b"5"])
size = st.sampled_from([b"1", b"2", b"5"])
score = st.sampled_from([b"0", b"1", b"2", b"1.5", b"-1", b"0.1", b"1e3", b"inf", b"-inf", b"1797000000000", b"3.0"])
bound = st.one_of(score, score.map(lambda one: b"(" + one), st.sampled_from([b"+inf", b"-inf", b"(+inf"]))
entry_id = st.sampled_from(
    [b"1-1", b"1-2", b"2-0", b"2", b"3-1", b"5-0", b"5-18446744073709551615", b"6-1",
     b"18446744073709551615-18446744073709551615"]
)  # fmt: skip
interval = st.one_of(st.sampled_from([b"-", b"+"]), entry_id, st.sampled_from([b"(1-1", b"(2-0", b"(5-0"]))


def words(*parts: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """One command: words as they are, strategies for what varies; a strategy of lists for several words."""
    made = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]
    return st.tuples(*made).map(
        lambda found: tuple(one for part in found for one in (part if isinstance(part, list) else [part]))
    )


def some(one: st.SearchStrategy[Any], *, least: int = 1) -> st.SearchStrategy[list[Any]]:
    return st.lists(one, min_size=least, max_size=3)


def pairs(first: st.SearchStrategy[Any], second: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Pairs one after the other."""
    return st.lists(st.tuples(first, second), min_size=1, max_size=3).map(
        lambda all_: [x for pair in all_ for x in pair]
    )


def options(*found: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    return st.one_of(st.just([]), st.sampled_from(list(found)))


def count() -> st.SearchStrategy[list[bytes]]:
    return st.one_of(st.just([]), size.map(lambda one: [b"COUNT", one]))


PLAIN = [
    words("DEL", some(key)), words("EXISTS", some(key)), words("TYPE", key), words("KEYS", b"*"),
    words("COPY", b"a", key.filter(lambda one: one != b"a"), b"REPLACE"),
    words("EXPIRE", key, st.sampled_from([b"1000", b"-1", b"0"])), words("TTL", key),
    words("PEXPIRE", key, st.sampled_from([b"9000000", b"-5"])), words("PTTL", key), words("DBSIZE"),
    words("GET", key), words("SET", key, value, options([b"NX"], [b"EX", b"5000"], [b"EX", b"5000", b"NX"])),
]  # fmt: skip
HASHES = [
    words("HGET", key, field), words("HMGET", key, some(field)), words("HGETALL", key), words("HKEYS", key),
    words("HLEN", key), words("HEXISTS", key, field), words("HSET", key, pairs(field, value)),
    words("HSETNX", key, field, value), words("HDEL", key, some(field)), words("HINCRBY", b"counts", field, number),
]  # fmt: skip
SETS = [
    words("SADD", key, some(value)), words("SREM", key, some(value)), words("SCARD", key), words("SMEMBERS", key),
    words("SISMEMBER", key, value), words("ZADD", key, pairs(score, value)),
    words("ZREM", key, some(value)), words("ZCARD", key), words("ZSCORE", key, value),
    words("ZRANGE", key, number, number, options([b"WITHSCORES"])),
    words("ZREMRANGEBYSCORE", key, bound, bound),
    words("ZRANGEBYSCORE", key, bound, bound, options([b"WITHSCORES"]), st.one_of(
        st.just([]), st.tuples(size, number).map(lambda two: [b"LIMIT", *two]))),
    words("ZREVRANGEBYSCORE", key, bound, bound, options([b"WITHSCORES"])),
]  # fmt: skip
STREAMS = [
    words("XADD", key, entry_id, pairs(field, value)), words("XADD", key, entry_id, pairs(field, value)),
    words("XADD", key, b"MAXLEN", options([b"="]), size, entry_id, pairs(field, value)),
    words("XLEN", key), words("XDEL", key, some(entry_id)), words("XTRIM", key, b"MAXLEN", size),
    words("XTRIM", key, b"MINID", entry_id),
    words("XRANGE", key, interval, interval, count()), words("XREVRANGE", key, interval, interval, count()),
    words("XREAD", count(), b"STREAMS", key, entry_id),
    words("XGROUP", b"CREATE", key, field, entry_id, b"MKSTREAM"), words("XGROUP", b"SETID", key, field, entry_id),
    words("XINFO", b"GROUPS", key), words("XINFO", b"STREAM", key),
]  # fmt: skip
#: What no script does.
SERVER = [
    words("XREAD", b"COUNT", b"2", b"BLOCK", b"1", b"STREAMS", key, key, entry_id, entry_id),
    words("PING"), words("ECHO", value), words("CONFIG", b"SET", b"maxmemory", b"1"),
    words("CONFIG", b"SET", b"maxmemory", b"0"), words("CONFIG", b"SET", b"min-replicas-to-write", b"1"),
    words("CONFIG", b"SET", b"min-replicas-to-write", b"0"), words("SCRIPT", b"FLUSH"),
    words("EVALSHA", b"0" * 40, b"0"), words("EVAL", b"return 1", b"0"),
]  # fmt: skip
# A read that waits is for one connection alone, and a pipeline would wait for it: scripts do not wait.
in_scripts = st.one_of(*(st.one_of(*kind) for kind in (PLAIN, HASHES, SETS, STREAMS, STREAMS)))
plain_command = st.one_of(in_scripts, in_scripts, in_scripts, in_scripts, in_scripts, *SERVER)
scripted = st.tuples(st.sampled_from(IN_SCRIPTS), in_scripts).map(
    lambda both: ("EVAL", both[0], b"1", KEYS[0], *both[1])
)
any_command = st.one_of(plain_command, plain_command, plain_command, scripted)


@limits(EXAMPLES)
@given(commands=st.lists(any_command, min_size=1, max_size=25))
def test_random_commands_get_the_same_replies_and_leave_the_same_keys(real, commands):
    compare(real, commands, KEYS)


@pytest.mark.soak
@pytest.mark.timeout(600)
@limits(EXAMPLES_SOAK)
@given(commands=st.lists(any_command, min_size=1, max_size=60))
def test_many_random_commands_get_the_same_replies_and_leave_the_same_keys(real, commands):
    compare(real, commands, KEYS)
