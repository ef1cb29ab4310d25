"""The exchange: takes one input at a time, with the time, and tells what Twilio would do next.

It does no I/O, reads no clock and draws no random numbers: the same inputs give the same outputs, SIDs included.
"""

from __future__ import annotations

import copy
from typing import assert_never

from conferral.sandbox.exchange import (
    calls,
    conferences,
    dialing,
    foreign,
    inputs,
    members,
    odd,
    programs,
    recordings,
    rest,
)
from conferral.sandbox.exchange.alone import Alone
from conferral.sandbox.exchange.forgetting import forget_over
from conferral.sandbox.exchange.hearing import Hearing
from conferral.sandbox.exchange.inputs import Input
from conferral.sandbox.exchange.model import Call, Fetch, Number, Source, State, Subscription
from conferral.sandbox.exchange.outputs import RestAnswer, Result
from conferral.sandbox.exchange.rules import Rules
from conferral.sandbox.exchange.texts import call_token, is_number
from conferral.sandbox.exchange.twiml import TwimlError
from conferral.sandbox.exchange.work import Task, Work


class UnknownNumberError(LookupError):
    """Somebody dialled a number that the account doesn't have. The one who placed the call is at fault."""


class Exchange:
    """A model of Twilio's voice side for one account.

    Args:
        account_sid: `AC` and 32 hex digits.
        seed: Tells the SIDs of one run from another's.
        rules: Durations, and choices where Twilio's documentation is silent.

    `state` may be read at any time; `hearing` keeps who heard whom, `alone` for how long somebody was alone. Time never
    runs backwards: an earlier `now_s` counts as the latest one seen.
    """

    def __init__(self, account_sid: str, *, seed: str = "0", rules: Rules | None = None) -> None:
        self.state = State(account_sid, seed)
        self.rules = rules or Rules()
        self.hearing = Hearing()
        self.alone = Alone()
        self.now_s = 0.0

    def copy(self) -> Exchange:
        """An independent exchange in the same state, for exploring what could happen next."""
        return copy.deepcopy(self)

    def add_number(self, number: Number) -> None:
        """Give the account a number, SIP address or application; one of the same name is replaced."""
        self.state.numbers[number.number] = number

    def forget_over(self, most: int, held: frozenset[str] = frozenset()) -> set[str]:
        """Let go of what is over, the oldest first, with what was recorded of it and heard in it.

        Args:
            most: How many calls and conferences that are over are kept (count).
            held: Calls that are kept in any case.

        Returns:
            SIDs of the calls that nobody knows any more.
        """
        return forget_over(self.state, self.hearing, most, held)

    def live_calls(self) -> list[Call]:
        """The calls that are not over, oldest first; without those of others who use the account."""
        return [call for sid in self.state.live if not (call := self.state.calls[sid]).is_foreign]

    def add_foreign_calls(
        self, count: int, now_s: float, *, status: str = "in-progress", age_s: float = 0.0
    ) -> list[str]:
        """Calls of somebody else who uses the same account: nothing happens in them, but the API shows them.

        Args:
            count: How many.
            now_s: The time, as for `handle`.
            status: What Twilio says of them.
            age_s: How long ago they began.

        Returns:
            Their SIDs.
        """
        self.now_s = max(self.now_s, now_s)
        work = Work(self.state, self.rules, self.now_s)
        sids = foreign.add_calls(work, count, status, age_s)
        self._settle(work)
        return sids

    def add_foreign_conference(self, name: str, now_s: float, *, members: int = 2, age_s: float = 0.0) -> str:
        """A conference of somebody else who uses the same account, with so many members; its SID.

        Raises:
            ValueError: A conference of this name is live.
        """
        self.now_s = max(self.now_s, now_s)
        work = Work(self.state, self.rules, self.now_s)
        sid = foreign.add_conference(work, name, members, age_s)
        self._settle(work)
        return sid

    def next_due_s(self) -> float | None:
        """When something happens by itself, in the exchange's seconds; None: never."""
        first = self.state.timers.first()
        return first[0] if first else None

    def handle(self, happened: Input, now_s: float) -> Result:
        """Take in what happened; what was due before it is done first, each thing at its own time.

        Raises:
            UnknownNumberError: An InboundCall to a number that was never added.
            NobodyToTellError: An OddCallback about something of which nobody wanted to be told.
        """
        if isinstance(happened, inputs.InboundCall) and happened.to not in self.state.numbers:
            raise UnknownNumberError(f"no number {happened.to!r} was added to this account")
        if isinstance(happened, inputs.OddCallback):
            odd.recipient(self.state, happened.sid)
        self.now_s = max(self.now_s, now_s)
        works = self._due()
        work = Work(self.state, self.rules, self.now_s)
        before = (len(self.state.calls), len(self.state.live))
        answer, call_sid = self._take(work, happened)
        self._settle(work)
        works.append(work)
        outputs = tuple(output for done in works for output in done.outputs)
        changed = bool(outputs or work.touched) or before != (len(self.state.calls), len(self.state.live))
        return Result(outputs, answer, call_sid, changed)

    def _due(self) -> list[Work]:
        """Do what is due, in order of time."""
        works = []
        while (first := self.state.timers.first()) is not None and first[0] <= self.now_s:
            due_s, key = first
            self.state.timers.stop(key)
            work = Work(self.state, self.rules, due_s)
            self._wake(work, *key)
            self._settle(work)
            works.append(work)
        return works

    def _settle(self, work: Work) -> None:
        """Do the tasks that changes have queued, then note who hears whom."""
        while work.tasks:
            self._task(work, work.tasks.popleft())
        legs = self.hearing.note(self.state, work.touched, work.now_s)
        self.alone.note(self.state, legs, self.hearing, work.now_s)
        if self.state.recorders:
            recordings.note(self.state, sorted(legs | work.touched), work.now_s)

    def _take(self, work: Work, happened: Input) -> tuple[RestAnswer | None, str]:
        match happened:
            case inputs.RestRequest():
                return rest.answer(work, happened), ""
            case inputs.InboundCall():
                return None, self._inbound(work, happened)
            case inputs.TwimlFetched():
                self._fetched(work, happened)
            case inputs.TwimlFailed():
                self._not_fetched(work, happened)
            case inputs.OddCallback():
                odd.tell(work, happened)
            case inputs.TimePassed():
                pass
            case _:
                self._phone(work, happened)
        return None, ""

    def _phone(
        self,
        work: Work,
        happened: inputs.PhoneRings
        | inputs.PhoneAnswers
        | inputs.PhoneBusy
        | inputs.PhoneRejects
        | inputs.PhoneFails
        | inputs.PhoneHangsUp
        | inputs.PhonePresses
        | inputs.PhoneSpeaks
        | inputs.PhoneFallsSilent,
    ) -> None:
        if happened.call_sid not in self.state.live:
            return
        call = work.call(happened.call_sid)
        outbound_waiting = call.direction != "inbound" and call.status in {"queued", "ringing"}
        match happened:
            case inputs.PhoneHangsUp():
                calls.end(work, call, "completed" if call.answered_at_s is not None else "no-answer")
            case inputs.PhonePresses():
                programs.pressed(work, call, happened.digits)
            case inputs.PhoneSpeaks():
                conferences.speaks(work, call, starts=True)
            case inputs.PhoneFallsSilent():
                conferences.speaks(work, call, starts=False)
            case _ if not outbound_waiting:
                pass  # a phone can't ring or answer twice
            case inputs.PhoneRings():
                self._rings(work, call)
            case inputs.PhoneAnswers():
                self._answers(work, call)
            case inputs.PhoneBusy():
                calls.end(work, call, "busy", 486)
            case inputs.PhoneRejects():
                calls.end(work, call, "busy", 603)
            case inputs.PhoneFails():
                calls.end(work, call, "failed", 404)
            case _:
                assert_never(happened)

    def _rings(self, work: Work, call: Call) -> None:
        if calls.rings(work, call) and call.join is not None and call.conference_sid:
            conferences.ringing(work, call)

    def _answers(self, work: Work, call: Call) -> None:
        calls.answered(work, call)
        if call.record is not None:
            recordings.start_for_call(work, call, call.record)
        if call.direction == "outbound-dial":
            dialing.child_answered(work, call)
        elif call.join is not None:
            order = call.join
            if work.live_conference(call.conference_sid) is not None:
                conferences.enter(work, call)
            else:
                conferences.late_answer(work, call, order)
        else:
            programs.answered(work, call)

    def _inbound(self, work: Work, happened: inputs.InboundCall) -> str:
        number = self.state.numbers[happened.to]
        to = dict(happened.custom).get("To", "") if number.application_sid else happened.to
        call = calls.make(work, happened.from_, to, "inbound")
        call.application_sid = number.application_sid
        call.custom = happened.custom
        call.fallback_url = number.voice_fallback_url
        call.fallback_method = number.voice_fallback_method
        if is_number(happened.from_):
            call.call_token = call_token(call.sid)
        if number.status_callback:
            call.subscription = Subscription(number.status_callback, number.status_callback_method, ("completed",))
        programs.begin(work, call, Source(happened.url or number.voice_url, number.voice_method))
        return call.sid

    def _fetched(self, work: Work, happened: inputs.TwimlFetched) -> None:
        fetch = self.state.fetches.pop(happened.fetch_id, None)
        if fetch is None:
            return
        if not 200 <= happened.status < 300:
            self._fetch_failed(work, fetch, 11200, f"HTTP retrieval failure: status {happened.status}")
            return
        base_url = happened.url or fetch.url
        if fetch.purpose in {"wait", "hold", "announce"}:
            members.document(work, fetch, happened.content_type, happened.body, base_url)
        elif fetch.purpose != "ignored" and self._is_current(fetch):
            call = work.call(fetch.call_sid)
            whisper = fetch.purpose == "whisper"
            programs.load(
                work, call, happened.content_type, happened.body, base_url,
                whisper=whisper, is_fallback=fetch.is_fallback,
            )  # fmt: skip

    def _not_fetched(self, work: Work, happened: inputs.TwimlFailed) -> None:
        fetch = self.state.fetches.pop(happened.fetch_id, None)
        if fetch is not None:
            self._fetch_failed(work, fetch, happened.error_code, "HTTP retrieval failure")

    def _fetch_failed(self, work: Work, fetch: Fetch, code: int, message: str) -> None:
        if fetch.purpose in {"wait", "hold", "announce"}:
            work.report(code, message, fetch.call_sid, fetch.url)
            members.document_failed(work, fetch, TwimlError(code, message))
        elif fetch.purpose == "ignored" or not self._is_current(fetch):
            work.report(code, message, fetch.call_sid, fetch.url)
        else:
            call = work.call(fetch.call_sid)
            whisper = fetch.purpose == "whisper"
            programs.failed(work, call, code, message, fetch.url, whisper=whisper, is_fallback=fetch.is_fallback)

    def _is_current(self, fetch: Fetch) -> bool:
        """Whether the call still waits for this document, and not for a newer one."""
        call = self.state.calls[fetch.call_sid]
        return not call.is_final and call.generation == fetch.generation and call.activity == "fetching"

    def _task(self, work: Work, task: Task) -> None:
        call = work.call(task.call_sid)
        match task.kind:
            case "run":
                programs.run(work, call)
            case "bridge":
                dialing.bridge(work, call)
            case "dial-over":
                if call.dial is not None:
                    dialing.finish(work, call, task.detail)
            case "ended":
                self._ended(work, call)
            case _:
                assert_never(task.kind)

    def _ended(self, work: Work, call: Call) -> None:
        """Whoever was tied to a call that is over is released."""
        call.gather = None
        call.program = None
        conferences.leave(work, call, "participant_hung_up")
        dialing.caller_gone(work, call)
        if call.parent_sid:
            dialing.child_gone(work, call)
        recordings.stop_all_of(work, call.sid)
        call.activity = "idle"

    def _wake(self, work: Work, sid: str, name: str) -> None:
        """One timer is due."""
        if name in {"wait", "hold", "announce"}:
            members.wake(work, sid, name)
            return
        if name == "processed":
            recordings.processed(work, sid)
            return
        call = work.call(sid)
        match name:
            case "start":
                calls.initiate(work, call)
                conferences.connecting(work, call)
            case "ring":
                calls.end(work, call, "no-answer")
            case "limit":
                calls.hang_up(work, call)
            case "digits":
                programs.digits_sent(work, call)
            case "dial-limit":
                dialing.limit_reached(work, call)
            case "verb":
                programs.timer(work, call)
            case "old-action":
                if call.old_action is not None:
                    source, extra = call.old_action
                    call.old_action = None
                    work.fetch(call, source, "ignored", extra)
            case "redirect":
                if call.pending is not None:
                    source, call.pending = call.pending, None
                    programs.begin(work, call, source)
