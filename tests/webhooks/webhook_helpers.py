"""Twilio's side of a request, and small fakes of what the webhooks are given."""

import asyncio
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from twilio.request_validator import RequestValidator

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.presence import UNKNOWN_PRESENCE
from conferral.statemachine.record import replace
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus, Phase, State
from conferral.storage.webhook_store.store import GateClaim, NewestSession
from tests.support.service_settings import ENVIRON, settings_with

ACCOUNT = ENVIRON["TWILIO_ACCOUNT_SID"]
CALLER, AGENT = "CA" + "1" * 32, "CA" + "2" * 32
CONFERENCE = "CF" + "3" * 32
TOKEN, SECOND_TOKEN = ENVIRON["TWILIO_AUTH_TOKEN"], "67890"
PUBLIC_URL = ENVIRON["CONFERRAL_PUBLIC_URL"]
FORM = "application/x-www-form-urlencoded; charset=UTF-8"
BODIES = Path(__file__).parents[1] / "telephony" / "bodies"

DIAL_ACTION = f"/voice/dial-action?session={CALLER}&party=customer&dial=bridge&attempt=1&v=1"
AGENT_CALL = f"/callbacks/call?session={CALLER}&party=agent&v=1"
#: Id of a dial.
DIAL = "d" * 20
CONFERENCE_URL = f"/callbacks/conference?session={CALLER}&v=1"


def settings(**changes):
    return settings_with(**{"CONFERRAL_AGENT": "+14155550123"} | changes)


def fields(moment, **changes):
    """The form of a moment, as Twilio would send it, with fields changed or (None) left out."""
    form = dict(parse_qsl((BODIES / f"{moment}.txt").read_text(), keep_blank_values=True))
    if "Caller" in form and "From" in changes:  # Twilio sends one address twice
        form["Caller"] = changes["From"]
    form |= changes
    return {name: value for name, value in form.items() if value is not None}


def signed(target, form, *, token=TOKEN, public_url=PUBLIC_URL, settings_header="", algorithm="HMAC_SHA1"):
    """Headers with the signature that Twilio would send; by default, no webhook rule applies."""
    signature = RequestValidator(token).compute_signature(public_url + target, form, algorithm)
    named = {"X-Twilio-Webhooks-Signature-Settings": settings_header} if settings_header else {}
    return {"X-Twilio-Signature": signature, "Content-Type": FORM, **named}


