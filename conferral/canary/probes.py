"""Probes in conferences of the canary's own, which Conferral doesn't know.

Each tries what Twilio's documentation leaves open; the sandbox models every answer (`offhook.model.behavior`).
"""

import secrets
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from twilio.twiml.voice_response import Dial, VoiceResponse

from conferral.canary.calls import POLL_S, TIME_LIMIT_S, OwnCalls, attempt, until, within
from conferral.canary.findings import FlowResult
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.states import CallStatus
from conferral.storage.checks import CanaryCallback, read_callbacks
from conferral.storage.queries.session_reader import SessionReader
from conferral.telephony.callback_urls import CANARY_CALLBACK_PATH
from conferral.telephony.twilio_requests import send

TIMEOUT_S = 20.0
#: How long an event may be missing before it counts as never sent, seconds.
LATE_S = 3.0
EVENTS = "start end join leave mute hold modify announcement"
CALL_EVENTS = ("initiated", "ringing", "answered", "completed")
#: A caller ID that belongs to no one. Source: North American Numbering Plan, 555-0100 to 555-0199.
FOREIGN_NUMBER = "+12025550199"
#: Shorter than the canary's number rings, seconds.
SHORT_RING_S = 1


@dataclass(slots=True)
class Probes:
    """Probes of one run."""

    settings: ServiceSettings
    calls: OwnCalls
    reader: SessionReader
    result: FlowResult
    _since_ms: int = 0
    #: Names of its conferences; none has the form of a name of Conferral's.
    _name: str = field(default_factory=lambda: f"canary.{secrets.token_hex(6)}.")
    #: SIDs: of the conference that is started late, of the first call in it, and of the last one that joined any.
    _sid: str = ""
    _first: str = ""
    _last: str = ""

    async def run(self) -> None:
        """Run all probes, and end what they have begun."""
        self._since_ms = await self.reader.now_ms()
        try:
            await self._probe_unstarted()
            await self._probe_started()
            await self._probe_late_answer()
            await self._probe_failed_wait()
            await self._probe_dials()
        finally:
            await self.calls.hang_up_all()
        self.result.callbacks = [{"query": one.query, **one.form} for one in await self._callbacks()]

    # ---- a conference that has not started --------------------------------------------------------------------------

    async def _probe_unstarted(self) -> None:
        conferences = self.calls.client.conferences
        name = self._name + "1"
        listed_s = await self._time_until_listed(await self._join(name, record="record-from-start"))
        self.result.observe("list_delay_s", f"{listed_s:.1f}")
        self._sid = await self._conference(name)
        shown, code = await attempt(conferences.list_async(friendly_name=name, status="init"))
        self.result.observe("init_conference_list", "refused" if code else "all" if shown else "nothing")
        unfiltered = await send(conferences.list_async(friendly_name=name))
        self.result.observe("conference_list", "all" if unfiltered else "in-progress")
        # Twilio signs the URL as it was given: with another order, the webhooks refuse it.
        self.result.observe("sorted_queries", not await self._event(CallStatus.IN_PROGRESS, self._last))
        self._first = self._last
        await self._join(name)
        await self._event("participant-join", self._last)
        status = (await send(conferences(self._sid).fetch_async())).status
        self.result.observe("unstarted_conference", status)
        participant = conferences(self._sid).participants(self._first)
        _, code = await attempt(participant.update_async(muted=True))
        self.result.observe("update_before_start", _answer(code))

    async def _probe_started(self) -> None:
        """Dial into that conference, which starts it; then change and end it."""
        conferences, sid = self.calls.client.conferences, self._sid
        dialed, code = await attempt(self._dial(sid, early_media=True))
        self.result.observe("add_before_start", _answer(code))
        if dialed is None:
            return
        third = self.calls.own(str(dialed.call_sid))
        await self._until_answered(third)
        order = [(one.event, one.form.get("CallSid", "")) for one in await self._callbacks()]
        answered = order.index((CallStatus.IN_PROGRESS, third))
        self.result.observe("early_media_starts", any(event == "conference-start" for event, _ in order[:answered]))
        await self._event("conference-start")
        await self._probe_end_on_exit(sid, self._first)
        await self._probe_announcement(sid)
        await self._probe_coach(sid, third)
        recordings = await send(conferences(sid).recordings.list_async())
        self.result.observe("conference_recording_channels", recordings[0].channels if recordings else None)
        await self.calls.hang_up_all()
        for recording in recordings:
            await attempt(self.calls.client.recordings(recording.sid).delete_async())

    async def _probe_end_on_exit(self, sid: str, call_sid: str) -> None:
        participant = self.calls.client.conferences(sid).participants(call_sid)

        async def takes(wanted: bool) -> bool:
            await send(participant.update_async(end_conference_on_exit=wanted))
            return bool((await send(participant.fetch_async())).end_conference_on_exit) is wanted

        unheld = await takes(wanted=True)
        await send(participant.update_async(hold=True))
        held = await takes(wanted=not unheld)
        await send(participant.update_async(hold=False, end_conference_on_exit=False))
        reading = "taken" if held else "unless-held"
        self.result.observe("end_on_exit_update", reading if unheld else "with-hold")

    async def _probe_announcement(self, sid: str) -> None:
        await send(self.calls.client.conferences(sid).update_async(announce_url=self._broken_url))
        failed = await self._event("announcement-fail")
        self.result.observe("announcement_failure", "reported" if failed else "unreported")

    async def _probe_coach(self, sid: str, coached: str) -> None:
        coach = self.calls.client.conferences(sid).participants(self._first)
        await attempt(coach.update_async(coaching=True, call_sid_to_coach=coached))
        await self.calls.hang_up(coached)
        await self._event("participant-leave", coached)
        found, _ = await attempt(coach.fetch_async())
        self.result.observe("orphaned_coach", None if found is None else "unheard" if found.coaching else "heard")

    # ---- other conferences, and dials -------------------------------------------------------------------------------

    async def _probe_late_answer(self) -> None:
        """End a conference, before its start, while a participant rings."""
        name = self._name + "2"
        first = await self._join(name)
        sid = await self._conference(name)
        # By its name: that of a conference that is over is free again.
        dialed, _ = await attempt(self._dial(name, early_media=False))
        if dialed is not None:
            self.calls.own(str(dialed.call_sid))
        _, code = await attempt(self.calls.client.conferences(sid).update_async(status="completed"))
        self.result.observe("end_before_start", _answer(code))
        await self.calls.hang_up(first)
        goes_on = None
        if dialed is not None:
            await self._until_answered(str(dialed.call_sid))
            goes_on = not await self._event(CallStatus.COMPLETED, str(dialed.call_sid), late_s=1.0)
        self.result.observe("late_answer", {True: "new-conference", False: "hang-up", None: None}[goes_on])
        await self.calls.hang_up_all()

    async def _probe_failed_wait(self) -> None:
        await self._join(self._name + "3", wait_url=self._broken_url)
        left = await self._event("participant-leave", self._last, late_s=TIMEOUT_S)
        reasons = {"participant_add_failed": "add-failed", "participant_hung_up": "hung-up"}
        self.result.observe("failed_wait", reasons.get(left.form.get("ReasonParticipantLeft", "")) if left else None)

    async def _probe_dials(self) -> None:
        answering = self.calls.numbers.answering
        foreign, code = await attempt(self.calls.client.calls.create_async(
            to=answering, from_=FOREIGN_NUMBER, twiml="<Response/>", timeout=SHORT_RING_S
        ))  # fmt: skip
        if foreign is not None:
            await self.calls.hang_up(self.calls.own(str(foreign.sid)))
        self.result.observe("verify_callers", code != 0)
        short = await self._place("<Response><Hangup/></Response>", timeout=SHORT_RING_S)
        status = await until(partial(self._final_status, short), "the call with a short ring time has ended", TIMEOUT_S)
        self.result.observe("ring_buffer_s", "none" if status == CallStatus.NO_ANSWER else "added")

    async def _final_status(self, call_sid: str) -> str:
        found = await self.calls.status(call_sid)
        return found if found in (CallStatus.COMPLETED, CallStatus.NO_ANSWER, CallStatus.FAILED) else ""

    # ---- steps ------------------------------------------------------------------------------------------------------

    @property
    def _broken_url(self) -> str:
        return f"{self.settings.public_url}/canary/none"

    @property
    def _callback_url(self) -> str:
        return f"{self.settings.public_url}{CANARY_CALLBACK_PATH}"

    async def _join(self, conference: str, **attributes: Any) -> str:
        """Let a call join a conference that it doesn't start; return its SID."""
        response, dial = VoiceResponse(), Dial()
        options = {"start_conference_on_enter": False, "beep": False, "wait_url": ""} | attributes
        dial.conference(conference, status_callback=self._callback_url, status_callback_event=EVENTS, **options)
        response.append(dial)
        self._last = await self._place(str(response))
        if attributes.get("wait_url", "") == "":
            await until(partial(self._has, "participant-join", self._last), "a call joins a conference", TIMEOUT_S)
        return self._last

    async def _place(self, twiml: str, **options: Any) -> str:
        callbacks = {"status_callback": f"{self._callback_url}?z=1&a=1", "status_callback_event": list(CALL_EVENTS)}
        return await self.calls.place(self.calls.numbers.answering, twiml, **callbacks, **options)

    def _dial(self, conference: str, *, early_media: bool) -> Awaitable[Any]:
        url, numbers = self._callback_url, self.calls.numbers
        dialed: Awaitable[Any] = self.calls.client.conferences(conference).participants.create_async(
            to=numbers.answering, from_=numbers.caller, early_media=early_media, beep="false", time_limit=TIME_LIMIT_S,
            status_callback=url, status_callback_event=list(CALL_EVENTS),
        )  # fmt: skip
        return dialed

    async def _until_answered(self, call_sid: str) -> None:
        await until(partial(self._has, CallStatus.IN_PROGRESS, call_sid), "--answer answers", TIMEOUT_S)

    async def _conference(self, name: str) -> str:
        """Return the SID of a conference, from its callbacks."""
        return next(
            one.form["ConferenceSid"] for one in await self._callbacks() if one.form.get("FriendlyName") == name
        )

    async def _time_until_listed(self, call_sid: str) -> float:
        """Return how long lists missed a call: 0 if the first shows it."""
        asked_ms: list[int] = []

        async def listed() -> bool:
            asked_ms.append(await self.reader.now_ms())
            found = await send(self.calls.client.calls.list_async(to=self.calls.numbers.answering, limit=20))
            return any(one.sid == call_sid for one in found)

        await within(listed, TIMEOUT_S, 0.2)
        return (asked_ms[-1] - asked_ms[0]) / 1000

    async def _callbacks(self) -> list[CanaryCallback]:
        return await read_callbacks(self.reader.client, self.reader.keys, self._since_ms)

    async def _has(self, event: str, call_sid: str = "") -> CanaryCallback | None:
        found = await self._callbacks()
        return next((one for one in found if one.event == event and one.form.get("CallSid", "") == call_sid), None)

    async def _event(self, event: str, call_sid: str = "", late_s: float = LATE_S) -> CanaryCallback | None:
        return await within(partial(self._has, event, call_sid), late_s, POLL_S)


def _answer(code: int) -> str:
    return "refused" if code else "taken"
