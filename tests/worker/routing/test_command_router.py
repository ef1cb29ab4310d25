"""The router: who may not be dialed is turned away before anything was published, and each command is routed once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from twilio.rest import Client as Twilio

from conferral.commands import identity
from conferral.commands.parser import BadCommandError
from conferral.runtime.clock import Clock, SystemClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import Call, Transfer
from conferral.statemachine.parts import DialOptions
from conferral.statemachine.session import Session
from conferral.storage import command_stream, config, digits
from conferral.storage.codecs import session_codec
from conferral.storage.connection.client import BlockingReads, Client
from conferral.storage.dial_limits import DialLimits
from conferral.storage.keys import Keys
from conferral.telephony.addresses import AllowList
from conferral.telephony.conference_names import ConferenceNames
from conferral.telephony.fallbacks import AddressRules
from conferral.worker.routing import router
from conferral.worker.routing.addresses import CallerIdChecker, CommandAddresses
from conferral.worker.routing.admission import CommandAdmission
from conferral.worker.routing.router import CommandRouter
from offhook import ACCOUNT_SID
from tests.support.entries import event_in
from tests.support.memory_redis import Fault, MemoryServer
from tests.support.people import CUSTOMER, NUMBER
from tests.support.redis_clients import AnyServer, client_of
from tests.worker.cores import core_of

pytestmark = pytest.mark.redis
CALL_SID = "CA" + "1" * 32
NAMES = ConferenceNames(["secret"], "test")
CALL = {"type": "call", "agent": "client:alice", "customer": CUSTOMER}
TRANSFER = {"type": "transfer", "session": CALL_SID, "mode": "warm", "to": CUSTOMER}


class Routing:
    """A router on a Redis, and what operators see of it."""

    def __init__(self, client: Client, blocking: Client, keys: Keys, clock: Clock) -> None:
        self.client, self.blocking, self.keys, self.clock = client, blocking, keys, clock
        self.allowed = AllowList.from_setting("US,client:", "+14155550100")
        self.names: dict[str, str] = {}
        self.metrics = Metrics()
        self.caller_ids = CallerIdChecker(Twilio("AC1", "token"), lambda: {NUMBER}, SystemClock())
        self.limits = DialLimits(self.keys)
        self.owns_router: Callable[[], bool] = lambda: True

    def router(self) -> CommandRouter:
        core = core_of(self.client, self.keys, self.clock, "router", metrics=self.metrics)
        addresses = CommandAddresses(lambda: AddressRules(self.names, self.allowed), self.caller_ids)
        admission = CommandAdmission(core, addresses, NAMES, self.limits)
        return CommandRouter(core, BlockingReads(self.blocking), admission, self.owns_router)

    async def run(self, until) -> None:
        """Routes until the condition holds."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.router().run(stop))
        async with asyncio.timeout(60):
            while not await until():
                await asyncio.sleep(0.005)
            stop.set()
            await running

    async def is_done(self) -> bool:
        return not await self.client.xlen(self.keys.commands)

    async def give(self, entry_id: str = "*", **fields: str) -> str:
        """Publishes a command and has it routed; returns the entry's id."""
        given = await self.client.xadd(self.keys.commands, fields, id=entry_id)
        await self.run(self.is_done)
        return given.decode()

    async def outcome(self, command_id: str) -> tuple[str, str, str]:
        found = await command_stream.read_result(self.client, self.keys, command_id)
        return found.status, found.reason, found.session

    async def events(self) -> list:
        found = []
        for partition in range(self.keys.partitions):
            for _, fields in await self.client.xrange(self.keys.events(partition)):
                event = event_in(fields)
                assert self.keys.partition_of(event.session_id) == partition
                found.append(event)
        return found

    async def know(self, session_id: str) -> None:
        await self.store(Session(session_id, version=1))

    async def store(self, session: Session) -> None:
        await self.client.hset(self.keys.session(session.id), mapping=session_codec.encode(session))


