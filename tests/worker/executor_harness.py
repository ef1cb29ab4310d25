"""An executor with a scripted Twilio, a lease, and time that passes only when someone sleeps."""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from conferral.runtime.errors import (
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    ProviderUnreachableError,
    RateLimitedError,
    ResultUnknownError,
)
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import (
    CallEffect,
    ChangeRecording,
    CreateCall,
    CreateParticipant,
    Dial,
    Effect,
    FindCall,
    FindMessage,
    FindRecording,
    HangUpCall,
    PlayAnnouncement,
    ReadCalls,
    RedirectCall,
    RedirectToUrl,
    RedirectToVoicemail,
    SayAndHangUp,
    StartRecording,
    UpdateParticipant,
)
from conferral.statemachine.events import CallsRead, EffectSucceeded, EffectUnknown
from conferral.statemachine.parts import DialOptions
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import MarkResult
from conferral.telephony.parameters import PlacedCall, RecordingFound
from conferral.telephony.request_context import check_send_allowed
from conferral.telephony.twilio_queries import RedirectSeen
from conferral.worker.executor.execution import ExecutionContext
from conferral.worker.executor.executor import Executor
from conferral.worker.executor.job import RETRIES, Job, JobObsoleteError, JobResult, RetryPolicy
from conferral.worker.executor.outbox import DialStatus
from tests.worker.cores import core_of

BUSY = RateLimitedError(http_status=429, code=20429)
AWAY = ProviderUnreachableError()
UNKNOWN = ResultUnknownError(http_status=503)
DENIED = ProviderRefusedError(http_status=401, code=20003)
OF_A_PROXY = ProviderRefusedError(http_status=404)
REFUSED = ProviderRefusedError(http_status=400, code=21211)
GONE = ProviderGoneError(http_status=400, code=21220)
IN_CONFERENCE = RedirectSeen(call_status="in-progress", in_conference=True)
ELSEWHERE = RedirectSeen(call_status="in-progress", in_conference=False)
OVER = RedirectSeen(call_status="completed", in_conference=False)
RINGING = RedirectSeen(call_status="ringing", in_conference=False)
START_MS = 1_000_000
#: Twilio's clock shows so much more than the partition's.
TWILIO_AHEAD_MS = 7_200_000
UNWANTED = DialStatus(is_wanted=False)


E = TypeVar("E", bound=Effect)


def maker(kind: type[E], **fields: Any) -> Callable[..., E]:
    """Return what makes effects of a kind: a test names each, and may say of which session it is."""

    def make(name: str, session: str = "S1", **more: Any) -> E:
        return kind(effect_id=name, session_id=session, **fields | more)

    return make


TARGET: dict[str, Any] = {"party": "target", "to": "client:bob"}
CUSTOMER: dict[str, Any] = {"party": "customer", "call_sid": "CA1"}
redirect = maker(RedirectCall, party="agent", call_sid="CA2", conference="S1", label="agent-1")
hang_up = maker(HangUpCall, party="agent", call_sid="CA2")
read = maker(ReadCalls, parent_call_sid="CA1", read_version=3)
straight = maker(
    CreateParticipant,
    **TARGET,
    options=DialOptions(timeout_s=30),
    conference="CF1",
    label="target-2",
    early_media=False,
)
gated = maker(CreateCall, **TARGET, options=DialOptions(timeout_s=30))
find = maker(FindCall, **TARGET, dial_id="d", since_ms=START_MS)
update = maker(UpdateParticipant, **CUSTOMER, conference_sid="CF1", update="hold")
say = maker(SayAndHangUp, **CUSTOMER)
away = maker(RedirectToUrl, **CUSTOMER, url="https://example.com/survey")
voicemail = maker(RedirectToVoicemail, **CUSTOMER)
message = maker(FindMessage, **CUSTOMER)
announcement = maker(PlayAnnouncement, conference_sid="CF1", command_id="c1")
recording = maker(StartRecording, **CUSTOMER)
find_recording = maker(FindRecording, recording_sid="RE1")
change = maker(ChangeRecording, **CUSTOMER, recording_sid="RE1", status="paused")


