"""Form bodies: read strictly, and so that what is signed and what is understood are the same."""

from collections.abc import Sequence
from urllib.parse import unquote_plus

#: Twilio sends about 25 fields, more where a browser adds its own.
_FIELDS_MAX = 512


class Form(dict[str, str]):
    """Fields by name, the first value of each; `getall` has every value, as Twilio's validator asks for them."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        super().__init__(reversed(pairs))
        #: The names that were sent more than once, with all their values.
        self.repeated: dict[str, list[str]] = {}
        if len(self) != len(pairs):
            for name, value in pairs:
                self.repeated.setdefault(name, []).append(value)
            self.repeated = {name: values for name, values in self.repeated.items() if len(values) > 1}

    def getall(self, name: str) -> Sequence[str]:
        """Every value of a name, in the order in which they were sent."""
        return self.repeated.get(name) or (self[name],)


def parse_form(body: bytes) -> Form:
    """The fields of an `application/x-www-form-urlencoded` body.

    Blank values are kept, since they are signed too.

    Raises:
        ValueError: it is not UTF-8, or holds more fields than any request of Twilio's.

    Source: WHATWG URL standard, section 5.1.
    """
    text = body.decode()
    if text.count("&") >= _FIELDS_MAX:
        raise ValueError("too many fields")
    pairs = []
    for part in text.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in name or "+" in name:
            name = unquote_plus(name, errors="strict")
        if "%" in value or "+" in value:
            value = unquote_plus(value, errors="strict")
        pairs.append((name, value))
    return Form(pairs)
