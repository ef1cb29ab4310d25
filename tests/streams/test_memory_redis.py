"""The Redis in memory against the real one: the same commands at random, the same replies and the same keys afterwards.

A failure shows the shortest sequence that hypothesis found, and the line that repeats it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.clock import SystemClock
from streams.scripts import SCRIPTS
from tests.support.memory_redis import MemoryServer
from tests.support.memory_redis.client import encoded, told
from tests.support.memory_redis.stream_commands import Blocked
from tests.support.redis_server import RedisServer, found_programs

pytestmark = pytest.mark.redis
Words = tuple[bytes | int | str, ...]
#: What one run of `make test` sees, and what `make soak` does.
EXAMPLES, EXAMPLES_SOAK = 50, 2_000

ID_BY_CLOCK = re.compile(rb"\b\d{13}-\d+\b")
KEYS = [b"a", b"b", b"{t}c", b"\x00\xff"]
key = st.sampled_from(KEYS)
field = st.sampled_from([b"f", b"g", b"", b"\xff\x00", b"n"])
value = st.sampled_from([b"", b"v", b"7", b"-3", b"9223372036854775807", b"007", b"\r\n\x00", b"\xc3\xbc", b"x" * 70])
number = st.sampled_from([b"0", b"1", b"-1", b"2", b"-2", b"3", b"5", b"x", b"", b"1.5", b" 1", b"+1", b"01"])
score = st.sampled_from(
    [b"0", b"1", b"2", b"1.5", b"-1", b"0.1", b"1e3", b"inf", b"-inf", b"nan", b"x", b"", b"1797000000000", b"3.0"]
)
bound = st.one_of(score, score.map(lambda one: b"(" + one), st.sampled_from([b"+inf", b"-inf", b"(+inf"]))
entry_id = st.sampled_from(
    [b"1-1", b"1-2", b"2-0", b"2", b"3-1", b"3-*", b"4-*", b"5-0", b"5-18446744073709551615", b"6-1", b"0-0", b"0",
     b"0-1", b"x", b"1-x", b"-1-1", b"18446744073709551615-18446744073709551615", b"18446744073709551616-0", b"01-1",
     b"$", b""]
)  # fmt: skip
interval = st.one_of(st.sampled_from([b"-", b"+", b"(-", b"(+"]), entry_id, entry_id.map(lambda one: b"(" + one))


def words(*parts: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """One command: words as they are, strategies for what varies; a strategy of lists for several words."""
    made = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]
    return st.tuples(*made).map(
        lambda found: tuple(one for part in found for one in (part if isinstance(part, list) else [part]))
    )


def some(one: st.SearchStrategy[Any], *, least: int = 1) -> st.SearchStrategy[list[Any]]:
    return st.lists(one, min_size=least, max_size=3)


def pairs(first: st.SearchStrategy[Any], second: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Pairs one after the other; now and then a half one."""
    whole = st.lists(st.tuples(first, second), min_size=1, max_size=3).map(
        lambda all_: [x for pair in all_ for x in pair]
    )
    return st.one_of(whole, whole, whole, whole.map(lambda parts: parts[:-1]))


