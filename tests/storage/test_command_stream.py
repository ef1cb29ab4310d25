"""Commands on their stream: ids, claims, and outcomes that only move forward."""

import re

import pytest

from conferral.statemachine.events import Convert
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import scripts
from conferral.storage.codecs.effect_codec import ReportCommand
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_parser import BadCommandError, parse
from conferral.storage.partition.partition_store import report_command
from tests.support.people import CUSTOMER

TRANSFER = {"type": "transfer", "session": "s", "to": CUSTOMER, "mode": "warm"}
CALL = {"type": "call", "agent": "client:alice", "customer": CUSTOMER}


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
    assert 90 < await client.ttl(keys.command("c")) <= 100
    assert await client.hget(keys.command("c"), "session") == b"s"


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
