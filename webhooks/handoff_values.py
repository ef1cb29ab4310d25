"""Values of a hand-off, as bots and apps write them: fitted, not refused.

Speech and context of a caller are worth more cut than dropped. Commands are strict: see `field_values`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode

from conferral.commands import field_values
from conferral.runtime.limits import NO_TEXT, NOT_IN_XML, SPOKEN_MAX, SURROGATES
from conferral.telephony.addresses import restore_plus

#: What speech can't contain, but for white space and control characters.
_UNSPEAKABLE = re.compile(f"[{SURROGATES}{NOT_IN_XML}]")
_SPACES = re.compile(rf"[\s{NO_TEXT}]+")
_SENTENCE_END = re.compile(r"[.!?\u2026](?= )|[\u3002\uff01\uff1f]")
#: A sentence or word that ends earlier than this leaves too much unsaid (characters).
_CUT_FROM = SPOKEN_MAX // 2
#: What Twilio Agent Connect sends: none of it is an option of ours.
_AGENT_CONNECT = frozenset({"conversationId", "storeId", "profileId", "attributes"})


def json_text(value: Any) -> str:
    """Return a value of JSON as text, such as `true`; text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def with_options(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options in a payload of Twilio Agent Connect; others stay.

    Names inside `attributes` are never options, and an option next to them wins.
    Source: its package twilio-agent-connect 2.5.0, `tac.models.handoff` and `tac.tools.handoff`.

    >>> with_options({"conversationId": "C1", "attributes": {"reason": "Refund", "vip": True, "to": "client:x"}})
    {'brief': 'Refund', 'ref': 'C1', 'params': {'vip': True, 'to': 'client:x'}}
    """
    ref, attributes = data.get("conversationId"), data.get("attributes")
    if not isinstance(ref, str) or not isinstance(attributes, dict):
        return data
    params = {name: value for name, value in attributes.items() if isinstance(value, str | int | float)}
    brief = params.pop("reason", attributes.get("reason"))
    given = {name: value for name, value in data.items() if name not in _AGENT_CONNECT and value not in (None, "")}
    return {"brief": brief, "ref": ref, "params": params} | given


def speech_of(value: Any) -> tuple[str, int]:
    """Return what may be spoken of a text, and how many characters don't fit.

    It is cut after a sentence or a word.
    """
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004  # one kind of error for all invalid input
    text = _SPACES.sub(" ", _UNSPEAKABLE.sub("", value)).strip()
    if len(text) <= SPOKEN_MAX:
        return text, 0
    ends = [end for found in _SENTENCE_END.finditer(text, 0, SPOKEN_MAX + 1) if (end := found.end()) <= SPOKEN_MAX]
    ends = [*ends[-1:], text.rfind(" ", 0, SPOKEN_MAX + 1), SPOKEN_MAX]
    speech = text[: next(end for end in ends if end >= _CUT_FROM)]
    return speech, len(text) - len(speech)


def fit_params(value: Any) -> tuple[str, list[str]]:
    """Return the params that fit, URL-encoded, and the names of the others."""
    kept, dropped = "", list[str]()
    for name, one in _pairs(value):
        try:
            pair = field_values.PARAMS.parse(urlencode({name: json_text(one)}, quote_via=quote, safe=""))
        except (ValueError, RecursionError):
            pair = ""
        joined = f"{kept}&{pair}" if kept else pair
        if pair and len(joined) <= field_values.PARAMS_MAX:
            kept = joined
        else:
            dropped.append(name)
    return kept, dropped


def _pairs(value: Any) -> Iterable[tuple[str, Any]]:
    """Return names and values of an object, or of text that is URL-encoded."""
    if isinstance(value, dict):
        return [(name, one) for name, one in value.items() if one is not None]
    if not isinstance(value, str):
        raise ValueError("must be text or an object")  # noqa: TRY004  # one kind of error for all invalid input
    parts = (part.partition("=") for part in value.split("&") if part)
    return [(unquote_plus(name), restore_plus(unquote_plus(text)) if sign else "\0") for name, sign, text in parts]
