"""Rescue: answers a voice request whose handler failed unexpectedly.

The caller waits for TwiML. So the same handler runs once more without Redis, and asks again where it can. If that
fails, too, a new caller is bridged to the first agent, using only fields that every call has.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreUnaskedError
from conferral.storage.ingest.writer import BatchingIngest
from conferral.telephony.addresses import parse_address
from conferral.telephony.callback_events import call_sid_of, is_outbound_leg
from conferral.telephony.callback_urls import DIAL_ACTION_PATH, FALLBACK_PATH, GATE_PATH, WAIT_PATH
from conferral.telephony.phrases import Phrase
from conferral.webhooks.authentication import Form
from conferral.webhooks.responses import Dependencies, Routes, twiml_response
from conferral.webhooks.voice import CONFERENCE_START_PATH, INBOUND_PATH
from conferral.webhooks.voice_client import CLIENT_PATH

#: Answers an authenticated request: its form and its raw query.
Action = Callable[[Form, str], Awaitable[web.Response]]

#: The voice URLs: whatever a signed request contains, the caller hears a message.
VOICE_URL_PATHS = frozenset({INBOUND_PATH, CONFERENCE_START_PATH, CLIENT_PATH, FALLBACK_PATH})
#: Paths whose caller waits for TwiML. Twilio repeats the others after a 500, or a sweep finds out.
_RESCUED = VOICE_URL_PATHS | {DIAL_ACTION_PATH, GATE_PATH, WAIT_PATH}
_NEW_CALLS = frozenset({INBOUND_PATH, CONFERENCE_START_PATH})


class NoRedisIngest(BatchingIngest):
    """An ingest that never contacts Redis."""

    def __init__(self) -> None:
        """Keep nothing: no other method of the base class is called."""

    async def _refuse(self, *_args: Any, **_options: Any) -> Any:
        raise StoreUnaskedError("answered without Redis")

    publish = publish_and_read = read = session_of = newest_session = claim_visit = _refuse
    claim_gate = exceeds_call_limit = uncount_call = _refuse

    def restarted_recently(self) -> bool:
        """Return False; there is no Redis to ask."""
        return False


class Rescue(Routes):
    """Answers instead of a handler that has failed."""

    def __init__(self, dependencies: Dependencies, handlers_without_redis: Mapping[str, Action]) -> None:
        super().__init__(dependencies)
        self._handlers_without_redis = handlers_without_redis

    async def answer(self, path: str, form: Form, query: str, passing: tuple[type[Exception], ...]) -> web.Response:
        """Return TwiML for a waiting caller, else 500. Raise errors of `passing`."""
        if path not in _RESCUED:
            return web.Response(status=500)
        with contain(ItemKind.WEBHOOK, self._metrics, passing=passing, url_path=path):
            return await self._handlers_without_redis[path](form, query)
        with contain(ItemKind.WEBHOOK, self._metrics, passing=passing, url_path=path):
            if path in _NEW_CALLS or (path == FALLBACK_PATH and not is_outbound_leg(form)):
                return twiml_response(self._bridge_to_first_agent(form))
        if path in VOICE_URL_PATHS:
            return twiml_response(self._documents.say_and_hang_up(Phrase.UNREACHABLE))
        return web.Response(status=500)  # Twilio then requests the fallback URL

    def _bridge_to_first_agent(self, form: Form) -> str:
        agents = self._routing.inbound(form).agents
        if not agents:
            return self._documents.say_and_hang_up(Phrase.NO_ONE_AVAILABLE)
        return self._documents.bridge_to_agent(
            call_sid_of(form),
            parse_address(agents[0]),
            caller="",
            own_number=self._settings.number,
            ring_timeout_s=self._settings.ring_timeout_s,
            of_call=True,
        )
