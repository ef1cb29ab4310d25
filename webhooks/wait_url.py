"""What somebody who waits or is held hears: asked for by Twilio, and again whenever it has been played.

It is what the session says now, since a transfer may have gone on from ringing to music. Whoever calls into a
conference hears the greeting first. Best effort: whoever waits hears something, whatever Redis does.
"""

import asyncio
from dataclasses import replace

import structlog
from aiohttp import web

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ProviderError, StoreError
from conferral.runtime.outage import log_unreachable
from conferral.runtime.settings import SILENCE
from conferral.statemachine.events import AccountSwept
from conferral.statemachine.states import SessionMode, WaitAudio
from conferral.storage.ingest.port import ReplayedCallError, SessionView
from conferral.telephony.callback_events import MalformedCallbackError, conference_sid_of
from conferral.telephony.callback_urls import WAIT_PATH, parse_wait
from conferral.webhooks.audio_files import PATHS
from conferral.webhooks.call_routing import call_received_event
from conferral.webhooks.dependencies import Dependencies
from conferral.webhooks.form import Form
from conferral.webhooks.responses import twiml_response

log = structlog.get_logger()

#: How long the session is waited for; the caller hears nothing meanwhile.
_STORE_DEADLINE_S = 0.5
#: The same for opening again the session of a caller who has been forgotten; tried again whenever his music ends.
_OPENING_DEADLINE_S = 3.0
#: A call that has just come in may not be decided upon yet: how often its session is asked for again, and how soon.
_ASK_AGAIN_MAX = 5
_ASK_AGAIN_S = 0.05
#: What the event names as its finding that tells of music for a session that nobody knows.
UNKNOWN = "session-unknown"


class WaitRoutes:
    """Answers waitUrl and HoldUrl."""

    def __init__(self, dependencies: Dependencies) -> None:
        settings = dependencies.settings
        own = {audio: settings.public_url + path for audio, path in PATHS.items()}
        chosen = {WaitAudio.RINGBACK: settings.ringback, WaitAudio.MUSIC: settings.music}
        #: URL of the audio by tune, None for silence.
        self._audio = {audio: None if url == SILENCE else url or own[audio] for audio, url in chosen.items()}
        self._greeting = settings.greeting or ""
        self._documents = dependencies.documents
        self._routing = dependencies.routing
        self._ingest = dependencies.ingest
        self._twilio = dependencies.twilio
        self._metrics = dependencies.metrics

    async def wait(self, form: Form, query: str) -> web.Response:
        """What the party shall hear now."""
        params = parse_wait(query)
        view = await self._load_view(params.session_id, form, opens=params.opens_session)
        if params.with_greeting:
            text = view.attributes.greeting if view else ""
            return twiml_response(self._documents.greeting(params, text or self._greeting))
        party = view.parties.get(params.party) if view else None
        playing = replace(params, wait_audio=(party.wait_audio if party else WaitAudio.NONE) or params.wait_audio)
        return twiml_response(self._documents.wait(playing, audio_url=self._audio_url(playing.wait_audio, view)))

    def _audio_url(self, audio: WaitAudio, view: SessionView | None) -> str | None:
        """The audio; the number that was called may have music of its own."""
        own_music = view.attributes.wait_url if view and audio is WaitAudio.MUSIC else ""
        return own_music or self._audio[audio]

    async def _load_view(self, session_id: str, form: Form, *, opens: bool) -> SessionView | None:
        """The session, None where Redis does not know it or can't be read in time.

        Args:
            session_id: Which.
            form: The form of the call that waits.
            opens: Whether it is a caller who waits for the first agent.
        """
        try:
            async with asyncio.timeout(_STORE_DEADLINE_S):
                view = await self._ingest.read(session_id)
                for _ in range(_ASK_AGAIN_MAX):
                    if view is not None:
                        break
                    await asyncio.sleep(_ASK_AGAIN_S)
                    view = await self._ingest.read(session_id)
        except (StoreError, TimeoutError) as error:
            self._metrics.webhook_store_errors.labels(WAIT_PATH).inc()
            log_unreachable(error, url_path=WAIT_PATH, session_id=session_id)
            return None
        if view is None and opens:
            await self._reopen(session_id, form)
        elif view is None:
            await self._tell_unknown(session_id, form)
        return view

    async def _tell_unknown(self, session_id: str, form: Form) -> None:
        """Tell the workers that someone hears music of a session that nobody knows: they search for its conference."""
        try:
            room = conference_sid_of(form)
            event = AccountSwept(
                session_id=session_id, token=f"{UNKNOWN}:{room}", finding=UNKNOWN, conference_sid=room
            )  # fmt: skip
            async with asyncio.timeout(_STORE_DEADLINE_S):
                await self._ingest.publish(event)
        except MalformedCallbackError:
            return  # they are in no conference
        except (StoreError, TimeoutError) as error:
            log_unreachable(error, url_path=WAIT_PATH, session_id=session_id)

    async def _reopen(self, session_id: str, form: Form) -> None:
        """Tells once more of a caller who waits, Twilio says so, and of whom nobody knows: what told of him was lost.

        Where that is only late, the session is opened by what comes first, and this changes nothing. Where somebody is
        being called for him, or is with him, nobody is called again: the workers search for that conference.
        """
        inbound = self._routing.inbound(form)
        try:
            conference = conference_sid_of(form)
            event = call_received_event(form, inbound, SessionMode.CONFERENCE) if inbound.agents else None
        except MalformedCallbackError:
            return  # without who calls and whom there is nothing to tell
        if event is None or event.session_id != session_id:
            return
        # The music plays even if an odd answer of Twilio's can't be read.
        with contain(ItemKind.WEBHOOK, self._metrics, session_id=session_id):
            try:
                async with asyncio.timeout(_OPENING_DEADLINE_S):
                    if not await self._twilio.is_alone(conference, event.call_sid):
                        await self._tell_unknown(session_id, form)
                        return
                    await self._ingest.publish(event, call_sid=event.call_sid)
            except (ProviderError, StoreError, TimeoutError, ReplayedCallError) as error:
                log.warning("session_not_found", session_id=session_id, error_type=type(error).__name__)
            else:
                log.warning("session_reopened", session_id=session_id)
