"""The Python client, with a worker that has decided already."""

import asyncio
import inspect
import subprocess
import sys
import traceback

import pytest

from conferral import Client
from conferral.client.client import SUBMISSION
from conferral.commands.identity import digest_of
from conferral.commands.parser import own_fields
from conferral.operations.errors import CommandFailed, CommandPending, CommandRejected, UnknownSession
from conferral.runtime.errors import SettingsError, StoreUnreachableError
from conferral.statemachine.events import COMMANDS
from conferral.statemachine.states import Phase, State
from conferral.storage.config import SCHEMA_VERSION
from tests.conferral.cli_helpers import (
    CALL,
    CREATED_MS,
    KEYS,
    consult,
    decide,
    ended,
    make_session,
    published,
    put,
    set_up,
)

pytestmark = pytest.mark.redis


@pytest.fixture
async def client(redis):
    put(redis, make_session())
    async with Client() as client:
        yield client


# ---- commands ----------------------------------------------------------------------------------------------------


def test_methods_take_the_fields_of_their_commands_and_how_they_are_given():
    for command in COMMANDS:
        named = set(inspect.signature(getattr(Client, command.name)).parameters)
        own = {"timeout": "ring_timeout_s"}

        assert inspect.iscoroutinefunction(getattr(Client, command.name))
        assert named == {"self", "session", *SUBMISSION, *(own.get(one.name, one.name) for one in own_fields(command))}


async def test_a_command_that_is_done_is_returned_with_its_session(client, redis):
    decide(redis, "mine", "done", "because")

    command = await client.call(agent="client:alice", customer="client:bob", id="mine")

    assert (command.status, command.reason, command.session) == ("done", "because", CALL)


async def test_the_outcome_of_a_command_that_is_not_waited_for_can_be_waited_for_later(client, redis):
    command = await client.convert(CALL, wait=False)
    assert await command.refresh() == ""

    decide(redis, command.id, "accepted")
    waiting = asyncio.create_task(command.done())
    assert await command.refresh() == "accepted"
    decide(redis, command.id, "done")

    assert await waiting is command
    assert command.status == "done"


async def test_a_refusal_has_the_reason_and_what_is_allowed(client, redis):
    put(redis, make_session(phase=Phase.RINGING))
    decide(redis, "mine", "rejected", "no one has answered yet; allowed now: remove, end")

    with pytest.raises(CommandRejected) as refused:
        await client.convert(CALL, id="mine")

    error = refused.value
    assert (error.kind, error.command_id, error.session) == ("convert", "mine", CALL)
    assert error.reason == "no one has answered yet; allowed now: remove, end"
    assert error.allowed == ("remove", "end")
    assert str(error) == "convert rejected: no one has answered yet; allowed now: remove, end"


async def test_a_failure_has_the_reason(client, redis):
    decide(redis, "mine", "failed", "no-answer")

    with pytest.raises(CommandFailed) as failed:
        await client.transfer(CALL, to="+14155550145", mode="warm", id="mine")

    assert failed.value.reason == "no-answer"
    assert "transfer" in failed.value.allowed
    assert str(failed.value) == "transfer failed: no-answer"

    decide(redis, "other", "failed", "failed", code="21216")
    with pytest.raises(CommandFailed, match=r"^transfer failed: failed \(Twilio error 21216\)$") as failed:
        await client.transfer(CALL, to="+14155550145", mode="warm", id="other")
    assert (failed.value.reason, failed.value.code) == ("failed", 21216)


@pytest.mark.parametrize("status", ["", "accepted"])
async def test_a_wait_whose_time_is_up_is_no_failure(client, redis, status):
    if status:
        decide(redis, "mine", status)

    with pytest.raises(CommandPending) as pending:
        await client.convert(CALL, id="mine", timeout_s=0.1)

    assert pending.value.command_id == "mine"
    assert pending.value.reason == "still in progress when the wait timed out; its id is mine"


@pytest.mark.parametrize("timeout_s", [-1, -0.1, float("nan"), "5", None])
async def test_an_impossible_time_to_wait_is_refused_before_the_command_is_published(client, redis, timeout_s):
    with pytest.raises(CommandRejected) as refused:
        await client.convert(CALL, timeout_s=timeout_s)

    assert refused.value.reason == "timeout_s must be a number of seconds, 0 or more"
    assert published(redis) == []
    command = await client.convert(CALL, wait=False)
    with pytest.raises(ValueError, match="timeout_s must be a number of seconds, 0 or more"):
        await command.done(timeout_s)


async def test_a_keyword_that_is_called_otherwise_than_its_field_is_named_when_it_is_wrong(client):
    with pytest.raises(CommandRejected) as refused:
        await client.add(CALL, to="client:bob", party="expert", ring_timeout_s=4)

    assert refused.value.reason == "ring_timeout_s: timeout must be whole seconds, 5 to 600"