@asynccontextmanager
async def routing_on(server: AnyServer) -> AsyncIterator[Routing]:
    routing = Routing(client_of(server), client_of(server, blocking=True), Keys("test", 4), SystemClock())
    await config.ensure(routing.client, "test", 4, account_sid=ACCOUNT_SID)
    yield routing
    await routing.client.aclose()
    await routing.blocking.aclose()


@pytest.fixture
async def routing(any_redis):
    async with routing_on(any_redis) as routing:
        yield routing


@pytest.mark.parametrize(
    ("given", "by"),
    [
        (TRANSFER | {"by": "night shift é"}, "night shift é"),
        (TRANSFER, ""),
        (TRANSFER | {"by": "cli", "session": "unknown"}, "cli"),
        (TRANSFER | {"by": "cli", "to": "nobody"}, "cli"),
        ({"type": "dance", "by": "cli"}, "cli"),
        (TRANSFER | {"by": "cli", "id": "a b"}, "cli"),
        (TRANSFER | {"by": "x" * 65}, ""),
        (TRANSFER | {"by": "two\nlines"}, ""),
    ],
)
async def test_the_outcome_says_who_gave_the_command(routing, given, by):
    await routing.know(CALL_SID)

    entry_id = await routing.give(**given)

    found = await command_stream.read_result(routing.client, routing.keys, entry_id)
    assert found.exists
    assert found.by == by


async def test_router_that_has_lost_its_task_leaves_the_rest_to_the_next(routing, monkeypatch):
    monkeypatch.setattr(router, "PAUSE_S", 0.01)
    await routing.know(CALL_SID)
    for name in ("c1", "c2"):
        await routing.client.xadd(routing.keys.commands, TRANSFER | {"id": name})
    asked = []
    routing.owns_router = lambda: asked.append(len(asked)) or len(asked) <= 2  # before it reads, and for the first

    async def has_tried_again() -> bool:
        return len(asked) > 3

    await routing.run(has_tried_again)
    assert [event.command_id for event in await routing.events()] == ["c1"]
    assert await routing.client.xlen(routing.keys.commands) == 1


@pytest.mark.parametrize(
    ("forbidden", "given", "status"),
    [
        ("EXISTS", TRANSFER, ""), ("claim_command", TRANSFER, ""), ("XADD", TRANSFER, ""), ("XDEL", TRANSFER, ""),
        ("report_command", {"type": "dance"}, "rejected"),
    ],
)  # fmt: skip
async def test_command_waits_while_someone_edits_the_rules_of_our_user(monkeypatch, forbidden, given, status):
    monkeypatch.setattr(router, "PAUSE_S", 0.01)
    server, refusals = MemoryServer(SystemClock().wall_ms), [Fault.FORBIDDEN] * 2
    async with routing_on(server) as routing:
        await routing.know(CALL_SID)
        entry_id = await routing.client.xadd(routing.keys.commands, given)
        server.fault = lambda name: refusals.pop() if refusals and name == forbidden else None

        await routing.run(routing.is_done)

        assert not refusals
        assert not await routing.client.xlen(routing.keys.dead)
        assert {event.command_id for event in await routing.events()} == (set() if status else {entry_id.decode()})
        assert (await routing.outcome(entry_id.decode()))[0] == status


@pytest.mark.parametrize(("most", "count"), [(2, [3]), (3, [])])
async def test_commands_beyond_the_limit_are_routed_shown_and_logged(routing, monkeypatch, most, count):
    monkeypatch.setattr(command_stream, "COMMANDS_MAX", most)
    for _ in range(3):
        await routing.client.xadd(routing.keys.commands, TRANSFER)

    with capture_logs() as logs:
        await routing.run(routing.is_done)

    assert [line["count"] for line in logs if line["event"] == "command_limit_exceeded"] == count
    assert "conferral_commands_waiting 3.0" in routing.metrics.exposition().decode()


