"""Orders on their way to Twilio, as plain values, and their outcomes: what `worker.executor` does, step by step."""

from dataclasses import asdict
from enum import IntEnum
from typing import NamedTuple

from conferral.runtime.errors import ProviderError, ProviderGoneError, ProviderRefusedError, ResultUnknownError
from conferral.statemachine.effects import (
    ChangeRecording,
    CreateParticipant,
    Dial,
    Effect,
    FindCall,
    FindMessage,
    FindRecording,
    HangUpCall,
    ReadCalls,
    RedirectCall,
    RedirectToVoicemail,
    StartRecording,
    UpdateParticipant,
    effect_id,
)
from conferral.statemachine.events import CallsRead, EffectSucceeded
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.statemachine.states import RecordingStatus
from conferral.telephony.parameters import PlacedCall, RecordingFound
from conferral.telephony.twilio_api import HangUpResult
from conferral.worker.executor.job import AT_MOST_ONCE, JobResult, failed, succeeded, unknown
from conferral.worker.executor.outbox import DialStatus
from conferral.worker.executor.verification import SETTLE_S, VERIFIABLE, Verdict, Verification
from tests.model_checking.canonical_values import NOW_MS, since

#: After how long a read that shows nothing counts, milliseconds.
SETTLE_MS = round(SETTLE_S * 1000)
#: How long no one decides when a worker dies: its lease has to run out first, milliseconds.
TAKE_OVER_MS = 5_000


class JobState(IntEnum):
    """How far an order is."""

    #: Not at Twilio, or to be repeated.
    UNSENT = 0
    #: It may have happened and is being verified.
    VERIFYING = 1
    #: Twilio's answer is on its way, or was lost for good: the outcome is known, and not on the stream.
    ANSWERED = 2


class Job(NamedTuple):
    """One order that has no outcome on the stream yet."""

    effect: Effect
    stage: JobState = JobState.UNSENT
    outcome: JobResult | None = None
    #: How many entries of the stream come before the outcome (count).
    ahead: int = 0
    #: Since when its outcome is unknown, and whether it was verified once.
    since_ms: int = 0
    was_verified: bool = False
    #: Whether a request may have been carried out.
    maybe_done: bool = False
    #: Whether it was found in the outbox, or stood in line: someone may not wait for it any more.
    to_be_asked: bool = False
    #: It is not in the outbox any more: no one gets its outcome.
    is_dropped: bool = False
    #: When it was requested, if verification depends on that.
    committed_at_ms: int = 0

    @property
    def stands_in_line(self) -> bool:
        """Whether it is carried out in order, else next to everything else."""
        return not self.effect.is_ending and not isinstance(
            self.effect, ReadCalls | FindCall | FindMessage | FindRecording
        )

    @property
    def is_never_repeated(self) -> bool:
        return isinstance(self.effect, AT_MOST_ONCE)


def answered(order: Job, outcome: JobResult, ahead: int) -> Job:
    """The order with its outcome on the way, behind so many entries of the stream."""
    outcome = unsure(order, outcome)
    return order._replace(stage=JobState.ANSWERED, outcome=outcome, ahead=ahead, since_ms=0, was_verified=False)


def _may_be_replaced(order: Job) -> bool:
    match order.effect:
        case StartRecording() | RedirectCall():
            return order.to_be_asked or order.maybe_done
        case ChangeRecording(status=RecordingStatus.STOPPED):
            return False
        case UpdateParticipant(unholds=True):
            return order.to_be_asked or order.maybe_done
        case UpdateParticipant() | ChangeRecording():
            return order.maybe_done
    return False


def settled_before(order: Job, session: Session, *, is_withdrawn: bool = False) -> JobResult | None:
    """What is known of a dial or an update before anything is sent, or that no one wants it. None: it is sent."""
    if isinstance(order.effect, FindRecording) and not session.awaits(order.effect):
        return succeeded(order.effect)
    if _may_be_replaced(order) and not session.awaits(order.effect):
        is_unclear = order.maybe_done or isinstance(order.effect, RedirectCall)
        return unknown(order.effect) if is_unclear else failed(order.effect, None)
    if not isinstance(order.effect, Dial) or not (order.to_be_asked or order.maybe_done or is_withdrawn):
        return None
    standing = DialStatus.of(session, order.effect.effect_id)
    if standing.call_sid:
        return succeeded(order.effect, call_sid=standing.call_sid)
    if is_withdrawn or not standing.is_wanted:
        return unknown(order.effect) if order.maybe_done else failed(order.effect, None)
    return None


def result_of(
    order: Job, result: CallsRead | HangUpResult | PlacedCall | RecordingFound | ProviderError | bool | None
) -> JobResult | None:
    """The outcome that follows from Twilio's answer; None if that is to be verified."""
    effect = order.effect
    match result:
        case CallsRead():
            return result
        case PlacedCall():
            return succeeded(effect, result.call_sid, result.queue_ms)
        case RecordingFound():
            return succeeded(effect, **asdict(result))
        case HangUpResult():
            return succeeded(effect, was_over=result.was_over)
        case ProviderRefusedError():
            # What is paused can't be paused: that it is refused may mean that an earlier request was carried out.
            is_unclear = order.maybe_done and isinstance(effect, ChangeRecording | RedirectCall)
            return (
                unknown(effect) if is_unclear and not isinstance(result, ProviderGoneError) else failed(effect, result)
            )
        case ResultUnknownError():  # its label is in use: a read may show by whom
            return None if isinstance(effect, VERIFIABLE) and not order.to_be_asked else unknown(effect)
        case bool() | None:
            return succeeded(effect, is_confirmed=bool(result))
        case _:
            raise AssertionError(f"Twilio's model does not answer so: {result!r}")


