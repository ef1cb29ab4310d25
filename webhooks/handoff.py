"""`/voice/handoff`: a bot, an IVR, or your app hands a live call over.

Options come in the URL, which Twilio signs, or in `HandoffData`, which a caller can talk a language model into writing.
An invalid option is ignored and logged: bad data never keeps the caller from a person.
Source: Twilio docs, TwiML `<Connect>`, `action`, and `<ConversationRelay>`, "HandoffData".
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import structlog
from aiohttp import web

from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.parts import DEFAULT_OPTIONS, DialOptions, is_url, split_places
from conferral.statemachine.states import CallStatus, Place, SessionMode
from conferral.storage.commands import field_values
from conferral.telephony.addresses import AddressError, AllowList, is_name, parse_address, resolve_address
from conferral.telephony.callback_urls import HANDOFF_PATH, split_request_number
from conferral.telephony.directory import handoff_allow_list
from conferral.telephony.fallbacks import FallbackRules
from conferral.webhooks.authentication import Form
from conferral.webhooks.responses import Dependencies, Routes, twiml_response
from conferral.webhooks.voice import VoiceRoutes

log = structlog.get_logger()

#: Longest `HandoffData` that is read (characters).
_DATA_MAX = 65_536
#: In a fallback, the URL in `back`.
_BACK = "back"
#: There is no one to call back.
_NOT_POSSIBLE = frozenset({Place.RECALL})
_TEXTS: Mapping[str, field_values.Value] = {
    "mode": field_values.CALL_MODE, "brief": field_values.SPOKEN, "confirm": field_values.FLAG,
    "amd": field_values.FLAG, "timeout": field_values.RING_TIME, "params": field_values.PARAMS,
    "ref": field_values.REF, "to": field_values.DESTINATION, "fallback": field_values.FALLBACK,
    "back": field_values.URL,
}  # fmt: skip
#: Any other unknown name may hold what must not be logged, such as a phone number.
_LOGGABLE_NAME = re.compile(r"[A-Za-z_]{1,20}")
#: Unknown names in a log line (count).
_NAMES_MAX = 10


@dataclass(frozen=True, slots=True)
class Handoff:
    """What a hand-off asks for, as far as it is valid."""

    mode: SessionMode = SessionMode.CONFERENCE
    #: Address of the destination; empty for the agents of the number.
    to: str = field(default="", repr=False)
    options: DialOptions = DEFAULT_OPTIONS
    ref: str = ""
    #: Empty for the number's own.
    fallback: str = field(default="", repr=False)


class HandoffParser:
    """Reads the options of a hand-off; each is checked alone."""

    def __init__(self, settings: ServiceSettings, names: Callable[[], Mapping[str, str]], metrics: Metrics) -> None:
        self._names = names
        self._metrics = metrics
        self._allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
        self._allowed_in_data = handoff_allow_list(settings)
        self._return_urls = settings.return_urls

    def parse(self, call_sid: str, query: str, data: Mapping[str, Any]) -> Handoff:
        """Return the valid options; the URL's win over those of the data."""
        sources = {"url": dict(parse_qsl(query)), "HandoffData": data}
        self._report_unknown(call_sid, "url", sources["url"].keys() - _TEXTS.keys())
        self._report_unknown(call_sid, "HandoffData", data.keys() - _TEXTS.keys() - {"handoff"})
        back = self._first_valid(call_sid, sources, _BACK) or ""
        found = {name: self._first_valid(call_sid, sources, name, back) for name in _TEXTS if name != _BACK}
        found = {name: value for name, value in found.items() if value is not None}
        mode = SessionMode(found.get("mode", SessionMode.CONFERENCE))
        if found.get("amd") and mode is SessionMode.BRIDGE:
            log.info("handoff_option_ignored", call_sid=call_sid, option="mode", reason="amd needs a conference")
            mode = SessionMode.CONFERENCE
        options = DialOptions(
            brief=found.get("brief", ""),
            confirm=found.get("confirm", False),
            timeout_s=found.get("timeout", 0),
            params=found.get("params", ""),
            amd=found.get("amd", False),
        )
        return Handoff(mode, found.get("to", ""), options, found.get("ref", ""), found.get("fallback", back))

    def _report_unknown(self, call_sid: str, source: str, unknown: Collection[str]) -> None:
        """Log and count names that no option has."""
        if not unknown:
            return
        names = ", ".join(sorted(filter(_LOGGABLE_NAME.fullmatch, unknown))[:_NAMES_MAX])
        about = {"call_sid": call_sid, "option": "unknown", "where": source, "names": names, "count": len(unknown)}
        if source == "url":
            log.warning("handoff_option_ignored", **about, reason="no option has this name")
        else:  # bots may add data for other apps
            log.info("handoff_option_ignored", **about, reason="no option has this name")
        self._metrics.handoff_options_ignored.labels("unknown").inc(len(unknown))

    def _first_valid(self, call_sid: str, sources: Mapping[str, Mapping[str, Any]], name: str, back: str = "") -> Any:
        values = (self._checked(call_sid, source, name, given.get(name), back) for source, given in sources.items())
        return next((value for value in values if value is not None), None)

    def _checked(self, call_sid: str, source: str, name: str, given: Any, back: str) -> Any:
        """Return an option's value; None if it is absent or invalid."""
        if given in (None, ""):
            return None
        try:
            value = _TEXTS[name].parse(_as_text(name, given))
            if name == "to":
                return self._resolve(value, is_data=source == "HandoffData")
            if name == _BACK:  # one URL: its commas separate no places
                return FallbackRules({}, self._allowed, self._return_urls).parse(value.replace(",", "%2C"))
            if name == "fallback":
                return self._parse_fallback(value, back, is_data=source == "HandoffData")
        except (ValueError, AddressError) as error:
            log.warning("handoff_option_ignored", call_sid=call_sid, option=name, where=source, reason=str(error))
            self._metrics.handoff_options_ignored.labels(name).inc()
            return None
        return value

    def _resolve(self, text: str, *, is_data: bool) -> str:
        address = resolve_address(text, self._names(), self._allowed)
        if is_data and not is_name(text):
            self._allowed_in_data.check(address)
        return address.text

    def _parse_fallback(self, text: str, back: str, *, is_data: bool) -> str:
        places = split_places(text)
        if _BACK in places and not back:
            raise ValueError("back is not given")
        places = tuple(back if place == _BACK else place for place in places)
        for place in places:
            if is_data and not (is_name(place) or is_url(place)):
                self._allowed_in_data.check(parse_address(place))
        rules = FallbackRules(self._names(), self._allowed, self._return_urls)
        return rules.check(places, without=_NOT_POSSIBLE)