async def test_transfer_reaches_its_session_with_all_requested_options(routing):
    await routing.know("mine")
    await routing.client.set(routing.keys.call(CALL_SID), "mine")
    options = {"brief": "a caller", "confirm": "true", "timeout": "20", "params": "name=Ada", "caller_id": NUMBER}
    entry_id = await routing.give(**TRANSFER | {"to": "client:bob"}, id="c1", **options)
    (event,) = await routing.events()
    assert isinstance(event, Transfer)
    assert (event.session_id, event.token, event.to, event.mode) == ("mine", "c1", ("client:bob",), "warm")
    assert event.options == DialOptions("a caller", confirm=True, timeout_s=20, params="name=Ada", caller_id=NUMBER)
    assert event.occurred_at_ms == int(entry_id.split("-")[0])


async def is_turned_away(routing, name, reason, by=""):
    """Refused: its session, where there is one, only notes it, and hears of no one who could be dialed."""
    if name == "call":
        assert await routing.outcome("c1") == ("rejected", reason, "")
        assert await routing.events() == []
        return
    (event,) = await routing.events()
    assert (event.name, event.refused, event.by, "".join(event.to)) == (name, reason, by, "")


@pytest.mark.parametrize("fields, session", [
    ({"type": "record", "session": "mine", "action": "START"}, "mine"),
    ({"type": "record", "session": CALL_SID, "action": "START"}, "mine"),
    ({"type": "dance", "session": "mine"}, "mine"),
    ({"type": "record", "session": "mine", "action": "start", "id": "a b"}, "mine"),
    ({"type": "record", "session": "sk_live_0123456789", "action": "START"}, ""),
    ({"type": "record", "session": "14155550123", "action": "START"}, ""),
    ({"type": "record", "session": f"token {CUSTOMER}", "action": "START"}, ""),
    ({"type": "record", "action": "START"}, ""),
    (CALL | {"session": "mine", "mode": "warm"}, ""),
])  # fmt: skip
async def test_outcome_of_an_invalid_command_names_its_session_if_there_is_one(routing, fields, session):
    await routing.know("mine")
    await routing.client.set(routing.keys.call(CALL_SID), "mine")
    entry_id = await routing.give(**fields)
    status, _, named = await routing.outcome(entry_id)
    assert (status, named) == ("rejected", session)
    assert await routing.events() == []


@pytest.mark.parametrize("name", ["call", "transfer", "retrieve", "add", "supervise"])
async def test_a_caller_id_that_is_not_in_the_account_is_refused(routing, monkeypatch, name):
    async def has_none(number: str) -> None:
        raise BadCommandError("caller_id: not a number in the account")

    monkeypatch.setattr(routing.caller_ids, "check", has_none)
    await routing.know(CALL_SID)
    await routing.give(**{**DIALING[name], "id": "c1", "caller_id": CUSTOMER})
    await is_turned_away(routing, name, "caller_id: not a number in the account")


DIALING = {
    "call": CALL,
    "transfer": TRANSFER,
    "retrieve": {"type": "retrieve", "session": CALL_SID, "to": CUSTOMER},
    "add": {"type": "add", "session": CALL_SID, "to": CUSTOMER, "party": "expert"},
    "supervise": {"type": "supervise", "session": CALL_SID, "to": CUSTOMER, "mode": "monitor"},
}


@pytest.mark.parametrize("name", DIALING)
async def test_undialable_party_is_rejected_by_every_command(routing, name):
    await routing.know(CALL_SID)
    routing.names = {"jamaica": "+18765550123"}
    field = "agent" if name == "call" else "to"
    await routing.give(**{**DIALING[name], field: "jamaica", "id": "c1"})
    await is_turned_away(routing, name, f"{field}: country JM is not in CONFERRAL_ALLOWED_DESTINATIONS")


async def test_call_opens_a_session_whose_id_follows_from_the_commands(routing):
    await routing.give(**CALL, id="c1")
    session_id = identity.session_id_of("c1")
    (event,) = await routing.events()
    assert isinstance(event, Call)
    assert (event.session_id, event.token, event.agent, event.customer) == (session_id, "c1", "client:alice", CUSTOMER)
    assert await routing.outcome("c1") == ("", "", session_id)


