"""Commands for streams, and for the groups that show people position and lag."""

from dataclasses import dataclass

from tests.support.memory_redis.keyspace import Keyspace, command
from tests.support.memory_redis.plain_commands import SYNTAX
from tests.support.memory_redis.values import (
    BAD_ENTRY_ID,
    FIRST_ID,
    LAST_ID,
    OK,
    EntryId,
    Refusal,
    Reply,
    Stream,
    UnsupportedError,
    entry_id_of,
    integer,
    is_unsigned,
    shown,
)

#: Entries that Redis keeps in one node, count: `~` trims whole nodes only.
NODE_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class Blocked:
    """A read that found nothing and waits: behind which entries of which streams, and how long."""

    after: list[tuple[bytes, EntryId]]
    count: int | None
    #: 0 for ever.
    block_ms: int


# ---- writing -----------------------------------------------------------------------------------------------------


@command("XADD", -5, grows=True)
def add(db: Keyspace, argv: list[bytes]) -> Reply:
    """XADD key [MAXLEN [= | ~] count] <id | *> field value …"""
    trim, at = None, 2
    if argv[at].upper() == b"MAXLEN":
        trim, at = _trim_of(argv, at)
    fields = argv[at + 1 :]
    wanted = _wanted_id(argv[at]) if at < len(argv) else None
    if not fields or len(fields) % 2:
        raise Refusal("ERR wrong number of arguments for 'xadd' command")
    if wanted == FIRST_ID:
        raise Refusal("ERR The ID specified in XADD must be greater than 0-0")
    key = argv[1]
    found = db.stream(key)
    entry_id = _next_id(found.last_id if found else FIRST_ID, wanted, db)
    if found is None:
        found = db.values[key] = Stream()
    text = found.append(entry_id, fields)
    if trim is not None:
        _trim(found, *trim)
    db.noted_entry(key)
    return text


def _trim_of(argv: list[bytes], at: int) -> tuple[tuple[int, bool], int]:
    """How many entries may stay, whether that is meant about, and where the next word stands."""
    about = argv[at + 1 : at + 2] in ([b"~"], [b"="])
    number_at = at + 1 + about
    if number_at >= len(argv):
        raise Refusal(SYNTAX)
    most = integer(argv[number_at])
    if most < 0:
        raise Refusal("ERR The MAXLEN argument must be >= 0.")
    return (most, argv[at + 1] == b"~"), number_at + 1


def _trim(found: Stream, most: int, about: bool) -> int:
    if about and most:  # to nothing at all every node is surplus
        surplus = len(found.entries) - most
        most += surplus % NODE_ENTRIES if surplus > 0 else 0
    return found.trim(most)


def _wanted_id(text: bytes) -> tuple[int, int | None] | None:
    """The id that is asked for: None for any, and a sequence of None for any of a millisecond."""
    if text == b"*":
        return None
    if text.endswith(b"-*") and is_unsigned(text[:-2]):
        return int(text[:-2]), None
    return entry_id_of(text)


