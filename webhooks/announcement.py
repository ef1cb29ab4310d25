"""Announcement URL: TwiML that plays an `announce` command's message."""

import structlog
from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.outage import log_unreachable
from conferral.telephony import probe
from conferral.telephony.callback_urls import ANNOUNCEMENT_PATH, Announcement
from conferral.webhooks.dependencies import Routes
from conferral.webhooks.form import Form
from conferral.webhooks.responses import store_deadline, twiml_response

log = structlog.get_logger()


class AnnouncementRoutes(Routes):
    """Answers AnnounceUrl."""

    async def announcement(self, _form: Form, query: str) -> web.Response:
        """Return the pending message; 404 if there is none, 503 without Redis."""
        announcement = Announcement.parse(query)
        try:
            async with store_deadline():
                view = await self._ingest.read(announcement.session_id)
        except StoreError as error:  # answered with an error, so that Twilio reports the announcement as failed
            self._metrics.webhook_store_errors.labels(ANNOUNCEMENT_PATH).inc()
            log_unreachable(error, url_path=ANNOUNCEMENT_PATH, session_id=announcement.session_id)
            return web.Response(status=503)
        commands = view.pending_commands if view else ()
        sentence = next((command.say for command in commands if command.command_id == announcement.command_id), "")
        if sentence:
            return twiml_response(self._documents.announcement(sentence))
        if announcement.session_id == probe.SESSION:
            log.debug("probe_answered", url_path=ANNOUNCEMENT_PATH, status=404)
        else:
            log.warning("announcement_unknown", session_id=announcement.session_id, command_id=announcement.command_id)
        return web.Response(status=404)
