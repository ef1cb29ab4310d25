"""Kinds of command fields: valid values, JSON Schema, and form inputs."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Literal
from unicodedata import category
from urllib.parse import parse_qsl, quote, urlencode

from conferral.runtime.limits import (
    CONFIRM_TIME_MAX_S,
    CONFIRM_TIME_MIN_S,
    IDENTITY_MAX,
    NO_TEXT,
    NOT_IN_XML,
    NUMBER,
    RING_TIME_MAX_S,
    RING_TIME_MIN_S,
    SPOKEN_MAX,
    SPOKEN_RULE,
    SURROGATES,
    URL_MAX,
)
from conferral.runtime.text import join_words, split_list
from conferral.statemachine.ids import (
    ID_PATTERN,
    ID_RULE,
    NO_SID_RULE,
    REFERENCE_PATTERN,
    RESERVED_PATTERN,
    id_error,
)
from conferral.statemachine.parts import TARGETS_MAX
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET
from conferral.statemachine.states import SessionMode
from conferral.storage.codecs.text_codec import from_iso

Form = Literal["destination", "party", "choice", "text", "flag", "seconds"]

#: In characters; each kind of address has a lower limit of its own.
DESTINATION_MAX = 512
#: In characters. Source: Twilio docs, Participants subresource, "Custom parameters".
PARAMS_MAX = 800

#: Letters, marks, and symbols that show nothing. Source: Unicode, DerivedCoreProperties.txt,
#: Default_Ignorable_Code_Point; U+2800 is a blank, too.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
#: Characters of a URL, except for `/?#` and the host's delimiters. Source: RFC 3986, appendix A.
_URL_CHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_HTTP_URL = (
    rf"[hH][tT][tT][pP][sS]?://(?:(?:{_URL_CHAR}|:)*@)?(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?|\[[0-9A-Fa-f:.]+\])"
    rf"(?::[0-9]{{1,5}})?(?:[/?#](?:{_URL_CHAR}|[:@/?#])*)?"
)
#: Names that parties get automatically, the latter with a number appended.
_RESERVED = (CUSTOMER, AGENT, TARGET, SUPERVISOR)
_RESERVED_WITH_NUMBER = (AGENT, SUPERVISOR, "guest")


@dataclass(frozen=True, kw_only=True)
class Value:
    """A kind of field."""

    #: Returns the value for the event; raises ValueError with what is valid.
    parse: Callable[[object], Any]
    #: JSON Schema.
    schema: Mapping[str, Any]
    #: What is valid, for an error.
    rule: str = ""
    form: Form = "text"
    #: Placeholder on the command line.
    metavar: str = "TEXT"
    #: Valid values in words, to follow the field's description; empty if the description says enough.
    format: str = ""
    #: All valid values, if they are a closed list.
    words: tuple[str, ...] = ()
    #: A valid value, as text.
    example: str
    #: What some of them mean.
    meanings: Mapping[str, str] = field(default_factory=dict)


def _text(
    pattern: str,
    rule: str,
    max_length: int | None = None,
    normalize: Callable[[str], Any] = str,
    explain: Callable[[str], str] = lambda _text: "",
    **shown: Any,
) -> Value:
    """Return text that fully matches a pattern, with alternatives in groups.

    Args:
        max_length: In characters; None if the pattern limits it.
        normalize: Checks what no pattern can express, and normalizes or splits the text; raises ValueError with what is
            valid.
        explain: Says what is wrong with a text that does not match, where the rule would say too little; else empty.
    """

    def parse(value: object) -> Any:
        if not isinstance(value, str):
            why = f"must be text, not a list; it {rule}" if isinstance(value, list) else "must be text"
            raise ValueError(why)  # noqa: TRY004  # one kind of error for all invalid input
        is_long = max_length is not None and len(value) > max_length
        if is_long or re.search(f"[{SURROGATES}]", value) or not re.fullmatch(pattern, value):
            raise ValueError(explain(value) or rule)
        return normalize(value)

    bound = {} if max_length is None else {"maxLength": max_length}
    return Value(parse=parse, schema={"type": "string", "pattern": f"^{pattern}$", **bound}, rule=rule, **shown)


def choice(words: Sequence[StrEnum]) -> Value:
    """Return a choice, such as a mode, which refuses any other word."""
    texts = tuple(word.value for word in words)
    format_ = join_words(texts, "or")

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in texts:
            raise ValueError(f"must be {format_}")
        return value

    schema = {"type": "string", "enum": list(texts)}
    meanings = {text: _MEANINGS[text] for text in texts if text in _MEANINGS}
    shown: dict[str, Any] = {"words": texts, "metavar": "|".join(texts), "format": format_, "meanings": meanings}
    return Value(parse=parse, schema=schema, form="choice", example=texts[0], **shown)


def _parse_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def _seconds(min_s: int, max_s: int, pattern: str) -> Value:
    """Return whole seconds within limits; the pattern is that of their text."""

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}", value):
            value = int(value)
        # JSON has one number type: 30.0 equals 30.
        if value not in range(min_s, max_s + 1):
            raise ValueError(f"must be whole seconds, {min_s} to {max_s}")
        return int(value)  # type: ignore[call-overload, no-any-return]

    schema = {
        "anyOf": [{"type": "integer", "minimum": min_s, "maximum": max_s}, {"type": "string", "pattern": pattern}]
    }
    return Value(
        parse=parse,
        schema=schema,
        form="seconds",
        metavar="SECONDS",
        example=str(max_s // 2),
        format=f"{min_s} to {max_s}",
    )


def _check_visible(text: str, rule: str) -> str:
    """Return a text without characters that show nothing or turn direction.

    Two senders could look the same otherwise. Letters, marks, numbers, punctuation, symbols, and spaces are visible.
    Source: Unicode, UAX #44, General_Category.
    """
    if _INVISIBLE.search(text) or any(one != " " and category(one)[0] not in "LMNPS" for one in text):
        raise ValueError(rule)
    return text


def _explain_entries(text: str) -> str:
    """Return what is wrong with a list of destinations, if an entry is empty."""
    return "must have a destination before and after each comma" if "" in map(str.strip, text.split(",")) else ""


def _split_destinations(text: str) -> tuple[str, ...]:
    destinations = split_list(text)
    if len(set(destinations)) < len(destinations):
        raise ValueError("must not name a destination twice")
    return destinations


_ONE = rf"[^,{NO_TEXT}]"
_FIRST = rf"[^ ,{NO_TEXT}]"
_ADDRESS = "a name from the directory, a phone number (+E.164), client:NAME, or sip:URI"
_NUMBERED = "|".join(_RESERVED_WITH_NUMBER)
_TAKEN = ", ".join((*_RESERVED, *(f"{name}-NUMBER" for name in _RESERVED_WITH_NUMBER)))

SESSION = _text(REFERENCE_PATTERN.pattern, ID_RULE, metavar="ID", example="CA0123456789abcdef0123456789abcdef")
NEW_ID = _text(ID_PATTERN.pattern, ID_RULE, explain=id_error, metavar="ID", example="order-7")
NEW_SESSION_ID = _text(
    rf"(?!{RESERVED_PATTERN.pattern}$){ID_PATTERN.pattern}",
    NO_SID_RULE,
    explain=id_error,
    metavar="ID",
    example="order-7",
)
#: The sender of a command appears in a log line.
_SENDER = rf"[^/{NO_TEXT}]{{1,64}}"
_SENDER_RULE = "must be 1 to 64 printable characters without /"
_check_sender = partial(_check_visible, rule=_SENDER_RULE)
SENDER = _text(_SENDER, _SENDER_RULE, 64, _check_sender, example="night shift")
#: In the stream, where the API, the console, and desks put their token's name before the sender.
_AUTHOR_MAX = 64 + 1 + IDENTITY_MAX
AUTHOR = _text(
    rf"(?:{_SENDER}|{_SENDER}/[^/{NO_TEXT}]{{1,{IDENTITY_MAX}}})",
    _SENDER_RULE,
    _AUTHOR_MAX,
    _check_sender,
    example="night shift",
)
#: A sender's own reference, such as a ticket's number.
_REF_RULE = "must be 1 to 64 printable characters"
REF = _text(rf"[^{NO_TEXT}]{{1,64}}", _REF_RULE, 64, partial(_check_visible, rule=_REF_RULE), example="desk/7")
DESTINATION = _text(
    rf"{_ONE}+",
    "must be one destination",
    DESTINATION_MAX,
    form="destination",
    metavar="ADDRESS",
    format=_ADDRESS,
    example="client:bob",
)
DESTINATIONS = _text(
    rf" *{_FIRST}{_ONE}*(?:, *{_FIRST}{_ONE}*){{0,{TARGETS_MAX - 1}}}",
    f"must be 1 to {TARGETS_MAX} destinations, separated by commas",
    TARGETS_MAX * DESTINATION_MAX,
    _split_destinations,
    _explain_entries,
    form="destination",
    metavar="ADDRESS[,…]",
    format=f"{_ADDRESS}; if there are several, all ring",
    example="+14155550145,client:bob",
)
#: Places in order; the router checks each.
FALLBACK = _text(
    rf"[^{NO_TEXT}]+",
    "must be places, separated by commas",
    2 * DESTINATION_MAX + URL_MAX,
    split_list,
    metavar="PLACE[,…]",
    format="up to three of recall, a destination, voicemail, end, or a URL that CONFERRAL_RETURN_URLS allows; "
    "CONFERRAL_TRANSFER_FALLBACK by default",
    example="recall,voicemail",
)
SPOKEN = _text(rf"[^{NO_TEXT}{NOT_IN_XML}]+", SPOKEN_RULE, SPOKEN_MAX, example="Ada, about an invoice")
FLAG = Value(
    parse=_parse_flag,
    schema={"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["true", "false"]}]},
    form="flag",
    example="true",
)
# In digits, with zeros in front up to three digits.
RING_TIME = _seconds(RING_TIME_MIN_S, RING_TIME_MAX_S, r"^(0{0,2}[5-9]|0?[1-9][0-9]|[1-5][0-9]{2}|600)$")
CONFIRM_TIME = _seconds(CONFIRM_TIME_MIN_S, CONFIRM_TIME_MAX_S, r"^(0{0,2}9|0?[1-5][0-9]|0?60)$")
#: Source: Twilio docs, Call resource, `SendDigits` (at most 32; `w` waits half a second, `W` one).
DIGITS = _text(r"[0-9*#wW]{1,32}", "must be 1 to 32 of the characters 0-9 * # w W", metavar="DIGITS", example="1w2")
#: Source: Twilio docs, TwiML `<Play>`, `digits`, with the same characters. The limit is ours.
PRESSED = _text(
    r"[0-9*#wW]{1,64}", "must be 1 to 64 of the characters 0-9 * # w W", metavar="DIGITS", example="1ww4711#"
)
#: A name, and a value of characters or percent-encoded bytes. Source: RFC 3986, section 3.4.
#: Twilio's own headers have names that begin with `X-Twilio-`, such as the account's.
_PARAM_NAME = "(?![Tt][Ww][Ii][Ll][Ii][Oo]-)[A-Za-z0-9_-]{1,64}"
_PARAM = _PARAM_NAME + r"=(?:[A-Za-z0-9._~!$'()*+,;=:@/?-]|%(?![01]|7[fF])[0-9A-Fa-f]{2})*"
_PARAMS_RULE = (
    f"must be name=value&name=value, URL-encoded, of at most {PARAMS_MAX} characters, without control characters; a "
    "name has 1 to 64 letters, digits, _, or -, and doesn't begin with Twilio-"
)


def _normalize_params(text: str) -> str:
    """Return a target's parameters in one encoding, for URLs and SIP headers."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(_PARAMS_RULE) from None
    encoded = urlencode(pairs, quote_via=quote, safe="")
    if len(encoded) > PARAMS_MAX or any(re.search(f"[{NO_TEXT}]", value) for _, value in pairs):
        raise ValueError(_PARAMS_RULE)
    return encoded


