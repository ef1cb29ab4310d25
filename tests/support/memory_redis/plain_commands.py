"""Commands for keys, strings, hashes, and sets."""

from tests.support.memory_redis.keyspace import NAMES, Keyspace, command, copied
from tests.support.memory_redis.values import OK, Members, Refusal, Reply, Status

# ---- keys --------------------------------------------------------------------------------------------------------


@command("DEL", writes=True)
def delete(db: Keyspace, argv: list[bytes]) -> Reply:
    return sum(db.remove(key) for key in argv[1:])


@command("EXISTS")
def exists(db: Keyspace, argv: list[bytes]) -> Reply:
    return sum(key in db.values for key in argv[1:])


@command("TYPE")
def type_of(db: Keyspace, argv: list[bytes]) -> Reply:
    value = db.values.get(argv[1])
    return Status(b"none" if value is None else NAMES[type(value)])


@command("KEYS")
def keys(db: Keyspace, argv: list[bytes]) -> Reply:
    assert argv[1] == b"*"
    return list(db.values)


@command("DBSIZE")
def database_size(db: Keyspace, argv: list[bytes]) -> Reply:
    return len(db.values)


@command("RENAME", writes=True)
def rename(db: Keyspace, argv: list[bytes]) -> Reply:
    if argv[1] not in db.values:
        raise Refusal("ERR no such key")
    value, when_ms = db.values[argv[1]], db.expires.get(argv[1])
    if argv[1] == argv[2]:
        return OK
    db.remove(argv[1])
    db.remove(argv[2])
    db.values[argv[2]] = value
    if when_ms is not None:
        db.expire_at(argv[2], when_ms)
    db.noted_entry(argv[2])
    return OK


@command("COPY", grows=True)
def copy(db: Keyspace, argv: list[bytes]) -> Reply:
    """COPY source destination [REPLACE]"""
    if argv[1] not in db.values or (argv[2] in db.values and not argv[3:]):
        return 0
    db.remove(argv[2])
    db.values[argv[2]] = copied(db.values[argv[1]])
    if (when_ms := db.expires.get(argv[1])) is not None:
        db.expire_at(argv[2], when_ms)
    db.noted_entry(argv[2])
    return 1


@command("FLUSHALL", writes=True)
def flush(db: Keyspace, argv: list[bytes]) -> Reply:
    db.clear()
    return OK


@command("EXPIRE", writes=True)
def expire(db: Keyspace, argv: list[bytes]) -> Reply:
    return _expire(db, argv[1], int(argv[2]) * 1000)


@command("PEXPIRE", writes=True)
def expire_ms(db: Keyspace, argv: list[bytes]) -> Reply:
    return _expire(db, argv[1], int(argv[2]))


def _expire(db: Keyspace, key: bytes, after_ms: int) -> Reply:
    if key not in db.values:
        return 0
    if after_ms <= 0:
        db.remove(key)
    else:
        db.expire_at(key, db.now_ms() + after_ms)
    return 1


@command("TTL")
def ttl(db: Keyspace, argv: list[bytes]) -> Reply:
    left_ms = _left_ms(db, argv[1])
    return left_ms if left_ms < 0 else (left_ms + 500) // 1000


@command("PTTL")
def ttl_ms(db: Keyspace, argv: list[bytes]) -> Reply:
    return _left_ms(db, argv[1])


def _left_ms(db: Keyspace, key: bytes) -> int:
    if key not in db.values:
        return -2
    return max(0, db.expires[key] - db.now_ms()) if key in db.expires else -1


# ---- strings -----------------------------------------------------------------------------------------------------


@command("GET")
def get(db: Keyspace, argv: list[bytes]) -> Reply:
    return db.string(argv[1])


