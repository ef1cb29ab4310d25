"""Dead letters as people see them: newest first, without anyone's number; all of a reason only as confirmed."""

import asyncio

import pytest

from conferral.operations.dead_letters import CountChanged, DeadLetters, ReasonGroup
from conferral.statemachine.events import CallReceived, Convert
from conferral.storage.codecs import event_codec
from conferral.storage.dead_letters import append_dead_letter
from conferral.storage.entries import Entry
from conferral.storage.keys import Keys
from tests.support.people import CUSTOMER

pytestmark = pytest.mark.redis
KEYS = Keys("test", 4)


@pytest.fixture
def letters(client):
    return DeadLetters(client, KEYS)


async def put_letter(client, number, reason, stream=KEYS.commands, **fields):
    about = {"dead_reason": reason, "dead_stream": stream, "dead_entry": f"{number}-7"}
    await client.xadd(KEYS.dead, {**fields, **about}, id=f"{number}-0")


async def test_letter_says_whence_what_and_whose_it_is_without_a_number(client, letters):
    sid, token = "CA" + "12" * 16, "secret"
    given = {"type": "transfer", "session": sid, "to": CUSTOMER, "call_token": token, "at": "2026-11-20T08:24:07.123Z"}
    await put_letter(client, 5, "odd", **given, big="x" * 600)
    (letter,) = await letters.newest(50)
    assert (letter.id, letter.at_ms, letter.entry_id, letter.source) == ("5-0", 5, "5-7", "commands")
    assert (letter.type, letter.session, letter.reason, letter.not_retryable_reason) == ("transfer", sid, "odd", "")
    assert letter.fields["to"] == "+…23"
    assert (letter.fields["session"], letter.fields["at"]) == (sid, given["at"])
    assert len(letter.fields["big"]) == 501
    assert "call_token" not in letter.fields
    assert CUSTOMER not in repr(letter)
    (whole,) = await letters.newest(50, full=True)
    assert whole.fields["to"] == CUSTOMER


async def test_command_id_is_shown_whole_whatever_digits_it_has(client, letters):
    await put_letter(client, 5, "odd", id="c-1234567890ab12345678", token="night-2026-11-22", to="c-1234567890")
    await put_letter(client, 6, "odd", id="14155550123", token="call 14155550123")
    without, one = await letters.newest(50)
    assert (one.fields["id"], one.fields["token"]) == ("c-1234567890ab12345678", "night-2026-11-22")
    assert one.fields["to"] == "c-…90"
    assert "4155550123" not in str(without.fields)


async def test_event_is_shown_by_field_and_never_whole(client, letters):
    secret = "a secret"
    event = CallReceived(
        session_id="s",
        token="t1",
        call_sid="CA1",
        customer_address=CUSTOMER,
        agent_address="client:a",
        call_token=secret,
    )
    fields = event_codec.encode(event)
    await put_letter(client, 1, "odd", **fields)
    await put_letter(client, 2, "odd", **{**fields, "type": "call_of_tomorrow"})
    unknown, known = await letters.newest(50, full=True)
    assert known.fields["customer_address"] == CUSTOMER
    for letter in (known, unknown):
        assert letter.fields["session"] == "s"
        assert not {"call_token", event_codec.EVENT} & letter.fields.keys()
        assert secret not in repr(letter)


@pytest.mark.parametrize(
    "fields",
    [{b"said": b"x" * 2**20}, {b"name-%d" % number: b"x" * 20 for number in range(6_000)}, {b"x" * 2**17: b"y"}],
    ids=["value", "fields", "name"],
)
async def test_first_64_kib_of_a_large_entry_are_kept_and_it_can_not_be_retried(client, letters, fields):
    entry = Entry("1-7", {b"type": b"end", b"session": b"s", **fields})
    size = sum(len(name) + len(value) for name, value in entry.fields.items())
    assert await append_dead_letter(client, KEYS, KEYS.commands, entry, "larger than 64 KiB") == ""
    ((_, stored),) = await client.xrange(KEYS.dead)
    assert stored.pop(b"dead_size") == str(size).encode()
    kept = {name: value for name, value in stored.items() if not name.startswith(b"dead_")}
    assert [*kept] == [*entry.fields][: len(kept)]
    assert all(entry.fields[name].startswith(value) for name, value in kept.items())
    kept_size = sum(len(name) + len(value) for name, value in kept.items())
    assert kept_size <= 65_536
    assert b"said" not in fields or kept_size == 65_536
    (letter,) = await letters.newest(50)
    assert (letter.type, letter.session) == ("end", "s")
    assert letter.not_retryable_reason == f"only the first {kept_size:,} of its {size:,} bytes were kept"
    done = await letters.retry([letter.id])
    assert (done.done, done.refused) == (0, {letter.id: letter.not_retryable_reason})