class Repeated(dict):
    """A form in which names may stand twice."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self._pairs = pairs

    def items(self):
        return self._pairs

    def getall(self, wanted):
        return [value for name, value in self._pairs if name == wanted]


async def post(client, target, form, *, path=None, headers=None, **options):
    """A signed POST; gives status and body."""
    given = signed(target, form, **options) | (headers or {})
    async with client.post(path or target, data=urlencode(form), headers=given, allow_redirects=False) as response:
        return response.status, await response.text()


#: A later version may have other states.
STATES = {state.value: state for state in State}


def facts(state, *, conference_sid=CONFERENCE, direction="inbound", **given):
    """A session as Redis has it: a customer, an agent, the parties given by name, and other given fields."""
    parties = {name: party for name, party in given.items() if isinstance(party, Party)}
    others = {name: value for name, value in given.items() if name not in parties}
    known = {
        "customer": a_party(call_sid=CALLER, label="customer-1", address="+14155550199", status="connected"),
        "agent": a_party(call_sid=AGENT, label="agent-1", address="+14155550123", status="connected"),
    }
    known |= {name.replace("_", "-"): party for name, party in parties.items()}
    known = {name: replace(party, name=name) for name, party in known.items()}
    others = {"phase": Phase.NONE} | others
    return Session(
        CALLER, STATES.get(state, state), conference_sid=conference_sid, direction=direction, parties=known, **others
    )


def a_party(call_sid="", *, label="", status=PartyStatus.DIALING, **known):
    """A party; its name is where it is in the session."""
    return Party("", label, call_sid, status=PartyStatus(status), **known)


class FakeWebhookStore:
    """Keeps what is published, and returns configured answers."""

    def __init__(self):
        self.events = []
        self.indexed = []
        self.facts = None
        #: Of each `press`, by command.
        self.digits = {}
        #: Whose a call is.
        self.sessions = {}
        self.reads = self.queue_reads = 0
        self.away = False
        self.takes_no_writes = False
        #: What is raised while it is away.
        self.error = StoreUnreachableError
        self.hangs = False
        self.warning_lines: list[str] = []
        self.agents_there = UNKNOWN_PRESENCE
        self.presence_hangs = False
        #: Which call has which dial, which dial has won which contest, and which have lost one.
        self.gates = {}
        #: Calls counted, by who has placed them.
        self.counted = {}
        #: Calls whose last session has ended, by SID: its id.
        self.ended = {}

    async def publish(self, event, *, call_sid=""):
        await self._reach()
        if self.takes_no_writes:
            raise self.error
        self.events.append(event)
        if call_sid:
            self.indexed.append((call_sid, event.session_id))

    async def publish_and_read(self, event, *, call_sid=""):
        await self.publish(event, call_sid=call_sid)
        return self.facts

    async def read(self, session_id):
        await self._reach()
        self.reads += 1
        return self.facts

    async def presence(self, agents, listed, *, with_queue=False):
        await self._reach()
        self.queue_reads += with_queue
        if self.presence_hangs:
            await asyncio.Event().wait()
        return self.agents_there

    async def take_digits(self, command_id):
        await self._reach()
        return self.digits.pop(command_id, "")

    async def session_of(self, call_sid):
        await self._reach()
        return self.sessions.get(call_sid)

    async def newest_session(self, call_sid):
        await self._reach()
        if call_sid in self.ended:
            return NewestSession(self.ended[call_sid], self.facts, has_ended=True)
        is_party = self.facts is not None and self.facts.find_party(call_sid=call_sid)
        session_id = self.sessions.get(call_sid) or (call_sid if is_party else "")
        return NewestSession(session_id, self.facts, has_ended=False) if session_id else None

    async def claim_visit(self, call_sid, ended_id, new_id):
        await self._reach()
        if self.ended.get(call_sid) == ended_id:
            self.ended[call_sid] = new_id
        return self.ended[call_sid]

    async def claim_gate(self, session_id, dial_id, call_sid, ring_group="", released_dials=()):
        await self._reach()
        if self.gates.setdefault((session_id, "dial", dial_id), call_sid) != call_sid:
            return GateClaim.ANOTHER_CALL
        if not ring_group:
            return GateClaim.OURS
        winner = self.gates.get((session_id, "ring_group", ring_group), dial_id)
        if winner != dial_id and (winner not in released_dials or (session_id, "lost", dial_id) in self.gates):
            self.gates[session_id, "lost", dial_id] = True
            return GateClaim.LOST
        self.gates[session_id, "ring_group", ring_group] = dial_id
        return GateClaim.OURS

    async def exceeds_call_limit(self, identity, call_sid, limit):
        await self._reach()
        calls = self.counted.setdefault(identity, set())
        if call_sid not in calls and len(calls) >= limit:
            return True
        calls.add(call_sid)
        return False

    async def uncount_call(self, identity, call_sid):
        self.counted[identity].discard(call_sid)

    async def redis_error(self):
        if self.hangs:
            await asyncio.Event().wait()
        return "full (OOM)" if self.away else ""

    async def warnings(self):
        return self.warning_lines

    async def _reach(self):
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise self.error


class FakeTwilioQueries:
    """Returns a status, or raises."""

    def __init__(self):
        self.status = None
        self.alone = True
        #: Whether a conference of the session's name has started.
        self.started = False
        self.live = True
        self.error = None
        self.asked = []

    async def child_status(self, parent_call_sid, child_call_sid=""):
        self._ask(child_call_sid or parent_call_sid)
        return self.status

    async def has_started(self, conference_name):
        self._ask(conference_name)
        return self.started

    async def is_live(self, call_sid):
        self._ask(call_sid)
        return self.live

    async def status_of(self, call_sid):
        self._ask(call_sid)
        return self.status

    async def live_call(self, call_sid):
        live = await self.is_live(call_sid)
        return fields("call_arrives", CallSid=call_sid, Direction="inbound") if live else {}

    async def is_alone(self, conference_sid, call_sid):
        self._ask((conference_sid, call_sid))
        return self.alone

    def _ask(self, about):
        self.asked.append(about)
        if self.error:
            raise self.error
