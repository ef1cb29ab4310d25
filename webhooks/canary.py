"""Routes of `conferral canary`: it calls numbers of the account itself."""

from aiohttp import web

from conferral.runtime.errors import StoreError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.states import SessionMode
from conferral.telephony.callback_urls import CANARY_CALLBACK_PATH
from conferral.telephony.twiml import answer_for_canary
from conferral.webhooks.authentication import Form
from conferral.webhooks.responses import Routes, twiml_response


class CanaryRoutes(Routes):
    """Answers `/canary/answer`, and what the canary itself needs."""

    async def answer(self, _form: Form, _query: str) -> web.Response:
        """Answer instead of a person, for a while."""
        return twiml_response(answer_for_canary())

    async def callback(self, form: Form, query: str) -> web.Response:
        """Keep a status callback of the canary's own calls, as it came."""
        try:
            await self._store.keep_canary_callback(form, query)
        except StoreError as error:
            log_unreachable(error, url_path=CANARY_CALLBACK_PATH)
            return web.Response(status=503)
        return web.Response(status=204)

    async def route(self, form: Form, _query: str) -> web.Response:
        """Say whether calls to `To` are bridged to `Agent`, and to no one else.

        The canary asks before it calls: these webhooks may have read another directory.
        """
        route = self._route_of_new_call(form)
        is_bridged = route.mode is not SessionMode.CONFERENCE and route.agents == (form.get("Agent"),)
        return web.Response(status=204 if is_bridged else 409)
