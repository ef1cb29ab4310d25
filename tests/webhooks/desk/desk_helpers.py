"""Desks over a real Redis: their tokens, requests, and streams."""

from contextlib import asynccontextmanager
from dataclasses import replace

from conferral.statemachine.parts import TransferState
from conferral.statemachine.session import AGENT, Party
from conferral.statemachine.states import PartyStatus, Phase, State, TransferMode, TransferStage
from tests.support.token_files import bearer_of
from tests.webhooks.api.api_helpers import ask
from tests.webhooks.api.test_streams import Stream

NAMES = """
[destinations]
sales = "+14155550177"
alice = "client:alice"
dave = "client:dave"
[agents.erin]
name = "Erin E."
email = "Erin@example.com"
"""


class SetClock:
    """A clock that a test may set forward."""

    def __init__(self, clock):
        self._clock = clock
        self.ahead_s = 0.0

    def wall_ms(self):
        return self._clock.wall_ms() + int(self.ahead_s * 1000)

    def monotonic_s(self):
        return self._clock.monotonic_s() + self.ahead_s


class HangUps:
    """Calls that Twilio was asked to hang up."""

    def __init__(self):
        self.calls, self.error = [], None

    async def __call__(self, call_sid):
        self.calls.append(call_sid)
        if self.error:
            raise self.error


class Desks:
    """One process's desks."""

    def __init__(self, client, tokens, path, clock, feed, directory, hang_ups=None):
        self.client, self.tokens, self.path, self.clock, self.feed = client, tokens, path, clock, feed
        self.directory, self.hang_ups = directory, hang_ups

    async def token(self, identity="alice", issuer="crm", **more):
        status, answer = await self.ask("POST", "/desk/tokens", bearer_of(issuer), json={"identity": identity, **more})
        assert status == 200, answer
        return answer["token"]

    async def bearer(self, identity="alice", issuer="crm"):
        return {"Authorization": f"Bearer {await self.token(identity, issuer)}"}

    async def ask(self, method, path, headers, **options):
        return await ask(self.client, method, path, headers=headers, **options)

    async def refusal(self, method, path, headers, **options):
        status, answer = await self.ask(method, path, headers, **options)
        return status, answer["error"]["reason"]

    @asynccontextmanager
    async def events(self, headers, desk=""):
        path = f"/desk/events?desk={desk}" if desk else "/desk/events"
        async with self.client.get(path, headers=headers | {"Accept": "text/event-stream"}) as response:
            assert (response.status, response.content_type) == (200, "text/event-stream"), await response.text()
            yield Stream(response)


async def first_sessions(stream):
    """The sessions before `ready`."""
    found = []
    while (event := await stream.next())[0] != "ready":
        found += [event[1]] if event[0] == "session" else []
    return found


async def next_of(stream, kind):
    """The data of the next event of a kind."""
    while (event := await stream.next())[0] != kind:
        pass
    return event[1]


def with_agent(one, address="client:dave", status=PartyStatus.CONNECTED, **more):
    """The same call, with another agent."""
    parties = one.parties | {AGENT: replace(one.parties[AGENT], address=address, status=status, **more)}
    return replace(one, parties=parties, version=one.version + 1)


def with_party(one, name, address, **more):
    """The same call, with one more party, which is being rung."""
    party = Party(name, f"{name}-1", "CA" + "5" * 32, address, **({"status": PartyStatus.RINGING} | more))
    return replace(one, parties=one.parties | {name: party}, version=one.version + 1)


def parked(one, by="crm/dave"):
    """The call, parked."""
    transfer = TransferState(1, TransferMode.PARK, (), by=by, stage=TransferStage.TALKING)
    return replace(
        one, state=State.CONFERENCED, phase=Phase.PARKED, transfer=transfer, parked_by="client:dave",
        parties={"customer": one.parties["customer"]},
    )  # fmt: skip


def queued(one, agents=("client:alice",)):
    """The call, whose caller waits in a queue for these agents."""
    return replace(
        one, state=State.CONFERENCED, phase=Phase.QUEUED, agents=agents, queued_since_ms=one.created_at_ms or 1,
        parties={"customer": one.parties["customer"]},
    )  # fmt: skip
