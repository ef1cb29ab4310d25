"""TwiML parser: turns documents into verbs, or rejects them like Twilio."""

from dataclasses import dataclass
from xml.etree import ElementTree

from offhook.model import twiml_grammar
from offhook.model.behavior import Behavior
from offhook.model.messages import NOT_MODELED
from offhook.model.remarks import Remark, hint, not_modeled
from offhook.model.twiml_grammar import GRAMMAR, SCHEMA_WARNING, Element, Support

SIZE_MAX = 64 * 1024
_SCHEMA = "Schema validation warning"
_SCHEMA_LOCATION, _XML = "{http://www.w3.org/2001/XMLSchema-instance}", "{http://www.w3.org/XML/1998/namespace}"
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


@dataclass(frozen=True, slots=True)
class Document:
    """A document's verbs, and what was ignored in it."""

    verbs: tuple[Verb, ...]
    remarks: tuple[Remark, ...] = ()


def parse_twiml(
    content_type: str, body: bytes, allowed: frozenset[str] = twiml_grammar.VERBS, *, strict: bool = False
) -> Document:
    """Return a document's verbs; raise TwimlError if it is invalid.

    With `strict`, an element that Twilio doesn't have, or not there, makes it invalid.
    """
    parser = _Parser(strict, [])
    # A <Connect> whose noun was ignored has no one to connect to.
    children = parser.parse(parse_root(content_type, body)).children
    verbs = tuple(verb for verb in children if verb.children or verb.name != "Connect")
    if other := next((verb.name for verb in verbs if verb.name not in allowed), ""):
        raise TwimlError(SCHEMA_WARNING, f"Schema validation warning: Twilio does not allow <{other}> here")
    return Document(verbs, tuple(parser.remarks))


def parse_root(content_type: str, body: bytes) -> ElementTree.Element:
    """Return a document's `<Response>`; raise TwimlError without one."""
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
    return root


@dataclass(frozen=True, slots=True)
class _Parser:
    """Applies the grammar to a document."""

    strict: bool
    remarks: list[Remark]

    def parse(self, element: ElementTree.Element) -> Verb:
        """Return an element with what is modeled of it."""
        name, grammar = element.tag, GRAMMAR[element.tag]
        attributes = tuple(it for it in element.attrib.items() if self._takes(name, grammar, *it))
        if name == "Say":  # SSML belongs to the sentence
            for inner in list(element.iter())[1:]:
                self._has(name, grammar, inner)
            return Verb(name, attributes, "".join(element.itertext()).strip())
        children = tuple(self.parse(child) for child in element if self._has(name, grammar, child))
        text = (element.text or "").strip()
        if (text and not grammar.takes_text) or any((child.tail or "").strip() for child in element):
            self.remarks.append(Remark(SCHEMA_WARNING, f"{_SCHEMA}: Twilio takes no text there in <{name}>"))
        if name == "Connect" and not len(element):
            self.remarks.append(Remark(SCHEMA_WARNING, f"{_SCHEMA}: Twilio needs an element in <Connect>"))
        return Verb(name, attributes, text, children)

    def _has(self, parent: str, grammar: Element, child: ElementTree.Element) -> bool:
        """Whether a child is modeled; if not, remark it, or reject it."""
        support = grammar.children.get(child.tag)
        if support is None:
            self._refuse(parent, grammar, child.tag)
        elif support is Support.MISSING:
            self.remarks.append(Remark(NOT_MODELED, not_modeled(f"<{child.tag}> in <{parent}>")))
        elif support is Support.LOGGED:
            said = f"{not_modeled(f'<{child.tag}>')}; the call goes on, as at Twilio"
            self.remarks.append(Remark(NOT_MODELED, said))
            for noun in child if child.tag in GRAMMAR else ():
                if noun.tag not in GRAMMAR[child.tag].children:
                    self._refuse(child.tag, GRAMMAR[child.tag], noun.tag)
        return support is Support.MODELED

    def _refuse(self, parent: str, grammar: Element, name: str) -> None:
        """Remark an element that Twilio doesn't have there; if strict, reject it."""
        if name in twiml_grammar.NAMES:
            said = f"Twilio does not allow <{name}> in <{parent}>"
        else:
            said = f"Twilio has no <{name}>{hint(name, twiml_grammar.NAMES)}"
        code = grammar.child_code
        message = f"{_SCHEMA if code == SCHEMA_WARNING else f'{parent}: invalid nested element'}: {said}"
        if self.strict:
            raise TwimlError(code, message)
        self.remarks.append(Remark(code, f"{message}; it is ignored", "error"))

    def _takes(self, name: str, grammar: Element, attribute: str, value: str) -> bool:
        """Whether an attribute counts; if not, remark why it is ignored."""
        if attribute.startswith(_SCHEMA_LOCATION):
            return False
        attribute = attribute.replace(_XML, "xml:")
        known = grammar.attributes.get(attribute)
        if known is None:
            right = hint(attribute, grammar.attributes)
            self.remarks.append(Remark(SCHEMA_WARNING, f"{_SCHEMA}: Twilio has no {attribute} of <{name}>{right}"))
        elif not known.values.has(value):
            said = f"{name}: invalid {attribute} value: Twilio takes {known.values.shown}, not {value[:40]!r}"
            self.remarks.append(Remark(known.code, said))
        elif known.support_of(value) is Support.MISSING:
            shown = f'{attribute}="{value[:40]}"' if known.only else attribute  # others may be secrets
            self.remarks.append(Remark(NOT_MODELED, not_modeled(f"{shown} of <{name}>")))
        else:
            return True
        return False


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
