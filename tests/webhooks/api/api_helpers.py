"""A control API over a real Redis, sessions to read, and what a worker would do with commands."""

import asyncio

from aiohttp import web

from conferral.commands import identity
from conferral.runtime.clock import SystemClock
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session, first_label
from conferral.statemachine.states import PartyStatus, Phase, State
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import command_stream, scripts
from conferral.storage.codecs import session_codec
from conferral.storage.command_reports import COMMAND_TTL_S, report_command
from conferral.storage.keys import Keys
from conferral.webhooks.api.app import add_api
from tests.support import service_settings

KEYS = Keys("conferral", 4)
TOKEN = "a-token.of~letters_and+1/2=="
CALLER, ALICE = "CA" + "1" * 32, "CA" + "2" * 32
CUSTOMER_NUMBER = "+14155550199"
ENVIRON = service_settings.ENVIRON | {
    "TWILIO_API_KEY": "SK" + "3" * 32,
    "TWILIO_API_SECRET": "s" * 32,
    "TWILIO_TWIML_APP_SID": "AP" + "4" * 32,
    "CONFERRAL_AGENT": "client:alice",
    "CONFERRAL_API_TOKEN": TOKEN,
}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def settings(**changes):
    return service_settings.settings_with(**ENVIRON | changes)


def app_of(store, metrics, **changes):
    app = web.Application()
    add_api(app, settings(**changes), store, KEYS, metrics, SystemClock())
    return app


def session(session_id=CALLER, **changes):
    """Customer and agent talk, by a bridge."""
    parties = {
        CUSTOMER: Party(CUSTOMER, first_label(CUSTOMER), session_id, CUSTOMER_NUMBER, PartyStatus.CONNECTED),
        AGENT: Party(AGENT, first_label(AGENT), ALICE, "client:alice", PartyStatus.CONNECTED),
    }
    given = {"version": 3, "phase": Phase.CONNECTED, "parties": parties, "created_at_ms": 1_795_000_000_000} | changes
    return Session(session_id, **given)


def refusal(kind, reason, allowed=()):
    """The error of an answer that says no."""
    return {"type": kind, "reason": reason, "allowed": [*allowed], "docs": f"docs/reference/errors.md#{kind}"}


async def put(store, *sessions, log=()):
    """What a worker's commits do to be seen; returns the ids of the log's new entries."""
    pipeline = store.pipeline(transaction=True)
    for one in sessions:
        partition = KEYS.partition_of(one.id)
        pipeline.delete(KEYS.session(one.id))
        pipeline.hset(KEYS.session(one.id), mapping=session_codec.encode(one))
        for entry in log:
            pipeline.xadd(KEYS.log(one.id), entry)
        if one.state is State.ENDED:
            pipeline.srem(KEYS.live(partition), one.id)
            pipeline.zadd(KEYS.ended(partition), {one.id: one.ended_at_ms})
        else:
            pipeline.sadd(KEYS.live(partition), one.id)
        pipeline.hincrby(KEYS.lease(partition), "commit", 1)
    answers = await pipeline.execute()
    return [answer.decode() for answer in answers if isinstance(answer, bytes)]


async def commit(store, one, *entries):
    """A commit of one session, with what it writes to the log."""
    return await put(store, one, log=entries)


async def published(store):
    """The commands on the stream, as text."""
    entries = await store.xrange(KEYS.commands)
    return [{name.decode(): text.decode() for name, text in fields.items()} for _, fields in entries]


async def take_up(store):
    """Claims every command on the stream for its session, as the router does; returns their ids."""
    taken = []
    for entry_id, entry in await store.xrange(KEYS.commands):
        fields = {name.decode(): text.decode() for name, text in entry.items()}
        command_id = command_stream.command_id_of(fields, entry_id.decode())
        digest, by = identity.digest_of(fields), identity.sender_of(fields)
        arguments = [entry_id, fields.get("session", ""), digest, COMMAND_TTL_S, by]
        owner, _ = await scripts.claim_command(store, [KEYS.command(command_id)], arguments)
        if int(owner) == 1:
            taken.append(command_id)
        await store.xdel(KEYS.commands, entry_id)
    return taken


async def report_status(store, command_id, status, reason="", session_id=CALLER, code=""):
    """Writes what became of a command."""
    report = CommandReport(command_id, CommandStatus(status), reason, code)
    await report_command(store, KEYS, session_id, report)


async def ask(client, method, path, **options):
    async with client.request(method, path, **options) as response:
        return response.status, await response.json()


async def eventually(condition):
    async with asyncio.timeout(60):
        while not (found := await condition()):
            await asyncio.sleep(0.01)
    return found