async def test_call_opens_the_session_that_it_names(routing):
    await routing.give(**CALL, id="c1", session="order-7")
    (event,) = await routing.events()
    assert (event.session_id, event.conference_name) == ("order-7", NAMES.make("order-7", "c1"))
    assert await routing.outcome("c1") == ("", "", "order-7")


async def test_no_command_names_the_conference_of_its_session(routing):
    await routing.give(**CALL, id="c1", session="order-7", conference_name="lunch")
    assert await routing.events() == []
    await routing.give(**CALL, id="c2")
    assert [event.conference_name for event in await routing.events()] == [""]


@pytest.mark.parametrize("what", ["session", "call"])
async def test_call_takes_no_id_that_is_in_use(routing, what):
    if what == "session":
        await routing.know("order-7")
    else:
        await routing.client.set(routing.keys.call("order-7"), "another")
    await routing.give(**CALL, id="c1", session="order-7")
    reason = "session: this id is already in use; choose another"
    assert await routing.outcome("c1") == ("rejected", reason, "")
    assert await routing.events() == []


async def test_call_whose_claim_a_failover_lost_goes_to_its_session_again(routing):
    """The session knows it, and decides nothing twice. It has dialed, so no limit refuses it."""
    routing.limits = DialLimits(routing.keys, per_minute=1)
    own = identity.session_id_of("c1")
    await routing.know(own)
    (minute, _) = routing.limits.of(own)
    await routing.client.zadd(minute.key, {"dialed": SystemClock().wall_ms()})
    await routing.give(**CALL, id="c1")
    assert [(event.session_id, event.token) for event in await routing.events()] == [(own, "c1")]
    assert await routing.outcome("c1") == ("", "", own)


async def test_call_whose_claim_a_failover_lost_goes_to_the_session_that_it_named(routing):
    """The name of its conference says which command opened it; another's is another call."""
    await routing.store(Session("order-7", version=1, conference_name=NAMES.make("order-7", "c1")))
    await routing.give(**CALL, id="c1", session="order-7")
    await routing.give(**CALL, id="c2", session="order-7")
    assert [(event.session_id, event.token) for event in await routing.events()] == [("order-7", "c1")]
    assert await routing.outcome("c1") == ("", "", "order-7")
    assert (await routing.outcome("c2"))[0] == "rejected"


async def test_command_goes_to_a_session_that_waiting_entries_may_open(routing):
    """No worker owns its partition now; the next owner decides both, in this order."""
    await routing.give(**CALL, id="c1", session="order-7")
    await routing.give(type="end", id="c2", session="order-7")
    assert [(event.session_id, event.token) for event in await routing.events()] == [
        ("order-7", "c1"), ("order-7", "c2"),
    ]  # fmt: skip
    assert await routing.outcome("c2") == ("", "", "order-7")


async def test_call_that_is_routed_again_goes_the_same_way(routing):
    """A router died after it had published the call and before it removed the command."""
    await routing.give("5-0", **CALL, session="order-7")
    await routing.know("order-7")  # what was published was decided meanwhile
    await routing.client.delete(routing.keys.commands)
    await routing.give("5-0", **CALL, session="order-7")
    first, again = await routing.events()
    assert (first.session_id, first.token) == (again.session_id, again.token) == ("order-7", "5-0")
    assert (await routing.outcome("5-0"))[0] == "", "and nobody is told that it was rejected"


async def test_call_that_was_turned_away_stays_so_when_it_is_routed_again(routing):
    await routing.know("order-7")
    await routing.give("5-0", **CALL, session="order-7")
    await routing.client.delete(routing.keys.session("order-7"), routing.keys.commands)
    await routing.give("5-0", **CALL, session="order-7")
    assert (await routing.outcome("5-0"))[0] == "rejected"
    assert await routing.events() == []