async def test_numbers_are_cut_in_values_names_and_the_type(client, letters):
    value = "call 415 555 0123, or (415) 555-0199!"
    await put_letter(client, 1, "odd", said=value, type=value, **{value: "x"})

    (letter,) = await letters.newest(50)
    (whole,) = await letters.newest(50, full=True)

    shown = "call …23, or (…99!"
    assert (letter.fields["said"], letter.type) == (shown, shown)
    assert shown in letter.fields
    assert (whole.fields["said"], whole.type, whole.fields[value]) == (value, value, "x")


async def test_newest_are_listed_in_order_and_by_reason(client, letters):
    for number in range(1, 8):
        await put_letter(client, number, "rare" if number in (2, 5) else "odd", type="end", session="s")
    assert await letters.groups() == [ReasonGroup("odd", 5, 5), ReasonGroup("rare", 2, 2)]
    assert [one.at_ms for one in await letters.newest(3)] == [7, 6, 5]
    assert [one.at_ms for one in await letters.newest(1, "rare")] == [5]
    assert [one.at_ms for one in await letters.newest(3, "rare")] == [5, 2]
    assert await letters.newest(3, "unknown") == ()


async def test_some_are_put_back_and_each_that_is_not_says_why(client, letters):
    await put_letter(client, 1, "odd", type="end", session="s")
    await put_letter(client, 2, "odd", foo="bar")
    done = await letters.retry(["2-0", "1-0", "9-9", "nonsense"])
    assert (done.done, done.left) == (1, 1)
    assert done.refused == {
        "2-0": "it would fail again: missing field type",
        "9-9": "no such dead letter",
        "nonsense": "no such dead letter",
    }
    assert await client.xlen(KEYS.commands) == 1


async def test_two_who_put_the_same_back_at_once_have_each_command_done_once(client, letters):
    stream = KEYS.events(KEYS.partition_of("CA1"))
    for number in range(1, 6):
        fields = event_codec.encode(Convert(session_id="CA1", token=f"c{number}", occurred_at_ms=5))
        await put_letter(client, number, "odd", stream=stream, **fields)
    ids = [f"{number}-0" for number in range(1, 6)]
    one, other = await asyncio.gather(letters.retry(ids), letters.retry(ids))
    assert await client.xlen(stream) == 5 == one.done + other.done
    assert 9_000 < await client.pttl(KEYS.command("c1")) <= 10_000
    assert set((one.refused | other.refused).values()) <= {
        "someone else has just retried it",
        "no such dead letter",
    }


async def test_all_of_a_reason_only_while_there_are_as_many_as_were_confirmed(client, letters):
    for number in range(1, 5):
        await put_letter(client, number, "rare" if number == 3 else "odd", type="end", session="s")
    with pytest.raises(CountChanged) as changed:
        await letters.drop_all("odd", 2)
    assert changed.value.count == 3
    assert await letters.count() == 4
    dropped = await letters.drop_all("odd", 3)
    assert (dropped.done, dropped.refused, dropped.left) == (3, {}, 1)
    back = await letters.retry_all()
    assert (back.done, back.left) == (1, 0)
    ((_, fields),) = await client.xrange(KEYS.commands)
    assert fields[b"id"] == b"3-7"


async def test_effect_over_which_workers_died_is_shown_and_can_not_be_put_back(client, letters):
    fields = {b"type": b"effect", b"session": b"s1", b"effect": b'{"kind": "hang_up_call"}'}
    await append_dead_letter(client, KEYS, KEYS.outbox(0), Entry("e1", fields), "workers crashed processing it")
    (letter,) = await letters.newest(50)
    assert letter.reason == "workers crashed processing it"
    done = await letters.retry_all()
    assert done.done == 0
    assert await letters.count() == 1