def succeeded(effect: Effect, call_sid: str = "", queue_ms: int = 0, recording_sid: str = "") -> EffectSucceeded:
    return EffectSucceeded(
        session_id=effect.session_id,
        token=f"{effect.effect_id}:outcome",
        effect_id=effect.effect_id,
        kind=effect.kind,
        party=effect.party,
        detail=effect.detail,
        call_sid=call_sid,
        queue_ms=queue_ms,
        recording_sid=recording_sid,
    )


class FakeTime:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.s = 0.0
        self.sleeps: list[float] = []
        self.gate: asyncio.Event | None = None

    def monotonic_s(self) -> float:
        return self.s

    def wall_ms(self) -> int:
        return self.now_ms()

    def now_ms(self) -> int:
        return START_MS + int(self.s * 1000)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        if self.gate is not None:
            await self.gate.wait()
        self.s += seconds
        await asyncio.sleep(0)


Step = ProviderError | RedirectSeen | PlacedCall | str | asyncio.Event | None


class FakeCalls:
    """Twilio by script: per effect, what becomes of its requests; what is not in the script succeeds at once.

    A dial without a script is the call `CA-NAME`, a recording `RE-NAME`; a read of a dial or of a recording returns its
    SID, or "" for none.
    """

    def __init__(self) -> None:
        self.script: dict[str, deque[Step]] = defaultdict(deque)
        self.reads: dict[str, deque[Step]] = defaultdict(deque)
        #: What the list of calls shows of calls to the dialed address that are over.
        self.gone_calls: tuple[str, ...] = ()
        #: Since when it was asked for them, Unix milliseconds.
        self.gone_since_ms: list[int] = []
        self.asked: list[str] = []
        self.at_once = 0
        self.at_once_max = 0

    async def execute(self, effect: Effect) -> CallsRead | PlacedCall | RecordingFound | bool | None:
        check_send_allowed()
        self.asked.append(effect.effect_id)
        step = await self._play(self.script[effect.effect_id])
        if isinstance(step, PlacedCall):
            return step
        if isinstance(effect, Dial):
            return PlacedCall(f"CA-{effect.effect_id}")
        if isinstance(effect, StartRecording):
            return RecordingFound(f"RE-{effect.effect_id}")
        if isinstance(effect, FindCall):
            return PlacedCall("")
        if isinstance(effect, ReadCalls):
            return CallsRead(
                session_id=effect.session_id, effect_id=effect.effect_id, read_version=effect.read_version, calls=()
            )
        return None

    async def check_redirect(self, effect: RedirectCall) -> RedirectSeen:
        self.asked.append(f"look {effect.effect_id}")
        seen = await self._play(self.reads[effect.effect_id])
        assert isinstance(seen, RedirectSeen)
        return seen

    async def find_dial(self, effect: CreateParticipant) -> str:
        return await self._verify(effect)

    async def find_possible_calls(self, effect: Dial, since_ms: int) -> tuple[str, ...]:
        self.gone_since_ms.append(since_ms)
        return self.gone_calls

    async def find_recording(self, effect: StartRecording) -> str:
        return await self._verify(effect)

    async def _verify(self, effect: Effect) -> str:
        check_send_allowed()
        self.asked.append(f"look {effect.effect_id}")
        seen = await self._play(self.reads[effect.effect_id])
        assert isinstance(seen, str)
        return seen

    async def _play(self, steps: deque[Step]) -> Step:
        """The next step; a last one that is no event serves for all that follow. An event is waited for first."""
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            step = _next(steps)
            while isinstance(step, asyncio.Event):
                await step.wait()
                step = _next(steps)
        finally:
            self.at_once -= 1
        if isinstance(step, ProviderError):
            raise step
        return step


