"""Commands for sorted sets."""

from bisect import bisect_left, bisect_right
from operator import itemgetter

from tests.support.memory_redis.keyspace import Keyspace, command
from tests.support.memory_redis.plain_commands import places
from tests.support.memory_redis.values import Reply, SortedSet, score_text

Pairs = list[tuple[float, bytes]]
#: A score, and whether it is itself left out.
Bound = tuple[float, bool]
_SCORE = itemgetter(0)


@command("ZADD", grows=True)
def add(db: Keyspace, argv: list[bytes]) -> Reply:
    """ZADD key score member …; with XX only for a key that is missing."""
    found = db.sorted_set(argv[1])
    if argv[2] == b"XX":
        assert found is None
        return 0
    pairs = argv[2:]
    wanted = [(float(score), member) for score, member in zip(pairs[::2], pairs[1::2], strict=True)]
    if found is None:
        found = db.values[argv[1]] = SortedSet()
    before = len(found.scores)
    for score, member in wanted:
        found.put(member, score)
    return len(found.scores) - before


@command("ZREM", writes=True)
def remove(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.sorted_set(argv[1])
    if found is None:
        return 0
    gone = sum(found.remove(member) for member in argv[2:])
    if not found.scores:
        db.remove(argv[1])
    return gone


@command("ZCARD")
def size(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.sorted_set(argv[1])
    return 0 if found is None else len(found.scores)


@command("ZCOUNT")
def size_within(db: Keyspace, argv: list[bytes]) -> Reply:
    return len(_within(db.sorted_set(argv[1]), _bound(argv[2]), _bound(argv[3])))


@command("ZSCORE")
def score(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.sorted_set(argv[1])
    if found is None or argv[2] not in found.scores:
        return None
    return score_text(found.scores[argv[2]])


@command("ZRANGE")
def by_place(db: Keyspace, argv: list[bytes]) -> Reply:
    """ZRANGE key start stop [WITHSCORES]"""
    start, stop = int(argv[2]), int(argv[3])
    found = db.sorted_set(argv[1])
    if found is None:
        return []
    start, stop = places(len(found.order), start, stop)
    return _formatted(found.order[start:stop], with_scores=len(argv) > 4)


@command("ZRANGEBYSCORE")
def by_score(db: Keyspace, argv: list[bytes]) -> Reply:
    """ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]"""
    return _by_score(db, argv, argv[2], argv[3], newest_first=False)


@command("ZREVRANGEBYSCORE")
def by_score_from_the_end(db: Keyspace, argv: list[bytes]) -> Reply:
    """ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]"""
    return _by_score(db, argv, argv[3], argv[2], newest_first=True)


def _by_score(db: Keyspace, argv: list[bytes], least: bytes, most: bytes, *, newest_first: bool) -> Reply:
    options, offset, limit = argv[4:], 0, -1
    if b"LIMIT" in options:
        at = options.index(b"LIMIT")
        offset, limit = int(options[at + 1]), int(options[at + 2])
    pairs = _within(db.sorted_set(argv[1]), _bound(least), _bound(most))
    if newest_first:
        pairs.reverse()
    return _formatted(pairs[offset : None if limit < 0 else offset + limit], with_scores=b"WITHSCORES" in options)


@command("ZREMRANGEBYSCORE", writes=True)
def remove_by_score(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.sorted_set(argv[1])
    gone = _within(found, _bound(argv[2]), _bound(argv[3]))
    if found is not None:
        for _, member in gone:
            found.remove(member)
        if not found.scores:
            db.remove(argv[1])
    return len(gone)


def _bound(text: bytes) -> Bound:
    """An open one has a bracket in front."""
    return float(text.removeprefix(b"(")), text[:1] == b"("


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
