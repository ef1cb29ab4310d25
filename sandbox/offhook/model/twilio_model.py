"""The Twilio model: the same inputs give the same outputs, even SIDs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never, cast

from offhook.model import (
    bots,
    callback_parameters,
    calls,
    conferences,
    dialing,
    machine_detection,
    messages,
    participant_updates,
    payments,
    recorder,
    recordings,
    text_messages,
    twiml_interpreter,
)
from offhook.model.audibility import Audibility
from offhook.model.behavior import Behavior
from offhook.model.formats import call_token, is_number
from offhook.model.messages import FetchPurpose, Input, RestAnswer, Result
from offhook.model.numbers import Number
from offhook.model.rest import router
from offhook.model.state import Call, Payment, Source, State
from offhook.model.transaction import Task, Transaction

BROWSER_DECLINES = 600  #: SIP response; a phone declines with 603.
BUSY = calls.SIP_CODES["busy"]


class UnknownNumberError(LookupError):
    """The account doesn't have the dialed number: the caller's mistake."""


class TwilioModel:
    """A model of Twilio Voice for one account; `behavior` configures it.

    `strict` refuses what Twilio doesn't document.

    `state` may be read at any time; `audibility` records who heard whom. Time never runs backwards: an earlier `now_s`
    counts as the latest one seen.
    """

    def __init__(
        self, account_sid: str, *, seed: str = "0", behavior: Behavior | None = None, strict: bool = False
    ) -> None:
        self.state = State(account_sid, seed)
        self.behavior = behavior or Behavior()
        self.strict = strict
        self.audibility = Audibility()
        self.now_s = 0.0

    def add_number(self, number: Number) -> None:
        """Add a number, SIP domain, or application, replacing a namesake."""
        self.state.numbers[number.number] = number

    def live_calls(self) -> list[Call]:
        """Return the live calls, oldest first, without other applications' calls."""
        return [call for sid in self.state.live_calls if not (call := self.state.calls[sid]).is_foreign]

    @contextmanager
    def changing(self, now_s: float) -> Iterator[Transaction]:
        """Yield a transaction for direct changes; its outputs are the caller's."""
        self.now_s = max(self.now_s, now_s)
        transaction = Transaction(self.state, self.behavior, self.now_s, self.strict)
        yield transaction
        self._settle(transaction)

    def next_due_s(self) -> float | None:
        """Return when the next timer is due, in sandbox time; None: never."""
        return min(self.state.timers.values(), default=None)

    def handle(self, input_: Input, now_s: float) -> Result:
        """Process an input, after everything that was due before it.

        Raise UnknownNumberError for a call to an unknown number.
        """
        if isinstance(input_, messages.InboundCall | messages.IncomingText):
            is_text = isinstance(input_, messages.IncomingText)
            if not (self.state.is_own_number(input_.to) if is_text else self.state.called(input_.to)):
                raise UnknownNumberError(f"no number {input_.to!r} was added to this account")
        self.now_s = max(self.now_s, now_s)
        transactions = self._fire_due_timers()
        transaction = Transaction(self.state, self.behavior, self.now_s, self.strict)
        answer, call_sid = self._dispatch(transaction, input_)
        self._settle(transaction)
        transactions.append(transaction)
        return Result(tuple(output for done in transactions for output in done.outputs), answer, call_sid)

    def _fire_due_timers(self) -> list[Transaction]:
        transactions = []
        while (due_s := self.next_due_s()) is not None and due_s <= self.now_s:
            key = min(self.state.timers, key=self.state.timers.__getitem__)  # of equal times, the one set first
            del self.state.timers[key]
            transaction = Transaction(self.state, self.behavior, due_s, self.strict)
            self._on_timer(transaction, *key)
            self._settle(transaction)
            transactions.append(transaction)
        return transactions

    def _settle(self, transaction: Transaction) -> None:
        while transaction.tasks:
            self._run_task(transaction, transaction.tasks.popleft())
        legs = self.audibility.update(self.state, transaction.changed_sids, transaction.now_s)
        recordings.update_voices(self.state, legs | transaction.changed_sids, transaction.now_s)

    def _dispatch(self, transaction: Transaction, input_: Input) -> tuple[RestAnswer | None, str]:
        """Return the response to a RestRequest, and an InboundCall's new SID."""
        match input_:
            case messages.RestRequest():
                return router.respond(transaction, input_), ""
            case messages.InboundCall():
                return None, self._on_inbound_call(transaction, input_)
            case messages.IncomingText():
                text_messages.receive(transaction, input_.from_, input_.to, input_.body)
            case messages.TwimlFetched():
                fetch = self.state.fetches.pop(input_.fetch_id, None)
                if fetch is not None and fetch.purpose == "message":
                    text_messages.on_document(transaction, fetch, input_)
                elif fetch is not None:
                    twiml_interpreter.on_twiml_fetched(transaction, fetch, input_)
            case messages.TimePassed():
                pass
            case _:
                self._on_phone_event(transaction, input_)
        return None, ""

    def _on_phone_event(self, transaction: Transaction, input_: messages.PhoneEvent) -> None:
        """Apply what a phone does, such as answer or press keys, to its call."""
        if input_.call_sid not in self.state.live_calls:
            return
        call = transaction.call(input_.call_sid)
        is_unanswered_dial = call.direction != "inbound" and call.status in {"queued", "ringing"}
        match input_:
            case messages.PhoneHangsUp():
                calls.end(transaction, call, "completed" if call.answered_at_s is not None else "no-answer")
            case messages.PhonePresses():
                twiml_interpreter.on_keys(transaction, call, input_.digits)
            case messages.PhoneSpeaks() | messages.PhoneFallsSilent():
                self._on_speech(transaction, call, input_)
            case _ if not is_unanswered_dial:
                pass  # a phone can't ring or answer twice
            case messages.PhoneRings():
                self._on_ringing(transaction, call)
            case messages.PhoneAnswers():
                call.phone_kind = input_.kind
                self._on_answered(transaction, call)
            case messages.PhoneRefuses():
                is_browser = input_.sip_code == 603 and call.to.startswith("client:")
                sip_code = BROWSER_DECLINES if is_browser else input_.sip_code
                if sip_code == BUSY and self.behavior.busy_rings:
                    self._on_ringing(transaction, call)
                calls.end(transaction, call, "failed" if sip_code == 404 else "busy", sip_code)
            case _:
                assert_never(input_)

    def _on_ringing(self, transaction: Transaction, call: Call) -> None:
        if calls.start_ringing(transaction, call) and call.join_settings is not None and call.conference_sid:
            conferences.mark_ringing(transaction, call)

    def _on_speech(
        self, transaction: Transaction, call: Call, input_: messages.PhoneSpeaks | messages.PhoneFallsSilent
    ) -> None:
        if call.gather is not None:
            if isinstance(input_, messages.PhoneSpeaks) and input_.text and call.gather.takes("speech"):
                twiml_interpreter.on_speech(transaction, call, call.gather, input_.text)
        elif call.record is None:
            conferences.set_speaking(transaction, call, starts=isinstance(input_, messages.PhoneSpeaks))
        elif isinstance(input_, messages.PhoneSpeaks):
            recorder.speak(transaction, call, call.record, input_.text)
        else:
            recorder.fall_silent(transaction, call, call.record)

    def _on_answered(self, transaction: Transaction, call: Call) -> None:
        calls.answer(transaction, call)
        if call.record_from_answer is not None:
            call.recording_sid = recordings.start_for_call(transaction, call, call.record_from_answer).sid
        if call.detection is not None:
            machine_detection.start(transaction, call, call.detection)
        if call.direction == "outbound-dial":  # by a `<Dial>`
            dialing.on_child_answered(transaction, call)
        elif call.join_settings is not None:  # by the Participants API
            if transaction.live_conference(call.conference_sid) is not None:
                conferences.enter(transaction, call)
            else:
                conferences.answer_late(transaction, call, call.join_settings)
        else:  # by the Calls API
            twiml_interpreter.on_answered(transaction, call)

    def _on_inbound_call(self, transaction: Transaction, input_: messages.InboundCall) -> str:
        number = self.state.called(input_.to)
        assert number is not None  # checked by handle()
        # A browser calls an application; its `To` is one of its own parameters.
        to = dict(input_.custom).get("To", "") if number.application_sid else input_.to
        call = calls.new_call(transaction, input_.from_, to, "inbound")
        call.application_sid = number.application_sid
        call.custom = input_.custom
        if number.is_sip_domain:
            call.custom = callback_parameters.sip_request(call, number, input_.headers) + input_.custom
        self._begin_inbound(transaction, call, number, input_.url)
        return call.sid

    def _begin_inbound(self, transaction: Transaction, call: Call, number: Number, url: str = "") -> None:
        """Request a number's voice URL, or another `url`, for a call to it."""
        number = self.state.application(number.voice_application_sid) or number
        call.fallback_url = number.voice_fallback_url
        call.fallback_method = number.voice_fallback_method
        if is_number(call.from_):
            call.call_token = call_token(call.sid)
        call.subscription = number.subscription
        if url := url or number.voice_url:
            twiml_interpreter.begin(transaction, call, Source(url, number.voice_method))
        else:
            twiml_interpreter.on_failure(transaction, call, 11100, f"{number.number} has no voice URL", url)

    def _arrive(self, transaction: Transaction, call: Call) -> None:
        """Let a leg dialed to the account's number or application come in there."""
        number = self.state.answering(call.to)
        if call.is_final or number is None:
            return
        far = calls.new_call(transaction, call.from_, call.to.partition("?")[0], "inbound")
        far.application_sid, far.custom = number.application_sid, call.custom
        call.far_sid, far.far_sid = far.sid, call.sid
        self._on_ringing(transaction, call)
        self._begin_inbound(transaction, far, number)

    def _end_far(self, transaction: Transaction, call: Call) -> None:
        """End the other leg of a call from the account to itself."""
        far = transaction.call(call.far_sid)
        if call.direction != "inbound" or far.answered_at_s is not None:
            calls.hang_up(transaction, far)
        else:
            calls.end(transaction, far, "busy" if call.status == "busy" else "no-answer", call.sip_code)

    def _run_task(self, transaction: Transaction, task: Task) -> None:
        call = transaction.call(task.call_sid)
        match task.kind:
            case "run":
                twiml_interpreter.run(transaction, call)
            case "bridge":
                dialing.bridge(transaction, call)
            case "arrive":
                self._arrive(transaction, call)
            case "far-answered":
                if call.answered_at_s is None and not call.is_final:
                    self._on_answered(transaction, call)
            case "dial-over":
                if call.dial is not None:
                    dialing.finish(transaction, call, task.detail)
            case "dequeue":
                dialing.take_from_queue(transaction, call)
            case "ended":
                self._release_related(transaction, call, task.detail)
            case _:
                assert_never(task.kind)

    def _release_related(self, transaction: Transaction, call: Call, left_reason: str) -> None:
        """Release what an ended call took part in, such as its conference."""
        if isinstance(call.gather, Payment):
            payments.finish(transaction, call, call.gather, "caller-hung-up")
        call.gather = None
        if call.record is not None:
            recorder.finish(transaction, call, "hangup")
        if call.relay is not None:
            bots.finish(transaction, call, call.relay)
        call.program = None
        conferences.leave(transaction, call, left_reason)
        dialing.on_caller_ended(transaction, call)
        if call.queue_stay is not None:
            result = "bridged" if call.queue_stay.dialer_sid else "hangup"
            dialing.end_queue_stay(transaction, call, call.queue_stay, result)
        if call.parent_sid:
            dialing.on_child_left(transaction, call)
        recordings.stop_all_of(transaction, call.sid)
        call.activity = "idle"
        if call.far_sid in self.state.live_calls:
            self._end_far(transaction, call)
        if transaction.behavior.final_callback == "last":
            calls.send_call_event(transaction, call, "completed")

    def _on_timer(self, transaction: Transaction, sid: str, name: str) -> None:
        """Do what a timer of a call, a message, or a recording was set for."""
        if name in conferences.AUDIO_FIELDS:
            participant_updates.on_audio_timer(transaction, sid, cast("FetchPurpose", name))
        elif name in text_messages.STATUSES_AFTER_S:
            text_messages.set_status(transaction, sid, name)
        elif name == "processed":
            recordings.finish_processing(transaction, sid)
        else:
            self._on_call_timer(transaction, transaction.call(sid), name)

    def _on_call_timer(self, transaction: Transaction, call: Call, name: str) -> None:
        match name:
            case "start":
                calls.initiate(transaction, call)
                conferences.mark_connecting(transaction, call)
            case "ring":
                calls.end(transaction, call, "no-answer")
            case "limit":
                calls.hang_up(transaction, call)
            case "digits":
                call.digits_sent = call.send_digits
                if call.direction == "outbound-dial":
                    dialing.finish_ringing(transaction, call)
                elif call.start is not None:
                    twiml_interpreter.begin(transaction, call, call.start)
            case "dial-limit":
                dialing.cut_short(transaction, call)
            case "detection" if call.detection is not None:
                twiml_interpreter.on_detected(transaction, call, call.detection)
            case "verb":
                twiml_interpreter.on_verb_over(transaction, call)
            case "old-action" if call.old_action is not None:
                (source, extra), call.old_action = call.old_action, None
                transaction.fetch(call, source, "ignored", extra, is_action=bool(extra))
            case "redirect" if call.redirect_target is not None:
                source, call.redirect_target = call.redirect_target, None
                twiml_interpreter.begin(transaction, call, source)
