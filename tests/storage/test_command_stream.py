"""Commands: which ones are valid, and outcomes that only move forward."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.events import COMMANDS, Call, Convert, Transfer
from conferral.statemachine.events.commands import own_fields
from conferral.statemachine.ids import NO_PHONE_NUMBER_RULE
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import scripts
from conferral.storage.codecs.effect_codec import ReportCommand
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_parser import BadCommandError, parse
from conferral.storage.partition.partition_store import report_command
from tests.support.each import each

NUMBER = "+14155550123"
TRANSFER = {"type": "transfer", "session": "s", "to": NUMBER, "mode": "warm"}
CALL = {"type": "call", "agent": "client:alice", "customer": NUMBER}
TYPES = (
    "add, announce, call, cancel, complete, convert, end, hold, merge, mute, park, record, remove, retrieve, "
    "supervise, swap, transfer, unhold, unmute"
)


@each("fields, words", [
    ({"type": "dance", "session": "s"}, f"unknown type 'dance'; one of: {TYPES}"),
    ({"session": "s"}, f"missing field \"type\" (the command); one of: {TYPES}"),
    ({"type": NUMBER, "session": "s"}, f"unknown type (unprintable); one of: {TYPES}"),
    ({"type": "convert"}, "convert: missing field \"session\" (a session's id or a call SID)"),
    ({"type": "convert", "session": "a*"}, "session must be 1 to 64 letters, digits, _, or -"),
    ({"type": "convert", "session": "{0}x"}, "session must be 1 to 64 letters, digits, _, or -"),
    ({"type": "convert", "session": "x" * 65}, "session must be 1 to 64 letters, digits, _, or -"),
    ({"type": "end", "session": "s", "to": "x"}, "end has no field 'to'; it takes session and id"),
    ({"type": "end", "session": "s", NUMBER: "x"}, "end has no field (unprintable); it takes session and id"),
    ({**TRANSFER, "timeout_s": "9"},
     ("transfer has no field 'timeout_s'; "
     "it takes session, to, mode, brief, confirm, timeout, digits, caller_id, and id")),
    ({**TRANSFER, "session": ""}, "transfer: missing field \"session\" (a session's id or a call SID)"),
    ({**TRANSFER, "to": ""}, 'transfer: missing field "to" (address to dial)'),
    ({**TRANSFER, "mode": ""}, 'transfer: missing field "mode" (warm, consult, or blind)'),
    ({**TRANSFER, "mode": "cold"}, "mode must be warm, consult, or blind"),
    ({**TRANSFER, "mode": NUMBER}, "mode must be warm, consult, or blind"),
    ({**TRANSFER, "to": ","}, "to must be 1 to 10 destinations, separated by commas"),
    ({**TRANSFER, "to": f"{NUMBER},"}, "to must be 1 to 10 destinations, separated by commas"),
    ({**TRANSFER, "to": f"{NUMBER}, ,client:a"}, "to must be 1 to 10 destinations, separated by commas"),
    ({**TRANSFER, "to": ",".join(f"client:a{n}" for n in range(11))},
     "to must be 1 to 10 destinations, separated by commas"),
    ({**TRANSFER, "to": "x" * 5_121}, "to must be 1 to 10 destinations, separated by commas"),
    ({**TRANSFER, "to": f"{NUMBER},client:a, {NUMBER}"}, "to must not name a destination twice"),
    ({**TRANSFER, "brief": "x" * 501}, "brief must be at most 500 characters, without control characters"),
    ({**TRANSFER, "brief": "one\ntwo"}, "brief must be at most 500 characters, without control characters"),
    ({**TRANSFER, "brief": "\x1b[31m"}, "brief must be at most 500 characters, without control characters"),
    ({**TRANSFER, "brief": "\uffff"}, "brief must be at most 500 characters, without control characters"),
    ({**TRANSFER, "confirm": "yes"}, "confirm must be true or false"),
    ({**TRANSFER, "confirm": "True"}, "confirm must be true or false"),
    ({**TRANSFER, "timeout": "4"}, "timeout must be whole seconds, 5 to 600"),
    ({**TRANSFER, "timeout": "601"}, "timeout must be whole seconds, 5 to 600"),
    ({**TRANSFER, "timeout": "30.5"}, "timeout must be whole seconds, 5 to 600"),
    ({**TRANSFER, "timeout": "\u0663\u0660"}, "timeout must be whole seconds, 5 to 600"),
    ({**TRANSFER, "timeout": "9" * 5_000}, "timeout must be whole seconds, 5 to 600"),
    ({**TRANSFER, "digits": "12x"}, "digits must be 1 to 32 of the characters 0-9 * # w W"),
    ({**TRANSFER, "digits": "1" * 33}, "digits must be 1 to 32 of the characters 0-9 * # w W"),
    ({**TRANSFER, "digits": "1\n"}, "digits must be 1 to 32 of the characters 0-9 * # w W"),
    ({**CALL, "agent": ""}, 'call: missing field "agent" (address of the agent, dialed first)'),
    ({**CALL, "customer": ""}, 'call: missing field "customer" (address of the customer, dialed second)'),
    ({**CALL, "agent": f"{NUMBER},client:a"}, "agent must be one destination"),
    ({**CALL, "customer": "x" * 513}, "customer must be one destination"),
    ({**CALL, "mode": "warm"}, "mode must be bridge or conference"),
    ({**CALL, "session": "a b"}, "session must be 1 to 64 letters, digits, _, or -"),
    ({**CALL, "session": "14155550123"}, f"session {NO_PHONE_NUMBER_RULE}"),
    ({**CALL, "id": "123456789012345"}, f"id {NO_PHONE_NUMBER_RULE}"),
    ({**CALL, "to": NUMBER},
     ("call has no field 'to'; "
     "it takes session, agent, customer, mode, brief, confirm, timeout, digits, caller_id, and id")),
])  # fmt: skip
def test_invalid_command_is_explained(fields, words):
    with pytest.raises(BadCommandError) as refused:
        parse(fields)
    assert str(refused.value) == words


def test_transfer_is_taken_with_all_its_options():
    fields = {"to": f"{NUMBER}, client:bob", "mode": "consult", "brief": "Überweisung 👋", "confirm": "true"}
    parsed = parse({**TRANSFER, **fields, "timeout": "20", "digits": "ww12#", "id": "c1"})
    assert (parsed.event_type, parsed.session) == (Transfer, "s")
    assert parsed.event("s", "c1", 5) == Transfer(
        session_id="s", token="c1", occurred_at_ms=5, to=f"{NUMBER},client:bob", mode="consult",
        brief="Überweisung 👋", confirm=True, timeout_s=20, digits="ww12#",
    )  # fmt: skip


def test_call_needs_no_session_and_defaults_to_bridge():
    parsed = parse({**CALL, "confirm": "false", "id": "c1"})
    assert (parsed.event_type, parsed.session) == (Call, "")
    expected = Call(session_id="CS1", token="c1", agent="client:alice", customer=NUMBER)
    assert parsed.event("CS1", "c1", 0) == expected
    assert expected.mode == "bridge"
    assert parse({**CALL, "session": "mine", "mode": "bridge"}).session == "mine"


def test_empty_field_counts_as_not_given():
    empty = {"brief": "", "confirm": "", "timeout": "", "digits": "", "id": ""}
    assert parse({**TRANSFER, **empty}) == parse(TRANSFER)


@each("kind", [kind for kind in COMMANDS if not own_fields(kind)])
def test_command_without_fields_of_its_own_takes_a_session_alone(kind):
    parsed = parse({"type": kind.name, "session": "CA1"})
    assert parsed.event("s", "c", 1) == kind(session_id="s", token="c", occurred_at_ms=1)


OPTIONS = st.dictionaries(st.sampled_from(["to", "mode", "brief", "confirm", "timeout", "digits", "agent", "customer",
                                           "session", "+14155550199"]), st.text(max_size=40))  # fmt: skip


@given(st.sampled_from([TRANSFER, CALL, {"type": "convert", "session": "s"}]), OPTIONS)
def test_whatever_is_given_is_taken_or_refused_without_repeating_a_number(valid, changes):
    number = "15005550006"
    fields = {name: value + number for name, value in (valid | changes).items() if name != "type"}
    try:
        parsed = parse({"type": valid["type"], **fields})
    except BadCommandError as refused:
        shown = str(refused)
    else:
        shown = repr(parsed).replace(repr(fields.get("session", "")), "")
    assert "5005550006" not in shown
    assert not re.search(r"\d{7}", shown)


def test_command_without_an_id_of_its_session_opens_one_of_its_own():
    assert (
        command_stream.session_id_of("1-0")
        == command_stream.session_id_of("1-0")
        != command_stream.session_id_of("1-1")
    )
    assert re.fullmatch(r"CS[0-9a-f]{32}", command_stream.session_id_of("1-0"))
    assert command_stream.ID_PATTERN.fullmatch(command_stream.session_id_of("1-0"))
    assert parse({"type": "convert", "session": command_stream.session_id_of("1-0")}).event_type is Convert


@pytest.mark.parametrize("given", ["a b", "{0}", "x" * 65, "é"])
def test_id_outside_the_pattern_is_refused(given):
    with pytest.raises(BadCommandError):
        command_stream.command_id_of({"id": given}, "1-0")


def test_stream_entrys_id_is_the_default():
    assert command_stream.command_id_of({}, "1-0") == "1-0"
    assert command_stream.command_id_of({"id": "mine"}, "1-0") == "mine"


async def report(client, keys, status, reason=""):
    await report_command(client, keys, ReportCommand("s", CommandReport("c", CommandStatus(status), reason)))
    found = await command_stream.read_outcome(client, keys, "c")
    return found.status, found.reason


@pytest.mark.redis
async def test_outcome_only_moves_forward(client, keys):
    assert await report(client, keys, "accepted") == ("accepted", "")
    assert await report(client, keys, "failed", "busy") == ("failed", "busy")
    assert await report(client, keys, "accepted") == ("failed", "busy")
    assert await report(client, keys, "done") == ("failed", "busy")
    assert 86_399_000 < await client.pttl(keys.command("c")) <= 86_400_000


@pytest.mark.redis
async def test_command_id_belongs_to_the_entry_that_claimed_it_first(client, keys):
    async def claim(entry, session="s", digest="d"):
        owner, claimed_for = await scripts.claim_command(client, [keys.command("c")], [entry, session, digest, 100])
        return int(owner), claimed_for.decode()

    assert await claim("1-0") == (1, "s")
    assert await claim("1-0", "other") == (1, "s"), "the same entry may claim it again after a crash, for the same"
    assert await claim("2-0") == (0, "")
    assert await claim("2-0", digest="other") == (-1, "")
    assert await claim("1-0") == (1, "s"), "and it stays the first one's"
    await client.hdel(keys.command("c"), "digest")
    assert await claim("2-0", digest="other") == (0, ""), "what an older version has claimed tells nothing"
    assert 90 < await client.ttl(keys.command("c")) <= 100
    assert await client.hget(keys.command("c"), "session") == b"s"


@pytest.mark.redis
async def test_command_can_be_claimed_for_no_session(client, keys):
    async def claim():
        return await scripts.claim_command(client, [keys.command("c")], ["1-0", "", "d", 100])

    assert await claim() == [1, b""]
    assert await claim() == [1, b""]


@pytest.mark.redis
async def test_outcome_of_another_command_is_recognized(client, keys):
    await scripts.claim_command(client, [keys.command("c")], ["1-0", "s", command_stream.digest_of(TRANSFER), 100])
    digest = command_stream.digest_of(CALL)
    found = await command_stream.read_outcome(client, keys, "c")
    assert found.is_of_another_command(digest)
    assert not found.is_of_another_command(command_stream.digest_of({**TRANSFER, "id": "c"}))
    unknown = await command_stream.read_outcome(client, keys, "d")
    assert not unknown.is_of_another_command(digest)


@pytest.mark.parametrize("changes", [{"to": "client:bob"}, {"mode": "blind"}, {"confirm": "true"}, {"session": "t"}])
def test_digest_distinguishes_commands(changes):
    assert command_stream.digest_of(TRANSFER | changes) != command_stream.digest_of(TRANSFER)


def test_digest_covers_only_the_requested_fields():
    same = {"id": "c1", "brief": "", **dict(reversed(TRANSFER.items()))}
    assert command_stream.digest_of(same) == command_stream.digest_of(TRANSFER)
    assert re.fullmatch("[0-9a-f]{16}", command_stream.digest_of(TRANSFER))


# ---- a stream that no worker reads -----------------------------------------------------------------------------------


def test_refusal_names_the_documented_limit():
    assert str(command_stream.CommandsFullError()).startswith("100,000 commands are waiting to be routed")


@pytest.mark.redis
async def test_no_command_that_waits_is_trimmed_and_more_are_refused(client, keys, monkeypatch):
    monkeypatch.setattr(command_stream, "COMMANDS_MAX", 300)
    fields = {"type": "end", "session": "s"}
    given = [await command_stream.publish(client, keys, {**fields, "id": f"c{number}"}) for number in range(300)]

    for number in range(300, 600):
        with pytest.raises(command_stream.CommandsFullError, match="300 commands are waiting to be routed"):
            await command_stream.publish(client, keys, {**fields, "id": f"c{number}"})
    direct = await client.xadd(keys.commands, fields)

    assert [entry.decode() for entry, _ in await client.xrange(keys.commands)] == [*given, direct.decode()]
    await client.xdel(keys.commands, given[0], given[1])  # as the router does with what it has routed
    assert await command_stream.publish(client, keys, fields)
