"""Twilio in virtual time: the sandbox's own runtime over its pure model, without sockets.

The clock is the loop's, requests to webhooks are passed to their handlers, REST requests come from the product's
real HTTP client. What travels takes time, and may be lost, doubled or overtaken, as the faults say.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from conferral.runtime.errors import ProviderUnreachableError, ResultUnknownError
from conferral.telephony.http_client import TOTAL_TIMEOUT_S
from offhook.faults import CallbackPlan, Faults
from offhook.model.behavior import Behavior
from offhook.model.messages import (
    CallbackRequest,
    FetchRequest,
    Input,
    Params,
    PhoneHangsUp,
    RestAnswer,
    RestRequest,
    Result,
)
from offhook.model.rest_form import error_answer
from offhook.phones import Phone, PhoneScript, phone_address
from offhook.request_log import DeliveryAttempt, DeliveryEntry, RestEntry
from offhook.rest_routes import ERRORS
from offhook.runtime import SandboxRuntime
from offhook.webhook_delivery import Target, WebhookResponse, WebhookSender
from tests.simulation.plan import Plan
from tests.simulation.virtual_loop import KilledError, VirtualLoop
from tests.support.in_memory_services import Answered

_T = TypeVar("_T")
#: How much of the request log is kept for the story of a session that went wrong, count.
LOG_ENTRIES_MAX = 100_000
#: How long a request travels one way, seconds, least and most.
TRAVEL_S = (0.002, 0.06)


@dataclass(frozen=True, slots=True)
class Dialed:
    """A leg that was placed by REST."""

    call_sid: str
    session_id: str
    dial_id: str


class VirtualTwilio(SandboxRuntime):
    """The sandbox without its sockets.

    Attributes:
        counts: What was asked and what went wrong, by name.
        dialed: Legs placed by REST, by the id of the dial that ordered them: more than one is one too many.
        moved_to_voicemail: Called with the SID of a call that a request has moved to a `<Record>`.
        hung_up_s: When someone hung up a live call, by its SID.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        ask: Callable[[str, Params], Awaitable[Answered]],
        *,
        epoch_s: float,
        seed: str,
        chance: Random,
        faults: Faults | None = None,
        behavior: Behavior | None = None,
        script_of: Callable[[str], PhoneScript] | None = None,
    ) -> None:
        """Binds what is needed.

        Args:
            loop: Whose time counts.
            ask: Asks a webhook; raises `KilledError` when that dies meanwhile, or when none is there.
            epoch_s: The model's seconds at the loop's zero.
            seed: Of SIDs.
            chance: Of travelling times.
            faults: What goes wrong, and how often.
            behavior: Of the model.
            script_of: What the phone of an address does when it is dialed once more.
        """
        self.loop = loop
        self.ask = ask
        self.chance = chance
        self.script_of = script_of
        super().__init__(seed=seed, faults=faults or Faults(), behavior=behavior)
        self.time.bind(loop)
        self.time.restart(epoch_s + loop.time())
        self.pace.update()
        self.request_log.rest = deque(maxlen=LOG_ENTRIES_MAX)  # type: ignore[assignment]  # of a long run the end is kept
        self.request_log.deliveries = deque(maxlen=LOG_ENTRIES_MAX)  # type: ignore[assignment]
        self.request_log.dials = deque(maxlen=1)  # type: ignore[assignment]
        self.webhook_sender = _VirtualWebhookSender(self)
        self.counts: Counter[str] = Counter()
        self.dialed: dict[str, list[Dialed]] = {}
        self.moved_to_voicemail: Callable[[str], object] = lambda _call_sid: None
        self.hung_up_s: dict[str, float] = {}

    def notify(self) -> None:
        """No one waits here."""

    def apply(self, input_: Input) -> Result:
        """See the sandbox's."""
        if isinstance(input_, PhoneHangsUp) and input_.call_sid in self.model.state.live_calls:
            self.hung_up_s.setdefault(input_.call_sid, self.now_s)
        return super().apply(input_)

    def phone_at(self, address: str) -> Phone:
        """The phone of an address; what it does at each call is drawn again."""
        address = phone_address(address)
        if address not in self.phones and self.script_of is not None:
            self.phones[address] = _DrawingPhone(address, self.script_of)
        return super().phone_at(address)

    async def travel(self) -> None:
        """Waits as long as a request or an answer is under way."""
        await asyncio.sleep(self.chance.uniform(*TRAVEL_S))

    # ---- requests of ours ----------------------------------------------------------------------------------------

    async def rest(self, asked: RestRequest) -> RestAnswer:
        """Answers one request, or breaks as a connection does. What was sent goes on when the asker is gone.

        Raises:
            ProviderError: as a broken connection.
        """
        answer = self.beside(self._rest(asked))
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                return await answer
        except TimeoutError:
            raise ResultUnknownError from None

    def beside(self, work: Coroutine[Any, Any, _T]) -> asyncio.Future[_T]:
        """Does something that belongs to no process; the future has what came of it."""
        result: asyncio.Future[_T] = self.loop.create_future()

        def hand_over(done: asyncio.Task[_T]) -> None:
            error = done.exception()
            if result.done():
                return
            if error is not None:
                result.set_exception(error)
                result.exception()  # the client may be dead by now
            else:
                result.set_result(done.result())

        task = self.loop.create_task(work, context=contextvars.Context())
        task.add_done_callback(hand_over, context=contextvars.Context())
        return result

    async def _rest(self, asked: RestRequest) -> RestAnswer:
        await self.travel()
        plan = self.faults.plan_rest(asked.method, asked.path, asked.params)
        entry = RestEntry(self.now_s, asked.method, asked.path, asked.params, fault=plan.fault)
        self.request_log.rest.append(entry)
        self.counts[f"rest {asked.method}"] += 1
        if plan.fault and plan.fault != "latency":
            self.counts[f"rest {plan.fault}"] += 1
        if plan.latency_s:
            await asyncio.sleep(plan.latency_s)
        if plan.moment == "before" and (plan.cuts_connection or plan.status):
            return self._refused(plan.cuts_connection, plan.status, entry)
        answer = self.apply(asked).rest
        assert answer is not None
        entry.applied = True
        self._note_dial(asked, answer)
        if answer.body and answer.status == 200 and "<Record" in dict(asked.params).get("Twiml", ""):
            self.moved_to_voicemail(answer.body["sid"])
        await self.travel()
        if plan.cuts_connection or plan.status:
            return self._refused(plan.cuts_connection, plan.status, entry)
        entry.status = answer.status
        entry.code = answer.body.get("code", 0) if answer.body else 0
        return answer

    def _refused(self, cut: bool, status: int, entry: RestEntry) -> RestAnswer:
        if cut:
            raise (ResultUnknownError if entry.applied or self.chance.random() < 0.5 else ProviderUnreachableError)
        entry.status = status
        entry.code, message = ERRORS.get(status, (status, "Refused on demand"))
        return error_answer(status, entry.code, message)

    def _note_dial(self, asked: RestRequest, answer: RestAnswer) -> None:
        if asked.method != "POST" or not asked.path.endswith(("/Calls.json", "/Participants.json")):
            return
        if answer.status != 201 or answer.body is None:
            return
        params = dict(asked.params)
        query = dict(parse_qsl(urlsplit(params.get("StatusCallback", "")).query))
        call_sid = answer.body.get("call_sid") or answer.body["sid"]
        found = Dialed(call_sid, query.get("session", ""), query.get("dial", ""))
        self.dialed.setdefault(found.dial_id, []).append(found)
        self.counts["dials"] += 1


