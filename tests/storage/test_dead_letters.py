"""Dead letters are read, put back to where they came from, and removed; what can't be put back says why."""

import pytest

from conferral.statemachine.events import Convert
from conferral.storage import command_stream, scripts
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import CHUNK, run_or_raise
from conferral.storage.dead_letters import DEAD_LETTERED, append_dead_letter
from conferral.storage.entries import Entry
from conferral.storage.queries.dead_letters import NO_REASON, DeadLetterStore

pytestmark = pytest.mark.redis
SESSION = "CA1"
CLAIM = ["7-0", SESSION, "digest", 60]


@pytest.fixture
def letters(client, keys):
    return DeadLetterStore(client, keys)


def raw(fields):
    return {name.encode(): value.encode() for name, value in fields.items()}


async def dead_lettered(client, keys, stream, fields, entry_id="7-0", reason="processing failed"):
    await append_dead_letter(client, keys, stream, Entry(entry_id, fields), reason)
    ((letter_id, _),) = await client.xrevrange(keys.dead, count=1)
    return letter_id.decode()


async def only(letters):
    (letter,) = [one async for one in letters.newest_first()]
    return letter


def converting(keys, command_id="c1"):
    """A command behind the router: an event of its session's partition."""
    event = Convert(session_id=SESSION, token=command_id, occurred_at_ms=5)
    return keys.events(keys.partition_of(SESSION)), raw(event_codec.encode(event))


async def test_event_goes_back_as_it_was_and_its_letter_is_gone(client, keys, letters):
    stream, fields = converting(keys)
    letter_id = await dead_lettered(client, keys, stream, fields)
    assert await letters.get(letter_id) == await only(letters)
    assert await letters.get("1-1") is await letters.get("nonsense") is None
    assert await letters.put_back(await only(letters)) == ""
    ((_, found),) = await client.xrange(stream)
    assert found == fields
    assert await letters.count() == 0


async def test_command_failed_by_dead_lettering_is_reopened_on_retry(client, keys, letters):
    stream, fields = converting(keys)
    await scripts.claim_command(client, [keys.command("c1")], CLAIM)
    await scripts.report_command(client, [keys.command("c1")], ["failed", f"{DEAD_LETTERED}odd", SESSION, 60])
    await dead_lettered(client, keys, stream, fields)
    assert await letters.put_back(await only(letters)) == ""
    found = await command_stream.read_result(client, keys, "c1")
    assert (found.status, found.session, found.digest) == ("", SESSION, "digest")
    assert await client.xlen(stream) == 1


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("done", "", "its command is done"),
        ("rejected", "no", "its command was rejected"),
        ("accepted", "", "its command is already accepted"),
        ("failed", "busy", "its command has failed"),
    ],
)
async def test_command_that_has_come_to_something_is_not_done_twice(client, keys, letters, status, reason, expected):
    stream, fields = converting(keys)
    await scripts.report_command(client, [keys.command("c1")], [status, reason, SESSION, 60])
    await dead_lettered(client, keys, stream, fields)
    assert await letters.put_back(await only(letters)) == expected
    assert (await client.xlen(stream), await letters.count()) == (0, 1)
    assert (await command_stream.read_result(client, keys, "c1")).status == status


async def test_command_that_was_not_routed_goes_back_under_its_id_and_may_claim_it_again(client, keys, letters):
    """Its id is that of its entry, which a second entry can't have: so it is written down."""
    await scripts.claim_command(client, [keys.command("7-0")], CLAIM)
    await dead_lettered(client, keys, keys.commands, raw({"type": "convert", "session": SESSION}))
    letter = await only(letters)
    assert await letters.put_back(letter) == ""
    ((entry_id, found),) = await client.xrange(keys.commands)
    assert found == raw({"type": "convert", "session": SESSION, "id": "7-0"})
    claim = [entry_id.decode(), SESSION, "digest", 60]
    assert int((await scripts.claim_command(client, [keys.command("7-0")], claim))[0]) == 1
    # A second operator with the same letter comes too late.
    assert await letters.put_back(letter) == "another command has used its id since"
    assert await client.xlen(keys.commands) == 1


@pytest.mark.parametrize(
    ("stream", "fields", "shown"),
    [
        ("commands", {b"foo": b"bar"}, "it would fail again: missing field type"),
        ("commands", {b"type": b"\xff"}, "it would fail again: not UTF-8"),
        ("commands", {b"type": b"end", b"more": b"x" * 65_536}, "only the first 65,536 of its 65,547 bytes were kept"),
        ("commands", {b"type": b"end", b"id": b"a b"}, "id must be"),
        ("events", {b"type": b"nonsense"}, "it would fail again: unknown type"),
        ("events", {b"type": b"convert"}, "it would fail again: missing field"),
        ("elsewhere", None, "Conferral does not read the stream it came from"),
    ],
)
async def test_letter_that_would_be_dead_lettered_again_says_so_and_stays(client, keys, letters, stream, fields, shown):
    of_partition, good = converting(keys)
    streams = {"commands": keys.commands, "events": of_partition, "elsewhere": "other:{0}:events"}
    await dead_lettered(client, keys, streams[stream], good if fields is None else fields)
    assert shown in await letters.put_back(await only(letters))
    assert await letters.count() == 1
    assert not await client.exists(*streams.values())


async def test_long_reason_is_shown_up_to_its_limit_and_none_is_searchable(client, keys, letters):
    await client.xadd(keys.dead, {"type": "end"})
    for length in (500, 501):
        await client.xadd(keys.dead, {"type": "x", "dead_reason": "o" * length, "dead_stream": "s"})
    assert [one.reason async for one in letters.newest_first()] == ["o" * 499 + "…", "o" * 500, NO_REASON]


async def test_all_are_read_the_newest_first_and_removed_by_id(client, keys, letters):
    letter = ("type", "x", "dead_reason", "odd", "dead_stream", "s")
    await run_or_raise(client, *(("XADD", keys.dead, f"{number}-0", *letter) for number in range(1, CHUNK + 3)))
    found = [one.letter_id async for one in letters.newest_first()]
    assert found == [f"{number}-0" for number in range(CHUNK + 2, 0, -1)]
    assert [one.letter_id async for one in letters.newest_first(7)] == found
    assert await letters.remove(["3-0", "3-0", "nonsense", "9999-0"]) == {"3-0"}
    assert await letters.count() == CHUNK + 1
