"""What somebody who waits or is held hears: asked for by Twilio, and again whenever it has been played.

It is what the session says now, since a transfer may have gone on from ringing to music. Best effort: whoever waits
hears something, whatever Redis does.
"""

import asyncio
from dataclasses import replace

import structlog
from aiohttp import web

from runtime.errors import StoreError
from runtime.metrics import Metrics
from runtime.settings import SILENCE, ServiceSettings
from statemachine.states import Tune
from streams.ingest import Ingest
from telephony.documents import Documents
from telephony.urls import WAIT_PATH, Wait, parse_wait
from webhooks.audio import PATHS
from webhooks.form import Form
from webhooks.replies import twiml

log = structlog.get_logger()

#: How long the session is waited for; the caller hears nothing meanwhile.
_STORE_DEADLINE_S = 0.5


class WaitRoutes:
    """Answers waitUrl and HoldUrl."""

    def __init__(self, settings: ServiceSettings, documents: Documents, ingest: Ingest, metrics: Metrics) -> None:
        own = {tune: settings.public_url + path for tune, path in PATHS.items()}
        chosen = {Tune.RINGBACK: settings.ringback, Tune.MUSIC: settings.music}
        #: URL of the audio by tune, None for silence.
        self._audio = {tune: None if url == SILENCE else url or own[tune] for tune, url in chosen.items()}
        self._documents = documents
        self._ingest = ingest
        self._metrics = metrics

    async def wait(self, _form: Form, query: str) -> web.Response:
        """What the party shall hear now."""
        wait = parse_wait(query)
        playing = replace(wait, tune=await self._tune_now(wait))
        return twiml(self._documents.wait(playing, audio_url=self._audio[playing.tune]))

    async def _tune_now(self, wait: Wait) -> Tune:
        """The party's tune as the session says; the URL's where it says nothing or can't be read in time."""
        try:
            async with asyncio.timeout(_STORE_DEADLINE_S):
                facts = await self._ingest.read(wait.session_id)
        except (StoreError, TimeoutError) as error:
            self._metrics.webhooks_without_store.labels(WAIT_PATH).inc()
            log.warning("tune_unread", session_id=wait.session_id, error_type=type(error).__name__)
            return wait.tune
        party = facts.parties.get(wait.party) if facts else None
        return (party.tune if party else Tune.NONE) or wait.tune
