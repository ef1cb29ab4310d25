"""Scripts on the Redis in memory and the real one: Lua's values, its errors with their lines, and our own scripts."""

import re

import orjson
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
    redis.call('SET', 'n', 'x').ok
    redis.call('HSET', 'h', 'a', 3, 'b', 4.5)   redis.call('PING')    type(redis.call('TIME')[1])
    redis.call('EVAL', 'return 1', 0)           redis.call('CONFIG', 'GET', 'x')
    redis.call('XREAD', 'BLOCK', 1, 'STREAMS', 'none', '0')           redis.call('XGROUP', 'SETID', 'none', 'g', '0')
    redis.call('SMEMBERS', 'none')  redis.call('HMGET', 'none', 'a', 'b')
    tostring(1e15)      tostring(1797000000123)                       string.format('%.0f', 1797000000123456)
    1797000000123 / 1000            redis.REDIS_VERSION_NUM >= 0x70000                    math.floor(-1.5)
    #KEYS               KEYS[1]                 ARGV[2]               tonumber(nil)       ('x')()         unpack({1, 2})
    cjson.decode('{"a":["b","c"]}').a           #cjson.decode('[]')     cjson.decode('{"a":{"b":"c"}}').a.b
    cjson.encode({due_ms = 1797000000123})      cjson.encode({token = 'ring:5'})
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
    [b"holder", b"server", b"commit", b"version", b"status", b"e1", b"dial:d1", b"entry", b"schema", b"at"]
)
key = st.sampled_from(KEYS)
#: How long a wait for a turn is depends on the microsecond; tests of its own set the clock by hand.
COMPARED = sorted(SCRIPTS.keys() - {"acquire_dial_permit", "commit_batch"})
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
    """The scripts report their server's run id: these differ."""
    take = ("EVAL", SCRIPTS["hold_partition"].text, 2, b"a", b"b", b"7:me", b"", b"0", b"60000", b"0")
    compare(real, [take, take, ("HSET", "a", "server", "0" * 40), take], KEYS)
    script = SCRIPTS["answer_tick"].text
    tick = ("EVAL", script, 1, b"c", b"me", b"1", b"2000", b"share", b"4", b"commands", b"", b"", b"")
    compare(real, [tick, (*tick[:5], b"2", *tick[6:])], KEYS)


# ---- commits ---------------------------------------------------------------------------------------------------------

OWN = [b"events", b"lease", b"outbox", b"timers", b"live", b"ended", b"suspects", b"new-log"]
SESSIONS = [b"s1", b"s2", b"s3"]


def several(one: st.SearchStrategy[str], *, most: int = 2, size: int = 1) -> st.SearchStrategy[list[str]]:
    """A list of values, or of pairs of them."""
    return st.lists(one, min_size=0, max_size=most * size).map(lambda some: some[: len(some) // size * size])


text = word.map(lambda found: found.decode(errors="replace"))
effect = st.sampled_from(["e1", "e2"])
version = st.sampled_from(["0", "1", "2"])
change = st.fixed_dictionaries(
    {
        "expected": version,
        "set": st.tuples(version, several(st.sampled_from(["version", "state", "phase"]), size=2)).map(
            lambda both: ["version", both[0], *both[1]]
        ),
        "remove": several(st.sampled_from(["state", "phase"])),
        "log": st.lists(several(text, size=2).filter(bool), max_size=3),
    },
    optional={"is_opened": st.just(value=True), "ended_at": st.just("1000")},
)
sessions = st.dictionaries(st.sampled_from(SESSIONS), change, max_size=2)


@st.composite
def commits(draw: st.DrawFn) -> Words:
    changes = draw(sessions)
    keys = [key for name in changes for key in (b"session:" + name, b"log:" + name)]
    batch = {
        "entries": draw(several(st.sampled_from(["1-1", "2-1", "3-1", "9-9"]), most=3)),
        "outbox_set": draw(several(effect, size=2)),
        "outbox_remove": draw(several(effect)),
        "timers_set": draw(several(st.sampled_from(["5", "7.5"]), size=2)),
        "timers_remove": draw(several(st.sampled_from(["5", "ring"]))),
        "sessions": [{"id": name.decode(), **one} for name, one in changes.items()],
    }
    holder = draw(st.sampled_from([b"7:me", b"7:me", b"8:you"]))
    number = draw(st.sampled_from([b"1", b"1", b"2", b"2", b"3"]))
    most = draw(st.sampled_from([b"1", b"5"]))
    body = orjson.dumps(batch)
    return "EVAL", SCRIPTS["commit_batch"].text, len(OWN) + len(keys), *OWN, *keys, holder, number, b"60", most, body


in_the_way = st.lists(st.sampled_from([
    ("SET", "outbox", "x"), ("SET", "session:s1", "x"), ("HSET", "session:s2", "version", "1"), ("SET", "log:s2", "x"),
    ("ZADD", "ended", 1, "old"), ("XGROUP", "CREATE", "events", "workers", "0", "MKSTREAM"),
    ("CONFIG", "SET", "maxmemory", "1"),
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
