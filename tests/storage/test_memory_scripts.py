"""Scripts on the Redis in memory and the real one: Lua's values, its errors with their lines, and our own scripts."""

import re
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from conferral.storage.scripts import SCRIPTS
from tests.support.redis_comparison import KEYS, Words, compare, limits

pytestmark = pytest.mark.redis
EXAMPLES = pytest.mark.parametrize(
    "examples", [25, pytest.param(2_000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)

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
    {cmsgpack.unpack_limit('\\147\\161x\\160\\5', 1, 0)}     {cmsgpack.unpack_limit('\\147\\161x\\160\\5', 2, 1)}
    {cmsgpack.unpack_limit('\\221\\217', 1, 0)}     {cmsgpack.unpack_limit('\\217\\2x', 1, 0)}
    {cmsgpack.unpack_limit('1', 9, 0)}      {cmsgpack.unpack_limit('1', 9, 1)}      {cmsgpack.unpack_limit('1', 9, 2)}
    {cmsgpack.unpack_limit('\\204\\1\\244\\1\\2\\3\\4', 9, 0)}           (cmsgpack.unpack_limit(nil, 1, 0))
    pcall(redis.call, 'NONSENSE')   select(2, pcall(redis.call, 'GET'))                   select(2, pcall(error, 'x'))
"""


@pytest.mark.parametrize("expression", re.split(r"\s{2,}", EXPRESSIONS.strip()))
def test_scripts_see_and_answer_the_same(real: redis.Redis, expression: str) -> None:
    text = f"local a = 1\nlocal b = 2\nreturn {expression}\n"
    compare(real, [("EVAL", text, b"1", KEYS[0], b"one", b"two")], KEYS)


#: Words that mean something to one script or another, next to those that don't.
word = st.sampled_from([
    b"7:me", b"me", b"1", b"2", b"0", b"60", b"", b"accepted", b"done", b"failed", b"d1", b"CA1", b"e1", b"{}", b"3",
    b"5000", b"-1", b"007", b"x y", b"\xff\x00", b"ring|CA1", b"{\"a\":1}",
])  # fmt: skip
field = st.sampled_from(
    [b"holder", b"until", b"commit", b"version", b"status", b"e1", b"dial:d1", b"entry", b"schema", b"at"]
)
key = st.sampled_from(KEYS)
#: How long a wait for a turn is depends on the microsecond; tests of its own set the clock by hand.
COMPARED = sorted(SCRIPTS.keys() - {"acquire_dial_permit"})
TIMED = [name for name in COMPARED if "'TIME'" in SCRIPTS[name].text]


def call_of(name: str) -> st.SearchStrategy[Words]:
    script = SCRIPTS[name]
    keys = st.lists(key, min_size=script.key_count or 7, max_size=script.key_count or 9)
    most = max(int(number) for number in ["0", *re.findall(r"ARGV\[(\d+)", script.text)])
    enough = st.lists(st.one_of(word, st.just(b"5000")), min_size=most, max_size=most + 3)
    return st.tuples(keys, st.one_of(enough, enough, st.lists(word, max_size=9))).map(
        lambda both: ("EVAL", script.text, len(both[0]), *both[0], *both[1])
    )


before = st.lists(st.one_of(
    st.tuples(st.just("HSET"), key, field, word), st.tuples(st.just("HSET"), key, st.just(b"holder"), st.just(b"7:me")),
    st.tuples(st.just("HSET"), key, field, word), st.tuples(st.just("SET"), key, word),
    st.tuples(st.just("SADD"), key, word),
    st.tuples(st.just("ZADD"), key, st.just(5), word), st.tuples(st.just("XADD"), key, st.just("1-1"), field, word),
    st.just(("CONFIG", "SET", "maxmemory", "1")),
), max_size=6)  # fmt: skip
untimed = st.lists(st.sampled_from([name for name in COMPARED if name not in TIMED]).flatmap(call_of), max_size=6)
# One alone: two that compare the times at which they ran would compare two machines' speeds.
timed = st.lists(st.sampled_from(TIMED).flatmap(call_of), max_size=1)


@EXAMPLES
def test_scripts_do_the_same_whatever_they_are_given(real: redis.Redis, examples: int) -> None:
    """Whatever a script answers or stumbles over, at which line, and what it has written until then."""

    @limits(examples)
    @given(before=before, untimed=untimed, timed=timed)
    def agree(before: list[Words], untimed: list[Words], timed: list[Words]) -> None:
        compare(real, [*before, *untimed, *timed], KEYS)

    agree()


def test_a_lease_is_taken_alike_on_whatever_server(real: redis.Redis) -> None:
    """The script reports its server and that server's uptime: these differ."""
    take = ("EVAL", SCRIPTS["acquire_lease"].text, 1, b"a", b"7:me", b"10000", b"", b"0")
    compare(real, [take, take, ("HSET", "a", "redis", "0" * 40, "until", "0"), take], KEYS)


# ---- commits ---------------------------------------------------------------------------------------------------------

OWN = [b"events", b"lease", b"outbox", b"timers", b"live", b"ended", b"suspects", b"new-log"]
SESSIONS = [b"s1", b"s2", b"s3"]


def several(one: st.SearchStrategy[bytes], *, most: int = 2, size: int = 1) -> st.SearchStrategy[list[Any]]:
    """A list of values, or of pairs of them."""
    return st.lists(one, min_size=0, max_size=most * size).map(lambda some: some[: len(some) // size * size])


entry = st.sampled_from([b"1-1", b"2-1", b"3-1", b"9-9"])
effect = st.sampled_from([b"e1", b"e2"])
name = st.sampled_from([b"version", b"state", b"phase"])
version = st.sampled_from([b"0", b"1", b"2"])


#: A log entry as the script reads it: its values, and a field of its own now and then.
log_entry = st.tuples(st.lists(word, min_size=7, max_size=7), several(word, size=2)).map(
    lambda found: [len(found[0]) + len(found[1]), *found[0], *found[1]]
)


@st.composite
def sessions(draw: st.DrawFn) -> tuple[list[bytes], list[Any]]:
    """Keys and arguments for the sessions of a commit."""
    names = draw(st.lists(st.sampled_from(SESSIONS), max_size=2))
    opened = draw(st.lists(st.sampled_from(SESSIONS), max_size=1))
    places = draw(st.lists(st.integers(1, len(names)), max_size=2)) if names else []
    versions = [draw(version) for _ in names]
    ended = [part for place in places for part in (b"1000", names[place - 1])]
    arguments: list[Any] = [opened, ended, places, versions]
    for _ in names:
        fields, removed = [b"version", draw(version), *draw(several(name, size=2))], draw(several(name))
        log = draw(st.lists(log_entry, max_size=3))
        arguments += [len(fields), len(removed), len(log), *fields, *removed, *(part for one in log for part in one)]
    return [key for one in names for key in (b"session:" + one, b"log:" + one)], arguments


@st.composite
def commits(draw: st.DrawFn) -> Words:
    number = draw(st.sampled_from([b"1", b"1", b"2", b"2", b"3"]))
    keys, of_sessions = draw(sessions())
    arguments = [
        draw(st.sampled_from([b"7:me", b"7:me", b"8:you"])),
        number,
        b"60",
        draw(st.sampled_from([b"1", b"5"])),
        b"2026-11-20T08:24:07.123Z",
    ]
    lists = (
        several(entry, most=3), several(effect, size=2), several(effect),
        several(st.sampled_from([b"5", b"7.5"]), size=2), several(st.sampled_from([b"5", b"ring"])),
    )  # fmt: skip
    values = _as_text([*(draw(one) for one in lists), *of_sessions])
    return (
        "EVAL",
        SCRIPTS["commit_batch"].text,
        len(OWN) + len(keys),
        *OWN,
        *keys,
        *arguments,
        msgspec.msgpack.encode(values),
        *(draw(word) for _ in keys[::2]),
    )


def _as_text(values: list[Any]) -> list[Any]:
    """MessagePack as Redis reads it has no bytes."""
    return [
        _as_text(one) if isinstance(one, list) else one.decode(errors="replace") if isinstance(one, bytes) else one
        for one in values
    ]


in_the_way = st.lists(st.sampled_from([
    ("SET", "outbox", "x"), ("SET", "session:s1", "x"), ("HSET", "session:s2", "version", "1"), ("SET", "log:s2", "x"),
    ("ZADD", "ended", 1, "old"), ("XGROUP", "CREATE", "events", "workers", "0"), ("CONFIG", "SET", "maxmemory", "1"),
    ("HSET", "lease", "holder", "8:you"), ("DEL", "events"), ("SADD", "live", "s1"), ("HSET", "suspects", "1-1", 2),
    ("SET", "new-log", "x"), ("XADD", "log:s1", "1-1", "a", "b"),
]), max_size=3)  # fmt: skip
BEFORE_COMMITS: list[Words] = [
    ("HSET", "lease", "holder", "7:me"), ("XADD", "events", "1-1", "a", "b"), ("XADD", "events", "2-1", "a", "b"),
    ("XADD", "events", "3-1", "a", "b"),
]  # fmt: skip


@EXAMPLES
def test_commits_leave_the_same_behind(real: redis.Redis, examples: int) -> None:
    keys = [*OWN, *(kind + one for one in SESSIONS for kind in (b"session:", b"log:"))]

    @limits(examples)
    @given(odd=in_the_way, asked=st.lists(commits(), min_size=1, max_size=5))
    def agree(odd: list[Words], asked: list[Words]) -> None:
        compare(real, [*BEFORE_COMMITS, *odd, *asked], keys)

    agree()
