"""Commands: what a valid one looks like, and outcomes that only move forward."""

import pytest

from statemachine.step import CommandReport, CommandStatus
from streams import commands, scripts
from streams.commands import BadCommandError
from streams.effect_codec import TellCommand
from streams.partition import tell_command


@pytest.mark.parametrize("fields, words", [
    ({"type": "dance", "session": "s"}, "unknown type 'dance'; known: convert, end"),
    ({"session": "s"}, "unknown type ''"),
    ({"type": "+14155550123", "session": "s"}, "unknown type (unprintable)"),
    ({"type": "convert"}, "convert needs the field session"),
    ({"type": "convert", "session": "a*"}, "session must be"),
    ({"type": "convert", "session": "{0}x"}, "session must be"),
    ({"type": "convert", "session": "x" * 65}, "session must be"),
    ({"type": "end", "session": "s", "to": "x"}, "end has no field 'to'"),
])  # fmt: skip
def test_command_that_is_wrong_is_told_in_words(fields, words):
    with pytest.raises(BadCommandError, match="^" + words.replace("(", r"\(").replace(")", r"\)")):
        commands.parse(fields)


@pytest.mark.parametrize("given", ["a b", "{0}", "x" * 65, "é"])
def test_id_outside_the_pattern_is_refused(given):
    with pytest.raises(BadCommandError):
        commands.command_id_of({"id": given}, "1-0")


def test_stream_entrys_id_is_the_default():
    assert commands.command_id_of({}, "1-0") == "1-0"
    assert commands.command_id_of({"id": "mine"}, "1-0") == "mine"


async def tell(client, keys, status, reason=""):
    await tell_command(client, keys, TellCommand("s", CommandReport("c", CommandStatus(status), reason)))
    found = await commands.outcome(client, keys, "c")
    return found.status, found.reason


@pytest.mark.redis
async def test_outcome_only_moves_forward(client, keys):
    assert await tell(client, keys, "accepted") == ("accepted", "")
    assert await tell(client, keys, "failed", "busy") == ("failed", "busy")
    assert await tell(client, keys, "accepted") == ("failed", "busy")
    assert await tell(client, keys, "done") == ("failed", "busy")
    assert 86_000 < await client.ttl(keys.command("c")) <= 86_400


@pytest.mark.redis
async def test_command_id_belongs_to_the_entry_that_asked_first(client, keys):
    async def claim(entry):
        return int(await scripts.claim_command(client, [keys.command("c")], [entry, "s", 100]))

    assert await claim("1-0") == 1
    assert await claim("1-0") == 1, "the same entry may claim it again after a crash"
    assert await claim("2-0") == 0


@pytest.mark.redis
async def test_waiting_ends_with_the_outcome_or_with_the_time(client, keys):
    assert (await commands.wait_for_outcome(client, keys, "c", 0.01)).status == ""
    await tell(client, keys, "done")
    assert (await commands.wait_for_outcome(client, keys, "c", 1)).status == "done"
