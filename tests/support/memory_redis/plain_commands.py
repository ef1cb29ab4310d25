"""Commands for keys, strings, hashes, and sets."""

from tests.support.memory_redis.keyspace import NAMES, Keyspace, command, copied
from tests.support.memory_redis.values import OK, Members, Refusal, Reply, Status, UnsupportedError, integer

SYNTAX = "ERR syntax error"

# ---- keys --------------------------------------------------------------------------------------------------------


@command("DEL", -2, writes=True)
def delete(db: Keyspace, argv: list[bytes]) -> Reply:
    return sum(db.remove(key) for key in argv[1:])


@command("EXISTS", -2)
def exists(db: Keyspace, argv: list[bytes]) -> Reply:
    return sum(key in db.values for key in argv[1:])


@command("TYPE", 2)
def type_of(db: Keyspace, argv: list[bytes]) -> Reply:
    value = db.values.get(argv[1])
    return Status(b"none" if value is None else NAMES[type(value)])


@command("KEYS", 2)
def keys(db: Keyspace, argv: list[bytes]) -> Reply:
    if argv[1] != b"*":
        raise UnsupportedError(f"KEYS {argv[1]!r}")
    return list(db.values)


@command("DBSIZE", 1)
def database_size(db: Keyspace, argv: list[bytes]) -> Reply:
    return len(db.values)


@command("RENAME", 3, writes=True)
def rename(db: Keyspace, argv: list[bytes]) -> Reply:
    if argv[1] not in db.values:
        raise Refusal("ERR no such key")
    value, when_ms = db.values[argv[1]], db.expires.get(argv[1])
    db.remove(argv[1])
    db.remove(argv[2])
    db.values[argv[2]] = value
    if when_ms is not None:
        db.expire_at(argv[2], when_ms)
    db.noted_entry(argv[2])
    return OK


@command("COPY", 4, grows=True)
def copy(db: Keyspace, argv: list[bytes]) -> Reply:
    """COPY source destination REPLACE"""
    if argv[3] != b"REPLACE":
        raise UnsupportedError(f"options of COPY: {argv[3:]!r}")
    if argv[1] == argv[2]:
        raise Refusal("ERR source and destination objects are the same")
    if argv[1] not in db.values:
        return 0
    db.remove(argv[2])
    db.values[argv[2]] = copied(db.values[argv[1]])
    if (when_ms := db.expires.get(argv[1])) is not None:
        db.expire_at(argv[2], when_ms)
    db.noted_entry(argv[2])
    return 1


@command("FLUSHALL", -1, writes=True)
def flush(db: Keyspace, argv: list[bytes]) -> Reply:
    db.clear()
    return OK


@command("EXPIRE", -3, writes=True)
def expire(db: Keyspace, argv: list[bytes]) -> Reply:
    return _expire(db, argv, "expire", 1000)


@command("PEXPIRE", -3, writes=True)
def expire_ms(db: Keyspace, argv: list[bytes]) -> Reply:
    return _expire(db, argv, "pexpire", 1)


def _expire(db: Keyspace, argv: list[bytes], name: str, unit_ms: int) -> Reply:
    if len(argv) > 3:
        raise UnsupportedError(f"options of {name}: {argv[3:]!r}")
    when_ms = db.now_ms() + integer(argv[2]) * unit_ms
    if not -(2**63) <= when_ms < 2**63:
        raise Refusal(f"ERR invalid expire time in '{name}' command")
    key = argv[1]
    if key not in db.values:
        return 0
    if when_ms <= db.now_ms():
        db.remove(key)
    else:
        db.expire_at(key, when_ms)
    return 1


@command("TTL", 2)
def ttl(db: Keyspace, argv: list[bytes]) -> Reply:
    left_ms = _left_ms(db, argv[1])
    return left_ms if left_ms < 0 else (left_ms + 500) // 1000


@command("PTTL", 2)
def ttl_ms(db: Keyspace, argv: list[bytes]) -> Reply:
    return _left_ms(db, argv[1])