class _VirtualWebhookSender(WebhookSender):
    """Asks the webhooks without sockets, in virtual time."""

    def __init__(self, twilio: VirtualTwilio) -> None:
        super().__init__(twilio)
        self._twilio = twilio

    def send_callback(self, request: CallbackRequest) -> None:
        """See the sandbox's."""
        super().send_callback(request)
        fault = self._twilio.request_log.deliveries[-1].fault
        self._twilio.counts["callbacks"] += 1
        if fault in ("lost", "doubled"):
            self._twilio.counts[f"callbacks {fault}"] += 1

    def deliver(self, request: CallbackRequest, entry: DeliveryEntry, plan: CallbackPlan) -> None:
        """Each copy goes its own way: one may come seconds after the other."""
        for copy in range(plan.copies):
            least_s, most_s = self._twilio.faults.callback_delay_s
            delay_s = plan.delay_s if copy == 0 or most_s <= 0 else self._twilio.chance.uniform(least_s, most_s)
            super().deliver(request, entry, CallbackPlan(1, delay_s))

    def fetch(self, request: FetchRequest) -> None:
        """See the sandbox's."""
        self._twilio.counts["fetches"] += 1
        super().fetch(request)

    async def attempt(self, target: Target, entry: DeliveryEntry, left_s: float) -> WebhookResponse:
        began_s = self._twilio.loop.time()
        try:
            async with asyncio.timeout(min(left_s, target.read_ms / 1000)):
                await self._twilio.travel()
                answered = await self._twilio.ask(target.url, entry.params if entry.method == "POST" else ())
        except TimeoutError:
            answer = WebhookResponse(0, error_code=11200, failure="rt")
        except KilledError:
            answer = WebhookResponse(0, error_code=11200, failure="rt")
        else:
            failure = {4: "4xx", 5: "5xx"}.get(answered.status // 100, "")
            code = 11200 if failure else 0
            answer = WebhookResponse(answered.status, answered.content_type, answered.body, "", code, failure)
        if answer.failure:
            self._twilio.counts[f"deliveries failed: {answer.status or answer.failure}"] += 1
        duration_ms = (self._twilio.loop.time() - began_s) * 1000
        entry.attempts.append(DeliveryAttempt(self._twilio.now_s, answer.status, answer.failure, duration_ms))
        return answer


class _DrawingPhone(Phone):
    """A phone that does something else at each call."""

    def __init__(self, address: str, script_of: Callable[[str], PhoneScript]) -> None:
        super().__init__(address)
        self.script_of = script_of

    def next_script(self) -> PhoneScript:
        return self.script_of(self.address)


def faults_of(plan: Plan) -> Faults:
    """What goes wrong between Twilio and us."""
    return Faults(
        seed=plan.seed,
        callback_loss=plan.callback_loss,
        callback_duplication=plan.callback_duplication,
        callback_delay_s=plan.callback_delay_s,
        fetch_delay_s=plan.fetch_delay_s,
        latency_s=plan.rest_latency_s,
        rate_429=plan.rest_429,
        rate_500_before=plan.rest_500_before,
        rate_500_after=plan.rest_500_after,
        cut_before=plan.rest_cut_before,
        cut_after=plan.rest_cut_after,
    )
