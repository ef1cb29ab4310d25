"""Commands for streams, and for the groups that show people position and lag."""

from dataclasses import dataclass

from tests.support.memory_redis.keyspace import Keyspace, command
from tests.support.memory_redis.values import FIRST_ID, LAST_ID, OK, EntryId, Refusal, Reply, Stream, entry_id_of

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


@command("XADD", grows=True)
def add(db: Keyspace, argv: list[bytes]) -> Reply:
    """XADD key [NOMKSTREAM] [MAXLEN [= | ~] count] <id | *> field value …"""
    if argv[2] == b"NOMKSTREAM":
        if db.stream(argv[1]) is None:
            return None
        argv = [*argv[:2], *argv[3:]]
    trim, at = None, 2
    if argv[at].upper() == b"MAXLEN":
        trim, at = _trim_of(argv, at)
    fields = argv[at + 1 :]
    wanted = None if argv[at] == b"*" else entry_id_of(argv[at])
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
    number_at = at + 1 + (argv[at + 1] in (b"~", b"="))
    return (int(argv[number_at]), argv[at + 1] == b"~"), number_at + 1


def _trim(found: Stream, most: int, about: bool) -> int:
    if about and most:  # to nothing at all every node is surplus
        surplus = len(found.entries) - most
        most += surplus % NODE_ENTRIES if surplus > 0 else 0
    return found.trim(most)


def _next_id(last: EntryId, wanted: EntryId | None, db: Keyspace) -> EntryId:
    if last == LAST_ID:
        raise Refusal("ERR The stream has exhausted the last possible ID, unable to add more items")
    if wanted is None:
        now_ms = db.now_ms()
        return (now_ms, 0) if now_ms > last[0] else (last[0], last[1] + 1)
    if wanted <= last:
        raise Refusal("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    return wanted


@command("XDEL", writes=True)
def delete(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.stream(argv[1])
    if found is None:
        return 0
    wanted = [entry_id_of(text) for text in argv[2:]]
    return sum(found.delete(entry_id) for entry_id in wanted)


@command("XTRIM", writes=True)
def trim(db: Keyspace, argv: list[bytes]) -> Reply:
    """XTRIM key MAXLEN [= | ~] count, or MINID [= | ~] id"""
    if argv[2].upper() == b"MINID":
        about, first = argv[3] == b"~", entry_id_of(argv[-1])
        if (aged := db.stream(argv[1])) is None:
            return 0
        older = sum(entry_id < first for entry_id in aged.entries)
        # About: whole pieces of 100 entries.
        return aged.trim(len(aged.entries) - older + (older % 100 if about else 0))
    bound, _ = _trim_of(argv, 2)
    found = db.stream(argv[1])
    return 0 if found is None else _trim(found, *bound)


# ---- reading -----------------------------------------------------------------------------------------------------


@command("XLEN")
def length(db: Keyspace, argv: list[bytes]) -> Reply:
    found = db.stream(argv[1])
    return 0 if found is None else len(found.entries)


@command("XRANGE")
def between(db: Keyspace, argv: list[bytes]) -> Reply:
    return _between(db, argv, argv[2], argv[3], newest_first=False)


@command("XREVRANGE")
def between_from_the_end(db: Keyspace, argv: list[bytes]) -> Reply:
    return _between(db, argv, argv[3], argv[2], newest_first=True)


def _between(db: Keyspace, argv: list[bytes], start: bytes, end: bytes, *, newest_first: bool) -> Reply:
    count = int(argv[5]) if len(argv) > 4 else None
    found = db.stream(argv[1])
    return [] if found is None else found.between(_first_of(start), _last_of(end), count, newest_first=newest_first)


def _first_of(text: bytes) -> EntryId:
    if text[:1] != b"(":
        return _end_of(text, missing_sequence=0)
    ms, sequence = entry_id_of(text[1:])
    return (ms, sequence + 1) if sequence < LAST_ID[1] else (ms + 1, 0)


def _last_of(text: bytes) -> EntryId:
    if text[:1] != b"(":
        return _end_of(text, missing_sequence=LAST_ID[1])
    ms, sequence = entry_id_of(text[1:], missing_sequence=LAST_ID[1])
    return (ms, sequence - 1) if sequence else (ms - 1, LAST_ID[1])


def _end_of(text: bytes, *, missing_sequence: int) -> EntryId:
    if text == b"-":
        return FIRST_ID
    if text == b"+":
        return LAST_ID
    return entry_id_of(text, missing_sequence=missing_sequence)


@command("XREAD")
def read(db: Keyspace, argv: list[bytes]) -> Reply:
    """XREAD [COUNT count] [BLOCK ms] STREAMS key … id …"""
    at = argv.index(b"STREAMS")
    options = dict(zip(argv[1:at:2], argv[2:at:2], strict=True))
    count = int(options[b"COUNT"]) if b"COUNT" in options else None
    names = argv[at + 1 :]
    half = len(names) // 2
    after = [(key, _position(db.stream(key), text)) for key, text in zip(names[:half], names[half:], strict=True)]
    wanted = Blocked(after, count, int(options.get(b"BLOCK", 0)))
    answer = read_now(db, wanted)
    return answer if answer is not None or b"BLOCK" not in options else wanted


def _position(found: Stream | None, text: bytes) -> EntryId:
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


@command("XGROUP CREATE", grows=True)
def create_group(db: Keyspace, argv: list[bytes]) -> Reply:
    """XGROUP CREATE key group <id | $> [MKSTREAM]"""
    key, name, text = argv[2:5]
    found = db.stream(key)
    position = _position(found, text)
    if found is None:
        found = db.values[key] = Stream()
    if name in found.groups:
        raise Refusal("BUSYGROUP Consumer Group name already exists")
    found.groups[name] = position
    return OK


@command("XGROUP SETID", writes=True)
def set_group(db: Keyspace, argv: list[bytes]) -> Reply:
    """XGROUP SETID key group <id | $>"""
    key, name, text = argv[2:]
    found = db.stream(key)
    if found is None:
        raise Refusal("ERR The XGROUP subcommand requires the key to exist")
    if name not in found.groups:
        raise Refusal("NOGROUP No such consumer group")
    found.groups[name] = _position(found, text)
    return OK


@command("XINFO STREAM")
def about_stream(db: Keyspace, argv: list[bytes]) -> Reply:
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


@command("XINFO GROUPS")
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
