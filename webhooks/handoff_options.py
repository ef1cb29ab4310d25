"""What a hand-off asks for.

Options come in the URL, which Twilio signs, or in `HandoffData`, which a caller can talk a language model into writing.
An invalid option is ignored and logged: bad data never keeps the caller from a person. Speech and context are cut
to fit. What costs money counts only in the URL.
Source: Twilio docs, TwiML `<Connect>`, `action`, and `<ConversationRelay>`, "HandoffData".
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl

import structlog

from conferral.commands import field_values
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.parts import CONFIRM_FOR_S, DEFAULT_OPTIONS, DialOptions
from conferral.statemachine.places import is_url
from conferral.statemachine.states import Place, SessionMode
from conferral.telephony.addresses import (
    AddressError,
    AllowList,
    is_name,
    parse_address,
    resolve_address,
    restore_plus,
)
from conferral.telephony.directory import InboundRoute, handoff_allow_list
from conferral.telephony.fallbacks import NOT_FOR_INBOUND, AddressRules
from conferral.webhooks.handoff_values import fit_params, json_text, speech_of

log = structlog.get_logger()

_DATA = "HandoffData"
#: In a fallback, the URL in `back`.
_BACK = "back"
_STRICT: Mapping[str, field_values.Value] = {
    "mode": field_values.CALL_MODE, "confirm": field_values.FLAG, "amd": field_values.FLAG,
    "timeout": field_values.RING_TIME, "confirm_for": field_values.CONFIRM_TIME,
    "ref": field_values.REF, "to": field_values.DESTINATION,
    "fallback": field_values.FALLBACK, "back": field_values.URL,
}  # fmt: skip
_OPTIONS = (*_STRICT, "brief", "params")
#: Options whose value in the URL may be a number; and of these, those that may be a list.
_WITH_NUMBERS, _LISTS = frozenset({"to", "fallback", "ref"}), frozenset({"to", "fallback"})
#: Any other unknown name may hold what must not be logged, such as a phone number.
_LOGGABLE_NAME = re.compile(r"[A-Za-z_]{1,20}")
#: Names in a log line (count).
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
    fallback: tuple[str, ...] = field(default=(), repr=False)

    def applied_to(self, inbound: InboundRoute) -> InboundRoute:
        """Return the number's route with what the hand-off asks for."""
        places = self.fallback or inbound.fallback
        if self.to:  # it has no queue
            places = tuple(place for place in places if place != Place.QUEUE) or (Place.END,)
        asked, of_number = self.options, inbound.options
        options = replace(
            asked,
            confirm=asked.confirm or of_number.confirm,
            confirm_for_s=asked.confirm_for_s or (CONFIRM_FOR_S if self.to else of_number.confirm_for_s),
        )
        agents = (self.to,) if self.to else inbound.agents
        return replace(inbound, agents=agents, mode=self.mode, options=options, fallback=places)


#: For a caller whom no app has handed over.
NO_HANDOFF = Handoff()


