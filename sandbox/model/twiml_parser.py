"""Reads TwiML documents into verbs.

A document is refused as Twilio refuses it: 12100 when it isn't well-formed, 12200 for a verb or noun that is unknown
here, 12300 for a wrong content type, 11750 when it is larger than 64 KiB.

Source: Twilio docs: TwiML for Programmable Voice; Error and Warning Dictionary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

SIZE_MAX = 64 * 1024
NOUNS = frozenset({"Number", "Client", "Sip", "Conference"})
VERBS = frozenset({"Dial", "Say", "Play", "Pause", "Redirect", "Hangup", "Reject", "Gather"})
WAIT_VERBS = frozenset({"Play", "Say", "Pause", "Redirect"})
"""What a wait, hold or announce document may hold (Twilio docs: TwiML <Conference>, waitUrl)."""
GATHER_VERBS = frozenset({"Say", "Play", "Pause"})


class TwimlError(Exception):
    """A document can't be run; `code` is Twilio's error code. The one who wrote the document is at fault."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Verb:
    """One element of a document: its name, attributes, trimmed text and children."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    text: str = ""
    children: tuple[Verb, ...] = ()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Verb:
        return self

    def get(self, name: str, default: str = "") -> str:
        """The attribute's text, or `default` where it is not written."""
        for key, value in self.attributes:
            if key == name:
                return value
        return default

    def has(self, name: str) -> bool:
        """Whether the attribute is written, be it empty."""
        return any(key == name for key, _ in self.attributes)

    def flag(self, name: str, *, default: bool) -> bool:
        """The attribute as a truth value; anything but `true` and `false` counts as the default."""
        text = self.get(name).strip().lower()
        return text == "true" if text in {"true", "false"} else default

    def number(self, name: str, default: float) -> float:
        """The attribute as a number of seconds or a count; what is no number counts as the default."""
        try:
            return float(self.get(name, str(default)))
        except ValueError:
            return default


def parse_twiml(content_type: str, body: bytes) -> tuple[Verb, ...]:
    """The verbs of a document, in order.

    Raises:
        TwimlError: The document must not be run; carries Twilio's code.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in {"text/xml", "application/xml", "text/html", ""} and not media_type.endswith("+xml"):
        raise TwimlError(12300, f"Invalid Content-Type: {media_type}")
    if len(body) > SIZE_MAX:
        raise TwimlError(11750, "TwiML response body too large")
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise TwimlError(12100, "Document parse failure: document types are not allowed")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314  entities were refused above
    except ElementTree.ParseError as error:
        raise TwimlError(12100, f"Document parse failure: {error}") from error
    if root.tag != "Response":
        raise TwimlError(12100, f"Document parse failure: the root is <{root.tag}>, not <Response>")
    return tuple(_verb(element, VERBS) for element in root)


def _verb(element: ElementTree.Element, allowed: frozenset[str]) -> Verb:
    if element.tag not in allowed:
        raise TwimlError(12200, f"Schema validation warning: <{element.tag}> is not known here")
    inner = {
        "Dial": NOUNS,
        "Gather": GATHER_VERBS,
        "Client": frozenset({"Identity", "Parameter"}),
        "Sip": frozenset({"Uri"}),
    }.get(element.tag, frozenset())
    if element.tag == "Say":  # speech marks belong to the sentence
        return Verb("Say", tuple(element.attrib.items()), "".join(element.itertext()).strip())
    return Verb(
        element.tag,
        tuple(element.attrib.items()),
        (element.text or "").strip(),
        tuple(_verb(child, inner) for child in element),
    )


def nouns(dial: Verb) -> tuple[Verb, ...]:
    """Whom a `<Dial>` dials; a bare text is a number (Twilio docs: TwiML <Dial>)."""
    if dial.children:
        return dial.children
    return (Verb("Number", (), dial.text),) if dial.text else ()


def address(noun: Verb) -> str:
    """The address of a Number, Client or Sip as it stands in `To`."""
    if noun.name == "Client":
        identity = next((child.text for child in noun.children if child.name == "Identity"), noun.text)
        return f"client:{identity}"
    if noun.name == "Sip":
        uri = next((child.text for child in noun.children if child.name == "Uri"), noun.text)
        return uri if uri.startswith(("sip:", "sips:")) else f"sip:{uri}"
    return noun.text


def custom_parameters(noun: Verb) -> tuple[tuple[str, str], ...]:
    """The `<Parameter>`s that a browser gets with the call."""
    return tuple((c.get("name"), c.get("value")) for c in noun.children if c.name == "Parameter")


def duration_s(verb: Verb, say_s_per_character: float, play_s: float) -> float | None:
    """How long a Say, Play or Pause lasts; None without end (`loop="0"`)."""
    if verb.name == "Pause":
        return max(verb.number("length", 1.0), 0.0)
    loop = verb.number("loop", 1.0)
    if loop == 0:
        return None
    return loop * (len(verb.text) * say_s_per_character if verb.name == "Say" else play_s)