PARAMS = _text(
    rf"{_PARAM}(?:&{_PARAM})*",
    _PARAMS_RULE,
    PARAMS_MAX,
    _normalize_params,
    metavar="NAME=VALUE[&…]",
    example="name=Ada%20L.&id=7",
)
#: A number of the account; the router verifies that it is one.
CALLER_ID = _text(
    NUMBER, "must be a number in the account: +, country code, and number", metavar="NUMBER", example="+14155550100"
)
NEW_PARTY = _text(
    # Logs and labels show names, so no phone numbers. A party named like a target counts as one: `cancel` hangs it up.
    rf"(?!(?:{'|'.join(_RESERVED)}|(?:{_NUMBERED})-[0-9]+|{TARGET}-.*)$)(?!.*[0-9](?:[_-]?[0-9]){{6}})"
    r"[a-z][a-z0-9_-]{0,31}",
    "must be a new name: a lowercase letter, then up to 31 lowercase letters, digits, _, or -, and no phone number; "
    f"reserved: {_TAKEN}, and all that begin with {TARGET}-",
    metavar="NAME",
    example="expert",
)
#: Names start with a letter, and so do SIDs; numbers do not.
PARTY = _text(
    r"[A-Za-z][A-Za-z0-9_-]{0,63}",
    "must be the name of a party or the SID of its call",
    form="party",
    metavar="PARTY",
    example="customer",
)
_DEADLINE_RULE = "must be a time in ISO 8601 with its zone, such as 2026-11-30T10:00:08Z"


