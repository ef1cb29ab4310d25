"""Commands for sorted sets."""

from bisect import bisect_left, bisect_right
from operator import itemgetter

from tests.support.memory_redis.keyspace import Keyspace, command
from tests.support.memory_redis.plain_commands import SYNTAX, places
from tests.support.memory_redis.values import Refusal, Reply, SortedSet, UnsupportedError, integer, score_of, score_text

Pairs = list[tuple[float, bytes]]
#: A score, and whether it is itself left out.
Bound = tuple[float, bool]
_SCORE = itemgetter(0)


@command("ZADD", -4, grows=True)
def add(db: Keyspace, argv: list[bytes]) -> Reply:
    """ZADD key score member …"""
    pairs = argv[2:]
    if len(pairs) % 2:
        raise Refusal(SYNTAX)
    wanted = [(score_of(score), member) for score, member in zip(pairs[::2], pairs[1::2], strict=True)]
    found = db.sorted_set(argv[1])
    if found is None:
        found = db.values[argv[1]] = SortedSet()
    before = len(found.scores)
    for score, member in wanted:
        found.put(member, score)
    return len(found.scores) - before


@command("ZREM", -3, writes=True)
def remove(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.sorted_set(argv[1])
    if found is None:
        return 0
    gone = sum(found.remove(member) for member in argv[2:])
    if not found.scores:
        db.remove(argv[1])
    return gone


@command("ZCARD", 2)
def size(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.sorted_set(argv[1])
    return 0 if found is None else len(found.scores)


@command("ZSCORE", 3)
def score(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.sorted_set(argv[1])
    if found is None or argv[2] not in found.scores:
        return None
    return score_text(found.scores[argv[2]])


@command("ZRANGE", -4)
def by_place(db: Keyspace, argv: list[bytes]) -> Reply:
    """ZRANGE key start stop [WITHSCORES]"""
    if argv[4:] not in ([], [b"WITHSCORES"]):
        raise UnsupportedError(f"options of ZRANGE: {argv[4:]!r}")
    start, stop = integer(argv[2]), integer(argv[3])
    found = db.sorted_set(argv[1])
    if found is None:
        return []
    start, stop = places(len(found.order), start, stop)
    return _formatted(found.order[start:stop], with_scores=len(argv) > 4)


@command("ZRANGEBYSCORE", -4)
def by_score(db: Keyspace, argv: list[bytes]) -> Reply:
    """ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]"""
    return _by_score(db, argv, argv[2], argv[3], newest_first=False)


@command("ZREVRANGEBYSCORE", -4)
def by_score_from_the_end(db: Keyspace, argv: list[bytes]) -> Reply:
    """ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]"""
    return _by_score(db, argv, argv[3], argv[2], newest_first=True)


def _by_score(db: Keyspace, argv: list[bytes], least: bytes, most: bytes, *, newest_first: bool) -> Reply:
    with_scores, offset, limit = False, 0, -1
    words = iter(argv[4:])
    for word in words:
        option = word.upper()
        if option == b"WITHSCORES":
            with_scores = True
        elif (
            option == b"LIMIT" and (first := next(words, None)) is not None and (then := next(words, None)) is not None
        ):
            offset, limit = integer(first), integer(then)
        else:
            raise Refusal(SYNTAX)
    low, high = _bounds(least, most)
    pairs = _within(db.sorted_set(argv[1]), low, high)
    if newest_first:
        pairs.reverse()
    if offset < 0:
        return []
    return _formatted(pairs[offset : None if limit < 0 else offset + limit], with_scores=with_scores)


@command("ZREMRANGEBYSCORE", 4, writes=True)
def remove_by_score(db: Keyspace, argv: list[bytes]) -> Reply:
    low, high = _bounds(argv[2], argv[3])
    found = db.sorted_set(argv[1])
    gone = _within(found, low, high)
    if found is not None:
        for _, member in gone:
            found.remove(member)
        if not found.scores:
            db.remove(argv[1])
    return len(gone)


def _bounds(least: bytes, most: bytes) -> tuple[Bound, Bound]:
    """Two bounds; an open one has a bracket in front."""
    complaint = "ERR min or max is not a float"
    is_open = least[:1] == b"(", most[:1] == b"("
    # Nothing at all is 0 here, as C has it.
    low, high = (score_of(text or b"0", complaint) for text in (least[is_open[0] :], most[is_open[1] :]))
    return (low, is_open[0]), (high, is_open[1])


def _within(found: SortedSet | None, low: Bound, high: Bound) -> Pairs:
    if found is None:
        return []
    start = (bisect_right if low[1] else bisect_left)(found.order, low[0], key=_SCORE)
    end = (bisect_left if high[1] else bisect_right)(found.order, high[0], key=_SCORE)
    return found.order[start:end]


def _formatted(pairs: Pairs, *, with_scores: bool) -> Reply:
    if not with_scores:
        return [member for _, member in pairs]
    return [part for own_score, member in pairs for part in (member, score_text(own_score))]