def options(*found: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    return st.one_of(st.just([]), st.sampled_from(list(found)))


def count(word: bytes = b"COUNT") -> st.SearchStrategy[list[bytes]]:
    return st.one_of(st.just([]), number.map(lambda one: [word, one]), st.just([word]))


PLAIN = [
    words("DEL", some(key)), words("EXISTS", some(key)), words("TYPE", key), words("PERSIST", key),
    words("RENAME", key, key), words("KEYS", st.sampled_from([b"*", b"?", b"[ab]", b"\\a", b"{t}*", b"[^a]"])),
    words("EXPIRE", key, st.sampled_from([b"1000", b"-1", b"0", b"x", b"9223372036854775807"])), words("TTL", key),
    words("PEXPIRE", key, st.sampled_from([b"9000000", b"-5", b"1.5"])), words("PTTL", key), words("DBSIZE"),
    words("GET", key), words("GET", key, key), words("INCR", key), words("INCRBY", key, number),
    words("SET", key, value, options(
        [b"NX"], [b"xx"], [b"NX", b"XX"], [b"NX", b"EX", b"100"], [b"PX", b"0"], [b"EX", b"x"], [b"EX"], [b"KEEPTTL"],
        [b"GET"], [b"EX", b"5000", b"PX", b"5"], [b"NX", b"GET"], [b"odd"], [b"EX", b"5000", b"NX"])),
]  # fmt: skip
HASHES = [
    words("HGET", key, field), words("HMGET", key, some(field)), words("HGETALL", key), words("HKEYS", key),
    words("HVALS", key), words("HLEN", key), words("HEXISTS", key, field), words("HSET", key, pairs(field, value)),
    words("HSETNX", key, field, value), words("HDEL", key, some(field)), words("HINCRBY", key, field, number),
]  # fmt: skip
SETS = [
    words("SADD", key, some(value)), words("SREM", key, some(value)), words("SCARD", key), words("SMEMBERS", key),
    words("SISMEMBER", key, value), words("RPUSH", key, some(value)), words("LPUSH", key, some(value)),
    words("LRANGE", key, number, number), words("ZADD", key, pairs(score, value)),
    words("ZADD", key, st.sampled_from([b"NX", b"XX", b"ch"]), pairs(score, value)),
    words("ZREM", key, some(value)), words("ZCARD", key), words("ZSCORE", key, value),
    words("ZCOUNT", key, bound, bound),
    words("ZRANGE", key, number, number, options([b"WITHSCORES"], [b"odd"])),
    words("ZREVRANGE", key, number, number, options([b"withscores"])),
    words("ZREMRANGEBYSCORE", key, bound, bound),
    words("ZRANGEBYSCORE", key, bound, bound, options([b"WITHSCORES"], [b"odd"]), st.one_of(
        st.just([]), st.tuples(number, number).map(lambda two: [b"LIMIT", *two]), st.just([b"LIMIT", b"1"]))),
    words("ZREVRANGEBYSCORE", key, bound, bound, options([b"WITHSCORES"])),
]  # fmt: skip
STREAMS = [
    words("XADD", key, entry_id, pairs(field, value)), words("XADD", key, entry_id, pairs(field, value)),
    words("XADD", key, b"NOMKSTREAM", entry_id, pairs(field, value)),
    words("XADD", key, b"MAXLEN", options([b"="]), number, entry_id, pairs(field, value)),
    words("XLEN", key), words("XDEL", key, some(entry_id)), words("XTRIM", key, b"MAXLEN", number),
    words("XRANGE", key, interval, interval, count()), words("XREVRANGE", key, interval, interval, count()),
    words("XREAD", count(), b"STREAMS", key, entry_id),
    words("XREAD", b"COUNT", b"2", b"BLOCK", b"1", b"STREAMS", key, key, entry_id, entry_id),
    words("XREAD", b"BLOCK", st.sampled_from([b"1", b"-1", b"x"]), b"streams", key, b"0"),
    words("XREAD", b"STREAMS", key, key, entry_id),
    words("XGROUP", b"CREATE", key, field, entry_id, options([b"MKSTREAM"], [b"ENTRIESREAD", b"2"], [b"odd"],
                                                             [b"MKSTREAM", b"ENTRIESREAD", b"-1"])),
    words("XGROUP", b"SETID", key, field, entry_id, options([b"ENTRIESREAD", b"1"], [b"ENTRIESREAD", b"-2"])),
    words("XINFO", b"GROUPS", key), words("XINFO", b"STREAM", key), words("XINFO", b"ODD"), words("XGROUP"),
]  # fmt: skip
SERVER = [
    words("PING"), words("ECHO", value), words("NONSENSE", value), words("CONFIG", b"SET", b"maxmemory", b"1"),
    words("CONFIG", b"SET", b"maxmemory", b"0"), words("CONFIG", b"SET", b"min-replicas-to-write", b"1"),
    words("CONFIG", b"SET", b"min-replicas-to-write", b"0"), words("SCRIPT", b"FLUSH"),
    words("EVALSHA", b"0" * 40, b"0"), words("EVAL", b"return 1", number), words("EVAL", b"return 1 +", b"0"),
]  # fmt: skip
IN_SCRIPTS = (
    "return redis.call(unpack(ARGV))",
    """
      local answer = redis.pcall(unpack(ARGV))
      return type(answer) == 'table' and answer.err or answer
    """,
    "redis.call('HDEL', KEYS[1], 'f')\nreturn redis.call(unpack(ARGV))",
)
# A read that waits is for one connection alone, and a pipeline would wait for it: scripts do not wait.
plain_command = st.one_of(*(st.one_of(*kind) for kind in (PLAIN, HASHES, SETS, STREAMS, STREAMS, SERVER)))
scripted = st.tuples(st.sampled_from(IN_SCRIPTS), plain_command).map(
    lambda both: ("EVAL", both[0], b"1", KEYS[0], *both[1])
)
any_command = st.one_of(plain_command, plain_command, plain_command, scripted)


@pytest.fixture(scope="module")
def real() -> Iterator[redis.Redis]:
    """A server of the version whose words the one in memory speaks."""
    program = found_programs().get("on-path") or next(iter(found_programs().values()))
    with RedisServer(program) as server, redis.Redis(unix_socket_path=str(server.socket), protocol=2) as client:
        version = client.info("server")["redis_version"]
        if not version.startswith("7.0."):
            pytest.skip(f"compared word by word with Redis 7.0, and this is {version}")
        yield client


def replies_of_real(client: redis.Redis, commands: Sequence[Words]) -> list[Any]:
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
        if type(reply) is Blocked:  # nobody writes meanwhile, so it comes back empty
            reply = None
        try:
            answers.append(told(one[0], {}, reply))
        except redis.ResponseError as error:
            answers.append(error)
    return answers


def looks() -> list[Words]:
    """Everything that can be seen of the keys."""
    reset: list[Words] = [("CONFIG", "SET", "maxmemory", "0", "min-replicas-to-write", "0")]
    return reset + [
        (*look[:1], one, *look[1:])
        for one in KEYS
        for look in (("TYPE",), ("TTL",), ("GET",), ("HGETALL",), ("SMEMBERS",), ("ZRANGE", 0, -1, "WITHSCORES"),
                     ("LRANGE", 0, -1), ("XRANGE", "-", "+"))
    ] + [("XINFO", kind, one) for one in KEYS for kind in ("STREAM", "GROUPS")]  # fmt: skip


def comparable(one: Words, reply: Any) -> Any:
    """A reply without what may differ: the order of sets and keys, what the clock says, how a stream is stored."""
    if one[0] == "EVAL" and one[1] in IN_SCRIPTS:
        one = one[4:]
    name = one[0] if one else ""
    if name in ("TTL", "PTTL") and isinstance(reply, int):
        return min(reply, 1)
    if name in ("KEYS", "SMEMBERS", "HKEYS", "HVALS", "HGETALL") and isinstance(reply, list):
        return sorted(reply)
    if name == "XINFO" and isinstance(reply, list) and reply and reply[0] == b"length":
        shown = dict(zip(reply[::2], reply[1::2], strict=True))
        reply = [(word, shown[word]) for word in shown if not word.startswith(b"radix-tree")]
    return plain(reply)


def plain(reply: Any) -> Any:
    if isinstance(reply, Exception):
        return type(reply).__name__, str(reply)
    if isinstance(reply, (list, tuple)):
        return [plain(part) for part in reply]
    return ID_BY_CLOCK.sub(b"*", reply) if isinstance(reply, bytes) else reply


def compare(client: redis.Redis, commands: list[Words]) -> None:
    commands = commands + looks()
    wanted, found = replies_of_real(client, commands), replies_of_memory(commands)
    for at, (one, theirs, ours) in enumerate(zip(commands, wanted, found, strict=True)):
        assert comparable(one, ours) == comparable(one, theirs), f"command {at}: {one!r} after {commands[:at]!r}"


def limits(examples: int) -> Any:
    kept = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, print_blob=True, suppress_health_check=kept)


