"""The real ways in and out of the service: webhooks' handlers, requests to Twilio, reads, the sweep's lists.

Nothing in here remembers a run: what the handlers read is handed in, and what they store is handed back. A pause of
theirs takes no time.
"""

import asyncio
import selectors
import tempfile
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import ProviderError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine import record
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import CallProgressed, CallsRead, Event, ParticipantChanged
from conferral.statemachine.presence import Presence
from conferral.statemachine.session import Session
from conferral.statemachine.states import CallStatus
from conferral.storage.codecs import event_codec
from conferral.storage.webhook_store.store import GateClaim, NewestSession
from conferral.telephony.addresses import AllowList
from conferral.telephony.directory import DirectoryFile, load_directory
from conferral.telephony.parameters import PlacedCall, RecordingFound
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.worker.executor.verification import Verification, verify
from conferral.worker.wiring import make_twilio_api
from offhook.model.messages import CallbackRequest, RestAnswer, RestRequest
from tests.model_checking.twilio_states import Fetch, Visit
from tests.support.in_memory_services import Answered, Doors, ExchangeHttp
from tests.support.service_settings import ENVIRON

_T = TypeVar("_T")

NUMBER = ENVIRON["TWILIO_NUMBER"]
ACCOUNT_SID = ENVIRON["TWILIO_ACCOUNT_SID"]

#: Who has passed the session's gate, as pairs of the hash's fields and values.
Gates = tuple[tuple[str, str], ...]


class _NoWait(selectors.DefaultSelector):
    """Nothing comes from outside: instead of waiting, the clock is advanced."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("it waits for something that never comes")
        self.passed_s += timeout
        return []


class InstantLoop(asyncio.SelectorEventLoop):
    """A loop whose pauses take no time."""

    def __init__(self) -> None:
        self._no_wait = _NoWait()
        super().__init__(self._no_wait)

    def time(self) -> float:
        return self._no_wait.passed_s


class _WebhookStore:
    """What one request meets in Redis."""

    def __init__(self) -> None:
        self.facts: Session | None = None
        self.gates: dict[str, str] = {}
        self.published: list[Event] = []
        #: Whether the call has opened a session before, which has ended.
        self.comes_back = False
        #: The agents with a desk.
        self.desks: tuple[str, ...] = ()
        #: Whether others wait in the queue.
        self.others_wait = False

    async def publish(self, event: Event, *, call_sid: str = "") -> None:
        if isinstance(event, CallProgressed) and event.status == CallStatus.IN_PROGRESS:
            event = record.replace(event, desk=event.address in self.desks)
        self.published.append(event)

    async def publish_and_read(self, event: Event, *, call_sid: str = "") -> Session | None:
        self.published.append(event)
        return self.facts

    async def read(self, session_id: str) -> Session | None:
        return self.facts

    async def presence(self, agents: Sequence[str], listed: Collection[str], *, with_queue: bool = False) -> Presence:
        return Presence(queued_numbers=frozenset({""} if with_queue and self.others_wait else ()))

    async def take_digits(self, command_id: str) -> str:
        """Each command's once, as the key does."""
        is_first = f"digits:{command_id}" not in self.gates
        self.gates[f"digits:{command_id}"] = "1"
        return "4711#" if is_first else ""

    async def session_of(self, call_sid: str) -> str | None:
        return None

    async def newest_session(self, call_sid: str) -> NewestSession | None:
        if self.facts is not None:
            return None if self.facts.is_ended else NewestSession(self.facts.id, self.facts, has_ended=False)
        return NewestSession(call_sid, None, has_ended=True) if self.comes_back else None

    async def claim_visit(self, call_sid: str, ended_id: str, new_id: str) -> str:
        return new_id

    async def claim_gate(
        self, session_id: str, dial_id: str, call_sid: str, ring_group: str = "", gone: Sequence[str] = ()
    ) -> GateClaim:
        """As `claim_gate-1.lua` does."""
        gates = self.gates
        owner = gates.setdefault(f"dial:{dial_id}", call_sid)
        if owner != call_sid:
            return GateClaim.ANOTHER_CALL
        if not ring_group:
            return GateClaim.OURS
        winner = gates.get(f"ring_group:{ring_group}", "")
        if winner == dial_id:
            return GateClaim.OURS
        if (winner and winner not in gone) or f"lost:{dial_id}" in gates:
            gates[f"lost:{dial_id}"] = "1"
            return GateClaim.LOST
        gates[f"ring_group:{ring_group}"] = dial_id
        return GateClaim.OURS

    async def exceeds_call_limit(self, identity: str, call_sid: str, limit: int) -> bool:
        return False

    async def uncount_call(self, identity: str, call_sid: str) -> None:
        pass


def _directory_of(settings: ServiceSettings, agents: tuple[str, ...]) -> DirectoryFile:
    """The directory, which may name several agents for the number that is called."""
    directory = DirectoryFile(settings)
    if agents:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "directory.toml"
            path.write_text(f'[inbound."{NUMBER}"]\nagents = {list(agents)}\n', "utf-8")
            directory.current = load_directory(settings.model_copy(update={"directory": path}))
    return directory