@command("GETDEL", writes=True)
def get_and_delete(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.string(argv[1])
    db.remove(argv[1])
    return found


@command("SET", grows=True)
def set_value(db: Keyspace, argv: list[bytes]) -> Reply:
    """SET key value [NX | XX] [EX s | PX ms | KEEPTTL]"""
    key, options = argv[1], argv[3:]
    if (b"XX" if key not in db.values else b"NX") in options:
        return None
    db.values[key] = argv[2]
    if b"KEEPTTL" not in options:
        db.expires.pop(key, None)
    for word, unit_ms in ((b"EX", 1000), (b"PX", 1)):
        if word in options:
            db.expire_at(key, db.now_ms() + int(options[options.index(word) + 1]) * unit_ms)
    return OK


# ---- hashes ------------------------------------------------------------------------------------------------------


@command("HGET")
def hash_get(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.hash(argv[1])
    return None if found is None else found.get(argv[2])


@command("HMGET")
def hash_get_many(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.hash(argv[1]) or {}
    return [found.get(field) for field in argv[2:]]


@command("HGETALL")
def hash_get_all(db: Keyspace, argv: list[bytes]) -> Reply:
    return [part for pair in (db.hash(argv[1]) or {}).items() for part in pair]


@command("HKEYS")
def hash_keys(db: Keyspace, argv: list[bytes]) -> Reply:
    return list(db.hash(argv[1]) or ())


@command("HLEN")
def hash_length(db: Keyspace, argv: list[bytes]) -> Reply:
    return len(db.hash(argv[1]) or ())


@command("HEXISTS")
def hash_exists(db: Keyspace, argv: list[bytes]) -> Reply:
    return int(argv[2] in (db.hash(argv[1]) or ()))


@command("HSET", grows=True)
def hash_set(db: Keyspace, argv: list[bytes]) -> Reply:
    found = _hash_to_write(db, argv[1])
    before = len(found)
    found.update(zip(argv[2::2], argv[3::2], strict=True))
    return len(found) - before


@command("HSETNX", grows=True)
def hash_set_absent(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.hash(argv[1])
    if found is not None and argv[2] in found:
        return 0
    _hash_to_write(db, argv[1])[argv[2]] = argv[3]
    return 1


@command("HINCRBY", grows=True)
def hash_increment(db: Keyspace, argv: list[bytes]) -> Reply:
    record = _hash_to_write(db, argv[1])
    grown = int(record.get(argv[2], b"0")) + int(argv[3])
    record[argv[2]] = b"%d" % grown
    return grown


@command("HDEL", writes=True)
def hash_delete(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.hash(argv[1])
    if found is None:
        return 0
    gone = 0
    for field in argv[2:]:
        gone += found.pop(field, None) is not None
    if not found:
        db.remove(argv[1])
    return gone


def _hash_to_write(db: Keyspace, key: bytes) -> dict[bytes, bytes]:
    found = db.hash(key)
    if found is None:
        found = db.values[key] = {}
    return found


# ---- sets --------------------------------------------------------------------------------------------------------


@command("SADD", grows=True)
def set_add(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.set(argv[1])
    if found is None:
        found = db.values[argv[1]] = Members()
    before = len(found)
    for member in argv[2:]:
        found[member] = None
    return len(found) - before


@command("SREM", writes=True)
def set_remove(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.set(argv[1])
    if found is None:
        return 0
    before = len(found)
    for member in argv[2:]:
        found.pop(member, None)
    if not found:
        db.remove(argv[1])
    return before - len(found)


@command("SCARD")
def set_size(db: Keyspace, argv: list[bytes]) -> Reply:
    return len(db.set(argv[1]) or ())


@command("SMEMBERS")
def set_members(db: Keyspace, argv: list[bytes]) -> Reply:
    return list(db.set(argv[1]) or ())


@command("SISMEMBER")
def set_is_member(db: Keyspace, argv: list[bytes]) -> Reply:
    return int(argv[2] in (db.set(argv[1]) or ()))


def places(length: int, start: int, stop: int) -> tuple[int, int]:
    """Indices as Redis counts them, from the end where negative and the last included, for a slice."""
    start = max(0, start + length if start < 0 else start)
    stop = stop + length if stop < 0 else stop
    return start, max(start, stop + 1)


# ---- lists -------------------------------------------------------------------------------------------------------


@command("LPUSH", grows=True)
def list_push(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.list_of(argv[1])
    if found is None:
        found = db.values[argv[1]] = []
    found[:0] = reversed(argv[2:])
    return len(found)


@command("LRANGE")
def list_range(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.list_of(argv[1]) or []
    return found[slice(*places(len(found), int(argv[2]), int(argv[3])))]


@command("LTRIM", writes=True)
def list_trim(db: Keyspace, argv: list[bytes]) -> Reply:
    if (found := db.list_of(argv[1])) is not None:
        found[:] = found[slice(*places(len(found), int(argv[2]), int(argv[3])))]
        if not found:
            db.remove(argv[1])
    return Status(b"OK")


@command("LREM", writes=True)
def list_remove(db: Keyspace, argv: list[bytes]) -> Reply:
    found, most = db.list_of(argv[1]) or [], int(argv[2])
    assert most >= 0
    kept, removed = [], 0
    for one in found:
        if one == argv[3] and (not most or removed < most):
            removed += 1
        else:
            kept.append(one)
    found[:] = kept
    if removed and not found:
        db.remove(argv[1])
    return removed