def _next(steps: deque[Step]) -> Step:
    if not steps:
        return None
    return steps.popleft() if len(steps) > 1 or isinstance(steps[0], asyncio.Event) else steps[0]


class FakeRecords:
    """What stands in Redis: outcomes, marks, calls, and which sessions have ended."""

    def __init__(self) -> None:
        self.outcomes: list[JobResult] = []
        #: By effect: the number of requests in an outcome, and the results of the failed ones.
        self.tried: dict[str, tuple[int | None, tuple[str, ...]]] = {}
        #: Effects that may have been sent, and those that are in no outbox any more.
        self.marked: set[str] = set()
        self.gone: set[str] = set()
        self.owners: dict[str, str] = {}
        self.standings: dict[str, DialStatus] = {}
        #: Redirects and updates for which the session waits no longer.
        self.replaced: set[str] = set()
        #: Calls that have opened a later session.
        self.come_back: set[str] = set()
        #: By dial: the limit that refuses it.
        self.beyond_limit: dict[str, MarkResult] = {}
        #: What was written, in order.
        self.written: list[str] = []
        self.asked_status: list[str] = []
        #: Jobs that followed from an outcome (count).
        self.follow_ups = 0

    async def finish(self, effect: Effect, outcome: JobResult) -> Effect | None:
        assert (outcome.effect_id, outcome.session_id) == (effect.effect_id, effect.session_id)
        # The number of attempts is kept separately, so that outcomes can be compared without it.
        self.tried[outcome.effect_id] = (outcome.attempts, outcome.failed_attempts)
        self.outcomes.append(replace(outcome, attempts=None, failed_attempts=()))
        self.written.append(f"outcome {effect.effect_id}")
        if effect.effect_id not in self.gone or not isinstance(outcome, EffectSucceeded) or not outcome.call_sid:
            return None
        self.follow_ups += 1
        return replace(hang_up(f"stray {outcome.call_sid}", effect.session_id), call_sid=outcome.call_sid)

    async def mark_sent(self, effect: Effect, sent_at_ms: int) -> MarkResult:
        assert sent_at_ms >= START_MS + TWILIO_AHEAD_MS
        if effect.effect_id in self.gone:
            raise JobObsoleteError
        if effect.effect_id in self.beyond_limit:
            return self.beyond_limit[effect.effect_id]
        self.written.append(f"mark {effect.effect_id}")
        was_marked = effect.effect_id in self.marked
        self.marked.add(effect.effect_id)
        return MarkResult.ALREADY_MARKED if was_marked else MarkResult.MARKED

    async def claim_call(self, session_id: str, call_sid: str) -> bool:
        self.written.append(f"call {call_sid}")
        return self.owners.setdefault(call_sid, session_id) == session_id

    async def dial_status(self, effect: Dial) -> DialStatus:
        self.asked_status.append(effect.effect_id)
        return self.standings.get(effect.effect_id, DialStatus(is_wanted=True))

    async def has_later_session(self, effect: CallEffect) -> bool:
        return effect.call_sid in self.come_back

    async def session_awaits(self, effect: Effect) -> bool:
        return effect.effect_id not in self.replaced


def in_flight(executor: Executor) -> int:
    """Jobs in execution (count)."""
    return sum(one.has_begun for one in executor.executions)


def waiting(executor: Executor) -> int:
    """Jobs behind another one of their session (count)."""
    return len(executor.executions) - in_flight(executor)


def retries(metrics: Metrics) -> int:
    """Requests beyond a job's first (count)."""
    samples = (sample for metric in metrics.effect_retries.collect() for sample in metric.samples)
    return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))


