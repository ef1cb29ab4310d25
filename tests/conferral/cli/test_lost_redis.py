"""Redis is lost after a command was published: what is known by then is reported, and nothing else."""

import pytest

from conferral import Client
from conferral.commands.submission import CommandSubmitter
from conferral.operations.errors import PublishUnconfirmedError
from conferral.runtime.errors import StoreUnreachableError
from conferral.storage import command_stream
from conferral.storage.queries import live_workers
from conferral.storage.queries.session_reader import SessionReader
from tests.conferral.cli_helpers import CALL, decide, published

pytestmark = pytest.mark.redis


@pytest.fixture
def lose(bridged, monkeypatch):
    """Makes one kind of query fail from the start: it follows those that succeed."""

    async def lost(*_given):
        raise StoreUnreachableError("Redis can't be reached")  # without an answer

    return lambda owner, name: monkeypatch.setattr(owner, name, lost)


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        ("done", 0, f"converted {CALL} (why)\n"),
        ("rejected", 1, "convert rejected: why\n"),
        ("failed", 1, "convert failed: why\n"),
        ("", 3, "convert is still in progress after 0.1 s (command mine)\n"),
    ],
)
def test_the_command_line_reports_the_outcome_that_it_has_read(run, redis, lose, status, code, shown):
    if status:
        decide(redis, "mine", status, "why")
    lose(SessionReader, "read_session")
    lose(live_workers, "live_workers")

    ran = run("convert", CALL, "--wait", "0.1", "--id", "mine")

    assert ran.code == code
    assert shown in ran.out + ran.err


def test_the_command_line_names_a_command_whose_outcome_it_can_not_read(run, redis, lose):
    lose(CommandSubmitter, "wait_for_result")

    ran = run("convert", CALL, "--json")

    assert ran.code == 3
    assert ran.error["command"] == published(redis)[0]["id"]
    assert "Redis can't be reached" in ran.error["reason"]


def test_the_command_line_names_a_command_that_may_have_been_published(run, lose):
    lose(command_stream, "publish")

    ran = run("convert", CALL, "--id", "mine")

    assert (ran.code, ran.out) == (3, "")
    assert "convert may have been published; repeat it with --id mine" in ran.err


async def test_the_client_names_a_command_that_may_have_been_published(lose):
    lose(command_stream, "publish")

    async with Client() as client:
        with pytest.raises(PublishUnconfirmedError, match="Redis can't be reached") as raised:
            await client.convert(CALL, wait=False)

    assert raised.value.command_id.startswith("c-")
    assert isinstance(raised.value, StoreUnreachableError)