def may_be_late(order: Job) -> bool:
    """Whether Twilio may carry the request out after it was given up: the executor counts such a one."""
    return isinstance(order.effect, UpdateParticipant) and order.effect.unholds


def unsure(order: Job, outcome: JobResult) -> JobResult:
    """The outcome, which says that an earlier request may still be carried out."""
    if order.maybe_done and may_be_late(order) and not isinstance(outcome, CallsRead):
        return replace(outcome, may_unhold_later=True)
    return outcome


def after_lost_answer(order: Job, ahead: int) -> Job:
    """No one knows what came of the request."""
    if order.is_never_repeated:
        return answered(order, unknown(order.effect), ahead)
    if isinstance(order.effect, VERIFIABLE):
        return order._replace(
            stage=JobState.VERIFYING, since_ms=NOW_MS, was_verified=False, maybe_done=True, to_be_asked=True
        )
    return order._replace(maybe_done=True)


def new(effect: Effect, *, may_be_sent: bool = False, ahead: int = 0) -> Job:
    """An order that was just committed; after a loss, it may have been sent before."""
    order = Job(effect, committed_at_ms=NOW_MS if isinstance(effect, CreateParticipant) else 0)
    if may_be_sent and _is_dropped_after_loss(order):
        return answered(order, unknown(effect), ahead)
    if may_be_sent and isinstance(effect, VERIFIABLE):
        return order._replace(stage=JobState.VERIFYING, since_ms=NOW_MS, maybe_done=True, to_be_asked=True)
    if may_be_sent and isinstance(effect, UpdateParticipant | ChangeRecording):
        return order._replace(maybe_done=True)
    return order


def _is_dropped_after_loss(order: Job) -> bool:
    """Whether it can't be verified, and must not happen late."""
    if isinstance(order.effect, UpdateParticipant):
        return order.effect.unholds
    return order.is_never_repeated and not isinstance(order.effect, RedirectToVoicemail)


def after_verification(order: Job, found: Verification, session: Session, ahead: int) -> Job:
    """What verification has shown."""
    match found.verdict:
        case Verdict.HAPPENED:
            outcome = succeeded(order.effect, found.call_sid, recording_sid=found.recording_sid)
            return answered(order, outcome, ahead)
        case Verdict.GONE:
            return answered(order, failed(order.effect, ProviderGoneError()), ahead)
        case Verdict.NOT_HAPPENED if call_sid := _gone_call(order.effect, found, session):
            return answered(order, succeeded(order.effect, call_sid), ahead)
        case Verdict.NOT_HAPPENED:
            # No list need show a leg that is alone in a conference.
            maybe_done = isinstance(order.effect, RedirectCall)
            return order._replace(stage=JobState.UNSENT, since_ms=0, was_verified=False, maybe_done=maybe_done)
        case Verdict.WAIT if order.was_verified:
            return answered(order, unknown(order.effect), ahead)  # its time runs out
    return order._replace(was_verified=True)


def _gone_call(effect: Effect, found: Verification, session: Session) -> str:
    """A call that is over and came of this dial: one that the session misses."""
    if not found.possible_calls:
        return ""
    standing = DialStatus.of(session, effect.effect_id)
    return standing.call_sid or next((one for one in found.possible_calls if one not in standing.known_calls), "")


def taken_over(order: Job, *, was_marked: bool = False, is_after_loss: bool = False) -> Job:
    """The order as the next owner finds it in the outbox, once the lease of who died has run out."""
    found = Job(order.effect, to_be_asked=True, committed_at_ms=order.committed_at_ms)
    if is_after_loss and _is_dropped_after_loss(order):
        return answered(found, unknown(order.effect), 0)
    if order.is_never_repeated:
        may_be_sent = is_after_loss or was_marked or order.maybe_done or order.stage is JobState.ANSWERED
        return answered(found, unknown(order.effect), 0) if may_be_sent else found
    if isinstance(order.effect, VERIFIABLE):
        return found._replace(stage=JobState.VERIFYING, since_ms=NOW_MS + TAKE_OVER_MS, maybe_done=True)
    return found._replace(maybe_done=True)


def stray(order: Job) -> Job | None:
    """Who hangs up a call that was placed for a session that has ended meanwhile; None where there is none."""
    outcome = order.outcome
    if not isinstance(outcome, EffectSucceeded) or not outcome.call_sid:
        return None
    if not isinstance(order.effect, Dial | FindCall):
        return None
    name = effect_id(order.effect.session_id, order.effect.effect_id, 0, HangUpCall.kind, outcome.call_sid)
    hang_up = HangUpCall(
        effect_id=name, session_id=order.effect.session_id, party=order.effect.party, call_sid=outcome.call_sid
    )
    return Job(hang_up)


def later(order: Job, effect: Effect, by_ms: int) -> Job:
    """The order after so many milliseconds, with its effect as it is then."""
    since_ms = max(order.since_ms - by_ms, NOW_MS - 60_000) if order.since_ms else 0
    committed_at_ms = since(order.committed_at_ms - by_ms) if order.committed_at_ms else 0
    return order._replace(effect=effect, since_ms=since_ms, committed_at_ms=committed_at_ms)


# ---- outcomes ----------------------------------------------------------------------------------------------------
