"""Commands on their stream: ids, claims, and outcomes that only move forward."""

import pytest

from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import command_stream, scripts
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.command_reports import report_command


@pytest.mark.parametrize("given", ["a b", "{0}", "x" * 65, "é"])
def test_id_outside_the_pattern_is_refused(given):
    with pytest.raises(BadEntryError):
        command_stream.command_id_of({"id": given}, "1-0")


def test_stream_entrys_id_is_the_default():
    assert command_stream.command_id_of({}, "1-0") == "1-0"
    assert command_stream.command_id_of({"id": "mine"}, "1-0") == "mine"


async def report(client, keys, status, reason=""):
    await report_command(client, keys, "s", CommandReport("c", CommandStatus(status), reason))
    found = await command_stream.read_result(client, keys, "c")
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
    assert await claim("1-0", "other") == (2, "s"), "the same entry may claim it again after a crash, for the same"
    assert await claim("2-0") == (0, "")
    assert await claim("2-0", digest="other") == (-1, "")
    assert await claim("1-0") == (2, "s"), "and it stays the first one's"
    assert 90 < await client.ttl(keys.command("c")) <= 100
    assert await client.hget(keys.command("c"), "session") == b"s"


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
