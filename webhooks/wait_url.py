"""Wait URL: what a waiting or held party hears until the audio ends.

Twilio then requests it again. A caller in a conference hears the greeting first. Audio plays without Redis, too.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import structlog
from aiohttp import hdrs, web

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ProviderError, StoreError
from conferral.runtime.log import log_unreachable
from conferral.runtime.setting_values import SILENCE
from conferral.statemachine.events import Event, Press
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.session import Session
from conferral.statemachine.states import Opening, Phase, SessionMode, WaitAudio
from conferral.telephony.callback_events import (
    MalformedCallbackError,
    call_received,
    call_sid_of,
    conference_sid_of,
    participant_waits,
)
from conferral.telephony.callback_urls import ANNOUNCEMENT_PATH, ASKED_MAX, CHECK_SESSION, WAIT_PATH, Announcement, Wait
from conferral.webhooks.authentication import Form
from conferral.webhooks.responses import (
    Dependencies,
    Routes,
    read_undecided,
    store_deadline,
    store_timeout,
    twiml_response,
)

#: Path of each file. Public: Twilio does not sign these requests, and the files are not secret.
PATHS = {WaitAudio.RINGBACK: "/media/ringback.wav", WaitAudio.MUSIC: "/media/music.wav"}

#: Source: Twilio docs, TwiML `<Play>`: Twilio refetches audio according to its caching headers.
_CACHING = "public, max-age=86400"


async def send_audio(path: str, _request: web.Request) -> web.FileResponse:
    """Return a file, or 304 if it has not changed."""
    headers = {hdrs.CACHE_CONTROL: _CACHING, hdrs.CONTENT_TYPE: "audio/wav"}
    return web.FileResponse(Path(__file__).parent / path.removeprefix("/"), headers=headers)


log = structlog.get_logger()


class AnnouncementRoutes(Routes):
    """Answers AnnounceUrl."""

    async def announcement(self, _form: Form, query: str) -> web.Response:
        """Return the pending message or digits; 404 without, 503 without Redis.

        Digits are returned once: if that answer is lost, or requested again, the announcement fails.
        """
        announcement = Announcement.parse(query)
        try:
            async with store_deadline():
                document = await self._document(announcement)
        except StoreError as error:  # answered with an error, so that Twilio reports the announcement as failed
            self._metrics.webhook_store_errors.labels(ANNOUNCEMENT_PATH).inc()
            log_unreachable(error, url_path=ANNOUNCEMENT_PATH, session_id=announcement.session_id)
            return web.Response(status=503)
        if document:
            return twiml_response(document)
        if announcement.session_id != CHECK_SESSION:
            log.warning("announcement_unknown", session_id=announcement.session_id, command_id=announcement.command_id)
        return web.Response(status=404)

    async def _document(self, announcement: Announcement) -> str:
        """Return what a pending command plays; empty if nothing."""
        view = await self._store.read(announcement.session_id)
        for command in view.pending_commands if view else ():
            if command.command_id != announcement.command_id:
                continue
            if command.say:
                return self._documents.announcement(command.say)
            if command.name == Press.name and (digits := await self._store.take_digits(command.command_id)):
                return self._documents.announcement("", digits)
        return ""


#: Timeout for reading the session, seconds; the caller hears nothing meanwhile.
STORE_DEADLINE_S = 0.5
#: Timeout for reopening a lost session, seconds; retried each time the caller's music ends.
_OPENING_DEADLINE_S = 3.0
#: Interval at which a session that may not be decided yet is read again, seconds.
READ_EVERY_S = 0.05


class WaitRoutes(Routes):
    """Answers waitUrl and HoldUrl."""

    def __init__(self, dependencies: Dependencies) -> None:
        super().__init__(dependencies)
        settings = dependencies.settings
        own = {audio: settings.public_url + path for audio, path in PATHS.items()}
        chosen = {WaitAudio.RINGBACK: settings.ringback, WaitAudio.MUSIC: settings.music}
        #: Audio URL by kind; None for silence.
        self._audio = {audio: None if url == SILENCE else url or own[audio] for audio, url in chosen.items()}
        self._audio[WaitAudio.SILENCE] = None
        self._greeting = settings.greeting or ""

    async def wait(self, form: Form, query: str) -> web.Response:
        """Return the greeting, or music for the session's current state."""
        params = Wait.parse(query)
        view = await self._load_view(params.session_id, form, opens=params.opens_session)
        if view is not None:
            await self._report_arrival(params, view, form)
        if params.with_greeting:
            text = view.attributes.greeting if view else ""
            return twiml_response(self._documents.greeting(params, text or self._greeting))
        party = view.parties.get(params.party) if view else None
        playing = replace(params, wait_audio=(party.wait_audio if party else WaitAudio.NONE) or params.wait_audio)
        asked = self._asked(view, playing)
        asks, playing = asked > playing.asked, replace(playing, asked=asked)
        own_music = view.attributes.wait_url if view and playing.wait_audio is WaitAudio.MUSIC else ""
        return twiml_response(
            self._documents.hold_music(playing, audio_url=own_music or self._audio[playing.wait_audio], asks=asks)
        )

    def _asked(self, view: Session | None, playing: Wait) -> int:
        """Return how often a caller is due to have been asked to wait (count).

        The music is not cut off, so the sentence may come later than its time, and then counts for all before.
        """
        if view is None or view.phase is not Phase.QUEUED or not view.queue.say_every_s:
            return playing.asked
        waited_ms = max(0, self._clock.wall_ms() - view.state_since_ms)
        # Clocks may differ.
        return min(waited_ms // (1000 * view.queue.say_every_s), ASKED_MAX)

    async def _load_view(self, session_id: str, form: Form, *, opens: bool) -> Session | None:
        """Return the session; None without Redis, or once its recovery started."""
        try:
            async with store_timeout(STORE_DEADLINE_S):
                view = await self._store.read(session_id)
                view = view or await read_undecided(self._store, session_id, READ_EVERY_S)
        except StoreError as error:
            self._metrics.webhook_store_errors.labels(WAIT_PATH).inc()
            log_unreachable(error, url_path=WAIT_PATH, session_id=session_id)
            return None
        if view is None and opens:
            await self._reopen(session_id, form)
        return view

    async def _report_arrival(self, params: Wait, view: Session, form: Form) -> None:
        """Publish which conference the party has joined: its callback may be lost.

        No list need show a conference that has not started, so its SID may be known from here only. After the session's
        end, it shows who was left there.
        """
        party = view.parties.get(params.party)
        if party is None or party.call_sid != call_sid_of(form):
            return
        if view.is_live and (party.in_conference or party.is_gone):
            return
        try:
            event = participant_waits(
                form, params.session_id, party.label, start_on_enter=params.wait_audio is WaitAudio.SILENCE
            )
            if view.is_ended:
                event = replace(event, token=f"{event.token}:after-end")
        except MalformedCallbackError:
            return  # the party is in no conference
        if view.opening == Opening.OVER and event.conference_sid == view.conference_sid:
            return  # a late request: a read of that conference shows who is in it
        await self._publish(event)

    async def _publish(self, event: Event) -> None:
        try:
            async with store_timeout(STORE_DEADLINE_S):
                await self._store.publish(event)
        except StoreError as error:
            log_unreachable(error, url_path=WAIT_PATH, session_id=event.session_id)

    async def _reopen(self, session_id: str, form: Form) -> None:
        """Reopen a session that Redis lost, if Twilio shows the caller alone."""
        inbound = self._routing.inbound(form)
        try:
            conference = conference_sid_of(form)
            if not inbound.agents or call_of_visit(session_id) != call_sid_of(form):
                return
            received = call_received(form, inbound, SessionMode.CONFERENCE, self._routing.caller(form))
            event = replace(received, session_id=session_id)
        except MalformedCallbackError:
            return  # without caller and callee there is nothing to publish
        # The music plays even if Twilio's answer can't be parsed.
        with contain(ItemKind.WEBHOOK, self._metrics, session_id=session_id):
            try:
                async with asyncio.timeout(_OPENING_DEADLINE_S):
                    if not await self._twilio.is_alone(conference, event.call_sid):  # so no agent is dialed again
                        return
                    # If the opening event is only late, it opens the session, and this one changes nothing.
                    await self._store.publish(event, call_sid=event.call_sid)
            except (ProviderError, StoreError, TimeoutError) as error:
                log.warning("session_not_found", session_id=session_id, error_type=type(error).__name__)
            else:
                log.warning("session_reopened", session_id=session_id)