def _to_ms(time: str) -> int:
    """Return a time as Unix milliseconds; at least 1, since 0 is none."""
    try:
        return max(1, from_iso(time))
    except ValueError:
        raise ValueError(_DEADLINE_RULE) from None


_TIME_OF_DAY = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
DEADLINE = _text(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    rf"T{_TIME_OF_DAY}:[0-5][0-9](?:\.[0-9]{{1,9}})?(?:Z|[+-]{_TIME_OF_DAY})",
    _DEADLINE_RULE,
    normalize=_to_ms,
    metavar="TIME",
    format="a time in ISO 8601 with its zone, by the clock of Redis",
    example="2100-01-01T00:00:00Z",
)
URL = _text(
    _HTTP_URL,
    f"must be an http:// or https:// URL of at most {URL_MAX:,} characters",
    URL_MAX,
    metavar="URL",
    example="https://media.example.com/closing.mp3",
)
#: What some words mean, for forms.
_MEANINGS = {
    "warm": "the target joins the call, and all three talk",
    "consult": "the customer hears music while agent and target talk first",
    "blind": "the agent leaves immediately; the customer waits for the target",
    "monitor": "hears everyone, and is heard by no one",
    "whisper": "hears everyone, and is heard by the agent only",
    "barge": "hears everyone, and is heard by everyone",
}
CALL_MODE = choice(tuple(SessionMode))
#: By the name that a command's class has for it.
_BY_KIND = {
    "session": SESSION, "new-id": NEW_ID, "new-session": NEW_SESSION_ID, "author": AUTHOR, "ref": REF,
    "deadline": DEADLINE,
    "destination": DESTINATION, "destinations": DESTINATIONS, "fallback": FALLBACK,
    "party": PARTY, "new-party": NEW_PARTY, "spoken": SPOKEN, "url": URL, "flag": FLAG,
    "ring-time": RING_TIME, "confirm-time": CONFIRM_TIME,
    "digits": DIGITS, "pressed": PRESSED, "params": PARAMS, "caller-id": CALLER_ID,
}  # fmt: skip


def value_of(kind: str | tuple[StrEnum, ...]) -> Value:
    """Return the kind of value that a field takes: one by its name, or words."""
    return _BY_KIND[kind] if isinstance(kind, str) else choice(kind)