class _TwilioQueries(TwilioQueries):
    """Records that Twilio was read: then the answer depends on Twilio, too."""

    def __init__(self, way: "ServicePath") -> None:
        self._way = way
        self.was_asked = False

    async def child_status(self, parent_call_sid: str, child_call_sid: str = "") -> str | None:
        self.was_asked = True
        return await self._way.calls.child_status(parent_call_sid, child_call_sid)

    async def has_started(self, conference_name: str) -> bool:
        self.was_asked = True
        return await self._way.calls.has_started(conference_name)

    async def is_live(self, call_sid: str) -> bool:
        self.was_asked = True
        return await self._way.calls.is_live(call_sid)

    async def is_alone(self, conference_sid: str, call_sid: str) -> bool:
        self.was_asked = True
        return await self._way.calls.is_alone(conference_sid, call_sid)


@dataclass(frozen=True, slots=True)
class Served:
    """What came of one request of Twilio's."""

    answer: Answered
    #: What was put onto the stream, in order.
    published: tuple[Event, ...]
    gates: Gates
    #: Whether Twilio was asked meanwhile.
    asked_twilio: bool


class ServicePath:
    """Everything between the decisions and Twilio."""

    def __init__(
        self,
        settings: ServiceSettings,
        agents: tuple[str, ...] = (),
        desks: tuple[str, ...] = (),
        *,
        comes_back: bool = False,
        others_wait: bool = False,
    ) -> None:
        self._loop = InstantLoop()
        clock, metrics = SystemClock(), Metrics()
        self._visit: Visit | None = None
        http = ExchangeHttp(self._answer, settings, clock, metrics)
        allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
        self.calls = make_twilio_api(settings, http, allowed)
        self._webhook_store = _WebhookStore()
        self._webhook_store.comes_back, self._webhook_store.desks = comes_back, desks
        self._webhook_store.others_wait = others_wait
        self._lookup = _TwilioQueries(self)
        self._doors = Doors(settings, self._webhook_store, self._lookup, metrics, _directory_of(settings, agents))
        self._callbacks: dict[CallbackRequest, Event] = {}

    def close(self) -> None:
        """Closes the loop."""
        self._loop.close()

    async def _answer(self, request: RestRequest) -> RestAnswer:
        assert self._visit is not None, "Twilio is asked by nobody"
        return await self._visit.answer(request)

    def _run(self, work: Coroutine[Any, Any, _T], visit: Visit | None = None) -> _T:
        self._visit = visit
        try:
            return self._loop.run_until_complete(work)
        finally:
            self._visit = None

    # ---- in --------------------------------------------------------------------------------------------------------

    def event_of(self, callback: CallbackRequest) -> Event:
        """What a callback puts onto the stream; those routes depend on the request alone."""
        found = self._callbacks.get(callback)
        if found is None:
            found = self._callbacks[callback] = self._event_of(callback)
        return found

    def _event_of(self, callback: CallbackRequest) -> Event:
        served = self.serve(Fetch(0, callback.call_sid, callback.url, callback.params, "callback"), None, (), None)
        assert served.answer.status == 204, f"{callback.kind} {callback.event}: answered {served.answer.status}"
        (event,) = served.published
        # When it happened decides only what became of someone who was held, muted or flagged.
        return event if isinstance(event, ParticipantChanged) else replace(event, occurred_at_ms=0)

    def serve(
        self,
        fetch: Fetch,
        facts: Session | None,
        gates: Gates,
        visit: Visit | None,
    ) -> Served:
        """What a request of Twilio's is answered.

        Args:
            fetch: The request.
            facts: The session as it stands in Redis; None when no one knows it.
            gates: Who has passed its gate.
            visit: Twilio, should it be asked.
        """
        self._webhook_store.facts, self._webhook_store.gates, self._webhook_store.published = facts, dict(gates), []
        self._lookup.was_asked = False
        answer = self._run(self._doors.ask(fetch.url, fetch.params), visit)
        published = tuple(event_codec.decode(event_codec.encode(one), "") for one in self._webhook_store.published)
        return Served(answer, published, tuple(sorted(self._webhook_store.gates.items())), self._lookup.was_asked)

    # ---- out -------------------------------------------------------------------------------------------------------

    def perform(
        self, effect: Effect, visit: Visit
    ) -> CallsRead | PlacedCall | RecordingFound | ProviderError | bool | None:
        """Carries an effect out, in one try; an error is returned."""
        try:
            return self._run(self.calls.execute(effect), visit)
        except ProviderError as error:
            return error

    def verify_effect(self, effect: Effect, visit: Visit, since_s: float, committed_at_ms: int) -> Verification:
        """Verifies whether an effect that may have been sent has happened."""
        verifying = verify(
            effect,
            self.calls,
            elapsed_s=since_s,
            search_from_ms=committed_at_ms,
        )
        return self._run(verifying, visit)
