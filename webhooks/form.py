"""Form bodies, parsed so that signed content and parsed fields match."""

from urllib.parse import parse_qsl


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
        return "".join(
            [name + value for name in sorted(self) for value in sorted(set(self.repeated.get(name, (self[name],))))]
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
    fields = parse_qsl(body.decode(errors=errors), keep_blank_values=True, errors=errors)
    form = Form(dict(reversed(fields)))  # the first value of a name wins
    if len(form) < len(fields):
        for name, value in fields:
            form.repeated.setdefault(name, []).append(value)
        form.repeated = {name: values for name, values in form.repeated.items() if len(values) > 1}
    return form
