"""Twilio REST API: executes effects, with one method per kind."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from twilio.rest import Client

from conferral.runtime.errors import ProviderGoneError, ProviderRefusedError, ResultUnknownError
from conferral.statemachine.effects import (
    ChangeRecording,
    CreateCall,
    CreateParticipant,
    Effect,
    EndConference,
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
from conferral.statemachine.events.effect_results import NOT_STARTED, CallsRead
from conferral.statemachine.states import RecordingStatus
from conferral.telephony import parameters
from conferral.telephony.callback_urls import is_id
from conferral.telephony.errors import NOT_IN_PROGRESS
from conferral.telephony.parameters import CallSetup, PlacedCall, RecordingFound
from conferral.telephony.phrases import Phrase
from conferral.telephony.request_context import ignore_not_found, label_requests
from conferral.telephony.twilio_queries import TwilioQueries, participants_in
from conferral.telephony.twilio_requests import complete_call, if_found, list_page, send

#: A longer queue time is nonsense; truncated so that it can be added to a time.
_QUEUE_DIGITS_MAX = 9


@dataclass(frozen=True, slots=True)
class HangUpResult:
    """The result of a hangup, after which the call is over."""

    #: Whether it was over before.
    was_over: bool


_Result = CallsRead | HangUpResult | PlacedCall | RecordingFound | bool | None


class TwilioApi(TwilioQueries):
    """Executes effects. Every method raises only `ProviderError`.

    Source: Twilio docs, Call, Conference, Participants, and Recordings resources.
    """

    def __init__(self, client: Client, setup: CallSetup) -> None:
        super().__init__(client, setup.own_number)
        self._setup = setup

    async def execute(self, effect: Effect) -> _Result:
        """Execute an effect with one attempt.

        Return the result of a read, the call placed, found, or hung up, the recording started, or whether the response
        shows an updated participant as requested; None for all other effects, which then have happened.
        """
        method = self._METHODS.get(type(effect))
        if method is None:
            raise TypeError(effect.kind)
        with label_requests(effect.kind):
            return await method(self, effect)

    # ---- one method per kind --------------------------------------------------------------------------------------

    async def _redirect(self, effect: RedirectCall) -> None:
        """Move a call into its session's conference."""
        await self._update_call(effect.call_sid, twiml=self._setup.twiml.join_redirected(effect))

    async def _hang_up(self, effect: HangUpCall) -> HangUpResult:
        """Hang up with `completed`: `canceled` would spare a call just answered."""
        return HangUpResult(was_over=await complete_call(self._client, effect.call_sid))

    async def _update_call(self, call_sid: str, **new_twiml: str) -> None:
        """Redirect a call; calls placed by REST have no other fallback URL."""
        fallback = {"fallback_url": self._setup.urls.fallback(), "fallback_method": "POST"}
        await send(self._client.calls(call_sid).update_async(**new_twiml, **fallback))

    async def _end_conference(self, effect: EndConference) -> None:
        """End a conference, or the calls that wait in it (16001, 16099)."""
        try:
            with _ignore_ended(also=NOT_STARTED):
                await send(self._client.conferences(effect.conference_sid).update_async(status="completed"))
        except ProviderRefusedError as error:
            if error.code not in NOT_STARTED:
                raise
            # It has not started, so hang up the parties that wait. Guests' calls (no label) are not ours to end.
            for seen in await participants_in(self._client, effect.conference_sid):
                if parameters.is_label(seen.label):
                    await complete_call(self._client, seen.call_sid)

    async def _say_and_hang_up(self, effect: SayAndHangUp) -> None:
        with _ignore_ended():  # over already, so no one would hear it
            await self._update_call(effect.call_sid, twiml=self._setup.twiml.say_and_hang_up(Phrase.NOT_CONNECTED))

    async def _create_participant(self, effect: CreateParticipant) -> PlacedCall:
        """Dial a party straight into the conference."""
        parameters.check_dial_allowed(effect, self._setup)
        inside = self._client.conferences(effect.conference).participants
        created = await send(inside.create_async(**parameters.participant_parameters(effect, self._setup)))
        return _placed_call(created.call_sid, created.queue_time)

    async def _create_call(self, effect: CreateCall) -> PlacedCall:
        """Dial a party to the gate (call screening)."""
        parameters.check_dial_allowed(effect, self._setup)
        created = await send(self._client.calls.create_async(**parameters.call_parameters(effect, self._setup)))
        return _placed_call(created.sid, created.queue_time)

    async def _find_call(self, effect: FindCall) -> PlacedCall:
        """Return the only call to the address since the dial, or none."""
        found = await self.calls_placed_since(effect, effect.since_ms)
        return _placed_call(found[0].sid, None) if len(found) == 1 else PlacedCall("")

    async def _update_participant(self, effect: UpdateParticipant) -> bool:
        """Change a participant; return whether the response shows it."""
        changes = parameters.update_parameters(effect, self._setup.urls)
        inside = self._client.conferences(effect.conference_sid).participants
        return parameters.shows_update(effect, await send(inside(effect.call_sid).update_async(**changes)))

    async def _play_announcement(self, effect: PlayAnnouncement) -> None:
        """Play an announcement to one participant or to all."""
        conference = self._client.conferences(effect.conference_sid)
        heard_by = conference.participants(effect.call_sid) if effect.call_sid else conference
        await send(heard_by.update_async(**parameters.announcement_parameters(effect, self._setup.urls)))

    async def _redirect_to_voicemail(self, effect: RedirectToVoicemail) -> None:
        await self._update_call(effect.call_sid, twiml=self._setup.twiml.voicemail(effect.session_id))

    async def _find_message(self, effect: FindMessage) -> RecordingFound:
        """Return the message that a call left; its recording may take a while."""
        return parameters.find_message(await self.recordings_of(effect.call_sid))

    async def _find_recording(self, effect: FindRecording) -> RecordingFound:
        """Return a recording that is over; Twilio may take a while to finish it."""
        found = self._client.recordings
        if effect.recording_sid:
            seen = await if_found(send(found(effect.recording_sid).fetch_async()))
            return parameters.find_recording(effect, [seen] if seen is not None else [])
        owner = {"call_sid": effect.call_sid} if effect.call_sid else {"conference_sid": effect.conference_sid}
        page = partial(found.page_async, **owner, page_size=parameters.RECORDINGS_MAX)
        return parameters.find_recording(effect, await if_found(list_page(page)) or [])

    async def _start_recording(self, effect: StartRecording) -> RecordingFound:
        inside = self._client.calls(effect.call_sid).recordings
        try:
            created = await send(inside.create_async(**parameters.recording_parameters(effect, self._setup.urls)))
        except ProviderGoneError as error:
            if error.code != NOT_IN_PROGRESS:
                raise
            # Twilio reports a call that is ringing, or in a plain `<Dial>`, like one that is over: it may be live.
            status, wait_s = error.http_status, error.retry_after_s
            raise ProviderRefusedError(http_status=status, code=error.code, retry_after_s=wait_s) from None
        return RecordingFound(_sid_of(created.sid), status=RecordingStatus.IN_PROGRESS.value)

    async def _change_recording(self, effect: ChangeRecording) -> None:
        """Pause, resume, or stop a call's or conference's recording."""
        client, sid = self._client, effect.recording_sid or parameters.CURRENT_RECORDING
        owner = client.conferences(effect.conference_sid) if effect.conference_sid else client.calls(effect.call_sid)
        # Paused time is skipped.
        pause = {"pause_behavior": "skip"} if effect.status == RecordingStatus.PAUSED else {}
        try:
            await send(owner.recordings(sid).update_async(status=effect.status, **pause))
        except ProviderGoneError:
            # A conference's recording may be missing because the conference has not started yet.
            stops = effect.status == RecordingStatus.STOPPED
            if not stops or (effect.conference_sid and not effect.recording_sid):
                raise

    async def _redirect_to_url(self, effect: RedirectToUrl) -> None:
        """Hand a call over to your app's TwiML."""
        with _ignore_ended():  # over already, so there is nothing to redirect
            await self._update_call(effect.call_sid, url=effect.url, method="POST")

    _METHODS: ClassVar[dict[type[Effect], Callable[..., Awaitable[_Result]]]] = {
        ReadCalls: TwilioQueries.read_calls,
        CreateParticipant: _create_participant,
        CreateCall: _create_call,
        FindCall: _find_call,
        StartRecording: _start_recording,
        RedirectToVoicemail: _redirect_to_voicemail,
        FindMessage: _find_message,
        FindRecording: _find_recording,
        UpdateParticipant: _update_participant,
        RedirectCall: _redirect,
        PlayAnnouncement: _play_announcement,
        ChangeRecording: _change_recording,
        HangUpCall: _hang_up,
        EndConference: _end_conference,
        SayAndHangUp: _say_and_hang_up,
        RedirectToUrl: _redirect_to_url,
    }


@contextmanager
def _ignore_ended(*, also: frozenset[int] = frozenset()) -> Iterator[None]:
    """Treat requests as done if their call or conference is over."""
    with suppress(ProviderGoneError), ignore_not_found(also=also):
        yield


def _placed_call(call_sid: object, queue_time: object) -> PlacedCall:
    """Return the call in a response; raise ResultUnknownError without a SID."""
    # Twilio sends milliseconds as text; if absent, the queue time is unknown.
    is_number = isinstance(queue_time, str) and queue_time.isascii() and queue_time.isdigit()
    return PlacedCall(_sid_of(call_sid), int(str(queue_time)[:_QUEUE_DIGITS_MAX]) if is_number else 0)


def _sid_of(value: object) -> str:
    """Return a response's SID; raise ResultUnknownError for anything else."""
    if not isinstance(value, str) or not is_id(value):
        raise ResultUnknownError
    return value