def _left_ms(db: Keyspace, key: bytes) -> int:
    if key not in db.values:
        return -2
    return max(0, db.expires[key] - db.now_ms()) if key in db.expires else -1


# ---- strings -----------------------------------------------------------------------------------------------------


@command("GET", 2)
def get(db: Keyspace, argv: list[bytes]) -> Reply:
    return db.string(argv[1])


@command("SET", -3, grows=True)
def set_value(db: Keyspace, argv: list[bytes]) -> Reply:
    """SET key value [NX] [EX s | PX ms]"""
    key, when_ms = argv[1], None
    words = [word for word in argv[3:] if word != b"NX"]
    if len(words) == 2 and words[0] in (b"EX", b"PX"):
        amount = integer(words[1])
        when_ms = db.now_ms() + amount * (1000 if words[0] == b"EX" else 1)
        if amount <= 0 or when_ms >= 2**63:
            raise Refusal("ERR invalid expire time in 'set' command")
    elif words:
        raise UnsupportedError(f"options of SET: {words!r}")
    if b"NX" in argv[3:] and key in db.values:
        return None
    db.values[key] = argv[2]
    db.expires.pop(key, None)
    if when_ms is not None:
        db.expire_at(key, when_ms)
    return OK


# ---- hashes ------------------------------------------------------------------------------------------------------


@command("HGET", 3)
def hash_get(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.hash(argv[1])
    return None if found is None else found.get(argv[2])


@command("HMGET", -3)
def hash_get_many(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.hash(argv[1]) or {}
    return [found.get(field) for field in argv[2:]]


@command("HGETALL", 2)
def hash_get_all(db: Keyspace, argv: list[bytes]) -> Reply:
    return [part for pair in (db.hash(argv[1]) or {}).items() for part in pair]


@command("HKEYS", 2)
def hash_keys(db: Keyspace, argv: list[bytes]) -> Reply:
    return list(db.hash(argv[1]) or ())


@command("HLEN", 2)
def hash_length(db: Keyspace, argv: list[bytes]) -> Reply:
    return len(db.hash(argv[1]) or ())


@command("HEXISTS", 3)
def hash_exists(db: Keyspace, argv: list[bytes]) -> Reply:
    return int(argv[2] in (db.hash(argv[1]) or ()))


@command("HSET", -4, grows=True)
def hash_set(db: Keyspace, argv: list[bytes]) -> Reply:
    if len(argv) % 2:
        raise Refusal("ERR wrong number of arguments for 'hset' command")
    found = _hash_to_write(db, argv[1])
    before = len(found)
    found.update(zip(argv[2::2], argv[3::2], strict=True))
    return len(found) - before


@command("HSETNX", 4, grows=True)
def hash_set_absent(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.hash(argv[1])
    if found is not None and argv[2] in found:
        return 0
    _hash_to_write(db, argv[1])[argv[2]] = argv[3]
    return 1


@command("HDEL", -3, writes=True)
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


@command("SADD", -3, grows=True)
def set_add(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.set(argv[1])
    if found is None:
        found = db.values[argv[1]] = Members()
    before = len(found)
    for member in argv[2:]:
        found[member] = None
    return len(found) - before


@command("SREM", -3, writes=True)
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


@command("SCARD", 2)
def set_size(db: Keyspace, argv: list[bytes]) -> Reply:
    return len(db.set(argv[1]) or ())


@command("SMEMBERS", 2)
def set_members(db: Keyspace, argv: list[bytes]) -> Reply:
    return list(db.set(argv[1]) or ())


@command("SISMEMBER", 3)
def set_is_member(db: Keyspace, argv: list[bytes]) -> Reply:
    return int(argv[2] in (db.set(argv[1]) or ()))


def places(length: int, start: int, stop: int) -> tuple[int, int]:
    """Indices as Redis counts them, from the end where negative and the last included, for a slice."""
    start = max(0, start + length if start < 0 else start)
    stop = stop + length if stop < 0 else stop
    return start, max(start, stop + 1)
