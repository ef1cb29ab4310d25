"""Form bodies, parsed so that signed content and parsed fields match."""

import re
from urllib.parse import unquote

import msgspec

_DECODER = msgspec.json.Decoder(dict[str, str])
#: An escaped byte of a character that is not ASCII.
_NON_ASCII = re.compile(rb"%[89A-Fa-f]")


class Form(dict[str, str]):
    """Fields by name, the first value of each."""

    __slots__ = ("repeated",)

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(fields)
        #: Names that were sent more than once, with all their values.
        self.repeated: dict[str, list[str]] = {}

    def signed_text(self) -> str:
        """Return names and values in Twilio's signing order."""
        # Source: Twilio docs, "Webhooks security"; twilio-python, `compute_signature`.
        names = sorted(self)
        if not self.repeated:
            parts = names * 2  # names and values in turn, without joining each pair
            parts[::2], parts[1::2] = names, map(self.__getitem__, names)
            return "".join(parts)
        return "".join(
            [name + value for name in names for value in sorted(set(self.repeated.get(name, (self[name],))))]
        )

    def readable(self) -> "Form":
        """Return the fields with U+FFFD instead of bytes that are not UTF-8."""
        form = Form({})
        for name, value in self.items():
            form.setdefault(_readable(name), _readable(value))
        for name, values in self.repeated.items():
            form.repeated.setdefault(_readable(name), [_readable(value) for value in values])
        return form


def _readable(text: str) -> str:
    """Replace surrogate escapes (bytes that are not UTF-8) by U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def parse_form(body: bytes | bytearray, *, errors: str = "strict") -> Form:
    """Parse an `application/x-www-form-urlencoded` body, or a GET's query.

    `errors="surrogateescape"` keeps bytes that are not UTF-8; `strict` raises UnicodeDecodeError. Blank values are
    kept: they are signed, too. Source: WHATWG URL standard, section 5.1.
    """
    return _parse_usual(body) or _parse_any(body, errors)


def _parse_usual(body: bytes | bytearray) -> Form | None:
    """Parse an ASCII form as JSON, in half the time; None if it needs more."""
    if not body.isascii() or b'"' in body or b"\\" in body or _NON_ASCII.search(body):
        return None
    # A field without exactly one equals sign makes this invalid JSON, as do an empty field and a malformed escape.
    pairs = body.replace(b"+", b" ").replace(b"%", b"\\u00").replace(b"=", b'":"').replace(b"&", b'","')
    try:
        form = Form(_DECODER.decode(b'{"' + pairs + b'"}'))
    except msgspec.DecodeError:
        return None
    return form if len(form) == body.count(b"&") + 1 else None  # else a name is repeated


def _parse_any(body: bytes | bytearray, errors: str) -> Form:
    pairs = [part.partition("=") for part in body.decode(errors=errors).replace("+", " ").split("&") if part]
    fields = [(unquote(name, errors=errors), unquote(value, errors=errors)) for name, _, value in pairs]
    form = Form(dict(reversed(fields)))  # the first value of a name wins
    if len(form) < len(fields):
        for name, value in fields:
            form.repeated.setdefault(name, []).append(value)
        form.repeated = {name: values for name, values in form.repeated.items() if len(values) > 1}
    return form