class HandoffParser:
    """Reads the options of a hand-off; each is checked alone."""

    def __init__(
        self, settings: ServiceSettings, names: Callable[[], Mapping[str, str]], allowed: AllowList, metrics: Metrics
    ) -> None:
        self._names = names
        self._metrics = metrics
        self._allowed = allowed
        self._allowed_in_data = handoff_allow_list(settings)
        self._return_urls = settings.return_urls
        self._ring_timeout_s = settings.ring_timeout_s

    def parse(self, call_sid: str, query: str, data: Mapping[str, Any]) -> Handoff:
        """Return the valid options; the URL's win over those of the data."""
        sources: dict[str, Mapping[str, Any]] = {"url": dict(map(_with_plus, parse_qsl(query))), _DATA: data}
        self._report_unknown(call_sid, "url", sources["url"].keys() - {*_OPTIONS})
        self._report_unknown(call_sid, _DATA, data.keys() - {*_OPTIONS} - {"handoff"})
        back = self._first_valid(call_sid, sources, _BACK) or ()
        found = {name: self._first_valid(call_sid, sources, name, back) for name in _OPTIONS if name != _BACK}
        found = {name: value for name, value in found.items() if value is not None}
        mode = SessionMode(found.get("mode", SessionMode.CONFERENCE))
        if found.get("amd") and mode is SessionMode.BRIDGE:
            log.info("handoff_option_ignored", call_sid=call_sid, option="mode", reason="amd needs a conference")
            mode = SessionMode.CONFERENCE
        options = DialOptions(
            brief=found.get("brief", ""),
            confirm=found.get("confirm", False),
            confirm_for_s=found.get("confirm_for", 0),
            timeout_s=found.get("timeout", 0),
            params=found.get("params", ""),
            amd=found.get("amd", False),
        )
        return Handoff(mode, found.get("to", ""), options, found.get("ref", ""), found.get("fallback", back))

    def _report_unknown(self, call_sid: str, source: str, unknown: Collection[str]) -> None:
        """Log and count names that no option has."""
        if not unknown:
            return
        about = {"call_sid": call_sid, "option": "unknown", "where": source, **_named(unknown)}
        if source == "url":
            log.warning("handoff_option_ignored", **about, reason="no option has this name")
        else:  # bots may add data for other apps
            log.info("handoff_option_ignored", **about, reason="no option has this name")
        self._metrics.handoff_options_ignored.labels("unknown").inc(len(unknown))

    def _first_valid(
        self, call_sid: str, sources: Mapping[str, Mapping[str, Any]], name: str, back: tuple[str, ...] = ()
    ) -> Any:
        values = (self._checked(call_sid, source, name, given.get(name), back) for source, given in sources.items())
        return next((value for value in values if value is not None), None)

    def _checked(self, call_sid: str, source: str, name: str, given: Any, back: tuple[str, ...]) -> Any:
        """Return an option's value; None if it is absent or invalid."""
        given = given.strip() if isinstance(given, str) else given
        if given in (None, ""):
            return None
        try:
            if name not in _STRICT:
                return self._fitted(call_sid, source, name, given)
            return self._parse(source, name, _STRICT[name].parse(_as_text(name, given)), back)
        except (ValueError, AddressError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            self._report_ignored(call_sid, source, name, reason=reason)
            return None

    def _parse(self, source: str, name: str, value: Any, back: tuple[str, ...]) -> Any:
        """Return a well-formed option's value; raise an error if not allowed."""
        is_data = source == _DATA
        if name == "to":
            return self._resolve(value, is_data=is_data)
        if name == _BACK:
            return AddressRules({}, self._allowed, self._return_urls).parse(_one_place(value), without=frozenset())
        if name == "fallback":
            return self._parse_fallback(value, back, is_data=is_data)
        if is_data and ((name == "amd" and value) or (name == "timeout" and value > self._ring_timeout_s)):
            raise ValueError("costs money: counts only in the URL")
        return value

    def _fitted(self, call_sid: str, source: str, name: str, given: Any) -> str | None:
        """Return speech or params, as far as they fit; None for nothing."""
        if name == "params":
            kept, dropped = fit_params(given)
            if dropped:
                self._report_ignored(call_sid, source, name, **_named(dropped), reason="too long, or not valid")
            return kept or None
        speech, lost = speech_of(given)
        if lost:
            log.info("handoff_option_cut", call_sid=call_sid, option=name, where=source, count=lost)
        return speech or None

    def _report_ignored(self, call_sid: str, source: str, name: str, **about: Any) -> None:
        log.warning("handoff_option_ignored", call_sid=call_sid, option=name, where=source, **about)
        self._metrics.handoff_options_ignored.labels(name).inc()

    def _resolve(self, text: str, *, is_data: bool) -> str:
        address = resolve_address(text, self._names(), self._allowed)
        if is_data and not is_name(text):
            self._allowed_in_data.check(address)
        return address.text

    def _parse_fallback(self, given: tuple[str, ...], back: tuple[str, ...], *, is_data: bool) -> tuple[str, ...]:
        places = tuple(filter(None, given))
        if _BACK in places and not back:
            raise ValueError("back is not given")
        places = tuple(chain.from_iterable(back if place == _BACK else (place,) for place in places))
        for place in places:
            if is_data and not (is_name(place) or is_url(place)):
                self._allowed_in_data.check(parse_address(place))
        rules = AddressRules(self._names(), self._allowed, self._return_urls)
        return rules.check(places, without=NOT_FOR_INBOUND)


def _with_plus(option: tuple[str, str]) -> tuple[str, str]:
    """Return an option of the URL, with the plus signs of its numbers."""
    name, value = option
    parts = value.split(",") if name in _LISTS else [value]
    return name, ",".join(map(restore_plus, parts)) if name in _WITH_NUMBERS else value


def _as_text(name: str, value: Any) -> Any:
    """Return a number or a list of JSON in the form that it has in a URL."""
    if name == "ref" and isinstance(value, int | float) and not isinstance(value, bool):
        return json_text(value)
    if name == "fallback" and isinstance(value, list) and all(isinstance(place, str) for place in value):
        return ",".join(_one_place(place) if is_url(place.strip()) else place for place in value)
    return value


def _one_place(url: str) -> str:
    """Return a URL whose commas separate no places."""
    return url.replace(",", "%2C")


def _named(names: Collection[str]) -> dict[str, Any]:
    """Return the names that may be logged, and how many there are."""
    shown = sorted(filter(_LOGGABLE_NAME.fullmatch, names))[:_NAMES_MAX]
    return {"names": ", ".join(shown), "count": len(names)}
