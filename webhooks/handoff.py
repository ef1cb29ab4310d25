"""`/voice/handoff`: a bot, an IVR, or your app hands a live call over."""

import json
from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web

from conferral.statemachine.states import CallStatus
from conferral.telephony.callback_urls import HANDOFF_PATH, split_request_number
from conferral.telephony.twiml import END_OF_DOCUMENT, HANG_UP
from conferral.webhooks.authentication import Form
from conferral.webhooks.handoff_options import HandoffParser
from conferral.webhooks.handoff_values import with_options
from conferral.webhooks.responses import Dependencies, Routes, twiml_response
from conferral.webhooks.voice import VoiceRoutes

log = structlog.get_logger()

#: Longest `HandoffData` that is read (bytes).
_DATA_MAX = 65_536


class HandoffRoutes(Routes):
    """Answers `/voice/handoff`."""

    def __init__(self, dependencies: Dependencies, *, voice: VoiceRoutes, parser: HandoffParser) -> None:
        super().__init__(dependencies)
        self._voice = voice
        self._parser = parser

    async def handoff(self, form: Form, query: str) -> web.Response:
        """Answer a live call that your app hands over."""
        call_sid = form.get("CallSid", "")
        if form.get("CallStatus") == CallStatus.COMPLETED:
            return twiml_response(END_OF_DOCUMENT)
        data = with_options(self._data(call_sid, form.get("HandoffData", "")))
        if data.get("handoff") is False or data.get("handoff") == "false":
            log.info("handoff_declined", call_sid=call_sid)
            return twiml_response(HANG_UP)
        options, number = split_request_number(query)
        requested = self._parser.parse(call_sid, options, data)
        # A destination of its own has no hours.
        inbound = self._routing.inbound(form) if requested.to else self._route_of_new_call(form)
        inbound = requested.applied_to(inbound)
        if not requested.to:
            inbound = await self._voice.judged(form, inbound)
        log.info("handoff_received", call_sid=call_sid)
        return await self._voice.receive(
            form,
            inbound,
            route=HANDOFF_PATH,
            request_number=number,
            repeat_query=options,
            handed_off=True,
            ref=requested.ref,
        )

    def _data(self, call_sid: str, text: str) -> Mapping[str, Any]:
        """Return the object in `HandoffData`; an empty one if it is none."""
        if not text:
            return {}
        reason = "too long"
        if len(text.encode(errors="replace")) <= _DATA_MAX:
            try:
                found = json.loads(text)
                if isinstance(found, str):  # a bot has encoded it twice
                    found = json.loads(found)
            except (ValueError, RecursionError):
                reason = "not JSON"
            else:
                if isinstance(found, dict):
                    return found
                reason = "not an object"
        log.warning("handoff_data_ignored", call_sid=call_sid, reason=reason)
        self._metrics.handoff_options_ignored.labels("HandoffData").inc()
        return {}