@limits(EXAMPLES)
@given(commands=st.lists(any_command, min_size=1, max_size=25))
def test_random_commands_get_the_same_replies_and_leave_the_same_keys(real, commands):
    compare(real, commands)


@pytest.mark.soak
@pytest.mark.timeout(600)
@limits(EXAMPLES_SOAK)
@given(commands=st.lists(any_command, min_size=1, max_size=60))
def test_many_random_commands_get_the_same_replies_and_leave_the_same_keys(real, commands):
    compare(real, commands)


def any_of(*kinds: list[st.SearchStrategy[Words]]) -> st.SearchStrategy[list[Words]]:
    return st.lists(st.one_of(*(one for kind in kinds for one in kind)), min_size=10, max_size=80)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kinds", [[PLAIN], [HASHES], [SETS], [STREAMS], [STREAMS, HASHES]])
def test_commands_of_one_kind_get_the_same_replies(real, kinds):
    """Long sequences that meet keys of their own type most of the time."""

    @limits(EXAMPLES_SOAK // 3)
    @given(commands=any_of(*kinds))
    def agree(commands):
        compare(real, commands)

    agree()


EXPRESSIONS = """
    1                   2.9                     -2.9                  'text'              ''              true
    false               nil                     {}                    {1, 2.5, 'x', true, false, 3, nil, 4}
    {{1, {2}}, {}}      {ok = 'FINE'}           {err = 'ODD word'}    {1, {err = 'ODD inside'}}
    redis.status_reply('S')         redis.error_reply('ERR mine')     redis.sha1hex
    error('thrown')     error({err = 'ERR thrown'})                   error()             unknown_name    os.time()
    redis.call()        redis.call('NONSENSE')  redis.call('GET')     redis.call('GET', {})
    redis.call('GET', nil)          redis.pcall('GET', true)          redis.pcall('NONSENSE').err
    redis.call('SET', 'n', 1e17)    redis.call('SET', 'n', 0.1)       redis.call('get', 'absent') == false
    redis.call('SET', 'n', 'x').ok  redis.call('SET', 'n', 'x', 'NX', 'XX')
    redis.call('HSET', 'h', 'a', 3, 'b', 4.5)   redis.call('PING')    type(redis.call('TIME')[1])
    redis.call('EVAL', 'return 1', 0)           redis.call('CONFIG', 'GET', 'x')
    redis.call('XREAD', 'BLOCK', 1, 'STREAMS', 'none', '0')           redis.call('XGROUP', 'CREATE', 'none', 'g', '0')
    redis.call('SMEMBERS', 'none')  redis.call('HMGET', 'none', 'a', 'b')
    tostring(1e15)      tostring(1797000000123)                       string.format('%.0f', 1797000000123456)
    1797000000123 / 1000            redis.REDIS_VERSION_NUM >= 0x70000                    math.floor(-1.5)
    #KEYS               KEYS[1]                 ARGV[2]               tonumber(nil)       ('x')()         unpack({1, 2})
    pcall(redis.call, 'NONSENSE')   select(2, pcall(redis.call, 'GET'))                   select(2, pcall(error, 'x'))
"""


@pytest.mark.parametrize("expression", re.split(r"\s{2,}", EXPRESSIONS.strip()))
def test_scripts_see_and_answer_the_same(real, expression):
    text = f"local a = 1\nlocal b = 2\nreturn {expression}\n"
    compare(real, [("EVAL", text, b"1", KEYS[0], b"one", b"two")])


#: Words that mean something to one script or another, beside those that don't.
script_word = st.one_of(
    st.sampled_from(
        [b"7:me", b"1", b"2", b"0", b"60", b"", b"accepted", b"done", b"failed", b"d1", b"CA1", b"e1", b"{}", b"3"]
    ),
    value,
)
WITHOUT_TIME = ["claim_command", "claim_gate", "finish_effect", "mark_sent", "mark_suspect", "release_lease",
                "report_command", "bury_entry", "commit_batch"]  # fmt: skip
script_call = st.sampled_from(WITHOUT_TIME).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.lists(key, min_size=SCRIPTS[name].key_count or 7, max_size=SCRIPTS[name].key_count or 9),
        st.lists(script_word, max_size=9),
    )
)
setting_up = st.one_of(*HASHES[-4:], words("HSET", key, b"holder", b"7:me", b"commit", b"0"), *SETS[:1], *STREAMS[:1])


@limits(EXAMPLES)
@given(before=st.lists(setting_up, max_size=5), calls=st.lists(script_call, min_size=1, max_size=6))
def test_our_scripts_do_the_same_whatever_they_are_given(real, before, calls):
    """Whatever a script answers or stumbles over, at which line, and what it has written until then."""
    commands: list[Words] = [*before]
    commands += (("EVAL", SCRIPTS[name].text, len(keys), *keys, *rest) for name, keys, rest in calls)
    compare(real, commands)
