"""What somebody who waits or is held hears: asked for by Twilio, and again whenever it has been played.

It is what the session says now, since a transfer may have gone on from ringing to music. Whoever calls into a
conference hears the greeting first. Best effort: whoever waits hears something, whatever Redis does.
"""

import asyncio
from dataclasses import replace

import structlog
from aiohttp import web

from runtime.errors import StoreError
from runtime.metrics import Metrics
from runtime.settings import SILENCE, ServiceSettings
from statemachine.states import Tune
from streams.ingest import Ingest, SessionFacts
from telephony.documents import Documents
from telephony.urls import WAIT_PATH, parse_wait
from webhooks.audio import PATHS
from webhooks.form import Form
from webhooks.replies import twiml

log = structlog.get_logger()

#: How long the session is waited for; the caller hears nothing meanwhile.
_STORE_DEADLINE_S = 0.5
#: A call that has just come in may not be decided upon yet: how often its session is asked for again, and how soon.
_ASK_AGAIN_MAX = 5
_ASK_AGAIN_S = 0.05


class WaitRoutes:
    """Answers waitUrl and HoldUrl."""

    def __init__(self, settings: ServiceSettings, documents: Documents, ingest: Ingest, metrics: Metrics) -> None:
        own = {tune: settings.public_url + path for tune, path in PATHS.items()}
        chosen = {Tune.RINGBACK: settings.ringback, Tune.MUSIC: settings.music}
        #: URL of the audio by tune, None for silence.
        self._audio = {tune: None if url == SILENCE else url or own[tune] for tune, url in chosen.items()}
        self._greeting = settings.greeting or ""
        self._documents = documents
        self._ingest = ingest
        self._metrics = metrics

    async def wait(self, _form: Form, query: str) -> web.Response:
        """What the party shall hear now."""
        wait = parse_wait(query)
        facts = await self._facts(wait.session_id)
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

    async def _facts(self, session_id: str) -> SessionFacts | None:
        """The session, None where Redis does not know it or can't be read in time."""
        try:
            async with asyncio.timeout(_STORE_DEADLINE_S):
                facts = await self._ingest.read(session_id)
                for _ in range(_ASK_AGAIN_MAX):
                    if facts is not None:
                        break
                    await asyncio.sleep(_ASK_AGAIN_S)
                    facts = await self._ingest.read(session_id)
                return facts
        except (StoreError, TimeoutError) as error:
            self._metrics.webhooks_without_store.labels(WAIT_PATH).inc()
            log.warning("tune_unread", session_id=session_id, error_type=type(error).__name__)
            return None