def _next_id(last: EntryId, wanted: tuple[int, int | None] | None, db: Keyspace) -> EntryId:
    if last == LAST_ID:
        raise Refusal("ERR The stream has exhausted the last possible ID, unable to add more items")
    if wanted is None:
        now_ms = db.now_ms()
        return (now_ms, 0) if now_ms > last[0] else (last[0], last[1] + 1)
    ms, sequence = wanted
    if sequence is None:
        sequence = last[1] + 1 if ms == last[0] else 0
    if (ms, sequence) <= last:
        raise Refusal("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    return ms, sequence


@command("XDEL", -3, writes=True)
def delete(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.stream(argv[1])
    if found is None:
        return 0
    wanted = [entry_id_of(text) for text in argv[2:]]
    return sum(found.delete(entry_id) for entry_id in wanted)


@command("XTRIM", -4, writes=True)
def trim(db: Keyspace, argv: list[bytes]) -> Reply:
    """XTRIM key MAXLEN [= | ~] count, or MINID [= | ~] id"""
    if argv[2].upper() == b"MINID":
        about, first = argv[3] == b"~", entry_id_of(argv[-1])
        if (aged := db.stream(argv[1])) is None:
            return 0
        older = sum(entry_id < first for entry_id in aged.entries)
        # About: whole pieces of 100 entries.
        return aged.trim(len(aged.entries) - older + (older % 100 if about else 0))
    bound, at = _trim_of(argv, 2)
    if at != len(argv):
        raise Refusal(SYNTAX)
    found = db.stream(argv[1])
    return 0 if found is None else _trim(found, *bound)


# ---- reading -----------------------------------------------------------------------------------------------------


@command("XLEN", 2)
def length(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.stream(argv[1])
    return 0 if found is None else len(found.entries)


@command("XRANGE", -4)
def between(db: Keyspace, argv: list[bytes]) -> Reply:
    return _between(db, argv, argv[2], argv[3], newest_first=False)


@command("XREVRANGE", -4)
def between_from_the_end(db: Keyspace, argv: list[bytes]) -> Reply:
    return _between(db, argv, argv[3], argv[2], newest_first=True)


def _between(db: Keyspace, argv: list[bytes], start: bytes, end: bytes, *, newest_first: bool) -> Reply:
    count = None
    low, high = _first_of(start), _last_of(end)
    if len(argv) > 4:
        if len(argv) != 6 or argv[4].upper() != b"COUNT":
            raise Refusal(SYNTAX)
        count = max(0, integer(argv[5]))
    found = db.stream(argv[1])
    if found is None:
        return []
    if count == 0:
        return None
    return found.between(low, high, count, newest_first=newest_first)


def _first_of(text: bytes) -> EntryId:
    if text[:1] != b"(":
        return _end_of(text, missing_sequence=0)
    ms, sequence = entry_id_of(text[1:])
    if (ms, sequence) == LAST_ID:
        raise Refusal("ERR invalid start ID for the interval")
    return (ms, sequence + 1) if sequence < LAST_ID[1] else (ms + 1, 0)


def _last_of(text: bytes) -> EntryId:
    if text[:1] != b"(":
        return _end_of(text, missing_sequence=LAST_ID[1])
    ms, sequence = entry_id_of(text[1:], missing_sequence=LAST_ID[1])
    if (ms, sequence) == FIRST_ID:
        raise Refusal("ERR invalid end ID for the interval")
    return (ms, sequence - 1) if sequence else (ms - 1, LAST_ID[1])


def _end_of(text: bytes, *, missing_sequence: int) -> EntryId:
    if text == b"-":
        return FIRST_ID
    if text == b"+":
        return LAST_ID
    return entry_id_of(text, missing_sequence=missing_sequence)


@command("XREAD", -4)
def read(db: Keyspace, argv: list[bytes]) -> Reply:
    """XREAD [COUNT count] [BLOCK ms] STREAMS key … id …"""
    count, block_ms, at = None, None, 1
    while at < len(argv) and (word := argv[at].upper()) != b"STREAMS":
        if at + 1 >= len(argv) or word not in (b"COUNT", b"BLOCK"):
            raise Refusal(SYNTAX)
        if word == b"COUNT":
            count = integer(argv[at + 1])
        else:
            if db.is_in_script:
                raise Refusal(f"ERR {shown(argv[0])} command is not allowed with BLOCK option from scripts")
            block_ms = integer(argv[at + 1], "ERR timeout is not an integer or out of range")
            if block_ms < 0:
                raise Refusal("ERR timeout is negative")
        at += 2
    names = argv[at + 1 :]
    if not names:
        raise Refusal(SYNTAX)
    if len(names) % 2:
        raise Refusal("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
    half = len(names) // 2
    after = [(key, _read_from(db, key, text)) for key, text in zip(names[:half], names[half:], strict=True)]
    wanted = Blocked(after, None if count is None or count <= 0 else count, block_ms or 0)
    answer = read_now(db, wanted)
    return answer if answer is not None or block_ms is None else wanted


def _read_from(db: Keyspace, key: bytes, text: bytes) -> EntryId:
    found = db.stream(key)
    if text == b"$":
        return found.last_id if found else FIRST_ID
    return entry_id_of(text)


def read_now(db: Keyspace, wanted: Blocked) -> Reply:
    """What a read finds, None when it finds nothing; someone else's key is as good as none to one that waits."""
    answer = []
    for key, entry_id in wanted.after:
        found = db.values.get(key)
        if type(found) is Stream and (entries := found.after(entry_id, wanted.count)):
            answer.append([key, entries])
    return answer or None


# ---- groups ------------------------------------------------------------------------------------------------------


def _position(found: Stream | None, text: bytes) -> EntryId:
    if text == b"$":
        return found.last_id if found else FIRST_ID
    if text in (b"-", b"+"):
        raise Refusal(BAD_ENTRY_ID)
    return entry_id_of(text)


@command("XGROUP CREATE", -5, grows=True)
def create_group(db: Keyspace, argv: list[bytes]) -> Reply:
    """XGROUP CREATE key group <id | $> [MKSTREAM]"""
    key, name, text = argv[2:5]
    found = db.stream(key)
    if argv[5:] != [b"MKSTREAM"] and (argv[5:] or found is None):
        raise UnsupportedError(f"options of XGROUP CREATE: {argv[5:]!r}")
    position = _position(found, text)
    if found is None:
        found = db.values[key] = Stream()
    if name in found.groups:
        raise Refusal("BUSYGROUP Consumer Group name already exists")
    found.groups[name] = position
    return OK


@command("XGROUP SETID", 5, writes=True)
def set_group(db: Keyspace, argv: list[bytes]) -> Reply:
    """XGROUP SETID key group <id | $>"""
    key, name, text = argv[2:]
    found = db.stream(key)
    if found is None:
        raise Refusal(
            "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the "
            "MKSTREAM option to create an empty stream automatically."
        )
    if name not in found.groups:
        raise Refusal(f"NOGROUP No such consumer group '{shown(name)}' for key name '{shown(key)}'")
    found.groups[name] = _position(found, text)
    return OK


@command("XINFO STREAM", -3)
def about_stream(db: Keyspace, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise UnsupportedError("XINFO STREAM FULL")
    found = db.stream(argv[2])
    if found is None:
        raise Refusal("ERR no such key")
    # How Redis stores it (radix tree) is left out: no one asks for it.
    return [
        b"length", len(found.entries), b"last-generated-id", _text(found.last_id),
        b"max-deleted-entry-id", _text(found.max_deleted), b"entries-added", found.added,
        b"recorded-first-entry-id", _text(found.first_id), b"groups", len(found.groups),
        b"first-entry", next(iter(found.between(FIRST_ID, LAST_ID, 1)), None),
        b"last-entry", next(iter(found.between(FIRST_ID, LAST_ID, 1, newest_first=True)), None),
    ]  # fmt: skip


@command("XINFO GROUPS", 3)
def about_groups(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.stream(argv[2])
    if found is None:
        raise Refusal("ERR no such key")
    # How far it lags is left out: no one asks for it.
    return [
        [b"name", name, b"consumers", 0, b"pending", 0, b"last-delivered-id", _text(position)]
        for name, position in sorted(found.groups.items())
    ]


def _text(entry_id: EntryId) -> bytes:
    return b"%d-%d" % entry_id