async def test_repeated_call_is_routed_once(routing):
    with capture_logs() as logs:
        await routing.give(**CALL, id="c1")
        await routing.give(**CALL, brief="", id="c1")
    assert [line["event"] for line in logs if line["event"].startswith("command_")] == [
        "command_routed", "command_deduplicated",
    ]  # fmt: skip
    await routing.give(**{**CALL, "agent": "+18765550123"}, id="c1")
    assert len(await routing.events()) == 1
    assert (await routing.outcome("c1"))[0] == ""


@pytest.mark.parametrize("again", [
    {"type": "end", "session": CALL_SID},
    {**TRANSFER, "to": "client:bob"},
    {**TRANSFER, "to": "911"},
    {"type": "dance"},
])  # fmt: skip
async def test_id_that_is_given_again_for_another_command_does_nothing_and_is_logged(routing, again):
    await routing.know(CALL_SID)
    await routing.give(**TRANSFER, id="c1", by="first")
    with capture_logs() as logs:
        await routing.give(**again, id="c1", by="second")
    assert [event.name for event in await routing.events()] == ["transfer"]
    assert await routing.outcome("c1") == ("", "", CALL_SID)
    found = await command_stream.read_result(routing.client, routing.keys, "c1")
    assert found.by == "first"
    assert found.is_of_another_command(identity.digest_of(again))
    assert not found.is_of_another_command(identity.digest_of(TRANSFER))
    assert [(line["log_level"], line["command_id"]) for line in logs if line["event"] == "command_id_reused"] == [
        ("warning", "c1")
    ]


async def test_same_command_with_the_same_id_is_a_repetition(routing):
    await routing.know(CALL_SID)
    with capture_logs() as logs:
        await routing.give(**TRANSFER, id="c1")
        await routing.give(**TRANSFER, brief="", id="c1")
    logged = [line["event"] for line in logs if line["event"].startswith("command_")]
    assert logged == ["command_routed", "command_deduplicated"]


async def test_foreign_type_at_the_sessions_stream_dead_letters_the_command_alone(routing):
    await routing.know(CALL_SID)
    foreign = routing.keys.events(routing.keys.partition_of(CALL_SID))
    await routing.client.set(foreign, "foreign")
    await routing.give(**TRANSFER, id="c1")
    (letter,) = await routing.client.xrange(routing.keys.dead)
    assert letter[1][b"dead_reason"] == b"Redis refuses one of its keys"


PRESS = {"type": "press", "session": CALL_SID, "party": "agent", "digits": "1ww4711#", "id": "c1"}


async def test_digits_to_press_go_to_their_own_key_and_nowhere_else(routing):
    await routing.know(CALL_SID)

    with capture_logs() as lines:
        await routing.give(**PRESS)

    (event,) = await routing.events()
    assert (event.name, event.party, event.digits) == ("press", "agent", "")
    assert await routing.client.get(routing.keys.digits("c1")) == b"1ww4711#"
    assert 0 < await routing.client.ttl(routing.keys.digits("c1")) <= digits.DIGITS_TTL_S
    outcome = await routing.client.hgetall(routing.keys.command("c1"))
    assert "ww4711" not in str(outcome)
    assert "ww4711" not in str(lines)
    # All digits could be tried, so no digest covers them either.
    assert identity.digest_of(PRESS) == identity.digest_of(PRESS | {"digits": "2"})


async def test_digits_of_a_command_that_is_dead_lettered_are_not_kept(routing, monkeypatch):
    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(CommandAdmission, "admit", fail)
    with capture_logs() as lines:
        await routing.give(**PRESS)

    ((_, letter),) = await routing.client.xrange(routing.keys.dead)
    assert (letter[b"type"], letter[b"party"], b"digits" in letter) == (b"press", b"agent", False)
    assert "ww4711" not in str(lines)


async def test_press_for_an_unknown_session_keeps_no_digits(routing):
    await routing.give(**PRESS)

    assert (await routing.outcome("c1"))[0] == "rejected"
    assert not await routing.client.exists(routing.keys.digits("c1"))