async def test_deadline_is_sent_along(client, redis):
    await client.convert(CALL, deadline="2026-11-30T10:00:08Z", wait=False)
    assert [fields["deadline"] for fields in published(redis)] == ["2026-11-30T10:00:08.000Z"]


async def test_client_repeating_a_command_with_its_id_gets_the_first_outcome(client, redis):
    first = await client.convert(CALL, id="job-1", wait=False)
    decide(redis, "job-1", "done", digest=digest_of({"type": "convert", "session": CALL}))

    again = await client.convert(CALL, id="job-1")

    assert (again.id, again.status) == (first.id, "done")


# ---- what there is -----------------------------------------------------------------------------------------------


async def test_sessions_are_read_with_parties_and_transfer(client, redis):
    consult(redis)

    (session,) = await client.sessions()

    assert (session.id, session.state, session.phase, session.is_live) == (CALL, "transferring", "consult", True)
    assert session.created_at_ms == CREATED_MS
    assert session.parties["customer"].held
    assert session.parties["target"].status == "connected"
    assert (session.transfer.mode, session.transfer.to) == ("consult", ("+14155550145",))
    assert session.parties["customer"].address == "+14155550123"


async def test_sessions_are_chosen_by_state_and_oldest_first(client, redis):
    put(redis, make_session("NEWER", created_at_ms=CREATED_MS + 5_000, state=State.CONFERENCED, phase=Phase.CONNECTED))
    put(redis, ended("GONE"))

    async def ids(*given, **more):
        return [session.id for session in await client.sessions(*given, **more)]

    assert await ids() == [CALL, "NEWER"]
    assert await ids("conferenced") == ["NEWER"]
    assert await ids("ended") == ["GONE"]
    assert sorted(await ids(with_ended=True)) == [CALL, "GONE", "NEWER"]
    assert await ids(party="client:alice", with_ended=True) == [CALL, "NEWER"]
    assert await ids(party="client:bob") == []


@pytest.mark.parametrize("named", ["nobody", "14155550123", "a b"])
async def test_unknown_session_error_does_not_repeat_the_name(client, named):
    with pytest.raises(UnknownSession) as unknown:
        await client.session(named)

    assert named not in str(unknown.value)


async def test_no_repr_holds_a_number_or_a_secret(client, redis):
    consult(redis, call_token="secret-token")
    session = await client.session(CALL)
    redis.xadd(KEYS.outcomes, {"id": "o1", "to": "+14155550145", "attempts": '[{"to": "+14155550145"}]'})
    outcome = await anext(client.outcomes(after="0"))
    command = await client.transfer(CALL, to="+14155550145", mode="warm", wait=False)

    shown = repr((client, session, outcome, command))
    assert "41555501" not in shown
    assert "alice" not in shown
    assert "secret" not in shown
    assert not session.call_token


# ---- the connection ----------------------------------------------------------------------------------------------


async def test_redis_and_prefix_can_be_named_by_the_program(redis, redis_server, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    redis.hset("mine:config", mapping={"partitions": 4, "schema": SCHEMA_VERSION})

    async with Client(redis_server.url, "mine") as client:
        assert await client.sessions() == []


async def test_redis_outage_is_reported_when_the_client_opens():
    with pytest.raises(StoreUnreachableError):
        async with Client("redis://:secret@127.0.0.1:1/0"):
            pass


@pytest.mark.parametrize("url", ["http://x", "redis://:secret@127.0.0.1:port/0", "redis://:secret/x@127.0.0.1:1/0"])
async def test_a_url_that_makes_no_sense_is_a_wrong_setting(url):
    with pytest.raises(SettingsError, match="REDIS_URL") as wrong:
        async with Client(url):
            pass

    assert "secret" not in "".join(traceback.format_exception(wrong.value))


async def test_a_client_that_is_not_open_says_how_to_open_it(redis):
    set_up(redis)
    client = Client()

    with pytest.raises(RuntimeError, match="async with Client"):
        await client.sessions()
    async with client:
        with pytest.raises(RuntimeError, match="open already"):
            await client.__aenter__()
    with pytest.raises(RuntimeError, match="async with Client"):
        await client.end(CALL)


def test_the_client_brings_nothing_of_the_servers_with_it():
    heavy = ("aiohttp", "twilio", "typer", "rich", "prometheus_client", "transitions")
    program = f"import sys; from conferral import Client; print([name for name in {heavy} if name in sys.modules])"

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "[]"


def test_every_public_name_can_be_imported():
    import conferral

    assert all(getattr(conferral, name).__name__ == name for name in conferral.__all__)
    assert set(conferral.__all__) <= set(dir(conferral))
    with pytest.raises(AttributeError):
        _ = conferral.no_one
