"""Two voice requests of one call at once, in every order of what they do in Redis."""

import asyncio
from dataclasses import replace
from itertools import combinations

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import Phase, State
from conferral.storage.codecs import session_codec
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.webhook_store.store import WebhookStore
from conferral.telephony.directory import DirectoryFile
from conferral.webhooks.app import signed_routes
from conferral.webhooks.responses import Dependencies
from tests.webhooks.documents import action_of
from tests.webhooks.webhook_helpers import FakeTwilioQueries, fields, settings

pytestmark = pytest.mark.redis
KEYS = Keys("conferral", 16)
#: What a request does in Redis. A second read, of the id after, waits for no turn.
STEPS = ("newest_session", "read", "claim_visit", "publish")
#: Every order of two requests' steps: at which places those of the one that begins are.
ORDERS = [places for places in combinations(range(2 * len(STEPS)), len(STEPS)) if places[0] == 0]


class InTurn:
    """Redis as one request sees it: each step waits for its turn, and a worker opens a published session at once."""

    def __init__(self, webhook_store, store, name, turns):
        self._webhook_store, self._store, self._name, self._turns = webhook_store, store, name, turns

    async def presence(self, *arguments, **options):
        """The agents' presence is no part of a visit's claim."""
        return await self._webhook_store.presence(*arguments, **options)

    def __getattr__(self, step):
        async def run(*arguments, **options):
            while self._turns and self._turns[0] != self._name:
                await asyncio.sleep(0)
            answer = await getattr(self._webhook_store, step)(*arguments, **options)
            if step == "publish":
                await save(
                    self._store,
                    arguments[0].session_id,
                    arguments[0].call_sid,
                    state=State.BRIDGED,
                    phase=Phase.RINGING,
                )
            if self._name in self._turns:
                self._turns.remove(self._name)
            return answer

        assert step in STEPS
        return run


async def save(store, session_id, call_sid, **known):
    customer = Party("customer", "customer-1", call_sid)
    session = Session(session_id, version=1, parties={"customer": customer}, **known)
    await store.hset(KEYS.session(session_id), mapping=session_codec.encode(session))


async def visit(process, store, name, turns, form):
    request = replace(process, store=InTurn(process.store, store, name, turns))
    response = await signed_routes(request)["/voice/inbound"](form, "")
    while name in turns:  # it has fewer steps than the other
        turns.remove(name)
    return action_of(response.text).session_id


async def test_two_visits_at_once_open_one_session_in_every_order(redis_server):
    store = make_client(redis_server.url)
    webhook_store, given = WebhookStore(store, KEYS, SystemClock()), settings()
    process = Dependencies.of(given, webhook_store, FakeTwilioQueries(), Metrics(), DirectoryFile(given), SystemClock())
    for number, firsts in enumerate(ORDERS):
        call_sid = f"CA{number:032x}"
        await store.set(KEYS.call(call_sid), call_sid, ex=1_000_000)
        await save(store, call_sid, call_sid, state=State.ENDED)
        turns = ["first" if place in firsts else "second" for place in range(2 * len(STEPS))]
        form = fields("call_arrives", CallSid=call_sid)
        opened = await asyncio.gather(*(visit(process, store, name, turns, form) for name in ("first", "second")))
        assert (opened, await store.get(KEYS.call(call_sid))) == (
            [f"{call_sid}-2"] * 2, f"{call_sid}-2".encode(),
        ), firsts  # fmt: skip
    await webhook_store.close()
    await store.aclose()