class HandoffRoutes(Routes):
    """Answers `/voice/handoff`."""

    def __init__(self, dependencies: Dependencies, *, voice: VoiceRoutes) -> None:
        super().__init__(dependencies)
        self._voice = voice
        names = dependencies.routing.destinations
        self._parser = HandoffParser(dependencies.settings, names, dependencies.metrics)

    async def handoff(self, form: Form, query: str) -> web.Response:
        """Answer a live call that your app hands over."""
        call_sid = form.get("CallSid", "")
        if form.get("CallStatus") == CallStatus.COMPLETED:
            return twiml_response(self._documents.end_of_document())
        data = self._data(call_sid, form.get("HandoffData", ""))
        if data.get("handoff") is False or data.get("handoff") == "false":
            log.info("handoff_declined", call_sid=call_sid)
            return twiml_response(self._documents.hang_up())
        options, number = split_request_number(query)
        requested = self._parser.parse(call_sid, options, data)
        inbound = self._routing.inbound(form)
        inbound = replace(
            inbound,
            agents=(requested.to,) if requested.to else inbound.agents,
            mode=requested.mode,
            fallback=requested.fallback or inbound.fallback,
            options=replace(requested.options, confirm=requested.options.confirm or inbound.options.confirm),
        )
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
        if len(text) <= _DATA_MAX:
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


def _as_text(name: str, value: Any) -> Any:
    """Return an object or a list of JSON in the form that it has in a URL."""
    if name == "params" and isinstance(value, dict):
        return urlencode({str(key): str(text) for key, text in value.items()})
    return ",".join(map(str, value)) if name == "fallback" and isinstance(value, list) else value