class ExecutorHarness:
    """An executor with everything around it."""

    def __init__(self, metrics: Metrics | None = None, **more: Any) -> None:
        self.time = FakeTime()
        self.calls = FakeCalls()
        self.metrics = metrics or Metrics()
        self.records = FakeRecords()
        self.outcomes = self.records.outcomes
        self.lost: set[int] = set()
        self.permissions = 0
        #: Of the single partition that there is.
        self.owned_count = 1
        for name in more.keys() & {"wait_to_send", "may_send"}:
            setattr(self, name, more.pop(name))
        clock, store_clock = more.pop("clock", self.time), more.pop("store_clock", self.time)
        context = ExecutionContext(
            **{
                "core": core_of(None, Keys("test", 1), clock, store_clock=store_clock, metrics=self.metrics),
                "twilio": self.calls,
                "outbox": self.records,
                "held": self,
                "fetch_twilio_now_ms": self.fetch_twilio_now_ms,
                "rng": random.Random(7),
                "sleep": self.time.sleep,
            }
            | more
        )
        self.executor = Executor(context)
        #: Jobs that the executor was given (count).
        self.submitted = 0
        self._submit_job, self.executor.submit = self.executor.submit, self._count_job  # type: ignore[method-assign]

    def _count_job(self, job: Job) -> None:
        self.submitted += 1
        self._submit_job(job)

    async def fetch_twilio_now_ms(self) -> int:
        return self.time.now_ms() + TWILIO_AHEAD_MS

    async def wait_to_send(self, partition: int) -> bool:
        self.permissions += 1
        return partition not in self.lost

    def may_send(self, _partition: int) -> bool:
        return True

    def submit(self, effect: Effect, partition: int = 0, *, ends_session: bool = True, **more: Any) -> None:
        """Submits an effect; by default, an ending is that of its session."""
        if effect.is_ending and ends_session:
            self.executor.cancel_session(effect.session_id)
        self.executor.submit(Job(effect=effect, partition=partition, committed_at_ms=START_MS, **more))

    def hold_answer(self, name: str) -> asyncio.Event:
        """Twilio answers the effect when the event is set."""
        answer = asyncio.Event()
        self.calls.script[name].append(answer)
        return answer

    async def settle(self) -> None:
        """Lets everything run that can run."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def run_all(self, *effects: Effect) -> None:
        """Carries effects out to their end."""
        for effect in effects:
            self.submit(effect)
        await self.executor.drain(5)

    async def run(self, effect: Effect, **more: Any) -> JobResult:
        """Carries one effect out to its end."""
        self.submit(effect, **more)
        await self.executor.drain(5)
        (outcome,) = self.outcomes
        return outcome

    async def run_and_change(self, effect: Effect, change: Callable[[], object]) -> JobResult:
        """Carries one effect out; something changes while its first request is under way."""
        answer = asyncio.Event()
        self.calls.script[effect.effect_id].appendleft(answer)
        self.submit(effect)
        await self.settle()
        change()
        answer.set()
        await self.executor.drain(5)
        (outcome,) = self.outcomes
        return outcome

    @property
    def finished(self) -> list[str]:
        return [outcome.effect_id for outcome in self.outcomes]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Executed, or its target is gone; retried; given up; dropped."""
        given_up = sum(isinstance(one, EffectUnknown) or getattr(one, "gone", None) is False for one in self.outcomes)
        return len(self.outcomes) - given_up, retries(self.metrics), given_up, self.dropped

    @property
    def dropped(self) -> int:
        """Jobs left without an outcome (count)."""
        left = in_flight(self.executor) + waiting(self.executor)
        return self.submitted + self.records.follow_ups - len(self.outcomes) - left


def same_retries(deadline_s: float, request_timeout_s: float) -> dict[type[Effect], RetryPolicy]:
    """The same policy for all kinds of effects."""
    return dict.fromkeys(RETRIES, RetryPolicy(deadline_s=deadline_s, request_timeout_s=request_timeout_s))


#: Requests are cut at once, for requests that hang.
QUICK = same_retries(8, 0.005)


#: Dials into a conference, and to the gate.
both_ways = pytest.mark.parametrize("dial", [straight("d"), gated("d")], ids=lambda dial: dial.kind)
