"""TwiML parser: turns documents into verbs, or rejects them like Twilio."""

from dataclasses import dataclass
from xml.etree import ElementTree

from offhook.model.behavior import Behavior

SIZE_MAX = 64 * 1024
NOUNS = frozenset({"Number", "Client", "Sip", "Conference"})
QUEUE_VERBS = frozenset({"Play", "Say", "Pause", "Hangup", "Redirect", "Leave", "Gather"})  #: Allowed while queued.
VERBS = QUEUE_VERBS | {"Dial", "Reject", "Record", "Connect", "Enqueue"}
WAIT_VERBS = frozenset({"Play", "Say", "Pause", "Redirect"})  #: Allowed in wait, hold, or announce documents (waitUrl).
GATHER_VERBS = frozenset({"Say", "Play", "Pause"})
_TONE_S = {"w": 0.5, "W": 1.0}  #: Duration of each of a Play's digits, by default `_DIGIT_S`.
_DIGIT_S = 0.25


class TwimlError(Exception):
    """A document can't be run; `code` is Twilio's error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Verb:
    """One element: its name, attributes, trimmed text, and children."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    text: str = ""
    children: tuple["Verb", ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """Return the attribute's text, or `default` if it is missing."""
        return next((value for key, value in self.attributes if key == name), default)

    def has(self, name: str) -> bool:
        """Whether the attribute is present, even if empty."""
        return any(key == name for key, _ in self.attributes)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean attribute; anything but `true` and `false`: default."""
        text = self.get(name).strip().lower()
        return text == "true" if text in {"true", "false"} else default

    def number(self, name: str, default: float) -> float:
        """Return a numeric attribute; anything else counts as the default."""
        try:
            return float(self.get(name, str(default)))
        except ValueError:
            return default


def parse_twiml(content_type: str, body: bytes, allowed: frozenset[str] = VERBS) -> tuple[Verb, ...]:
    """Return a document's verbs; raise TwimlError if it is invalid."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in {"text/xml", "application/xml", "text/html", "text/plain", ""} and not media_type.endswith(
        "+xml"
    ):
        raise TwimlError(12300, f"Invalid Content-Type: {media_type}")
    if len(body) > SIZE_MAX:
        raise TwimlError(11750, "TwiML response body too large")
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise TwimlError(12100, "Document parse failure: document types are not allowed")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314  entities were rejected above
    except ElementTree.ParseError as error:
        raise TwimlError(12100, f"Document parse failure: {error}") from error
    if root.tag != "Response":
        raise TwimlError(12100, f"Document parse failure: the root is <{root.tag}>, not <Response>")
    return tuple(_parse_element(element, allowed) for element in root)


def _parse_element(element: ElementTree.Element, allowed: frozenset[str]) -> Verb:
    if element.tag not in allowed:
        raise TwimlError(12200, f"Schema validation warning: <{element.tag}> is not known here")
    inner = {
        "Dial": NOUNS,
        "Gather": GATHER_VERBS,
        "Connect": frozenset({"ConversationRelay"}),
        "Enqueue": frozenset({"Task"}),
        "ConversationRelay": frozenset({"Language", "Parameter"}),
        "Client": frozenset({"Identity", "Parameter"}),
        "Sip": frozenset({"Uri"}),
    }.get(element.tag, frozenset())
    if element.tag == "Say":  # SSML belongs to the sentence
        return Verb("Say", tuple(element.attrib.items()), "".join(element.itertext()).strip())
    return Verb(
        element.tag,
        tuple(element.attrib.items()),
        (element.text or "").strip(),
        tuple(_parse_element(child, inner) for child in element),
    )


def nouns(dial: Verb) -> tuple[Verb, ...]:
    """Return a `<Dial>`'s targets; plain text is a number (TwiML <Dial>)."""
    if dial.children:
        return dial.children
    return (Verb("Number", (), dial.text),) if dial.text else ()


def address(noun: Verb) -> str:
    """Return the address of a Number, Client, or Sip, as in `To`."""
    if noun.name == "Client":
        identity = next((child.text for child in noun.children if child.name == "Identity"), noun.text)
        return f"client:{identity}"
    if noun.name == "Sip":
        uri = next((child.text for child in noun.children if child.name == "Uri"), noun.text)
        return uri if uri.startswith(("sip:", "sips:")) else f"sip:{uri}"
    return noun.text


def custom_parameters(noun: Verb) -> tuple[tuple[str, str], ...]:
    """Return the `<Parameter>`s that a browser gets with the call."""
    return tuple((c.get("name"), c.get("value")) for c in noun.children if c.name == "Parameter")


def duration_s(verb: Verb, behavior: Behavior) -> float | None:
    """Return a Say's, Play's, or Pause's duration; None: endless (`loop="0"`)."""
    if verb.name == "Pause":
        return max(verb.number("length", 1.0), 0.0)
    loop = verb.number("loop", 1.0)
    if loop == 0:
        return None
    if digits := verb.get("digits"):
        return loop * sum(_TONE_S.get(one, _DIGIT_S) for one in digits)
    return loop * (len(verb.text) * behavior.say_s_per_character if verb.name == "Say" else behavior.play_s)
