"""What somebody who waits or is held hears: asked for by Twilio, and again whenever it has been played.

It is what the session says now, since a transfer may have gone on from ringing to music. Whoever calls into a
conference hears the greeting first. Best effort: whoever waits hears something, whatever Redis does.
"""

import asyncio
from dataclasses import replace

import structlog
from aiohttp import web

from conferral.runtime.containment import Where, contain
from conferral.runtime.errors import ProviderError, StoreError
from conferral.runtime.outage import note_unreachable
from conferral.runtime.settings import SILENCE
from conferral.statemachine.events import AccountSwept
from conferral.statemachine.states import SessionMode, Tune
from conferral.storage.ingest import ReplayedRequestError, SessionFacts
from conferral.telephony.callbacks import MalformedCallbackError, conference_sid_of
from conferral.telephony.urls import WAIT_PATH, parse_wait
from conferral.webhooks.audio import PATHS
from conferral.webhooks.form import Form
from conferral.webhooks.means import Means
from conferral.webhooks.replies import twiml
from conferral.webhooks.routing import received

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

    def __init__(self, means: Means) -> None:
        settings = means.settings
        own = {tune: settings.public_url + path for tune, path in PATHS.items()}
        chosen = {Tune.RINGBACK: settings.ringback, Tune.MUSIC: settings.music}
        #: URL of the audio by tune, None for silence.
        self._audio = {tune: None if url == SILENCE else url or own[tune] for tune, url in chosen.items()}
        self._greeting = settings.greeting or ""
        self._documents = means.documents
        self._routing = means.routing
        self._ingest = means.ingest
        self._child_lookup = means.child_lookup
        self._metrics = means.metrics

    async def wait(self, form: Form, query: str) -> web.Response:
        """What the party shall hear now."""
        wait = parse_wait(query)
        facts = await self._facts(wait.session_id, form, opens=wait.opens)
        if wait.greets:
            text = facts.attributes.greeting if facts else ""
            return twiml(self._documents.greeting(wait, text or self._greeting))
        party = facts.parties.get(wait.party) if facts else None
        playing = replace(wait, tune=(party.tune if party else Tune.NONE) or wait.tune)
        return twiml(self._documents.wait(playing, audio_url=self._audio_url(playing.tune, facts)))

    def _audio_url(self, tune: Tune, facts: SessionFacts | None) -> str | None:
        """The audio; the number that was called may have music of its own."""
        own_music = facts.attributes.wait_url if facts and tune is Tune.MUSIC else ""
        return own_music or self._audio[tune]

    async def _facts(self, session_id: str, form: Form, *, opens: bool) -> SessionFacts | None:
        """The session, None where Redis does not know it or can't be read in time.

        Args:
            session_id: Which.
            form: The form of the call that waits.
            opens: Whether it is a caller who waits for the first agent.
        """
        try:
            async with asyncio.timeout(_STORE_DEADLINE_S):
                facts = await self._ingest.read(session_id)
                for _ in range(_ASK_AGAIN_MAX):
                    if facts is not None:
                        break
                    await asyncio.sleep(_ASK_AGAIN_S)
                    facts = await self._ingest.read(session_id)
        except (StoreError, TimeoutError) as error:
            self._metrics.webhooks_without_store.labels(WAIT_PATH).inc()
            note_unreachable(error, url_path=WAIT_PATH, session_id=session_id)
            return None
        if facts is None and opens:
            await self._open_again(session_id, form)
        elif facts is None:
            await self._tell_unknown(session_id, form)
        return facts

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
            note_unreachable(error, url_path=WAIT_PATH, session_id=session_id)

    async def _open_again(self, session_id: str, form: Form) -> None:
        """Tells once more of a caller who waits, Twilio says so, and of whom nobody knows: what told of him was lost.

        Where that is only late, the session is opened by what comes first, and this changes nothing. Where somebody is
        being called for him, or is with him, nobody is called again: the workers search for that conference.
        """
        inbound = self._routing.inbound(form)
        try:
            room = conference_sid_of(form)
            event = received(form, inbound, SessionMode.CONFERENCE) if inbound.agents else None
        except MalformedCallbackError:
            return  # without who calls and whom there is nothing to tell
        if event is None or event.session_id != session_id:
            return
        # The music plays even if an odd answer of Twilio's can't be read.
        with contain(Where.WEBHOOK, self._metrics, session_id=session_id):
            try:
                async with asyncio.timeout(_OPENING_DEADLINE_S):
                    if not await self._child_lookup.is_alone(room, event.call_sid):
                        await self._tell_unknown(session_id, form)
                        return
                    await self._ingest.publish(event, call_sid=event.call_sid)
            except (ProviderError, StoreError, TimeoutError, ReplayedRequestError) as error:
                log.warning("session_unopened", session_id=session_id, error_type=type(error).__name__)
            else:
                log.warning("session_opened_again", session_id=session_id)
